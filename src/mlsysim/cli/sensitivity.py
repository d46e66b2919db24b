"""``mlsysim sensitivity MODEL HARDWARE --of usd_per_million``."""

from __future__ import annotations

import sys
from typing import Any

import click

from mlsysim.cli import options
from mlsysim.cli.varied import varied


@click.command("sensitivity", short_help="Tell which inputs an answer depends on, and what more of each buys.")
@click.argument("model")
@click.argument("hardware")
@click.option(
    "--of", default="time_s", help="the quantity: tpot_s, throughput, usd_per_million, ...  [default: time_s]"
)
@click.option("--change", default="10 %", help="how much each input is changed  [default: 10 %]")
@click.option("--plot", help="write a tornado plot to this file: .png, .svg or .pdf")
@options.question
@options.efficiency
@options.output
@varied
def command(model: str, hardware: str, output: str, plot: str | None, **question: Any) -> None:
    """Tell how a quantity of an answer depends on every input: elasticities, and what more of each buys.

    An elasticity of -0.62 says that 1 % more of the input is 0.62 % less of the quantity; two numbers are those below
    and above a kink.
    """
    from mlsysim.report.sensitivities import sensitivity_table
    from mlsysim.report.tables import emit
    from mlsysim.whatif.sensitivity import sensitivity

    found = sensitivity(model, hardware, **question)
    if plot:
        found.plot(plot)
    data = found.to_dict()
    emit(output, data["rows"] if output == "csv" else data, sensitivity_table(found))
    options.say_notes(found.notes)
    sys.exit(0 if found.result.fits else 1)
