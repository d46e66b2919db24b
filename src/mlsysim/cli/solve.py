"""``mlsysim solve MODEL HARDWARE``."""

from __future__ import annotations

import sys
from typing import Any

import click

from mlsysim.cli import options


@click.command("solve", short_help="Answer one question.")
@click.argument("model")
@click.argument("hardware")
@options.question
@options.efficiency
@click.option("--explain", "explained", is_flag=True, help="tell where the time goes, cause by cause")
@options.output
def command(model: str, hardware: str, output: str, explained: bool, **question: Any) -> None:
    """Answer one question: time, throughput, eta, what bounds it, and whether it fits.

    MODEL and HARDWARE are names as `mlsysim models` and `mlsysim hardware` list them, in any spelling.
    """
    from mlsysim.engine import Engine
    from mlsysim.report.answers import result_table
    from mlsysim.report.tables import emit

    result = Engine.solve(model, hardware, **question)
    data, table = result.to_dict(), result_table(result)
    if explained:
        breakdown = result.explain()
        seconds = {c.name: c.seconds for c in breakdown.causes}
        data["explain"] = seconds if output == "csv" else breakdown.to_dict()
    emit(output, data, table)
    if explained and output == "table":
        print(breakdown)
    if explained and output == "markdown":
        from mlsysim.report.breakdowns import breakdown_table

        print()
        emit(output, None, breakdown_table(breakdown))
    options.say_notes(result.notes)
    sys.exit(0 if result.fits else 1)
