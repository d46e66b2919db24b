"""The page of a first light: one HTML file that needs nothing else, and its roofline as a PNG beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlsysim.files import write_whole
from mlsysim.report.answers import span
from mlsysim.report.first_light import CALIBRATED, PRECISION, FirstLight
from mlsysim.report.pages import template
from mlsysim.report.roofline import Point, png, roofline, svg
from mlsysim.results import Interval
from mlsysim.units import si

PAGE, PICTURE = "first-light.html", "roofline.png"


def write_page(light: FirstLight, folder: Path) -> Path:
    """Write the page and its picture into an existing ``folder``, each whole or not at all; return the page's path.

    Raises
    ------
    MissingExtra
        matplotlib or jinja2 is not installed.
    """
    page = template(
        "first_light.html",
        "the page",
        si=si,
        span=span,
        eta=_eta,
        ends=lambda e: f"{e.low:.2g} to {e.high:.2g}",
        percent=lambda x: f"{x:.0%}",
        signed=lambda x: f"{x:+.1%}",
    )
    figure = _figure(light)
    text = page.render(
        light=light, roofline=svg(figure), calibrated=CALIBRATED, precision=PRECISION, rates=_rates(light)
    )
    write_whole(folder / PICTURE, png(figure))
    write_whole(folder / PAGE, text.encode())
    return folder / PAGE


def _rates(light: FirstLight) -> dict[int, Interval]:
    """Return the achieved rate of each batch size [FLOP/s]."""
    work = 2.0 * light.model.macs
    return {batch: run.throughput * work for batch, run in light.runs.items()}


def _figure(light: FirstLight) -> Any:
    device = light.hardware
    bandwidth = device.bandwidth.value if device.bandwidth else float("nan")
    points = [
        Point(f"batch {batch}", light.intensity(batch), rate.value, rate.low, rate.high)
        for batch, rate in _rates(light).items()
    ]
    roofs = {f"{PRECISION} peak, measured": device.peak(PRECISION).value}
    single = [s.flops_per_s for s in light.probe.samples if s.threads == 1 and s.precision == PRECISION]
    if single and max(single) < 0.95 * device.peak(PRECISION).value:
        roofs[f"{PRECISION}, 1 thread"] = max(single)
    return roofline(f"{light.model.name} on this machine, {PRECISION}", bandwidth, roofs, points)


def _eta(interval: Any) -> str:
    return f"{interval.value:.3g} ({interval.low:.3g} to {interval.high:.3g})"
