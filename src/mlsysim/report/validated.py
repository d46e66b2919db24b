"""Predictions held against measurements, as a table."""

from __future__ import annotations

from rich.table import Table

from mlsysim.validation.score import Score
from mlsysim.validation.validate import Report


def score_table(report: Report) -> list[Table]:
    """Return a table of errors by group, and one of the reasons for which rows were refused."""
    how = f"refitted without each {report.split}" if report.split else "by the packaged fit"
    if report.calibrated:
        how += f", {report.calibrated} rows of each group given first"
    table = Table(title=f"{report.path}: {report.total.answered:,} of {report.total.rows:,} rows predicted {how}")
    table.add_column("group")
    for name in ("rows", "answered", "median", "mean", "p90", "bias", "within 90 %", "width"):
        table.add_column(name, justify="right")
    for row in (*report.groups, report.total):
        table.add_row(*_cells(row))
    found = [table]
    if report.total.refused:
        refused = Table(title="refused")
        refused.add_column("rows", justify="right")
        refused.add_column("why")
        for reason, count in report.total.refused.items():
            refused.add_row(f"{count:,}", reason)
        found.append(refused)
    return found


def _cells(s: Score) -> list[str]:
    numbers = [_percent(v) for v in (s.median_ape, s.mean_ape, s.p90_ape, s.bias, s.coverage90, s.width90)]
    return [s.name, f"{s.rows:,}", f"{s.answered:,}", *numbers]


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
