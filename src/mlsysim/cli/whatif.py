"""``mlsysim whatif CALIBRATION --batch 64 --hardware b200``."""

from __future__ import annotations

import sys
from typing import Any

import click

from mlsysim.cli import options


@click.command("whatif", short_help="Change something of a saved calibration's run.")
@click.argument("calibrations", nargs=-1, required=True, metavar="CALIBRATION ...")
@click.option("--model", help="another model")
@click.option("--hardware", help="other hardware")
@click.option("--usd-per-hour", help="price of one device, for the cost of a step")
@options.question
@options.output
def command(calibrations: tuple[str, ...], output: str, **changes: Any) -> None:
    """Put a run as it was measured beside the same run with something changed.

    CALIBRATION is a name under which `mlsysim calibrate --save` keeps it, NAME@2 its second revision, or a file; of
    several, all points count, and the one with the most samples is the run that is changed.
    """
    from mlsysim.calibration.store import combined
    from mlsysim.report.calibrated import what_if_table
    from mlsysim.report.tables import emit
    from mlsysim.whatif import what_if

    found = what_if(combined(calibrations), **changes)
    data = {"measured": found.home.to_dict(), "changed": found.there.to_dict(), "speedup": found.speedup}
    emit(output, [found.home.to_dict(), found.there.to_dict()] if output == "csv" else data, what_if_table(found))
    options.say_notes(found.there.notes)
    sys.exit(0 if found.there.fits else 1)
