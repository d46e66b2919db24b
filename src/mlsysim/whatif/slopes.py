"""Elasticities by finite differences: d ln(output) / d ln(input), on both sides of a kink."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

STEPS = (1e-4, 1e-5, 1e-6)
"""Relative steps, tried in turn. With the first, what a central difference leaves out is of the order of its square;
with the last, what rounding adds is 1e-16 / 1e-6: both are far below what is shown."""
CURVED = 50.0
"""How fast an elasticity of a smooth function may change with ln(input): sides that differ by more are a kink's."""
JUMP = 1e3
"""An elasticity beyond this at the last step is a jump of the function, which has none."""


class Slope(NamedTuple):
    """An elasticity [1], and those below and above the point, which differ at a kink; None where there is none.

    ``value`` is the mean of both sides, or the one that there is.
    """

    value: float | None
    below: float | None
    above: float | None

    @property
    def kink(self) -> bool:
        """Return whether the two sides differ."""
        return self.below is not None and self.above is not None and self.below != self.above


def elasticity(function: Callable[[float], float], at: float, least: float = 0.0, most: float = math.inf) -> Slope:
    """Return the elasticity of a positive function at a positive point; values outside ``least`` to ``most`` are none.

    Where the sides agree but for what a smooth curve explains, the central difference is the answer for both.
    """
    here = math.log(function(at))
    below = above = None
    for step in STEPS:
        below = -_rise(function, at, -step, here) / step if at * math.exp(-step) >= least else None
        above = _rise(function, at, step, here) / step if at * math.exp(step) <= most else None
        if below is None or above is None:
            break
        if abs(above - below) <= CURVED * step:
            middle = (below + above) / 2
            return Slope(middle, middle, middle)
    sides = [_refined(function, at, sign, here) if given is not None else None for sign, given in _sides(below, above)]
    sides = [side if side is not None and abs(side) < JUMP else None for side in sides]
    known = [side for side in sides if side is not None]
    return Slope(math.fsum(known) / len(known) if known else None, sides[0], sides[1])


def ratio(function: Callable[[float], float], at: float, to: float) -> float:
    """Return the elasticity between two points that lie apart: ln(output ratio) / ln(input ratio)."""
    return math.log(function(to) / function(at)) / math.log(to / at)


def _sides(below: float | None, above: float | None) -> tuple[tuple[float, float | None], ...]:
    return (-1.0, below), (1.0, above)


def _rise(function: Callable[[float], float], at: float, step: float, here: float) -> float:
    return math.log(function(at * math.exp(step))) - here


def _refined(function: Callable[[float], float], at: float, sign: float, here: float) -> float:
    """Return a one-sided difference, from two steps such that curvature cancels (Richardson)."""
    step = STEPS[-1]
    whole, half = (sign * _rise(function, at, sign * s, here) / s for s in (step, step / 2))
    return 2 * half - whole
