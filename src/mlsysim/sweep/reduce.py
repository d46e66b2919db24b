"""What is kept of a sweep whose points are too many to keep: the best, the front, quantiles, sums.

A reduction takes the points of a box and gives a state; states are merged in the order of the grid, so that the result
is the same wherever the boxes were worked out. Infeasible points are counted and not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from mlsysim.errors import InvalidValue
from mlsysim.sweep.counting import Quantiles, Summary
from mlsysim.sweep.front import on_front
from mlsysim.sweep.grouping import Group, checked_groups, checked_name, condition, groups, listed, meets, names_of
from mlsysim.sweep.points import Array, Points, places

__all__ = ["Pareto", "Quantiles", "Ranked", "Reduction", "Summary", "Top"]


class Reduction(Protocol):
    """What turns points into a state, and two states into one."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the names of quantities and coordinates that it looks at."""

    def of(self, points: Points) -> Any:
        """Return the state of the points of one box."""

    def merged(self, first: Any, second: Any) -> Any:
        """Return the state of two parts, the earlier one first."""


class Ranked(NamedTuple):
    """Points by what they are ranked by: values, and the block and place in it of each."""

    values: Array
    block: Array
    at: Array

    def part(self, chosen: Any) -> Ranked:
        """Return some of the points."""
        return Ranked(self.values[chosen], self.block[chosen], self.at[chosen])


def _ranked(points: Points, columns: Sequence[Array], keep: Array) -> Ranked:
    """Return the points of a box that are kept, by one or several columns of numbers."""
    within = np.flatnonzero(keep)
    at = places(points.box, points.block.shape, within)
    values = np.stack([column[within] for column in columns], axis=1)
    return Ranked(values, np.full(len(within), points.block.number), at)


def _joined(first: Ranked, second: Ranked) -> Ranked:
    return Ranked(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))


@dataclass(frozen=True)
class Top:
    """The ``count`` points with the least ``by`` (the most where ``largest``), in all or in each group of ``per``.

    ``where`` is a condition that they must meet. Raises :class:`UsageError` for names that are not known.
    """

    count: int
    by: str
    largest: bool = False
    where: str = ""
    per: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "per", listed(self.per))
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise InvalidValue("top", "a whole number of at least 1", self.count)
        checked_name(self.by, "by")
        checked_groups(self.per)
        condition(self.where)

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the names that are looked at."""
        return (self.by, *names_of(self.where))

    def of(self, points: Points) -> dict[Group, Ranked]:
        """Return the best points of each group."""
        found = {}
        sign = -1.0 if self.largest else 1.0
        met = meets(points, self.where)
        for group, part in groups(points, self.per):
            values = sign * points.shaped(self.by)[part]
            ok = met[part] & np.isfinite(values)
            if not ok.any():
                continue
            values = np.where(ok, values, np.inf).reshape(-1)
            if values.size > self.count:
                limit = np.partition(values, self.count - 1)[self.count - 1]
                values = np.where(values <= limit, values, np.inf)
            whole = np.full(points.box.shape, np.inf)
            whole[part] = values.reshape(ok.shape)
            found[group] = self._best(_ranked(points, [whole.reshape(-1)], np.isfinite(whole).reshape(-1)))
        return found

    def _best(self, ranked: Ranked) -> Ranked:
        """Return the best of some points; of equals the earlier ones."""
        order = np.lexsort((ranked.at, ranked.block, ranked.values[:, 0]))
        return ranked.part(order[: self.count])

    def merged(self, first: dict[Group, Ranked], second: dict[Group, Ranked]) -> dict[Group, Ranked]:
        """Return the best of two parts."""
        found = dict(first)
        for group, ranked in second.items():
            found[group] = self._best(_joined(found[group], ranked)) if group in found else ranked
        return found

    def rows(self, state: Mapping[Group, Ranked]) -> list[tuple[int, int]]:
        """Return the points as (block, place), group by group, best first."""
        return [(int(b), int(a)) for ranked in state.values() for b, a in zip(ranked.block, ranked.at, strict=True)]


@dataclass(frozen=True)
class Pareto:
    """The points that no other beats in all ``objectives``: the least of each, the most of those written ``-name``.

    ``where`` is a condition that they must meet.
    """

    objectives: tuple[str, ...]
    where: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", listed(self.objectives))
        if len(self.objectives) < 2:
            raise InvalidValue("pareto", "two objectives or more", list(self.objectives))
        for name in self.objectives:
            checked_name(name.removeprefix("-"), "pareto")
        condition(self.where)

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the names that are looked at."""
        return (*(name.removeprefix("-") for name in self.objectives), *names_of(self.where))

    def of(self, points: Points) -> Ranked:
        """Return the front of the points of a box."""
        columns = []
        keep = meets(points, self.where).reshape(-1)
        for name in self.objectives:
            column = points.flat(name.removeprefix("-"))
            columns.append(-column if name.startswith("-") else column)
            keep = keep & np.isfinite(column)
        if not keep.any():
            return _ranked(points, columns, keep)
        within = np.flatnonzero(keep)
        values = np.stack([column[within] for column in columns], axis=1)
        keep = np.zeros(len(keep), dtype=bool)
        keep[within[on_front(values)]] = True
        return _ranked(points, columns, keep)

    def merged(self, first: Ranked, second: Ranked) -> Ranked:
        """Return the front of two fronts."""
        both = _joined(first, second)
        return both.part(on_front(both.values)) if len(both.block) else both

    def rows(self, state: Ranked) -> list[tuple[int, int]]:
        """Return the points as (block, place), by the first objective."""
        order = np.lexsort((state.at, state.block, *state.values.T[::-1]))
        return [(int(state.block[n]), int(state.at[n])) for n in order]
