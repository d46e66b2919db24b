"""The tornado plot: which inputs move an output most, and which of them are uncertain themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlsysim.report.figures import GRID, INK, LETTERING, MUTED, SCALES, pyplot, write
from mlsysim.whatif.asked import MEANINGS, shown
from mlsysim.whatif.sensitivity import APART

if TYPE_CHECKING:
    from mlsysim.whatif.sensitivity import Row, Sensitivity

LESS, MORE = "#b7791f", "#1f5f8b"
"""Colours of an output where its input is lower and where it is higher."""
MOST_BARS = 14
"""Bars of the upper part: those that move the output most."""
_TWO_LINES = 1.35
"""How much higher a bar is whose label has two lines."""
_BAR = 0.34
"""Height of a bar with its distance to the next [inch]."""
_LONG = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


class Bar(NamedTuple):
    """One input: its label, and the output at its lower and its upper end, None where there is none."""

    label: str
    low: float | None
    high: float | None

    def span(self, middle: float) -> float:
        """Return how far the output goes from ``middle``."""
        return max(abs(end - middle) for end in (self.low, self.high, middle) if end is not None)


def bars_of(rows: Sequence[Row], middle: float) -> list[Bar]:
    """Return the bars of rows of a sensitivity, longest first; not of what is doubled, which is another change."""
    bars = [Bar(_label(row), row.low, row.high) for row in rows if row.way != APART]
    bars = [bar for bar in bars if bar.span(middle) > 0]
    return sorted(bars, key=lambda bar: -bar.span(middle))[:MOST_BARS]


def tornado(s: Sensitivity) -> Any:
    """Return a matplotlib figure: inputs changed by one share, and below them uncertain inputs at their own ends.

    Raises
    ------
    MissingExtra
        matplotlib is not installed.
    """
    plt = pyplot("the tornado plot")
    import matplotlib as mpl
    import matplotlib.patches

    value = s.value.value
    upper = bars_of(s.shown_rows, value)
    lower = [
        Bar(f"{u.title}\n{shown(u.low, u.unit)} to {shown(u.high, u.unit)}", u.output_low, u.output_high)
        for u in s.uncertain
    ]
    heights = [len(upper) * _BAR + 1.0, *([len(lower) * _BAR * _TWO_LINES + 0.9] if lower else [])]
    with plt.rc_context(LETTERING):
        figure, grid = plt.subplots(
            len(heights),
            1,
            figsize=(8.2, sum(heights) + 0.6),
            height_ratios=heights,
            layout="constrained",
            squeeze=False,
        )
        axes = [row[0] for row in grid]
        _drawn(axes[0], upper, s, f"each input {100 * s.change:g} % lower and higher")
        colours = [mpl.patches.Patch(color=c, label=f"input {n}") for c, n in ((LESS, "lower"), (MORE, "higher"))]
        above = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.3}
        axes[0].legend(handles=colours, ncols=2, frameon=False, labelcolor=INK, **above)
        if lower:
            _drawn(axes[1], lower, s, "inputs that are uncertain, at their own ends")
        r = s.result
        on = f"{r.devices} x {r.hardware}" if r.devices > 1 else r.hardware
        about = f"{r.model}, {r.phase}, on {on}, {r.precision}, batch {r.batch_size:,}"
        title = f"{MEANINGS[s.of]}: {shown(value, s.unit)}\n{about}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold", color=INK)
    return figure


def save(s: Sensitivity, path: str | Path) -> None:
    """Write a tornado plot to a file; its ending says in which format.

    Raises
    ------
    MissingExtra, InvalidValue
        matplotlib is not installed; or it knows no such format.
    """
    write(tornado(s), path)


def _label(row: Row) -> str:
    title = row.title.split(",")[0] if "." not in row.input else row.input
    value = shown(row.value, row.unit)
    return f"{title}, {value}"


def _drawn(axes: Any, bars: Sequence[Bar], s: Sensitivity, title: str) -> None:
    """Draw bars from the top down, with the output at their ends beside them."""
    middle = s.value.value
    size, unit = _scale(middle, s.unit)
    for n, bar in enumerate(bars):
        for end, colour in ((bar.low, LESS), (bar.high, MORE)):
            width = 0.0 if end is None else (end - middle) / size
            axes.barh(n, width, left=middle / size, height=0.62, color=colour)
        _ends(axes, n, bar, middle, size)
    axes.set_yticks(range(len(bars)), [bar.label for bar in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.axvline(middle / size, color=INK, linewidth=0.9)
    ends = [e / size for bar in bars for e in (bar.low, bar.high, middle) if e is not None]
    room = 0.16 * (max(ends) - min(ends))
    axes.set_xlim(min(ends) - room, max(ends) + room)
    axes.set_xlabel(f"{s.of} [{unit}]" if unit else s.of, color=MUTED)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.tick_params(axis="x", colors=MUTED)
    axes.grid(visible=True, axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=9.5, color=MUTED)


def _scale(value: float, unit: str) -> tuple[float, str]:
    """Return what one of the unit that a value is best written in is in SI, and that unit."""
    if unit == "s" and value >= _LONG[-1][0]:
        return next((size, name) for size, name in _LONG if value >= size)
    counted = unit.split("/", maxsplit=1)[0]
    if unit in {"", "USD"} or (counted.islower() and len(counted) > 1):
        return 1.0, unit
    size, prefix = next((s for s in SCALES if value >= s[0]), SCALES[-1])
    return size, prefix + unit


def _ends(axes: Any, n: int, bar: Bar, middle: float, size: float) -> None:
    """Write the output beside the ends of a bar: left of the lowest, right of the highest."""
    known = [end for end in (bar.low, bar.high) if end is not None]
    lowest, highest = min([*known, middle]), max([*known, middle])
    for end, offset, side in ((lowest, -4, "right"), (highest, 4, "left")):
        if end != middle:
            axes.annotate(
                f"{end / size:.4g}",
                (end / size, n),
                xytext=(offset, 0),
                textcoords="offset points",
                ha=side,
                va="center",
                fontsize=8,
                color=INK,
            )
