"""``mlsysim calibrate``: a measurement into eta, and from there to other devices."""

from __future__ import annotations

from typing import Any

import click

from mlsysim.cli import options
from mlsysim.results import Result


@click.command("calibrate", short_help="Turn a measurement into eta.")
@click.option("--model", help="the model that was run")
@click.option("--hardware", help="the device it ran on")
@click.option("--throughput", multiple=True, help="measured, all devices: '2100 tok/s'; repeat it for several runs")
@click.option("--time-s", "--time", "time_s", multiple=True, help="measured time of a step, in place of a throughput")
@click.option("--efficiency", "--mfu", "efficiency", multiple=True, help="an MFU you read, in place of a throughput")
@click.option("--convention", help="how that MFU's FLOPs were counted: causal, full-attention, 6n or hardware")
@click.option("--flops-per-token", help="FLOPs per token or sample, in place of a model")
@click.option("--peak-flops", "--peak", "peak_flops", help="dense peak of all devices, in place of hardware")
@click.option("--overhead", "overhead_s", help="part of a step that no faster hardware removes: '2 ms'")
@click.option("--on", multiple=True, help="then ask the same of these devices: h200,b200")
@options.question
@options.output
def command(
    throughput: tuple[str, ...],
    time_s: tuple[str, ...],
    efficiency: tuple[str, ...],
    on: tuple[str, ...],
    output: str,
    **question: Any,
) -> None:
    """Turn a measured throughput into eta, checked against physics.

    What physics excludes is refused, with the mistakes that would explain the number and what each would give. With
    --on, what was measured is carried to other devices: attainment, not eta, with the interval that the move costs.
    """
    from mlsysim.calibration import calibrate
    from mlsysim.errors import InvalidValue
    from mlsysim.report.answers import calibration_table, compare_table
    from mlsysim.report.tables import emit
    from mlsysim.whatif import compare

    found = calibrate(throughput=_given(throughput), time_s=_given(time_s), efficiency=_given(efficiency), **question)
    data = found.to_dict()
    elsewhere: tuple[Result, ...] = ()
    if on:
        if found.scenario is None:
            raise InvalidValue(
                "on", "left out where flops_per_token stands for a model", ",".join(on), "a device needs the model"
            )
        same = ("phase", "batch_size", "seq_len", "context", "precision", "devices")
        asked = {name: getattr(found.scenario, name) for name in same}
        elsewhere = compare(found.scenario.model, ",".join(on), efficiency=found, **asked)
        data["elsewhere"] = [r.to_dict() for r in elsewhere]
    if output != "csv" or not elsewhere:
        emit(output, data, calibration_table(found))
    if elsewhere and output != "json":
        print(end="" if output == "csv" else "\n")
        emit(output, [r.to_dict() for r in elsewhere], compare_table(elsewhere))
    options.say_notes((*found.notes, *(found.scenario.notes() if found.scenario else ())))
    options.say_results_notes(elsewhere)


def _given(values: tuple[str, ...]) -> str | tuple[str, ...] | None:
    """Return nothing, the one value, or all: an error then quotes what was typed."""
    return values[0] if len(values) == 1 else values or None
