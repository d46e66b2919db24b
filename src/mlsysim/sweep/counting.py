"""Reductions that count and add: quantiles and sums of quantities, in all or in groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mlsysim.errors import InvalidValue
from mlsysim.sweep.grouping import Group, checked_groups, checked_name, condition, groups, listed, meets, names_of
from mlsysim.sweep.points import Array, Points

BINS = 10
"""Bits of a float's fraction that tell bins of :class:`Quantiles` apart: 1,024 a factor of two, 0.1 % wide."""
_SHIFT = np.int64(52 - BINS)


def _settle(reduction: Quantiles | Summary, field: str) -> None:
    """Check what a reduction is of, and make lists of single names; ``field`` is what its quantities are called."""
    object.__setattr__(reduction, "quantities", listed(reduction.quantities))
    object.__setattr__(reduction, "per", listed(reduction.per))
    for name in reduction.quantities:
        checked_name(name, field)
    checked_groups(reduction.per)
    condition(reduction.where)


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
        _settle(self, "of")
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
        met = meets(points, self.where)
        for group, part in groups(points, self.per):
            found[group] = {name: _counts(points.shaped(name)[part], met[part]) for name in self.quantities}
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
    """Number, least, mean and most of some quantities, in all or in each group of ``per``.

    The sums of boxes are added without rounding, so that it does not show how boxes were put together.
    """

    quantities: tuple[str, ...]
    per: tuple[str, ...] = ()
    where: str = ""

    def __post_init__(self) -> None:
        _settle(self, "summary")

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the names that are looked at."""
        return (*self.quantities, *names_of(self.where))

    def of(self, points: Points) -> dict[Group, dict[str, Sums]]:
        """Return number, least, sum and most of each group and quantity."""
        met = meets(points, self.where)
        every = bool(met.all())
        found = {}
        for group, part in groups(points, self.per):
            keep = None if every else met[part]
            found[group] = {name: _sums(points.shaped(name)[part], keep) for name in self.quantities}
        return found

    def merged(self, first: Any, second: Any) -> Any:
        """Return those of two parts."""
        for group, sums in second.items():
            if group not in first:
                first[group] = sums
                continue
            for name, one in sums.items():
                first[group][name] = first[group][name].plus(one)
        return first

    def rows(self, state: Any) -> list[dict[str, Any]]:
        """Return a row a group and quantity."""
        return [
            {
                **dict(zip(self.per, group, strict=True)),
                "quantity": name,
                "points": found.number,
                "min": found.low if found.number else math.nan,
                "mean": math.fsum(found.total) / found.number if found.number else math.nan,
                "max": found.high if found.number else math.nan,
            }
            for group, sums in state.items()
            for name, found in sums.items()
        ]


class Sums(NamedTuple):
    """Number, least, sum and most of some values; the sum as floats that add to it exactly."""

    number: int
    low: float
    total: tuple[float, ...]
    high: float

    def plus(self, other: Sums) -> Sums:
        """Return those of both."""
        total = self.total
        for value in other.total:
            total = _added(total, value)
        return Sums(self.number + other.number, min(self.low, other.low), total, max(self.high, other.high))


def _added(total: tuple[float, ...], value: float) -> tuple[float, ...]:
    """Return floats that add to a sum and one more number exactly (Shewchuk, Discrete Comput Geom 18, 1997)."""
    kept = []
    for part in total:
        large, small = (value, part) if abs(value) >= abs(part) else (part, value)
        value = large + small
        if lost := small - (value - large):
            kept.append(lost)
    return (*kept, value)


def _sums(values: Array, keep: Array | None) -> Sums:
    chosen = values if keep is None else values[keep]
    if chosen.size and not np.isfinite(np.sum(chosen)):  # some are not known
        chosen = chosen[np.isfinite(chosen)]
    if not chosen.size:
        return Sums(0, math.inf, (), -math.inf)
    return Sums(chosen.size, float(np.min(chosen)), (float(np.sum(chosen)),), float(np.max(chosen)))
