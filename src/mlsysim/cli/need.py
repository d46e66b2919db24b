"""``mlsysim need bandwidth MODEL HARDWARE --reach "tpot_s <= 8 ms"``."""

from __future__ import annotations

from typing import Any

import click

from mlsysim.cli import options
from mlsysim.cli.varied import varied


@click.command("need", short_help="Ask which eta, bandwidth, batch, devices or price would reach a goal.")
@click.argument("what")
@click.argument("model")
@click.argument("hardware")
@click.option("--reach", required=True, help="the goal: 'tpot_s <= 50 ms', 'run_s <= 30 days', 'usd_per_million < 2'")
@options.question
@options.efficiency
@options.output
@varied
def command(what: str, model: str, hardware: str, output: str, **question: Any) -> None:
    """Ask which value of one input would reach a goal, all else as it is.

    WHAT is eta, peak, bandwidth, memory, cache, link, network, batch, seq_len, context, devices or price. Exits with 1
    where no value does, and says what the best is and what binds there.
    """
    from mlsysim.report.sensitivities import need_table
    from mlsysim.report.tables import emit
    from mlsysim.whatif.inverse import need

    found = need(what, model, hardware, **question)
    emit(output, found.to_dict(), need_table(found))
    options.say_notes(found.notes)
