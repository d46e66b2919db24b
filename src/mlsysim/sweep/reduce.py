"""What is kept of a sweep whose points are too many to keep: the best, the front, quantiles, sums.

A reduction takes the points of a box and gives a state; states are merged in the order of the grid, so that the result
is the same wherever the boxes were worked out. Infeasible points are counted and not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.registry import nearest
from mlsysim.sweep.expressions import Expression, parse
from mlsysim.sweep.front import on_front
from mlsysim.sweep.grid import NUMBERS, WORDS
from mlsysim.sweep.points import ASKED, Array, Points, fixed_of, known_names, places
from mlsysim.sweep.quantities import QUANTITIES, base_of

Group = tuple[Any, ...]
"""Values of the fields that points are grouped by."""


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
        meets = _meets(points, self.where)
        for group, part in groups(points, self.per):
            values = sign * points.shaped(self.by)[part]
            ok = meets[part] & np.isfinite(values)
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
        keep = _meets(points, self.where).reshape(-1)
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


BINS = 10
"""Bits of a float's fraction that tell bins of :class:`Quantiles` apart: 1,024 a factor of two, 0.1 % wide."""
_SHIFT = np.int64(52 - BINS)


@dataclass(frozen=True)
class Quantiles:
    """Quantiles ``at`` some levels of some quantities, in all or in each group of ``per``; to 0.1 %.

    Values are counted in bins 0.1 % wide, zeros apart: counts can be added in any order, and take the same room however
    many there are.
    """

    quantities: tuple[str, ...]
    at: tuple[float, ...] = (0.05, 0.5, 0.95)
    per: tuple[str, ...] = ()
    where: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantities", listed(self.quantities))
        object.__setattr__(self, "per", listed(self.per))
        for name in self.quantities:
            checked_name(name, "of")
        checked_groups(self.per)
        condition(self.where)
        object.__setattr__(self, "at", tuple(self.at))
        for level in self.at:
            if isinstance(level, (bool, str)) or not 0 <= level <= 1:
                raise InvalidValue("quantiles", "levels from 0 to 1", level)

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the names that are looked at."""
        return (*self.quantities, *names_of(self.where))

    def of(self, points: Points) -> dict[Group, dict[str, dict[int, int]]]:
        """Return the counts of each group and quantity by bin."""
        found = {}
        meets = _meets(points, self.where)
        for group, part in groups(points, self.per):
            found[group] = {name: _counts(points.shaped(name)[part], meets[part]) for name in self.quantities}
        return found

    def merged(self, first: Any, second: Any) -> Any:
        """Return the counts of two parts."""
        for group, counts in second.items():
            held = first.setdefault(group, {name: {} for name in self.quantities})
            for name, bins in counts.items():
                mine = held[name]
                for key, count in bins.items():
                    mine[key] = mine.get(key, 0) + count
        return first

    def rows(self, state: Any) -> list[dict[str, Any]]:
        """Return a row a group and quantity: its quantiles by level."""
        return [
            {
                **dict(zip(self.per, group, strict=True)),
                "quantity": name,
                "points": sum(bins.values()),
                **{f"p{100 * level:g}": _level(bins, level) for level in self.at},
            }
            for group, counts in state.items()
            for name, bins in counts.items()
        ]


def _counts(values: Array, keep: Array) -> dict[int, int]:
    """Return how many values are in each bin, zeros in the first; what is not known is in none."""
    zeros = int((keep & (values == 0)).sum())
    found = {0: zeros} if zeros else {}
    chosen = np.ascontiguousarray(values[keep & (values > 0) & np.isfinite(values)], dtype=np.float64)
    if not chosen.size:
        return found
    bins = chosen.view(np.int64) >> _SHIFT
    low = bins.min()
    counts = np.bincount(bins - low)
    used = np.flatnonzero(counts)
    return found | dict(zip((used + low).tolist(), counts[used].tolist(), strict=True))


def _level(bins: Mapping[int, int], level: float) -> float:
    """Return the value below which a share of the counts lies, straight within a bin."""
    total = sum(bins.values())
    if not total:
        return float("nan")
    wanted, passed = level * total, 0
    for key in sorted(bins):
        if passed + bins[key] >= wanted:
            if key == 0:
                return 0.0
            low, high = (np.array([k << 52 - BINS], dtype=np.int64).view(np.float64)[0] for k in (key, key + 1))
            return float(low + (high - low) * (wanted - passed) / bins[key])
        passed += bins[key]
    return float("nan")


@dataclass(frozen=True)
class Summary:
    """Number, least, mean and most of some quantities, in all or in each group of ``per``."""

    quantities: tuple[str, ...]
    per: tuple[str, ...] = ()
    where: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantities", listed(self.quantities))
        object.__setattr__(self, "per", listed(self.per))
        for name in self.quantities:
            checked_name(name, "summary")
        checked_groups(self.per)
        condition(self.where)

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the names that are looked at."""
        return (*self.quantities, *names_of(self.where))

    def of(self, points: Points) -> dict[Group, dict[str, tuple[int, float, float, float]]]:
        """Return number, least, sum and most of each group and quantity."""
        meets = _meets(points, self.where)
        every = bool(meets.all())
        found = {}
        for group, part in groups(points, self.per):
            keep = None if every else meets[part]
            found[group] = {name: _sums(points.shaped(name)[part], keep) for name in self.quantities}
        return found

    def merged(self, first: Any, second: Any) -> Any:
        """Return those of two parts."""
        for group, sums in second.items():
            if group not in first:
                first[group] = sums
                continue
            for name, (n, low, total, high) in sums.items():
                m, least, held, most = first[group][name]
                first[group][name] = (m + n, min(least, low), held + total, max(most, high))
        return first

    def rows(self, state: Any) -> list[dict[str, Any]]:
        """Return a row a group and quantity."""
        return [
            {
                **dict(zip(self.per, group, strict=True)),
                "quantity": name,
                "points": n,
                "min": low if n else float("nan"),
                "mean": total / n if n else float("nan"),
                "max": high if n else float("nan"),
            }
            for group, sums in state.items()
            for name, (n, low, total, high) in sums.items()
        ]


def _sums(values: Array, keep: Array | None) -> tuple[int, float, float, float]:
    chosen = values if keep is None else values[keep]
    low, total, high = (float(f(chosen)) if chosen.size else 0.0 for f in (np.min, np.sum, np.max))
    if not np.isfinite(total):  # some are not known
        chosen = chosen[np.isfinite(chosen)]
        low, total, high = (float(f(chosen)) if chosen.size else 0.0 for f in (np.min, np.sum, np.max))
    return (chosen.size, low, total, high) if chosen.size else (0, np.inf, 0.0, -np.inf)


def groups(points: Points, per: Sequence[str]) -> list[tuple[Group, tuple[Any, ...]]]:
    """Return the groups of the points of a box, each with the index of its part of the box."""
    found: list[tuple[Group, tuple[Any, ...]]] = [((), (slice(None),) * len(points.box.shape))]
    axes = {ASKED.get(field, field): n for n, (field, _) in enumerate(points.block.axes)}
    for name in per:
        if name not in axes:
            label = fixed_of(points.block, name)
            found = [((*group, label), part) for group, part in found]
            continue
        n = axes[name]
        values = points.block.axes[n][1].values(points.box.start[n], points.box.stop[n])
        found = [
            ((*group, _plain(value)), (*part[:n], slice(at, at + 1), *part[n + 1 :]))
            for group, part in found
            for at, value in enumerate(values)
        ]
    return found


def _plain(value: Any) -> Any:
    number = float(value)
    return int(number) if number.is_integer() else number


def _meets(points: Points, where: str) -> Array:
    """Return which points are feasible and meet a condition, in the shape of the box."""
    feasible = points.feasible
    found = condition(where)
    return feasible if found is None else feasible & np.broadcast_to(found(points.known()), points.box.shape)


def listed(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return several names, or one that stands alone, as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


@lru_cache(maxsize=64)
def condition(where: str) -> Expression | None:
    """Return a condition that was written, None where it is empty."""
    return parse(where, known_names(), "where") if where else None


def names_of(where: str) -> tuple[str, ...]:
    """Return the names in a condition."""
    found = condition(where)
    return tuple(sorted(found.names)) if found else ()


def checked_name(name: str, field: str) -> str:
    """Return the name of a quantity or coordinate of numbers.

    Raises
    ------
    UnknownName
        There is none of that name.
    """
    numbers = [ASKED.get(n, n) for n in NUMBERS]
    base = base_of(name)
    if name not in numbers and (not base or QUANTITIES[base].words):
        known = [n for n, quantity in QUANTITIES.items() if not quantity.words] + numbers
        raise UnknownName(field, name, nearest(name, known), "known: " + ", ".join(known))
    return name


def checked_groups(per: Sequence[str]) -> None:
    """Refuse fields that points cannot be grouped by."""
    known = [*WORDS, *(ASKED.get(n, n) for n in NUMBERS)]
    for name in per:
        if name not in known:
            raise UnknownName("per", name, nearest(name, known), "known: " + ", ".join(known))
