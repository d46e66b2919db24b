"""``mlsysim calibrate``: a measurement into eta."""

from __future__ import annotations

from typing import Any

import click

from mlsysim.cli import options


@click.command("calibrate", short_help="Turn a measurement into eta.")
@click.option("--model", help="the model that was run")
@click.option("--hardware", help="the device it ran on")
@click.option("--throughput", multiple=True, help="measured, all devices: '2100 tok/s'; repeat it for several runs")
@click.option("--time-s", "--time", "time_s", multiple=True, help="measured time of a step, in place of a throughput")
@click.option("--flops-per-token", help="FLOPs per token or sample, in place of a model")
@click.option(
    "--peak-flops", "--peak", "peak_flops", help="dense peak of all devices, in place of hardware: '989 TFLOP/s'"
)
@options.question
@options.output
def command(throughput: tuple[str, ...], time_s: tuple[str, ...], output: str, **question: Any) -> None:
    """Turn a measured throughput into eta, checked against physics.

    What physics excludes is refused, with the mistakes that would explain the number and what each would give.
    """
    from mlsysim.calibration import calibrate
    from mlsysim.report.answers import calibration_table
    from mlsysim.report.tables import emit

    found = calibrate(throughput=throughput or None, time_s=time_s or None, **question)
    emit(output, found.to_dict(), calibration_table(found))
    options.say_notes((*found.notes, *(found.scenario.notes() if found.scenario else ())))
