"""Breakdowns, comparisons and what-ifs as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlsysim.efficiency import told
from mlsysim.efficiency.breakdown import Breakdown, Part, WhatIf
from mlsysim.efficiency.columns import REST, change_rows, part_rows, rows
from mlsysim.efficiency.comparison import Comparison
from mlsysim.report.tables import Table


def breakdown_table(breakdown: Breakdown) -> Table:
    """Return a row a cause, its parts beneath it, and the total; sentences on the steps and what to try follow."""
    b, shown = breakdown, rows(breakdown)
    times, shares = shown.times, shown.shares
    columns = ("cause", f"time [{times.unit}]", "share [%]" if shares.unit else "eta", "known", "what usually mends it")
    found: list[tuple[str, ...]] = []
    for row in shown.rows:
        cause = row.cause
        found.append((cause.name, times.shown(row.time), shares.shown(row.share), cause.kind, cause.advice))
        if len(cause.parts) > 1 or cause.kind == "unattributed":
            for p in part_rows(b, row, cause.parts):
                name = f"{cause.name}/{p.part.name or REST}"
                found.append((name, times.shown(p.time), shares.shown(p.share), p.part.kind, ""))
    found.append((told.whole(b), times.shown(shown.time), shares.shown(shown.share), "", ""))
    return Table(
        f"{b.about}: {told.headline(b)}",
        columns,
        found,
        frozenset(columns[1:3]),
        caption="\n".join([told.time_told(b), told.eta_told(b), *told.steps_told(b), *told.ranks_told(b), *b.lines]),
    )


def comparison_table(comparison: Comparison) -> Table:
    """Return a row a cause with its time before and after, the largest change first, and the total."""
    shown = change_rows(comparison)
    times = shown.times
    columns = ("cause", f"before [{times.unit}]", f"after [{times.unit}]", f"change [{times.unit}]")

    def cells(name: str, before: float, after: float, change: float) -> tuple[str, ...]:
        return name, times.shown(before), times.shown(after), times.shown(change, signed=True)

    found = [cells(row.name, row.before, row.after, row.change) for row in shown.rows]
    found.append(cells("measured", shown.before, shown.after, shown.change))
    title = f"before: {comparison.before.about}; after: {comparison.after.about}"
    caption = "\n".join(told.change_told(comparison)[2:])
    return Table(title, columns, found, frozenset(columns[1:]), caption=caption)


def what_ifs_table(what_ifs: Sequence[WhatIf], run: str = "") -> Table:
    """Return a row a change, with what it would save and what a step would then take; ``run`` says of which run."""
    columns = ("change", "saves", "of", "then a step takes", "eta")
    found = [(t.what, t.saves, t.of, t.time, t.eta or "not known") for t in map(told.tried_told, what_ifs)]
    return Table(
        f"What if, in {run}" if run else "What if", columns, found, frozenset({"saves", "then a step takes", "eta"})
    )


def part_data(breakdown: Breakdown) -> list[dict[str, Any]]:
    """Return a mapping a part, whose seconds sum to the step, for spreadsheets; a cause without parts is one."""
    return [
        {
            "cause": cause.name,
            "part": part.name,
            "seconds": part.seconds,
            "share": part.seconds / breakdown.measured_s,
            "kind": part.kind,
            "advice": cause.advice,
        }
        for cause in breakdown.causes
        for part in cause.parts or (Part("", cause.seconds, cause.kind),)
    ]
