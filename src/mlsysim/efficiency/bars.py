"""A breakdown as plain text: bars of blocks from the ideal to what was measured, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import NamedTuple

from mlsysim.efficiency import told
from mlsysim.efficiency.breakdown import Breakdown
from mlsysim.efficiency.columns import ChangeRow, Column, Row, change_rows, pieces, rows
from mlsysim.efficiency.comparison import Comparison

BLOCKS = {"derived": "█", "observed": "▓", "unattributed": "░"}
"""What bars are made of, by how a cause is known."""
LESS, MORE, WHOLE, THIN = "░", "█", "═", "▏"
LEAST_WIDTH = 60
"""Characters below which lines are not made narrower."""
_NAMES = 0.24
"""Share of the width that the names of parts have at most; longer ones go on in the next line."""
_OF_ITS_OWN = 0.5
"""Share of a cell from which a piece of a bar has one of its own."""
_GAP = "  "
_FIRM = "\N{NO-BREAK SPACE}"
"""Where no line may be broken; shown as a space."""


class _Line(NamedTuple):
    """A line of a table; its bar is made of pieces: the block, and where it starts and ends as shares of the width."""

    name: str
    figures: tuple[str, ...]
    bar: tuple[tuple[str, float, float], ...] = ()
    note: str = ""


def text(breakdown: Breakdown, width: int = 100) -> str:
    """Return a breakdown as text of at most ``width`` characters a line, which needs no colour."""
    b, width = breakdown, max(width, LEAST_WIDTH)
    head = [*wrap(b.about, width), *wrap(f"{told.time_told(b)} {told.eta_told(b)}", width, break_on_hyphens=False)]
    sections = [head, _bars(b, width), _tries(b, width)]
    if b.not_visible:
        hidden = [line for name, why in told.hidden_told(b) for line in _item(f"{name}: {why}", "-", width)]
        sections.append([*wrap(f"Not visible in {told.source_told(b)}:", width), *hidden])
    for title, found in (("Steps", told.steps_told(b)), ("Ranks", told.ranks_told(b))):
        if found:
            sections.append([f"{title}:", *(line for one in found for line in _item(one, "-", width))])
    if b.lines:
        sections.append([line for one in b.lines for line in wrap(one, width)])
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def compared_text(comparison: Comparison, width: int = 100) -> str:
    """Return what changed between two runs as text of at most ``width`` characters a line."""
    width = max(width, LEAST_WIDTH)
    head = [line for one in told.change_told(comparison) for line in _hung(one, width)]
    shown = change_rows(comparison)
    times = shown.times
    path = [comparison.before.measured_s, comparison.after.measured_s, *(row.start for row in shown.rows)]
    low, span = min(path), max(path) - min(path)
    lines = [line for row in shown.rows for line in _change_lines(row, times, low, span)]
    heads = _Line(f"{times.unit} a step", ("before", "after", "change"))
    total = _Line("measured", _change_figures(times, shown.before, shown.after))
    body = _Table(heads, lines, total, width).text()
    if span:
        left, right = (f"{times.shown(times.rounded([x])[0])} {times.unit}" for x in (low, low + span))
        words = f"{MORE} more time, {LESS} less; scale of the bars: left edge {left}, right edge {right}"
        body += wrap(words, width)
    return "\n\n".join("\n".join(part) for part in (head, body))


def _change_lines(row: ChangeRow, times: Column, low: float, span: float) -> Iterable[_Line]:
    ends = sorted((row.start, row.start + row.change_s))
    block = MORE if row.change_s > 0 else LESS
    bar = ((block, (ends[0] - low) / span, (ends[1] - low) / span),) if row.change else ()
    yield _Line(row.name, _change_figures(times, row.before, row.after), bar)
    for part in row.parts:
        yield _Line(f"  {part.name}", _change_figures(times, part.before, part.after))


def _change_figures(times: Column, before: float, after: float) -> tuple[str, ...]:
    change = round(after - before, times.decimals)
    return times.shown(before), times.shown(after), times.shown(change, signed=True)


def _bars(b: Breakdown, width: int) -> list[str]:
    """Return a line a cause, with its bar where those above end, and the total."""
    shown = rows(b)
    times, shares = shown.times, shown.shares
    lines = [line for row in shown.rows for line in _lines(row, times, shares, b.measured_s)]
    heads = _Line("cause", (times.unit, shares.unit or "eta"), note="known")
    total = _Line(told.whole(b), (times.shown(shown.time), shares.shown(shown.share)), ((WHOLE, 0.0, 1.0),))
    return [*_Table(heads, lines, total, width).text(), *_legend(b, width)]


def _lines(row: Row, times: Column, shares: Column, measured_s: float) -> Iterable[_Line]:
    """Yield the line of a cause, and those of its parts."""
    start, bar = row.start, []
    for kind, seconds in pieces(row.cause):
        bar.append((BLOCKS[kind], start / measured_s, (start + seconds) / measured_s))
        start += seconds
    yield _Line(row.cause.name, (times.shown(row.time), shares.shown(row.share)), tuple(bar), row.cause.kind)
    for p in row.parts:
        kind = p.part.kind if p.part.kind != row.cause.kind else ""
        yield _Line(f"  {p.part.name}", (times.shown(p.time), shares.shown(p.share)), note=kind)


def _cells(found: Sequence[tuple[str, float, float]], width: int) -> str:
    """Return blocks between shares of a width: a thin one for less than half a cell, none for such a piece of more."""
    if not found:
        return " " * width
    (main, start, _), (*_, end) = found[0], found[-1]
    cells, first = [" "] * width, min(round(start * width), width - 1)
    last = min(max(round(end * width), first + 1), width)
    cells[first:last] = (main if (end - start) * width >= _OF_ITS_OWN else THIN) * (last - first)
    for block, left, right in found[1:]:
        if (right - left) * width >= _OF_ITS_OWN:
            begins = min(max(round(left * width), first), last - 1)
            ends = min(max(round(right * width), begins + 1), last)
            cells[begins:ends] = block * (ends - begins)
    return "".join(cells)


def _legend(b: Breakdown, width: int) -> list[str]:
    kinds = dict.fromkeys(kind for cause in b.causes for kind, _ in pieces(cause))
    known = ", ".join(f"{BLOCKS[k]} {k} ({told.KNOWN[k]})" for k in BLOCKS if k in kinds)
    eta = "eta: 1 at the peak, less what each cause takes" if b.eta is not None else "%: share of the time"
    return wrap(f"{known}; {eta}", width)


def _tries(b: Breakdown, width: int) -> list[str]:
    found = b.suggestions()
    if not found:
        return wrap("What to try: nothing that is known would save one per cent of the time.", width)
    lines = ["What to try, least effort first:"]
    for number, what_if in enumerate(found, 1):
        tried = told.tried_told(what_if, b.source)
        basis = f" ({told.RECALLED})" if tried.recalled else ""
        then = f"then a step takes {tried.time}{f', eta {tried.eta}' if tried.eta else ''}"
        lines += _item(tried.what, f"{number}.", width)
        lines += _item(f"takes {tried.effort}; saves {tried.saves} of {tried.of}{basis}", "  ", width)
        lines += _item(f"{then}; {tried.ask.replace(' ', _FIRM)}", "  ", width)
    return [*lines, *wrap(told.beside(b), width)]


def _item(words: str, mark: str, width: int) -> list[str]:
    """Return an item of a list, its lines under each other."""
    more = " " * (len(mark) + 1)
    lines = wrap(words, width, initial_indent=f"{mark} ", subsequent_indent=more, break_on_hyphens=False)
    return [line.replace(_FIRM, " ") for line in lines]


def _hung(words: str, width: int) -> list[str]:
    return wrap(words, width, subsequent_indent=" " * (8 if words.startswith(("before:", "after:")) else 0))


class _Table:
    """Lines of one layout between heads and a total: names, figures, bars, and a word on the right."""

    def __init__(self, heads: _Line, lines: Sequence[_Line], total: _Line, width: int) -> None:
        self.heads, self.lines, self.total, self.width = heads, lines, total, width
        every = [heads, *lines, total]
        whole = max(len(line.name) for line in every if not line.name.startswith(" "))
        self.name = max(whole, min(max(len(line.name) for line in every), round(_NAMES * width)))
        self.figures = [max(map(len, column)) for column in zip(*(line.figures for line in every), strict=True)]
        note = max(len(line.note) for line in every)
        taken = self.name + sum(n + len(_GAP) for n in self.figures) + len(_GAP)
        self.bar = width - taken - (note + len(_GAP) if note else 0)

    def text(self) -> list[str]:
        """Return all lines of text."""
        body = [text for line in self.lines for text in self._named(line)]
        rule = _GAP.join("─" * n for n in (self.name, *self.figures))
        return [self._row(self.heads), *body, rule, self._row(self.total)]

    def _row(self, line: _Line) -> str:
        figures = [f.rjust(n) for f, n in zip(line.figures, self.figures, strict=True)]
        cells = [line.name.ljust(self.name), *figures, _cells(line.bar, self.bar), line.note]
        return _GAP.join(cells).rstrip()

    def _named(self, line: _Line) -> list[str]:
        """Return a line, and where its name is long, the rest of that beneath."""
        indent = " " * (len(line.name) - len(line.name.lstrip()))
        name = wrap(line.name.strip(), self.name - len(indent)) or [""]
        deeper = wrap(" ".join(name[1:]), self.width, initial_indent=f"{indent}  ", subsequent_indent=f"{indent}  ")
        return [self._row(line._replace(name=indent + name[0])), *deeper]
