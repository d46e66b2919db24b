"""Where along one input a property holds: ranges, each edge found to the last float or whole number."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

A_DECADE = 8
"""Points a decade at which a real input is looked at before edges are refined."""
AN_OCTAVE = 4
"""Points an octave at which a whole number is."""


class Range(NamedTuple):
    """A range in which a property holds, both ends included; ``first`` and ``last`` say that it may go on beyond.

    They are set where an end is that of all that was looked at.
    """

    low: float
    high: float
    first: bool
    last: bool


def ranges(holds: Callable[[float], bool], points: Sequence[float], whole: bool) -> list[Range]:
    """Return the ranges in which a property holds, from what it is at some points, lowest first.

    Between a point where it holds and a neighbour where it does not, the edge is bisected down to two neighbouring
    floats, or whole numbers: it holds at an end of a range and not at the next number beyond. A range that lies between
    two points is not found.
    """
    truth = [holds(p) for p in points]
    found: list[Range] = []
    last = len(points) - 1
    start = None
    for n, here in enumerate(truth):
        if here and start is None:
            start = n
        if start is not None and (not here or n == last):
            end = n if here else n - 1
            low = points[0] if start == 0 else _edge(holds, points[start], points[start - 1], whole)
            high = points[end] if end == last else _edge(holds, points[end], points[end + 1], whole)
            found.append(Range(low, high, start == 0, end == last))
            start = None
    return found


def real_points(least: float, most: float, *more: float) -> list[float]:
    """Return points from ``least`` to ``most`` in even steps of the logarithm, with ``more`` among them."""
    factor = 10 ** (1 / A_DECADE)
    found, at = [most, *(m for m in more if least <= m <= most)], least
    while at < most:
        found.append(at)
        at *= factor
    return sorted(set(found))


def whole_points(most: int, *more: float) -> list[float]:
    """Return whole numbers from 1 to ``most``, ever farther apart, with ``more`` among them."""
    found, size = {float(m) for m in more if 1 <= m <= most}, 1
    while size <= most:
        found |= {float(size + n * size // AN_OCTAVE) for n in range(AN_OCTAVE)}
        size *= 2
    return sorted(p for p in {*found, float(most)} if p <= most)


def _edge(holds: Callable[[float], bool], inside: float, outside: float, whole: bool) -> float:
    """Return the last number towards ``outside`` at which a property holds that holds ``inside``."""
    there, back = (int, float) if whole else (_bits, _float)
    good, bad = there(inside), there(outside)
    while abs(good - bad) > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if holds(back(middle)) else (good, middle)
    return back(good)


def _bits(value: float) -> int:
    """Return the place of a positive float among all of them: neighbours differ by one."""
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def _float(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<q", bits))[0])
