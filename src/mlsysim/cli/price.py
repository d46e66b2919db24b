"""``mlsysim price MODEL HARDWARE``."""

from __future__ import annotations

from typing import Any

import click

from mlsysim.cli import options


@click.command("price", short_help="What a million tokens cost, read and written.")
@click.argument("model")
@click.argument("hardware")
@click.option("--prompt", type=options.Word(), default=1024, show_default=True, help="tokens that a request reads")
@click.option("--answer", type=options.Word(), default=256, show_default=True, help="tokens that a request writes")
@click.option(
    "--batch", "--batch-size", "batch_size", type=options.Word(), default=32, show_default=True, help="requests at once"
)
@click.option("--precision", help="number format  [default: the file's, or the device's 16-bit format]")
@click.option("--devices", type=options.Word(), help="identical devices that share the work  [default: 1]")
@options.efficiency
@options.output
def command(model: str, hardware: str, output: str, **question: Any) -> None:
    """What a million tokens cost, read and written, where so many requests are answered at once.

    Exit code 1 where they do not fit into memory.
    """
    from mlsysim.report.answers import prices_table
    from mlsysim.report.tables import emit
    from mlsysim.whatif.token_prices import token_prices

    asked = {name: value for name, value in question.items() if value is not None}
    found = token_prices(model, hardware, **asked)
    emit(output, found.to_dict(), prices_table(found))
    options.say_notes(dict.fromkeys((*found.prefill.notes, *found.decode.notes)))
