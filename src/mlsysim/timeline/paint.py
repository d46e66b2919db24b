"""Each instant to one span: where spans overlap, the layer above wins, and within a layer the span that began first.

Nothing but starts, ends and what spans are decides, so that the order of events in a file, the numbers of streams and
the time at which the trace begins change no answer. Times are whole nanoseconds: what is cut is cut exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mlsysim.timeline.spans import Integers

NONE = -1


class Layer(NamedTuple):
    """Spans that do not overlap, by start [ns]; ``which`` are their numbers where they come from."""

    start: Integers
    end: Integers
    which: npt.NDArray[np.int64]


class Segments(NamedTuple):
    """Stretches that lie side by side, by start [ns]: each of one layer and of one span there, or of none (-1)."""

    start: Integers
    end: Integers
    layer: npt.NDArray[np.int64]
    which: npt.NDArray[np.int64]

    @property
    def length(self) -> Integers:
        """Return the length of each [ns]."""
        return self.end - self.start

    def where(self, chosen: npt.NDArray[np.bool_]) -> Segments:
        """Return the segments where a mask is true."""
        return Segments(*(column[chosen] for column in self))


def layer(start: Integers, end: Integers, which: npt.NDArray[np.int64] | None = None) -> Layer:
    """Return spans, sorted by start, as a layer: each has what no span before it has.

    ``start`` and ``end`` [ns] are columns of one length; ``which`` numbers them, by default from 0.
    """
    which = np.arange(len(start)) if which is None else which
    if not len(start):
        return Layer(start, end, which)
    reached = np.maximum.accumulate(end)
    begin = start.copy()
    begin[1:] = np.maximum(start[1:], reached[:-1])
    own = begin < end
    return Layer(begin[own], end[own], which[own])


def paint(layers: Sequence[Layer], edges: Integers) -> Segments:
    """Return what lies between the first and the last of ``edges``, cut at each of them: the uppermost layer has it.

    Layers come uppermost first. The segments are as short as all edges make them, and sum to the length.
    """
    low, high = edges.min(), edges.max()
    layers = [_between(one, low, high) for one in layers]
    cuts = np.concatenate([edges, *(column for one in layers for column in (one.start, one.end))])
    cuts = np.unique(cuts[(cuts >= low) & (cuts <= high)])
    begin = cuts[:-1]
    owner = np.full(len(begin), NONE, np.int64)
    of_layer = np.full(len(begin), NONE, np.int64)
    for number, one in enumerate(layers):
        if not len(one.start):
            continue
        free = np.flatnonzero(of_layer == NONE)
        at = np.searchsorted(one.start, begin[free], "right") - 1
        inside = (at >= 0) & (begin[free] < one.end[at])
        of_layer[free[inside]] = number
        owner[free[inside]] = one.which[at[inside]]
    return Segments(begin, cuts[1:], of_layer, owner)


def summed(keys: Integers, length: Integers) -> tuple[Integers, Integers]:
    """Return the different keys, sorted, and the sum of the lengths of each [ns]."""
    different, at = np.unique(keys, return_inverse=True)
    total = np.zeros(len(different), np.int64)
    np.add.at(total, at, length)
    return different, total


def _between(one: Layer, low: int, high: int) -> Layer:
    """Return the spans of a layer that reach into a stretch of time."""
    first, last = np.searchsorted(one.end, low, "right"), np.searchsorted(one.start, high, "left")
    return Layer(*(column[first:last] for column in one))


def inside(start: Integers, windows: tuple[Integers, Integers]) -> npt.NDArray[np.int64]:
    """Return for each time the number of the window that it lies in, -1 outside; windows are sorted and disjoint."""
    at = np.searchsorted(windows[0], start, "right") - 1
    return np.where((at >= 0) & (start < windows[1][at]), at, NONE)
