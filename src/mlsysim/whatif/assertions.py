"""What must hold of a sweep, and how many of its points it holds at: counted on the way, in constant memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mlsysim.errors import Checks, InvalidValue
from mlsysim.sweep.columns import NO_ROOM, WHOLE
from mlsysim.sweep.expressions import Coded, Expression, Truth, parse
from mlsysim.sweep.fields import LEVELS
from mlsysim.sweep.grouping import checked_name
from mlsysim.sweep.literals import FLAGS
from mlsysim.sweep.points import ASKED, COUNTED, Array, Points, known_names
from mlsysim.sweep.quantities import quantile
from mlsysim.whatif.margins import slack

ENDS: Mapping[str, tuple[str, str]] = {
    "time_s": ("time_low_s", "time_high_s"),
    "energy_j": ("energy_low_j", "energy_high_j"),
    "cost_usd": ("cost_low_usd", "cost_high_usd"),
}
"""Quantities with intervals: where their better and their worse end is."""
FOLLOWS: Mapping[str, str] = {
    **dict.fromkeys(("time_s", "tpot_s", "ttft_s", "software_s"), "time_s"),
    **dict.fromkeys(("throughput", "efficiency", "attainment", "achieved_flops"), "time_s"),
    **dict.fromkeys(("energy_j", "joules_per_item", "carbon_kg", "kg_per_million", "water_l"), "energy_j"),
    **dict.fromkeys(("cost_usd", "usd_per_million"), "cost_usd"),
}
"""Quantities that move in proportion to one with an interval."""
ROOM = ("memory_bytes", "capacity_bytes")
"""What is told of a point where it is asked whether it fits."""
DEFAULTED = ("batch_size", "seq_len", "context", "precision", "devices")
"""Fields that have a value where none is given."""
FALLS = ("throughput", "efficiency", "attainment", "achieved_flops")
"""Those of them that fall where it grows."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """A condition, and at which feasible points it must hold.

    ``where`` is ``all``, ``any``, ``best`` (the point with the least ``by``, or the most where that begins with a
    minus), or a share of the points, in (0, 1].
    """

    that: Expression
    where: str | float = "all"
    by: str = ""
    why: str = ""

    def __str__(self) -> str:
        if self.where == "all":
            return self.that.text
        share = self.where if isinstance(self.where, str) else f"{self.where:.4g} of the points"
        return f"{self.that.text} ({share}{f' by {self.by}' if self.by else ''})"


def assertion(stated: str | Mapping[str, Any], place: str, ranks: str = "") -> Assertion:
    """Return what is to hold; ``ranks`` is what the best point is by where the table does not say it.

    Raises
    ------
    InvalidValue, UnknownName
        The condition cannot be read; a share that is none; nothing says which point is the best. ``place`` is what the
        errors say where.
    """
    table: Mapping[str, Any] = {"that": stated} if isinstance(stated, str) else stated
    checks = Checks()
    that = checks(parse, table["that"], known_names(), place if isinstance(stated, str) else f"{place}.that")
    where = table.get("for", "all")
    if not isinstance(where, str) and not 0 < where <= 1:
        checks.add(InvalidValue(f"{place}.for", "'all', 'any', 'best' or a share in (0, 1]", where))
    by = checks(_by, table.get("by", ""), where, ranks, place)
    checks.done()
    assert that is not None
    return Assertion(that, where, by or "", table.get("why", ""))


def _by(by: str, where: str | float, ranks: str, place: str) -> str:
    """Return what the best point is by, empty where no best one is asked for."""
    if by:
        checked_name(by.removeprefix("-"), f"quantity in {place}.by:")
    if where != "best":
        if by:
            raise InvalidValue(f"{place}.by", "left out unless for is 'best'", by, f"for is {where!r}")
        return ""
    if not (by or ranks):
        raise InvalidValue(f"{place}.by", "given for 'best', as 'usd_per_million' or '-throughput'", None)
    if not by:
        checked_name(ranks.removeprefix("-"), f"quantity in {place}.by:")
    return by or ranks


class Found(NamedTuple):
    """One point: its coordinates, and what a condition looks at: at its value, and at both ends of its interval."""

    at: Mapping[str, Any]
    value: Mapping[str, Any]
    better: Mapping[str, Any]
    worse: Mapping[str, Any]


class Ranked(NamedTuple):
    """A point, and how it compares with others: less comes first."""

    by: float
    point: Found


@dataclass(frozen=True)
class Counts:
    """At how many of the points an assertion holds, and the points to tell of.

    ``points`` are those it is asked of, ``asked`` all there are; at ``sure`` it holds over the whole 90 % interval, at
    ``unknown`` what it needs is not known. ``reason`` is why the first infeasible point is so. ``first`` is the first
    point where it does not hold; ``worst`` is where it is furthest from holding, ``edge`` where an end of the interval
    is; ``nearest`` and ``nearest_edge`` the opposite; ``best`` is the best by what the assertion names, ``sample`` the
    first that it is asked of.
    """

    asked: int
    points: int
    holds: int
    sure: int
    unknown: int
    first: Found | None = None
    worst: Ranked | None = None
    edge: Ranked | None = None
    nearest: Ranked | None = None
    nearest_edge: Ranked | None = None
    best: Ranked | None = None
    sample: Found | None = None
    reason: str = ""


@dataclass(frozen=True)
class Tally:
    """A reduction (see :mod:`mlsysim.sweep.reduce`) that counts where an assertion holds.

    Where what is uncertain is ``drawn``, values are medians, and the ends of intervals quantiles.
    """

    assertion: Assertion
    drawn: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the names that are looked at."""
        names, by = self.assertion.that.names, self.assertion.by.removeprefix("-")
        bases = () if self.drawn else sorted({FOLLOWS[name] for name in names if name in FOLLOWS} | {"time_s"})
        ends = [name for base in bases for name in (base, *ENDS[base])]
        room = ROOM if names & {*FLAGS} else ()
        return tuple(dict.fromkeys((*sorted(names), *room, *ends, *([by] if by else []))))

    def of(self, points: Points) -> Counts:
        """Return the counts of a box."""
        that, shape = self.assertion.that, points.box.shape
        every = bool(that.names & {*FLAGS})
        asked = np.ones(shape, dtype=bool) if every else points.feasible
        looked = (*that.names, *ROOM) if every else that.names
        known, *ends = (_Looked(points, looked, end) for end in (None, 0, 1))
        truth, *at_ends = (_shaped(that.truth(values), shape) for values in (known, *ends))
        holds = truth.holds & asked
        gap, *end_gaps = (_flat(slack(that.condition, values), shape, asked) for values in (known, *ends))
        edge = np.fmin(gap, np.fmin(*end_gaps))
        pick = _Pick(points, known, ends)
        return Counts(
            asked=points.box.points,
            points=int(asked.sum()),
            holds=int(holds.sum()),
            sure=int((holds & at_ends[0].holds & at_ends[1].holds).sum()),
            unknown=int((asked & ~truth.holds & ~truth.fails).sum()),
            first=pick.first((asked & ~holds).reshape(-1)),
            worst=pick.least(gap),
            edge=pick.least(edge),
            nearest=pick.least(-gap),
            nearest_edge=pick.least(-edge),
            best=pick.least(self._by(points, asked)),
            sample=pick.first(asked.reshape(-1)),
            reason="" if points.feasible.all() else points.block.reason or NO_ROOM,
        )

    def _by(self, points: Points, asked: Array) -> Array:
        by = self.assertion.by
        if not by:
            return np.full(points.box.points, np.nan)
        sign = -1.0 if by.startswith("-") else 1.0
        return _flat(sign * points.shaped(by.removeprefix("-")), points.box.shape, asked)

    def merged(self, first: Counts, second: Counts) -> Counts:
        """Return the counts of two parts, the earlier one first."""
        found: dict[str, Any] = {n: getattr(first, n) + getattr(second, n) for n in _SUMS}
        found |= {n: getattr(first, n) or getattr(second, n) for n in ("first", "sample", "reason")}
        found |= {n: _less(getattr(first, n), getattr(second, n)) for n in _RANKED}
        return Counts(**found)

    def rows(self, state: Counts) -> list[Counts]:
        """Return the counts."""
        return [state]


_SUMS = ("asked", "points", "holds", "sure", "unknown")
_RANKED = ("worst", "edge", "nearest", "nearest_edge", "best")


def _less(first: Ranked | None, second: Ranked | None) -> Ranked | None:
    if first is None or second is None:
        return first or second
    return first if first.by <= second.by else second


class _Looked(Mapping[str, Any]):
    """What a condition looks at in a box: at the value, or all at the better (0) or the worse (1) ends of intervals."""

    def __init__(self, points: Points, names: Collection[str], end: int | None) -> None:
        self._points, self._known, self._names, self._end = points, points.known(), names, end

    def __getitem__(self, name: str) -> Any:
        value = self._default(name) if name in DEFAULTED else self._known[name]
        if self._end is None or value is None:
            return value
        quantiles = [quantile(name, level) for level in (LEVELS[::-1] if name in FALLS else LEVELS)]
        if quantiles[0] in self._points.values:
            return self._known[quantiles[self._end]]
        if name not in FOLLOWS or ENDS[FOLLOWS[name]][0] not in self._points.values:
            return value
        base = FOLLOWS[name]
        with np.errstate(all="ignore"):
            factor = self._known[ENDS[base][self._end]] / self._known[base]
            if name == "software_s":  # the other parts of a time are what hardware makes them
                return value + self._known[base] * (factor - 1.0)
            return value / factor if name in FALLS else value * factor

    def _default(self, name: str) -> Any:
        """Return what a field that was not given is taken as."""
        block = self._points.block
        given = name in block.words or name in dict(block.axes)
        return self._known[name] if given or block.scenario is None else getattr(block.scenario, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Pick(NamedTuple):
    """What takes single points out of a box."""

    points: Points
    known: _Looked
    ends: list[_Looked]

    def first(self, which: Array) -> Found | None:
        """Return the first of some points."""
        return self.point(int(which.argmax())) if which.any() else None

    def least(self, values: Array) -> Ranked | None:
        """Return the point with the least value; None where none is known."""
        if np.isnan(values).all():
            return None
        n = int(np.nanargmin(values))
        return Ranked(float(values[n]), self.point(n))

    def point(self, n: int) -> Found:
        """Return one point of the box."""
        block = self.points.block
        words = {name: label for name, label in block.words.items() if label is not None}
        at = {name: int(label) if name in COUNTED else label for name, label in words.items()}
        axes = {ASKED.get(field, field) for field, _ in block.axes}
        numbers = {name: _one(self.points.shaped(name), n, self.points.box.shape) for name in axes}
        numbers |= {name: int(numbers[name]) for name in WHOLE if name in numbers}
        return Found({**at, **numbers}, *(self._values(looked, n) for looked in (self.known, *self.ends)))

    def _values(self, looked: _Looked, n: int) -> dict[str, Any]:
        return {name: _one(looked[name], n, self.points.box.shape) for name in looked}


def _one(value: Any, n: int, shape: tuple[int, ...]) -> Any:
    """Return one of the values of a box as a plain number, a truth or a word."""
    if isinstance(value, Coded):
        code = _one(value.codes, n, shape)
        return None if code < 0 else value.words[int(code)]
    if value is None or isinstance(value, str):
        return value
    return np.broadcast_to(np.asarray(value), shape)[np.unravel_index(n, shape)].item()


def _shaped(truth: Truth, shape: tuple[int, ...]) -> Truth:
    return Truth(*(np.broadcast_to(np.asarray(part, dtype=bool), shape) for part in truth))


def _flat(values: Any, shape: tuple[int, ...], asked: Array) -> Array:
    """Return a number a point, NaN where it is not asked for."""
    return np.where(asked, np.broadcast_to(np.asarray(values, dtype=float), shape), np.nan).reshape(-1)
