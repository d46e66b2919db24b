"""An eta among published ones, as a table."""

from __future__ import annotations

from mlsysim.efficiency.grade import Comparable, Grade
from mlsysim.report.tables import Table

_SPREAD = ("p5", "p10", "median", "p90", "p95")


def grade_table(g: Grade) -> Table:
    """Return the verdict, over the percentiles of the runs that it rests on."""
    return _table("Where this eta stands", g.among, g.sentence)


def regime_table(found: Comparable) -> Table:
    """Return the percentiles of published eta and attainment of a regime."""
    sources = ", ".join(found.sources[:6]) + (f" and {len(found.sources) - 6} more" if len(found.sources) > 6 else "")
    n, groups = len(found.rows), found.efficiency.sources
    return _table(
        f"Published: {found.alike}",
        found,
        f"{_count(n, 'run')} of {_count(groups, 'source')}, {found.years}: {sources}",
    )


def _table(title: str, found: Comparable, caption: str) -> Table:
    rows = [
        (name, *(f"{getattr(p, key):.3g}" for key in _SPREAD), f"{p.n}", f"{p.sources}")
        for name, p in (("eta", found.efficiency), ("attainment", found.attainment))
    ]
    columns = ("published", *_SPREAD, "n", "sources")
    return Table(title, columns, rows, frozenset(columns[1:]), frozenset(), caption)


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
