"""Blocks put together from their boxes, in whatever order these come in."""

from __future__ import annotations

from copy import copy
from threading import Lock
from typing import Any

import numpy as np

from mlsysim.sweep.evaluate import Values
from mlsysim.sweep.grid import Block, Grid
from mlsysim.sweep.pieces import Box
from mlsysim.sweep.points import Array


class Assembly:
    """The answers of blocks so far; several threads may add to it. What does not vary along an axis is kept once."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._whole: dict[int, tuple[Block, Values]] = {}
        self._held: dict[int, dict[str, _Held]] = {}
        self._lock = Lock()

    def add(self, box: Box, values: Values) -> None:
        """Take the answers of a box."""
        block = self.grid.block(box.block)
        if box.shape == block.shape:
            self._whole[box.block] = (block, values)
            return
        with self._lock:
            held = self._held.setdefault(box.block, {})
            done: dict[int, str] = {}
            for name, value in values.items():
                if _same(held, done.setdefault(id(value), name), name):
                    continue
                array = np.asarray(value)
                array = array.reshape(array.shape or (1,) * len(block.shape))
                if name not in held:
                    held[name] = _Held(name, block, box, array)
                held[name].put(box, array)

    @property
    def parts(self) -> list[tuple[Block, Values]]:
        """Return the blocks in the order of the grid."""
        put = {
            n: (self.grid.block(n), {name: held.array for name, held in found.items()})
            for n, found in self._held.items()
        }
        return [part for _, part in sorted({**self._whole, **put}.items(), key=lambda item: item[0])]


def _same(held: dict[str, _Held], first: str, name: str) -> bool:
    """Return whether a quantity is one array with an earlier one in this box, and in all boxes so far."""
    if first == name:
        if name in held and held[name].of != name:  # until here it was one with another
            held[name] = held[name].copy(name)
        return False
    if name not in held:
        held[name] = held[first]
    return held[name] is held[first]


class _Held:
    """The quantity ``of`` a block: an array with one value along axes of which no box has shown that it varies.

    Along such an axis the boxes repeat each other; ``known`` marks the values that one of them has given.
    """

    def __init__(self, of: str, block: Block, box: Box, array: Array) -> None:
        self.of, self.full = of, block.shape
        self.array = np.empty(self._shape(box, array), dtype=array.dtype)
        self.known = np.zeros(self._shape(box, array), dtype=bool) if self.array.size < block_size(block) else None

    def copy(self, of: str) -> _Held:
        """Return the same values, to be written to apart."""
        found = copy(self)
        found.of = of
        found.array = self.array.copy()
        found.known = None if self.known is None else self.known.copy()
        return found

    def _shape(self, box: Box, array: Array) -> tuple[int, ...]:
        """Return the shape that the values of a box ask for: a box of one value along an axis shows nothing of it."""
        sizes = zip(array.shape, box.shape, self.full, strict=True)
        return tuple(1 if own == 1 and (part > 1 or full == 1) else full for own, part, full in sizes)

    def put(self, box: Box, array: Array) -> None:
        """Write the values of a box."""
        self._widen(self._shape(box, array))
        if self.known is not None:
            here = self._slices(box)
            if self.known[here].any():
                if np.array_equal(self.array[here], np.broadcast_to(array, self.array[here].shape), equal_nan=True):
                    return
                self._widen(self.full)
        here = self._slices(box)
        self.array[here] = array
        if self.known is not None:
            self.known[here] = True

    def _widen(self, shape: tuple[int, ...]) -> None:
        wider = tuple(max(h, n) for h, n in zip(self.array.shape, shape, strict=True))
        if wider == self.array.shape:
            return
        self.array = np.broadcast_to(self.array, wider).copy()
        if self.known is not None:
            self.known = None if wider == self.full else np.broadcast_to(self.known, wider).copy()

    def _slices(self, box: Box) -> tuple[Any, ...]:
        part = zip(box.start, box.stop, self.array.shape, strict=True)
        return tuple(slice(a, b) if size > 1 else slice(0, 1) for a, b, size in part)


def block_size(block: Block) -> int:
    """Return the number of points of a block."""
    return int(np.prod(block.shape, dtype=np.int64))
