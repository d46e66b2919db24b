"""Figures of a breakdown as they are shown: in one unit, and rounded so that what is shown sums to the total shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from mlsysim.efficiency.breakdown import Breakdown, Cause, Part
from mlsysim.efficiency.comparison import Change, Comparison

WORTH_SHOWING = 0.01
"""Share of the time from which a part of a cause is shown by itself."""
WORTH_COMPARING = 0.02
"""Share of the largest change from which the change of a cause is shown by itself."""
MOST_PARTS = 6
"""Parts of a cause that are shown one by one."""
REST = "the rest"
"""What the others are called together."""
WORK = "compute"
"""The cause that is not lost time."""
_HIDDEN = 0.15
"""Share of a run below which its changes are hard to see beside it."""
_DIGITS = 4
"""Digits of the total of a column."""
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_NO_TIME = 1e-12
"""Share of the time that is no more than the rounding of sums."""
_JUST_BELOW = 0.99995
"""What is at least this much of a round figure is written as that figure."""


class Column(NamedTuple):
    """The unit of a column of figures, what one of it is in SI, and the decimals that are shown."""

    size: float
    unit: str
    decimals: int

    def rounded(self, values: Sequence[float], total: float | None = None) -> list[float]:
        """Return SI figures in the unit of the column, less than the last decimal off, that sum to the rounded total.

        ``total`` is in the unit of the column and rounded already; without it, it is the rounded sum.
        """
        step = 10.0**-self.decimals
        exact = [v / self.size / step for v in values]
        whole = round(math.fsum(exact) if total is None else total / step)
        found = [math.floor(v) for v in exact]
        most_cut = sorted(range(len(exact)), key=lambda i: found[i] - exact[i])
        for i in most_cut[: max(whole - sum(found), 0)]:
            found[i] += 1
        return [round(v * step, self.decimals) for v in found]

    def shown(self, value: float, *, signed: bool = False) -> str:
        """Return a figure of the column as text."""
        sign = "+" if signed and value > 0 else ""
        return f"{sign}{value + 0.0:,.{self.decimals}f}"


def of_times(longest: float) -> Column:
    """Return the column for times up to ``longest`` [s]: four digits, where that takes decimals."""
    size, unit = next((u for u in _UNITS if longest >= u[0] * _JUST_BELOW), _UNITS[-1])
    digits = math.floor(math.log10(max(longest / size / _JUST_BELOW, 1.0))) + 1
    return Column(size, unit, max(0, _DIGITS - digits))


def of_shares(eta: float | None) -> Column:
    """Return the column for eta, with the decimals that the eta of a run needs; per cent where it has none."""
    if eta is None:
        return Column(0.01, "%", 1)
    return Column(1.0, "", max(3, 2 - math.floor(math.log10(eta))) if eta > 0 else 3)


class PartRow(NamedTuple):
    """A part of a cause as it is shown: its figures in the units of their columns."""

    part: Part
    time: float
    share: float


class Row(NamedTuple):
    """A cause as it is shown: where its bar starts [s], and its figures in the units of their columns.

    ``share`` is what the cause takes from eta, negative; that of the work is 1 for the ideal, less what it takes beyond
    it. Where there is no eta it is the share of the time. The parts that are shown sum to the cause.
    """

    cause: Cause
    start: float
    time: float
    share: float
    parts: tuple[PartRow, ...]


class Rows(NamedTuple):
    """The causes as they are shown, with their columns and the totals of these."""

    times: Column
    shares: Column
    rows: tuple[Row, ...]
    time: float
    share: float


def rows(breakdown: Breakdown) -> Rows:
    """Return what is shown of each cause: shares start from 1 and end at eta, or sum to 100 % where it is not known."""
    b, causes = breakdown, breakdown.causes
    if b.eta is not None and all(c.name != WORK for c in causes):  # what the column starts with
        causes = (Cause(WORK, 0.0, 0.0, "derived", ""), *causes)
    times, shares = of_times(b.measured_s), of_shares(b.eta)
    of_time = times.rounded([c.seconds for c in causes])
    kept = 100.0 if b.eta is None else shares.rounded([b.eta])[0]
    of_share = _shares(b, [c.seconds for c in causes], [c.name == WORK for c in causes], kept)
    starts = accumulate((c.seconds for c in causes), initial=0.0)
    found = []
    for cause, start, time, share in zip(causes, starts, of_time, of_share, strict=False):
        row = Row(cause, start, time, share, ())
        parts = part_rows(b, row, _worth(b, cause))
        found.append(row._replace(parts=tuple(p for p in parts if p.time or p.part.name != REST)))
    return Rows(times, shares, tuple(found), round(sum(of_time), times.decimals), kept)


def part_rows(breakdown: Breakdown, row: Row, parts: Sequence[Part]) -> list[PartRow]:
    """Return parts of a cause with figures that sum to those of its row."""
    seconds, ideal_s = [p.seconds for p in parts], breakdown.ideal_s
    of_time = of_times(breakdown.measured_s).rounded(seconds, row.time)
    peak = _at_peak(row.cause, parts, ideal_s)
    of_share = _shares(breakdown, seconds, [p is peak for p in parts], row.share)
    return [PartRow(p, t, s) for p, t, s in zip(parts, of_time, of_share, strict=True)]


def _shares(b: Breakdown, seconds: Sequence[float], ideal: Sequence[bool], total: float) -> list[float]:
    """Return what times are of eta, which sum to ``total``: 1 for what is the ideal, less all beyond it and the rest.

    Without an eta they are shares of the time.
    """
    column = of_shares(b.eta)
    if b.ideal_s is None:
        return column.rounded([s / b.measured_s for s in seconds], total)
    beyond = [s - b.ideal_s if one else s for s, one in zip(seconds, ideal, strict=True)]
    lost = [s / b.measured_s if abs(s) > _NO_TIME * b.measured_s else 0.0 for s in beyond]
    taken = column.rounded(lost, sum(ideal) - total)
    return [round(one - t, column.decimals) for one, t in zip(ideal, taken, strict=True)]


def _at_peak(cause: Cause, parts: Sequence[Part], ideal_s: float | None) -> Part | None:
    """Return the part of the work that is the ideal: the one that takes as long."""
    if cause.name != WORK or ideal_s is None or not parts:
        return None
    return min(parts, key=lambda p: abs(p.seconds - ideal_s))


def _worth(b: Breakdown, cause: Cause) -> list[Part]:
    """Return the parts of lost time that are worth showing, and the rest as one; none where one part says it all."""
    worth = [p for p in cause.parts if p.name and p.seconds >= WORTH_SHOWING * b.measured_s]
    if not worth or (len(worth) == 1 and cause.kind != "unattributed"):
        return []
    if cause.name == WORK and (b.ideal_s is None or len(cause.parts) < 2):
        return []
    worth = worth if len(worth) <= MOST_PARTS else worth[: MOST_PARTS - 1]
    others = [p for p in cause.parts if p not in worth]
    if others:
        name = others[0].name if len(others) == 1 and others[0].name else REST
        worth = [*worth, Part(name, math.fsum(p.seconds for p in others), others[0].kind)]
    return worth


def pieces(cause: Cause) -> list[tuple[str, float]]:
    """Return the time of a cause by how it is known, the largest first: ``[("observed", 0.01), ...]`` [s]."""
    known: dict[str, float] = {}
    for part in cause.parts or (Part("", cause.seconds, cause.kind),):
        known[part.kind] = known.get(part.kind, 0.0) + part.seconds
    return sorted(known.items(), key=lambda k: -k[1])


def axis_start(low: float, high: float) -> float:
    """Return where an axis of times from ``low`` to ``high`` starts: at 0, but where that would hide changes."""
    if high - low >= _HIDDEN * high or high == low:
        return 0.0
    step = 10.0 ** math.floor(math.log10(high - low))
    return max(0.0, math.floor((2.0 * low - high) / step) * step)


class Figures(NamedTuple):
    """A time before and after, and the difference of the two as they are shown, in the unit of their column."""

    name: str
    before: float
    after: float
    change: float


class ChangeRow(NamedTuple):
    """The change of a cause as it is shown: where its bar starts [s], and its figures in the unit of the column."""

    name: str
    start: float
    change_s: float
    before: float
    after: float
    change: float
    parts: tuple[Figures, ...] = ()


class ChangeRows(NamedTuple):
    """The changes as they are shown, with their column and its totals."""

    times: Column
    rows: tuple[ChangeRow, ...]
    before: float
    after: float
    change: float


def change_rows(comparison: Comparison) -> ChangeRows:
    """Return what is shown of each change, the largest first; small ones as one."""
    longest = max(comparison.before.measured_s, comparison.after.measured_s)
    column = of_times(longest)
    largest = max((abs(c.change_s) for c in comparison.changes), default=0.0)
    worth = [c for c in comparison.changes if abs(c.change_s) >= WORTH_COMPARING * largest]
    others = [c for c in comparison.changes if c not in worth]
    if others:
        sums = [math.fsum(getattr(c, k) for c in others) for k in ("before_s", "after_s", "change_s")]
        worth.append(others[0] if len(others) == 1 else Change(REST, *sums))
    before, after = (column.rounded([getattr(c, k) for c in worth]) for k in ("before_s", "after_s"))
    starts = accumulate((c.change_s for c in worth), initial=comparison.before.measured_s)
    found = [
        ChangeRow(
            c.name, s, c.change_s, b, a, round(a - b, column.decimals), _parts(comparison, c.name, largest, column)
        )
        for c, s, b, a in zip(worth, starts, before, after, strict=False)
    ]
    sums = [round(sum(values), column.decimals) for values in (before, after)]
    return ChangeRows(column, tuple(found), sums[0], sums[1], round(sums[1] - sums[0], column.decimals))


def _parts(comparison: Comparison, name: str, largest: float, column: Column) -> tuple[Figures, ...]:
    """Return the changes of the parts of a cause that are worth showing, where it has several."""
    parts = [c._replace(name=c.name.split("/", 1)[1]) for c in comparison.parts if c.name.startswith(f"{name}/")]
    worth = [c for c in parts if c.name and abs(c.change_s) >= WORTH_COMPARING * largest]
    if len(parts) < 2:
        return ()
    return tuple(_figures(c, column) for c in worth[:MOST_PARTS])


def _figures(c: Change, column: Column) -> Figures:
    (before,), (after,) = column.rounded([c.before_s]), column.rounded([c.after_s])
    return Figures(c.name, before, after, round(after - before, column.decimals))
