"""The roofline plot: what the hardware allows, and where measured points lie under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mlsysim.physics import performance
from mlsysim.report.figures import GRID, INK, LETTERING, MUTED, pyplot, rendered

ROOF = "#1f5f8b"
ACCENTS = ("#c2410c", "#b7791f", "#7a3e9d", "#15703a")
_STYLE = {
    **LETTERING,
    "font.size": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
}


class Point(NamedTuple):
    """A measured point: intensity [FLOP/B], rate [FLOP/s] with the ends of its interval."""

    label: str
    intensity: float
    rate: float
    low: float
    high: float


def roofline(title: str, bandwidth: float, roofs: Mapping[str, float], points: Sequence[Point]) -> Any:
    """Return a matplotlib figure of a roofline with points under it.

    Parameters
    ----------
    title
        What stands above the plot.
    bandwidth
        Memory bandwidth [B/s].
    roofs
        Peak rates [FLOP/s] by label; the highest is drawn as the roof.
    points
        Measured points, named in the legend.

    Raises
    ------
    MissingExtra
        matplotlib is not installed.
    """
    plt = pyplot("the roofline plot")
    import matplotlib as mpl
    import matplotlib.ticker

    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(7.6, 4.3), layout="constrained")
        top = max(roofs.values())
        ridge = performance.ridge_point(top, bandwidth)
        at = [ridge, *(p.intensity for p in points)]
        left, right = min(at) / 8, max(at) * 5
        _roofs(axes, bandwidth, roofs, left, right)
        _points(axes, points, bandwidth, top)
        bottom = min([bandwidth * left, *(p.low for p in points)]) / 1.5
        axes.set(xscale="log", yscale="log", xlim=(left, right), ylim=(bottom, top * 2.2))
        axes.set_xlabel("arithmetic intensity [FLOP per byte of weights, inputs and outputs]")
        axes.set_ylabel("rate [GFLOP/s]")
        for axis, scale in ((axes.xaxis, 1.0), (axes.yaxis, 1e9)):
            axis.set_major_locator(mpl.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_minor_locator(mpl.ticker.NullLocator())
            axis.set_major_formatter(lambda value, _, scale=scale: f"{value / scale:g}")
        axes.grid(visible=True, which="major", color=GRID, linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    return figure


def _roofs(axes: Any, bandwidth: float, roofs: Mapping[str, float], left: float, right: float) -> None:
    top = max(roofs.values())
    ridge = performance.ridge_point(top, bandwidth)
    axes.plot([left, ridge], [bandwidth * left, top], color=ROOF, linewidth=2)
    for label, peak in roofs.items():
        start = performance.ridge_point(peak, bandwidth)
        solid = peak == top
        axes.plot(
            [start, right], [peak, peak], color=ROOF, linewidth=2 if solid else 1, linestyle="-" if solid else "--"
        )
        axes.text(right, peak * 1.05, f"{label}: {peak / 1e9:,.0f} GFLOP/s ", ha="right", va="bottom", color=ROOF)
    axes.annotate(
        f"memory: {bandwidth / 1e9:,.0f} GB/s",
        ((left * ridge) ** 0.5, bandwidth * (left * ridge) ** 0.5),
        xytext=(8, -12),
        textcoords="offset points",
        color=ROOF,
    )
    axes.axvline(ridge, color=MUTED, linewidth=0.8, linestyle=":")
    axes.text(ridge, top * 1.7, f" ridge point {ridge:.3g} FLOP/B", color=MUTED)


def _points(axes: Any, points: Sequence[Point], bandwidth: float, top: float) -> None:
    for i, p in enumerate(points):
        colour = ACCENTS[i % len(ACCENTS)]
        error = [[p.rate - p.low], [p.high - p.rate]]
        label = f"{p.label}: {p.rate / 1e9:,.3g} GFLOP/s"
        axes.errorbar(
            p.intensity, p.rate, yerr=error, fmt="o", markersize=6, color=colour, capsize=3, zorder=3, label=label
        )
        roof = min(top, bandwidth * p.intensity)
        axes.plot([p.intensity, p.intensity], [p.high, roof], color=colour, linewidth=0.8, linestyle=":", zorder=2)
    if points:
        axes.legend(loc="lower right", frameon=False, title="measured, 90 % interval", alignment="left")


def svg(figure: Any) -> str:
    """Return the figure as an SVG element to stand inside a page."""
    whole = rendered(figure, "svg").decode()
    return whole[whole.index("<svg") :]


def png(figure: Any) -> bytes:
    """Return the figure as a PNG."""
    return rendered(figure, "png")
