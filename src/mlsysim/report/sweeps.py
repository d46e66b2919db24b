"""Sweeps as tables: columns of points, and rows of what reductions kept."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from mlsysim.report.tables import Table
from mlsysim.results import Note
from mlsysim.sweep.columns import REASON, Columns
from mlsysim.sweep.evaluate import FEASIBLE
from mlsysim.sweep.quantities import QUANTITIES, base_of, quantile, varies
from mlsysim.units import si

SHOWN = 40
"""Rows of a table in a terminal."""
USUAL = ("time_s", "throughput", "efficiency", "bound", "usd_per_million", "joules_per_item")
"""Quantities that a table shows where none were chosen."""
_HEADS = {
    "time_s": "time",
    "tpot_s": "TPOT",
    "ttft_s": "TTFT",
    "efficiency": "eta",
    "efficiency_asked": "eta asked",
    "usd_per_million": "USD / million",
    "joules_per_item": "J / item",
    "cost_usd": "cost",
    "energy_j": "energy",
    "bound": "bound by",
}
_SPEAKING = frozenset({"model", "hardware", "phase", "precision"})
"""Coordinates whose values need no name beside them."""
_FREE = frozenset({"USD", "kg", ""})
"""Units that stand in the head, not behind each number."""


def columns_table(columns: Columns, chosen: Sequence[str] | None, title: str) -> Table:
    """Return the first points with what differs between them, and the quantities that were chosen.

    What all points share stands in the title.
    """
    count = min(columns.points, SHOWN)
    differ = [name for name in columns.coordinates if _differs(columns, name)]
    shared = ", ".join(_told(columns, name) for name in columns.coordinates if count and name not in differ)
    wanted = list(chosen) if chosen is not None else [name for name in USUAL if name in columns]
    names = [*differ, *dict.fromkeys(wanted)]
    infeasible = not bool(columns[FEASIBLE][:count].all())
    heads = [_head(name) for name in names] + ([REASON] if infeasible else [])
    rows = []
    for n in range(count):
        row = [_cell(columns, name, n) for name in names]
        rows.append(row + ([str(columns[REASON][n])] if infeasible else []))
    left = columns.points - count
    caption = f"{left:,} more: -o csv has all, --top the best" if left else ""
    if not count:
        caption = "no feasible point meets the condition"
    return Table(
        ": ".join(filter(None, (title, shared))),
        heads,
        rows,
        frozenset(h for h, n in zip(heads, names, strict=False) if not columns.is_words(n)),
        caption=caption,
    )


def _differs(columns: Columns, name: str) -> bool:
    if not columns.points:
        return False
    values = columns.codes(name)[0] if columns.is_words(name) else columns[name]
    return bool((values != values[0]).any())


def _told(columns: Columns, name: str) -> str:
    """Return what all points have: what says itself by its value alone, the rest with its name."""
    cell = _cell(columns, name, 0)
    return cell if name in _SPEAKING else f"{_head(name)} {cell}"


def _head(name: str) -> str:
    base = base_of(name)
    if base and base != name:
        return f"{_HEADS.get(base, base)} {name[len(base) + 1 :]}"
    return _HEADS.get(name, name.replace("_", " "))


def _cell(columns: Columns, name: str, n: int) -> str:
    value = columns[name][n]
    if columns.is_words(name):
        return str(value)
    shown = number(float(value), columns.unit(name))
    levels = [quantile(name, level) for level in columns.levels] if base_of(name) == name and varies(name) else []
    if len(levels) >= 2 and shown:
        ends = [number(float(columns[level][n]), columns.unit(name)) for level in (levels[0], levels[-1])]
        return shown if ends == [shown, shown] else f"{shown} ({ends[0]} to {ends[1]})"
    return shown


def number(value: float, unit: str) -> str:
    """Return a number for people; nothing where it is not known."""
    if math.isnan(value):
        return ""
    if unit in _FREE or unit.startswith("USD"):
        return f"{value:,.0f}" if value >= 1e4 or (value >= 1 and value.is_integer()) else f"{value:.4g}"
    if unit == "1/s":
        return f"{value:,.0f} /s" if value >= 1000 else f"{value:.4g} /s"
    return f"{value:,.0f}" if unit == "tokens" else si(value, unit)


def clipped(columns: Columns) -> list[Note]:
    """Return what must be said where an eta was stated that physics does not allow."""
    asked, ceiling = "efficiency_asked", "efficiency_ceiling"
    if asked not in columns or ceiling not in columns or columns.is_words(asked):
        return []
    above = int((columns[asked] > columns[ceiling]).sum())
    said = f"at {above:,} of {columns.points:,} points eta is above the roofline ceiling; the answer there is the floor"
    return [Note("efficiency-above-ceiling", said)] if above else []


def columns_rows(columns: Columns) -> Iterator[dict[str, Any]]:
    """Yield the points as plain data, ready for JSON: what is not known is None."""
    made = {name: columns[name].tolist() for name in columns}
    for values in zip(*made.values(), strict=True):
        yield {name: _plain(value) for name, value in zip(made, values, strict=True)}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows that a reduction kept as plain data, ready for JSON: what is not known is None."""
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def write_csv(columns: Columns, stream: TextIO) -> None:
    """Write all points, a line each, piece by piece."""
    import csv

    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    made = [columns[name] for name in columns]
    for start in range(0, columns.points, 10_000):
        part = [column[start : start + 10_000].tolist() for column in made]
        writer.writerows([["" if v != v else v for v in row] for row in zip(*part, strict=True)])  # noqa: PLR0124  # NaN


def rows_table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """Return rows that a reduction kept, a quantity each."""
    heads = list(rows[0]) if rows else ["quantity"]
    cells = []
    for row in rows:
        base = base_of(str(row.get("quantity", "")))
        unit = QUANTITIES[base].unit if base else ""
        cells.append([_row_cell(name, value, unit) for name, value in row.items()])
    words = {"quantity", *(h for h in heads if rows and isinstance(rows[0][h], str))}
    return Table(title, heads, cells, frozenset(h for h in heads if h not in words))


def _row_cell(name: str, value: Any, unit: str) -> str:
    if isinstance(value, str):
        return value
    if name == "points" or isinstance(value, int):
        return f"{value:,}"
    return number(float(value), unit)
