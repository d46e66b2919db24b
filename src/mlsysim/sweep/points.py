"""The points of one box with their answers: columns of them, made when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mlsysim.errors import InvalidValue
from mlsysim.sweep.evaluate import FEASIBLE, Values
from mlsysim.sweep.expressions import Coded
from mlsysim.sweep.grid import NUMBERS, WORDS, Block
from mlsysim.sweep.pieces import Box
from mlsysim.sweep.quantities import QUANTITIES, base_of

Array = npt.NDArray[Any]
COUNTED = ("devices", "lora_rank", "target_len", "steps", "draft_tokens")
"""Fields of blocks that are whole numbers."""
ASKED = {"efficiency": "efficiency_asked"}
"""Columns of coordinates whose name a quantity has already."""


class Points(NamedTuple):
    """The answers of a box; ``values`` broadcast to its shape."""

    block: Block
    box: Box
    values: Values

    @property
    def feasible(self) -> Array:
        """Return which points can be answered and fit, in the shape of the box."""
        return np.broadcast_to(self.values[FEASIBLE], self.box.shape)

    def shaped(self, name: str) -> Array:
        """Return a quantity or a coordinate of numbers in the shape of the box; NaN where there is none.

        Raises
        ------
        InvalidValue
            A quantile, where that was not asked for.
        """
        if name in self.values:
            return np.broadcast_to(self.values[name], self.box.shape)
        if base_of(name) not in {"", name}:
            hint = f"nothing is drawn for {name}: ask for quantiles (--quantiles), or take {base_of(name)}"
            raise InvalidValue("quantiles", "such that each that is asked for is among them", name, hint)
        for n, (field, axis) in enumerate(self.block.axes):
            if ASKED.get(field, field) == name:
                along = np.asarray(axis.values(self.box.start[n], self.box.stop[n]))
                shape = [-1 if m == n else 1 for m in range(len(self.box.shape))]
                return np.broadcast_to(along.reshape(shape), self.box.shape)
        fixed = fixed_of(self.block, name)
        return np.broadcast_to(fixed if isinstance(fixed, (int, float)) else np.nan, self.box.shape)

    def flat(self, name: str) -> Array:
        """Return a quantity or a coordinate of numbers, a value a point."""
        return self.shaped(name).reshape(-1)

    def known(self) -> Mapping[str, Any]:
        """Return what conditions may speak of: quantities, coordinates, ``fits`` and ``feasible``, looked up lazily."""
        return _Known(self)


class _Known(Mapping[str, Any]):
    """Names as conditions see them."""

    def __init__(self, points: Points) -> None:
        self.points = points

    def __getitem__(self, name: str) -> Any:
        points = self.points
        if name in {FEASIBLE, "fits"}:
            return points.feasible
        if name in points.values:
            words = QUANTITIES[base_of(name)].words
            return Coded(points.shaped(name), words) if words else points.shaped(name)
        return fixed_of(points.block, name) if name in WORDS else points.shaped(name)

    def __iter__(self) -> Iterator[str]:
        return iter((*self.points.values, *self.points.block.words, *NUMBERS))

    def __len__(self) -> int:
        return len(list(iter(self)))


def fixed_of(block: Block, name: str) -> Any:
    """Return what a field is in all points of a block: as given, as checked, or its default; None where it is neither.

    Whole numbers and a stated eta are numbers, although blocks hold their labels.
    """
    if name == ASKED["efficiency"]:
        return block.efficiency if isinstance(block.efficiency, float) else block.words.get("efficiency")
    found = block.word(name)
    if found is None and block.scenario is not None:
        found = block.scenario.defaults.get(name)
    return int(found) if name in COUNTED and found is not None else found


def known_names() -> tuple[str, ...]:
    """Return the names that a condition may use."""
    numbers = (ASKED.get(name, name) for name in NUMBERS)
    return (FEASIBLE, "fits", *QUANTITIES, *WORDS, *numbers)


def quantities_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return those of some names that are quantities: what must be worked out for them."""
    return tuple(dict.fromkeys(base for name in names if (base := base_of(name))))


def places(box: Box, block_shape: Sequence[int], within: Array) -> Array:
    """Return where in its block points are that are ``within`` its box, both counted in the order of the grid."""
    if not box.shape:
        return np.zeros(len(within), dtype=np.int64)
    at = np.unravel_index(within, box.shape)
    return np.asarray(np.ravel_multi_index([a + b for a, b in zip(at, box.start, strict=True)], tuple(block_shape)))


def single(block: Block, at: int) -> Box:
    """Return the box of one point of a block."""
    if not block.shape:
        return Box(block.number, (), ())
    start = tuple(int(n) for n in np.unravel_index(at, block.shape))
    return Box(block.number, start, tuple(n + 1 for n in start))


def size(shape: Sequence[int]) -> int:
    """Return the number of points of a shape."""
    return math.prod(shape)
