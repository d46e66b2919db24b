"""The waterfall: from the ideal time of a step to what was measured, or from one run to another, cause by cause."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill, wrap
from typing import Any, NamedTuple

from mlsysim.efficiency import told
from mlsysim.efficiency.breakdown import Breakdown
from mlsysim.efficiency.columns import WORK, ChangeRow, Column, Row, Rows, axis_start, change_rows, rows
from mlsysim.efficiency.comparison import Comparison
from mlsysim.efficiency.factors import KINDS
from mlsysim.report.figures import GRID, INK, LETTERING, MUTED, put, pyplot, write

COLOURS = {"derived": "#1f5f8b", "observed": "#c2410c", "unattributed": "#a8b0b9"}
"""Colours of bars, by how a cause is known."""
LESS, MORE, RUN = "#0f766e", "#b42318", "#4b5563"
"""Colours of a cause that takes less time than before, of one that takes more, and of a whole run."""
_HATCH = {COLOURS["unattributed"]: "////"}
_WIDE, _LINE, _APART = 8.6, 0.16, 0.17
"""Width of a figure, height of a line of a label, and what a bar has beyond it [inch]."""
_LABEL, _TITLE, _CAPTION = 46, 84, 134
"""Characters of a line of a label, of the title and of the caption."""
_LEAST = 0.002
"""Share of the width that a bar has at least, so that it is seen."""
_PAGES = {".html", ".htm"}


class Bar(NamedTuple):
    """One line: its label, the pieces of its bar as (start, length, colour), where it leaves off, and what it says."""

    label: str
    pieces: tuple[tuple[float, float, str], ...]
    leaves: float
    says: str

    @property
    def end(self) -> float:
        """Return where the bar ends on the right."""
        return max(start + length for start, length, _ in self.pieces)


class Plan(NamedTuple):
    """What is drawn: lines from the top down, with what stands around them; ``low`` is where the axis starts."""

    title: str
    caption: str
    column: Column
    bars: tuple[Bar, ...]
    legend: tuple[tuple[str, str], ...]
    low: float = 0.0


def figure(breakdown: Breakdown) -> Any:
    """Return a matplotlib figure: a bar for each cause, which starts where the one above ends, and the whole below.

    Raises
    ------
    MissingExtra
        matplotlib is not installed.
    """
    return _drawn(plan(breakdown))


def comparison_figure(comparison: Comparison) -> Any:
    """Return a matplotlib figure: from one run to another, a bar for the change of each cause.

    Raises
    ------
    MissingExtra
        matplotlib is not installed.
    """
    return _drawn(comparison_plan(comparison))


def save(answer: Breakdown | Comparison, path: str | Path) -> None:
    """Write a waterfall to a file, whole or not at all: a figure, or where the ending is .html, a page with the rest.

    Raises
    ------
    MissingExtra, InvalidValue
        matplotlib or jinja2 is not installed; or no such format is known.
    """
    if Path(path).suffix.lower() in _PAGES:
        from mlsysim.report.breakdown_page import comparison_page, page

        text = page(answer) if isinstance(answer, Breakdown) else comparison_page(answer)
        put(Path(path), text.encode())
    else:
        drawn = figure(answer) if isinstance(answer, Breakdown) else comparison_figure(answer)
        write(drawn, path, also=".html")


def plan(b: Breakdown) -> Plan:
    """Return what is drawn of a breakdown."""
    shown = rows(b)
    bars = [_bar(row, shown) for row in shown.rows]
    measured = b.measured_s / shown.times.size
    says = f"{shown.times.shown(shown.time)} {shown.times.unit}"
    if b.eta is not None:
        says += f"   eta {shown.shares.shown(shown.share)}"
    bars.append(Bar(told.whole(b), ((0.0, measured, RUN),), measured, says))
    used = {colour for bar in bars for *_, colour in bar.pieces}
    legend = tuple((kind, COLOURS[kind]) for kind in KINDS if COLOURS[kind] in used)
    caption = f"{told.time_told(b)} {told.eta_told(b)}"
    return Plan(f"{told.headline(b)}\n{fill(b.about, _TITLE)}", caption, shown.times, tuple(bars), legend)


def _bar(row: Row, shown: Rows) -> Bar:
    """Return the bar of a cause: a piece for each part that is worth showing."""
    cause, times, shares = row.cause, shown.times, shown.shares
    start, pieces = row.start, []
    for seconds, kind in [(p.part.seconds, p.part.kind) for p in row.parts] or [(cause.seconds, cause.kind)]:
        pieces.append((start / times.size, seconds / times.size, COLOURS[kind]))
        start += seconds
    says, title = f"{times.shown(row.time)} {times.unit}", told.title(cause.name)
    says += f"   {shares.shown(row.share)} {shares.unit}" if shares.unit else f"   eta {shares.shown(row.share)}"
    if cause.name == WORK and row.share >= 1.0 and not shares.unit:
        title += ", the ideal"
    one = len(row.parts) == 1
    parts = ", ".join(p.part.name if one else f"{p.part.name} {times.shown(p.time)}" for p in row.parts)
    return Bar(_label(title, parts), tuple(pieces), start / times.size, says)


def comparison_plan(c: Comparison) -> Plan:
    """Return what is drawn of a comparison; causes whose change rounds to nothing are not."""
    shown = change_rows(c)
    size, unit = shown.times.size, shown.times.unit
    first, last = (run.measured_s / size for run in (c.before, c.after))
    path = [first, last, *(row.start / size for row in shown.rows)]
    low = axis_start(min(path), max(path))
    before, after = (f"{shown.times.shown(x)} {unit}" for x in (shown.before, shown.after))
    bars = [
        Bar("before", ((low, first - low, RUN),), first, before),
        *(_change(row, shown.times) for row in shown.rows if row.change),
        Bar("after", ((low, last - low, RUN),), last, after),
    ]
    sentences = told.change_told(c)[2:]
    if low:
        sentences.append(f"The axis starts at {low:g} {unit}, not at zero.")
    names = "\n".join(fill(f"{when}: {b.about}", _TITLE) for when, b in (("before", c.before), ("after", c.after)))
    title = f"From {before} to {after} a step\n{names}"
    return Plan(title, " ".join(sentences), shown.times, tuple(bars), (("less time", LESS), ("more time", MORE)), low)


def _change(row: ChangeRow, times: Column) -> Bar:
    ends = sorted(x / times.size for x in (row.start, row.start + row.change_s))
    piece = (ends[0], ends[1] - ends[0], MORE if row.change > 0 else LESS)
    parts = ", ".join(f"{p.name} {times.shown(p.change, signed=True)}" for p in row.parts)
    says = f"{times.shown(row.change, signed=True)} {times.unit}"
    return Bar(_label(told.title(row.name), parts), (piece,), (row.start + row.change_s) / times.size, says)


def _label(title: str, parts: str) -> str:
    """Return a title with at most two lines of its parts."""
    return "\n".join([title, *wrap(parts, _LABEL, max_lines=2, placeholder=" ...")])


def _drawn(plan: Plan) -> Any:
    """Draw bars from the top down, each joined to the next by a thin line."""
    plt = pyplot("the waterfall")
    from matplotlib.patches import Patch

    heights = [(bar.label.count("\n") + 1) * _LINE + _APART for bar in plan.bars]
    caption = fill(plan.caption, _CAPTION)
    around = 1.15 + 0.15 * (plan.title.count("\n") + caption.count("\n"))
    with plt.rc_context({**LETTERING, "hatch.linewidth": 0.7}):
        drawn, axes = plt.subplots(figsize=(_WIDE, sum(heights) + around), layout="constrained")
        middles = [sum(heights[:n]) + height / 2.0 for n, height in enumerate(heights)]
        _lines(axes, plan.bars, middles)
        _axes(axes, plan, middles, sum(heights))
        known = [Patch(facecolor=c, edgecolor="white", hatch=_HATCH.get(c), label=name) for name, c in plan.legend]
        above = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.2}
        axes.legend(handles=known, ncols=len(known), frameon=False, labelcolor=INK, **above)
        drawn.suptitle(plan.title, x=0.01, ha="left", fontsize=10.5, fontweight="bold", color=INK, parse_math=False)
        drawn.supxlabel(caption, x=0.01, ha="left", fontsize=8.5, color=MUTED, parse_math=False)
    return drawn


def _lines(axes: Any, bars: Sequence[Bar], middles: Sequence[float]) -> None:
    """Draw the bars, what each says, and where each leaves off."""
    half, least = 0.115, _LEAST * max(bar.end for bar in bars)
    for bar, y in zip(bars, middles, strict=True):
        for start, length, colour in bar.pieces:
            look = {"color": colour, "hatch": _HATCH.get(colour), "edgecolor": "white", "linewidth": 0.0}
            axes.barh(y, max(length, least), left=start, height=2 * half, **look)
        for start, *_ in bar.pieces[1:]:
            axes.plot([start] * 2, [y - half, y + half], color="white", linewidth=1.0)
        axes.annotate(
            bar.says,
            (bar.end, y),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=INK,
            fontweight="bold" if bar.pieces[0][2] == RUN else "normal",
        )
    for bar, y, below in zip(bars, middles, middles[1:], strict=False):
        axes.plot([bar.leaves] * 2, [y + half, below - half], color=MUTED, linewidth=0.7)


def _axes(axes: Any, plan: Plan, middles: Sequence[float], height: float) -> None:
    end = max(bar.end for bar in plan.bars)
    axes.set_xlim(plan.low, plan.low + 1.32 * (end - plan.low))
    axes.set_ylim(height, 0.0)
    axes.set_yticks(middles, [bar.label for bar in plan.bars], linespacing=1.25, parse_math=False)
    axes.set_xlabel(f"time of a step [{plan.column.unit}]", color=MUTED, fontsize=8.5)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.tick_params(axis="x", colors=MUTED)
    axes.grid(visible=True, axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
