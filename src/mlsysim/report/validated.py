"""Predictions held against measurements, as a table."""

from __future__ import annotations

from mlsysim.report.tables import Table
from mlsysim.validation.score import Score
from mlsysim.validation.validate import Report

_NUMBERS = ("rows", "answered", "median", "mean", "p90", "bias", "within", "width")


def score_table(report: Report) -> Table:
    """Return a table of errors by group; the caption says how rows were predicted and which were refused."""
    how = f"refitted without each {report.split}" if report.split else "by the packaged fit"
    if report.calibrated:
        how += f", {report.calibrated} rows of each group given first"
    title = f"{report.path}: {report.total.answered:,} of {report.total.rows:,} rows predicted {how}"
    refused = "; ".join(f"{count:,} {reason}" for reason, count in report.total.refused.items())
    caption = (
        "errors |predicted / measured - 1| of the published metric; within: measurements inside the 90 % interval;"
        " width: its upper end over the lower, less 1"
    )
    if refused:
        caption += f". Refused: {refused}"
    cells = [_cells(row) for row in (*report.groups, report.total)]
    return Table(title, ("group", *_NUMBERS), cells, frozenset(_NUMBERS), frozenset(), caption)


def _cells(s: Score) -> tuple[str, ...]:
    numbers = (_percent(v) for v in (s.median_ape, s.mean_ape, s.p90_ape, s.bias, s.coverage90, s.width90))
    return (s.name, f"{s.rows:,}", f"{s.answered:,}", *numbers)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
