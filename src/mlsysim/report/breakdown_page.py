"""The page of a breakdown: one HTML file that needs nothing else, with what a figure has no room for."""

from __future__ import annotations

from typing import NamedTuple

from mlsysim.efficiency import told
from mlsysim.efficiency.breakdown import Breakdown
from mlsysim.efficiency.columns import (
    WORK,
    Column,
    Row,
    Rows,
    axis_start,
    change_rows,
    of_shares,
    part_rows,
    pieces,
    rows,
)
from mlsysim.efficiency.comparison import Comparison
from mlsysim.efficiency.factors import KINDS, causes
from mlsysim.report.pages import template
from mlsysim.report.strip import looks_of, strip
from mlsysim.units import si


class Piece(NamedTuple):
    """A piece of a bar: where it starts and how long it is [% of the width], its look, and what it says on hover."""

    left: float
    width: float
    look: str
    says: str


class Line(NamedTuple):
    """A line of a waterfall: its title, the name that commands know it by, its figures, and its bar."""

    title: str
    name: str
    figures: tuple[str, ...]
    pieces: tuple[Piece, ...]
    parts: str = ""
    total: bool = False


def page(breakdown: Breakdown) -> str:
    """Return a breakdown as the text of an HTML page that asks nothing of a network.

    Raises
    ------
    MissingExtra
        jinja2 is not installed.
    """
    b, shown, looks = breakdown, rows(breakdown), looks_of((*breakdown.steps, *breakdown.ranks))
    kinds = {kind for cause in b.causes for kind, _ in pieces(cause)}
    strips = (
        strip("step", b.steps, looks, told.steps_told(b)),
        strip("rank", b.ranks, looks, told.ranks_told(b)),
    )
    return str(
        template("breakdown.html", "the page").render(
            b=b,
            title=told.headline(b),
            lead=b.about,
            cards=_cards(b),
            sentences=(f"{told.time_told(b)} {told.eta_told(b)}",),
            lines=_lines(b, shown),
            shown=shown,
            kinds=[(k, told.KNOWN[k]) for k in KINDS if k in kinds],
            strips=[one for one in strips if one],
            tries=[told.tried_told(w, b.source) for w in b.suggestions()],
            estimate=told.RECALLED,
            beside=told.beside(b),
            whole=told.whole(b),
            hidden=told.hidden_told(b),
            source=told.source_told(b),
            causes=causes(),
            parts=lambda row: part_rows(b, row, row.cause.parts),
        )
    )


def comparison_page(comparison: Comparison) -> str:
    """Return what changed between two runs as the text of an HTML page that asks nothing of a network.

    Raises
    ------
    MissingExtra
        jinja2 is not installed.
    """
    c, shown = comparison, change_rows(comparison)
    before, after = c.before, c.after
    path = [before.measured_s, after.measured_s, *(row.start for row in shown.rows)]
    low = axis_start(min(path), max(path))
    first, last = (_with(shown.times, time) for time in (shown.before, shown.after))
    cards = [(first, "a step, before"), (last, "a step, after")]
    cards += [(f"{before.measured_s / after.measured_s:.3g} ×", "as fast as before")]
    cards += [
        (told.eta(b.eta), f"eta, {when}") for when, b in (("before", before), ("after", after)) if b.eta is not None
    ]
    return str(
        template("comparison.html", "the page").render(
            c=c,
            title=f"From {first} to {last} a step",
            lead=f"before: {before.about}; after: {after.about}",
            cards=cards,
            sentences=told.change_told(c)[2:],
            lines=_changes(c, low),
            low=si(low, "s") if low else "",
            shown=shown,
            titles={row.name: told.title(row.name) for row in shown.rows},
        )
    )


def _cards(b: Breakdown) -> list[tuple[str, str]]:
    solved = b.source == "solve"
    of = f", mean of {len(b.steps):,}" if len(b.steps) > 1 else f", {told.whole(b)}{told.within(b)}" if solved else ""
    cards = [(si(b.measured_s, "s"), f"a step{of}")]
    if b.ideal_s is not None and b.eta is not None:
        of = "time of a step" if solved else "measured"
        cards += [(si(b.ideal_s, "s"), "its FLOPs at the peak, the ideal"), (told.eta(b.eta), f"eta, ideal / {of}")]
    lost = [c for c in b.causes if c.name != WORK]
    if lost:
        largest = max(lost, key=lambda c: c.seconds)
        cards.append((si(largest.seconds, "s"), f"the largest loss: {told.title(largest.name)}"))
    return cards


def _lines(b: Breakdown, shown: Rows) -> list[Line]:
    found = []
    for row in shown.rows:
        name = row.cause.name
        parts = ", ".join(f"{p.part.name} {shown.times.shown(p.time)}" for p in row.parts)
        figures = (_with(shown.times, row.time), _with(shown.shares, row.share))
        found.append(Line(told.title(name), name, figures, _pieces(row, shown, b.measured_s), parts))
    total = (_with(shown.times, shown.time), _with(shown.shares, shown.share))
    whole = Piece(0.0, 100.0, "whole", f"{told.whole(b)}: {total[0]}")
    return [*found, Line(told.whole(b).capitalize(), "", total, (whole,), total=True)]


def _pieces(row: Row, shown: Rows, measured_s: float) -> tuple[Piece, ...]:
    """Return a piece for each part that is shown, or one for all of a cause."""
    cause, start, found = row.cause, row.start, []
    alone = [(cause.seconds, cause.kind, "", row.time, row.share)]
    parts = [(p.part.seconds, p.part.kind, f", {p.part.name}", p.time, p.share) for p in row.parts]
    for seconds, kind, name, time, share in parts or alone:
        eta = "" if shown.shares.unit else "eta "
        says = f"{told.title(cause.name)}{name}: {_with(shown.times, time)}, {eta}{_with(shown.shares, share)}, {kind}"
        found.append(Piece(100.0 * start / measured_s, 100.0 * seconds / measured_s, kind, says))
        start += seconds
    return tuple(found)


def _changes(c: Comparison, low: float) -> list[Line]:
    """Return the lines from one run to another, as times and as shares of the first; ``low`` is on the left [s]."""
    shown, whole = change_rows(c), c.before.measured_s
    path = [c.before.measured_s, c.after.measured_s, *(row.start for row in shown.rows)]
    wide, shares = (max(path) - low) / 100.0, of_shares(None)
    changes = shares.rounded([row.change_s / whole for row in shown.rows])
    left = round(100.0 + sum(changes), shares.decimals)
    found = []
    for row, change in zip(shown.rows, changes, strict=True):
        figures = (_with(shown.times, row.change, signed=True), _with(shares, change, signed=True))
        start = (min(row.start, row.start + row.change_s) - low) / wide
        look = "more" if row.change_s > 0 else "less"
        parts = ", ".join(f"{p.name} {shown.times.shown(p.change, signed=True)}" for p in row.parts)
        piece = Piece(start, abs(row.change_s) / wide, look, f"{told.title(row.name)}: {', '.join(figures)}")
        if row.change:
            found.append(Line(told.title(row.name), row.name, figures, (piece,), parts))
    first, last = (
        Line(
            name,
            "",
            (_with(shown.times, time), _with(shares, share)),
            (Piece(0.0, (t - low) / wide, "whole", name),),
            "",
            True,
        )
        for name, t, time, share in (
            ("Before", whole, shown.before, 100.0),
            ("After", c.after.measured_s, shown.after, left),
        )
    )
    return [first, *found, last]


def _with(column: Column, value: float, *, signed: bool = False) -> str:
    """Return a figure with its unit."""
    return f"{column.shown(value, signed=signed)} {column.unit}".rstrip()
