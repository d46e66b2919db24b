"""The causes that eta compresses, as tables: what each is, what it costs, what to try, and who tells of it."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap

from mlsysim.efficiency.factors import EVIDENCE, KINDS, SOURCES, Factor, Range
from mlsysim.efficiency.remedies import EFFORT, Remedy
from mlsysim.report.tables import Table
from mlsysim.units import si

_FIRST = ("measured", "fitted", "bound", "cited", "recalled", "none")
"""Which range stands for a factor where one must: that of the earliest kind."""
_NAMED = 4
"""Sources that are named; of more only the number is told."""


def factor_table(factors: Iterable[Factor]) -> Table:
    """Return one figure of each factor, so that they may be compared."""
    columns = ("factor", "share or time", "p10/median/p90", "n", "rests on")
    caption = "A factor's name in place of `factors` shows it with what to try and where it is seen."
    return Table(
        "What eta compresses",
        columns,
        [(f.name, *_headline(f)) for f in factors],
        frozenset(columns[2:4]),
        caption=caption,
    )


def factor_document(factors: Iterable[Factor]) -> Table:
    """Return all that is known of each factor, a row each: for documents, which have no width."""
    columns = ("factor", "what it is", "its sign", "what it costs", "mended by", "told by")
    cells = [
        (f.name, f"{f.title}. {f.meaning}", f.sign, "; ".join(map(_line, f.ranges)), f.mend, _told(f)) for f in factors
    ]
    return Table("What eta compresses", columns, cells)


def factor_text(f: Factor, width: int, remedies: Iterable[Remedy] | None = None) -> str:
    """Return all that is known of a factor, as lines of at most ``width`` characters under its name.

    With ``remedies``, what may be tried and how each source sees it are told one by one.
    """
    parts = [(2, f"{f.title}. {f.meaning}"), (2, f"Its sign: {f.sign}"), (2, "What it costs:")]
    parts += [(4, f"- {_line(r)}") for r in f.ranges]
    parts += [(2, f"Mended by: {f.mend}.")]
    if remedies is None:
        parts += [(2, f"Told by: {_told(f)}.")]
    else:
        tried = [(4, f"- {_remedy(r)}") for r in remedies]
        parts += [(2, "What to try, cheapest first:"), *tried] if tried else []
        parts += [(2, "Where it is seen:")]
        parts += [(4, f"- {source} ({SOURCES[source]}): {v.kind}, {v.how}") for source, v in f.status.items()]
    return "\n".join([f.name, *(line for indent, text in parts for line in _wrapped(text, indent, width))])


def _remedy(r: Remedy) -> str:
    of = f"of {r.part}" if r.part else "of it"
    where = "" if r.applies == "any" else f", in {r.applies}"
    return f"{r.action} ({EFFORT[r.effort]}{where}): {_remains(r)} {of} remains [{r.source}]"


def _wrapped(text: str, indent: int, width: int) -> list[str]:
    hanging = " " * (indent + 2)
    return wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def factor_tables(f: Factor, remedies: Iterable[Remedy]) -> list[Table]:
    """Return one factor for documents: what it is, what it costs, what may be tried, where it is seen."""
    about = [("what it is", f.meaning), ("its sign", f.sign), ("mended by", f.mend)]
    costs = [(r.quantity, _three(r), _count(r), r.kind, r.of_what, r.source or "none") for r in f.ranges]
    tried = [(r.action, EFFORT[r.effort], _remains(r), r.applies, r.part or "all of it", r.source) for r in remedies]
    seen = [(SOURCES[source], v.kind, v.how) for source, v in f.status.items()]
    kinds = [k for k in _FIRST if any(r.kind == k for r in f.ranges)]
    caption = "; ".join(f"{k}: {EVIDENCE[k]}" for k in kinds)
    columns = ("what it costs", "p10/median/p90", "n", "rests on", "of", "source")
    return [
        Table(f.title, (f.name, ""), about),
        Table("", columns, costs, frozenset(columns[1:3]), caption=caption),
        Table("", ("what to try", "takes", "remains", "in", "against", "source"), tried),
        Table("", ("where it is seen", "kind", "how, or why not"), seen),
    ]


def _headline(f: Factor) -> tuple[str, str, str, str]:
    """Return the figure that stands for a factor, in as few characters as lines of eighty leave."""
    r = min(f.ranges, key=lambda found: _FIRST.index(found.kind))
    if r.kind == "none":
        return "not isolated", "", "", ""
    return r.quantity.removeprefix("share "), _three(r).replace(" / ", "/"), _count(r), r.kind


def _told(f: Factor) -> str:
    """Return the sources that tell of a factor, by kind."""
    by_kind = {kind: [s for s, v in f.status.items() if v.kind == kind] for kind in KINDS}
    return "; ".join(f"{kind} in {', '.join(sources)}" for kind, sources in by_kind.items() if sources)


def _line(r: Range) -> str:
    """Return a range as a sentence: what, how much, of how many, of what, and from where."""
    if r.kind == "none":
        return f"{r.quantity}: {r.of_what}"
    n = f", n {r.n:,}" if r.n else ""
    return f"{r.quantity} {_three(r)}{n} ({r.kind}): {r.of_what} [{_sources(r)}]"


def _three(r: Range) -> str:
    """Return the figures of a range: three where all are known, the ends or the middle where those are."""
    if r.low is not None and r.median is not None and r.high is not None:
        return _figures(r, (r.low, r.median, r.high), " / ")
    if r.low is not None and r.high is not None:
        return _figures(r, (r.low, r.high), " to ")
    if r.median is not None and r.high is not None:
        return _figures(r, (r.median, r.high), " to ")
    if r.median is not None:
        return _figures(r, (r.median,), "")
    return "" if r.high is None else f"at most {_figures(r, (r.high,), '')}"


def _figures(r: Range, values: tuple[float, ...], between: str) -> str:
    """Return figures in one unit: shares in per cent, times in the unit of the largest."""
    if r.unit == "1":
        return between.join(_short(100.0 * v) for v in values) + " %"
    largest = si(max(values, key=abs), r.unit)
    number, unit = largest.split(" ", maxsplit=1)
    size = max(values, key=abs) / float(number.replace(",", ""))
    return between.join(_short(v / size) for v in values) + f" {unit}"


def _short(value: float) -> str:
    """Return two digits of a number, or all those before its point."""
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"


def _count(r: Range) -> str:
    return f"{r.n:,}" if r.n else ""


def _sources(r: Range) -> str:
    names = r.source.split(", ")
    return r.source if r.kind in {"cited", "fitted"} or len(names) <= _NAMED else f"{len(names)} sources"


def _remains(r: Remedy) -> str:
    ends = [f"{100.0 * v:.2g}" for v in (r.remains_low, r.remains_high)]
    return " to ".join(dict.fromkeys(ends)) + " %"
