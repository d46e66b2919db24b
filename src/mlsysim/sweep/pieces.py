"""The pieces of a grid: boxes of a size that a processor's cache holds, and tasks of several boxes."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

from mlsysim.sweep.axes import Axis, Numbers

BOX = 1 << 16
"""Points of a box: large enough that threads seldom wait for each other, small enough for a processor's caches."""
TASK = 8 * BOX
"""Points of a task: enough that handing it to a worker costs little beside it."""
FAR = 4
"""Times that a task is as large where it is handed to another machine, or written to a file."""
TASK_BOXES = 512
"""Boxes that one task takes at most: small ones are slow for their size."""


class Box(NamedTuple):
    """A part of a block: from ``start`` to ``stop`` (not included) along each of its axes."""

    block: int
    start: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the number of values along each axis."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def points(self) -> int:
        """Return the number of points."""
        return math.prod(self.shape)


class Task(NamedTuple):
    """What one worker takes at once: boxes in the order of the grid."""

    number: int
    boxes: tuple[Box, ...]

    @property
    def points(self) -> int:
        """Return the number of points."""
        return sum(box.points for box in self.boxes)


def cut(number: int, axes: tuple[tuple[str, Axis], ...], points: int) -> Iterator[Box]:
    """Yield the boxes of a block: inner axes whole as long as they fit, a batch of one apart from larger ones.

    One sequence alone is measured in other ways than several at once: predictions of the two rest on other rows.
    """
    sizes = [len(axis) for _, axis in axes]
    most: list[int] = []
    room = points
    for size in reversed(sizes):
        most.insert(0, max(1, min(size, room)))
        room //= max(1, most[0])
    parts = []
    for (name, axis), size, step in zip(axes, sizes, most, strict=True):
        edges = list(range(0, size, step)) if size < 10**7 else range(0, size, step)
        if name == "batch_size" and size > 1:
            edges = sorted({*edges, *_alone(axis)})
        parts.append(edges)
    for start in product(*parts):
        stop = tuple(_next(edges, at, size) for edges, at, size in zip(parts, start, sizes, strict=True))
        yield Box(number, start, stop)


def _next(edges: Any, at: int, size: int) -> int:
    """Return where a part that starts at ``at`` ends."""
    if isinstance(edges, range):
        return min(at + edges.step, size)
    after = bisect_right(edges, at)
    return edges[after] if after < len(edges) else size


def _alone(axis: Axis) -> set[int]:
    """Return the edges around values of 1 in an axis of batches."""
    if isinstance(axis, Numbers):
        ones = [n for n in range(len(axis)) if axis.given[n] == 1]
    else:
        ones = [0] if axis.values(0, 1)[0] == 1 else []
    return {edge for n in ones for edge in (n, n + 1) if edge < len(axis)}
