"""``mlsysim transfer CALIBRATION --to DEVICE,...``."""

from __future__ import annotations

import sys
from typing import Any

import click

from mlsysim.cli import options


@click.command("transfer", short_help="Carry a saved calibration to other devices.")
@click.argument("calibrations", nargs=-1, required=True, metavar="CALIBRATION ...")
@click.option("--to", "to", required=True, multiple=True, help="devices, separated by commas: b200,mi300x")
@options.question
@options.output
def command(calibrations: tuple[str, ...], to: tuple[str, ...], output: str, **question: Any) -> None:
    """Say what eta, time and throughput to expect on other devices after what was measured on one.

    CALIBRATION is a name under which `mlsysim calibrate --save` keeps it, NAME@2 its second revision, or a file; of
    several, all points count. The interval widens with the distance: family, memory class, kind of machine.
    """
    from mlsysim.calibration.store import combined
    from mlsysim.errors import InvalidValue
    from mlsysim.report.answers import compare_table
    from mlsysim.report.tables import emit
    from mlsysim.whatif import compare_calibrated

    if not any(name.strip() for name in ",".join(to).split(",")):
        raise InvalidValue("to", "at least one device", ",".join(to))
    profile = combined(calibrations)
    results = compare_calibrated(profile, ",".join(to), **question)
    emit(output, [r.to_dict() for r in results], compare_table(results))
    options.say_results_notes(results)
    sys.exit(0 if any(r.fits for r in results) else 1)
