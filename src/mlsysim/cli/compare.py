"""``mlsysim compare MODEL --on A,B,C``."""

from __future__ import annotations

import sys
from typing import Any

import click

from mlsysim.cli import options


@click.command("compare", short_help="Ask one question of several devices.")
@click.argument("model")
@click.option("--on", required=True, multiple=True, help="devices, separated by commas: a100,h100,b200")
@options.question
@options.efficiency
@options.output
def command(model: str, on: tuple[str, ...], output: str, **question: Any) -> None:
    """Ask one question of several devices."""
    from mlsysim.report.answers import compare_table
    from mlsysim.report.tables import emit
    from mlsysim.whatif import compare

    results = compare(model, ",".join(on), **question)
    emit(output, [r.to_dict() for r in results], compare_table(results))
    options.say_results_notes(results)
    sys.exit(0 if any(r.fits for r in results) else 1)
