"""The front as a plot: what options give of two quantities, those that no other beats joined by a line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlsysim.errors import InvalidValue
from mlsysim.report.figures import GRID, INK, LETTERING, MUTED, SCALES, pyplot, write
from mlsysim.results import Interval
from mlsysim.whatif.asked import MEANINGS, better_if_more, quantity

if TYPE_CHECKING:
    from mlsysim.whatif.choose import Choices

COLOURS = ("#1f5f8b", "#c2410c", "#15703a", "#7a3e9d", "#b7791f", "#0f8b8d", "#9d174d", "#4b5563")
"""Colours of the devices with most points; all others are grey."""
OTHERS = "#b6bec7"
LABELS = 9
"""Points of the front that are named at most."""
ROOM = 0.25
"""Share of the width that is left for names."""
APART = 26.0
"""How far two names lie apart at least [points of the page]."""


class Dot(NamedTuple):
    """An option as a point of the plot."""

    device: str
    label: str
    x: Interval
    y: Interval
    joined: bool


def dots_of(c: Choices, across: str, up: str) -> list[Dot]:
    """Return the front as points of two quantities; joined are those that no other beats in these two alone."""
    import numpy as np

    from mlsysim.sweep.front import on_front

    once = {(o.label, str(o.pay)): o for o in (*c.options, *c.front)}
    known = [(o, o.known(across), o.known(up)) for o in once.values()]
    found = [(o, x, y) for o, x, y in known if x is not None and y is not None]
    if not found:
        return []
    signs = [-1.0 if better_if_more(name) else 1.0 for name in (across, up)]
    values = np.array([[signs[0] * x.value, signs[1] * y.value] for _, x, y in found])
    best = {int(i) for i in on_front(values)}
    return [Dot(o.device, o.label, x, y, i in best) for i, (o, x, y) in enumerate(found)]


def pareto(c: Choices, across: str | None = None, up: str | None = None) -> Any:
    """Return a matplotlib figure of the options on the front, by two quantities.

    ``across`` is the first objective if not given, ``up`` what the choice is by, or the first objective beside it.
    Thin lines are 90 % intervals.

    Raises
    ------
    InvalidValue, UnknownName
        There is no such quantity, or no option of which both are known.
    MissingExtra
        matplotlib is not installed.
    """
    plt = pyplot("the plot of a front")

    names = _names(c, across, up)
    dots = dots_of(c, *names)
    if not dots:
        raise InvalidValue(
            "plot", "of a front with at least one option", " and ".join(names), c.where or "none is known"
        )
    units = [(c.front or c.options)[0].unit(name) for name in names]
    with plt.rc_context(LETTERING):
        figure, axes = plt.subplots(figsize=(8.2, 5.2), layout="constrained")
        _drawn(axes, dots)
        _joined(axes, dots)
        for axis, name, unit in ((axes.xaxis, names[0], units[0]), (axes.yaxis, names[1], units[1])):
            _scaled(axis, name, unit, [(d.x if axis is axes.xaxis else d.y).value for d in dots])
        _widened(axes, names[0])
        axes.grid(visible=True, color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, labelcolor=INK, loc="center left", bbox_to_anchor=(1.0, 0.5))
        _titled(figure, c, names)
        figure.draw_without_rendering()  # names are kept apart on the page
        _named(axes, dots, names)
    return figure


def save(c: Choices, path: str | Path, across: str | None = None, up: str | None = None) -> None:
    """Write the plot of a front to a file; its ending says in which format. Raises as :func:`pareto`."""
    write(pareto(c, across, up), path)


def _names(c: Choices, across: str | None, up: str | None) -> tuple[str, str]:
    bare = [o.removeprefix("-") for o in c.objectives]
    first = quantity(across or bare[0])
    by = c.by.removeprefix("-")
    return first, quantity(up or (by if by != first else next(name for name in bare if name != first)))


def _drawn(axes: Any, dots: Sequence[Dot]) -> None:
    """Draw all points, a colour for each of the devices with most of them."""
    counts = Counter({d.device: 0 for d in dots if d.joined})
    counts.update(d.device for d in dots)
    first = sorted(counts, key=lambda name: (-any(d.joined and d.device == name for d in dots), -counts[name]))
    colours = dict(zip(first, COLOURS, strict=False))
    for name in [*colours, ""]:
        here = [d for d in dots if (d.device == name if name else d.device not in colours)]
        if here:
            _points(axes, here, colours.get(name, OTHERS), name or "others")


def _points(axes: Any, dots: Sequence[Dot], colour: str, name: str) -> None:
    for joined, size, strength in ((False, 14, 0.55), (True, 34, 1.0)):
        these = [d for d in dots if d.joined is joined]
        x, y = [d.x.value for d in these], [d.y.value for d in these]
        axes.scatter(x, y, s=size, color=colour, alpha=strength, linewidths=0, zorder=3 + joined)
    axes.scatter([], [], s=26, color=colour, label=name)
    for d in dots:
        if d.joined:
            axes.plot([d.x.low, d.x.high], [d.y.value] * 2, color=colour, linewidth=0.7, alpha=0.6, zorder=2)
            axes.plot([d.x.value] * 2, [d.y.low, d.y.high], color=colour, linewidth=0.7, alpha=0.6, zorder=2)


def _joined(axes: Any, dots: Sequence[Dot]) -> None:
    front = sorted((d.x.value, d.y.value) for d in dots if d.joined)
    axes.plot([x for x, _ in front], [y for _, y in front], color=INK, linewidth=1.1, zorder=2)


def _scaled(axis: Any, name: str, unit: str, values: Sequence[float]) -> None:
    """Make an axis logarithmic, in the unit that its values are best written in."""
    from matplotlib import ticker

    counted = unit.split("/", maxsplit=1)[0]
    plain = unit in {"", "USD", "kg"} or (counted.islower() and len(counted) > 1)
    middle = math.exp(math.fsum(map(math.log, values)) / len(values))
    size, prefix = (1.0, "") if plain else next((s for s in SCALES if middle >= s[0]), SCALES[-1])
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value / size:g}")
    better = "more is better" if better_if_more(name) else "less is better"
    axis.set_label_text(f"{name} [{prefix}{unit}], {better}" if unit else f"{name}, {better}", color=INK)
    axis.set_tick_params(colors=MUTED)


def _widened(axes: Any, across: str) -> None:
    """Leave room for the names of points on the side where they stand."""
    low, high = axes.get_xlim()
    room = (high / low) ** ROOM
    axes.set_xlim(*((low, high * room) if better_if_more(across) else (low / room, high)))


def _titled(figure: Any, c: Choices, names: tuple[str, str]) -> None:
    model = (c.front or c.options)[0].result
    about = f"{model.model}, {model.phase}" + (f", where {c.where}" if c.where else "")
    title = f"{MEANINGS[names[1]]}\nby {MEANINGS[names[0]]}: {about}; thin lines are 90 % intervals"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold", color=INK)


def _named(axes: Any, dots: Sequence[Dot], names: tuple[str, str]) -> None:
    """Name points of the front on the side where no other is, as far apart as names need, ends first."""
    front = sorted((d for d in dots if d.joined), key=lambda d: d.x.value)
    ends = [*front[:1], *front[-1:]]
    right, above = (better_if_more(name) for name in names)
    placed: list[tuple[float, float]] = []
    for d in dict.fromkeys((*ends, *front)):
        x, y = axes.transData.transform((d.x.value, d.y.value)) * 72 / axes.figure.dpi
        if len(placed) >= LABELS or any(abs(y - b) < 11 or math.hypot(x - a, y - b) < APART for a, b in placed):
            continue
        placed.append((x, y))
        axes.annotate(
            d.label,
            (d.x.value, d.y.value),
            xytext=(7 if right else -7, 6 if above else -6),
            textcoords="offset points",
            ha="left" if right else "right",
            va="bottom" if above else "top",
            fontsize=7.5,
            color=INK,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        )
