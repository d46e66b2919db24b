"""``mlsysim compare MODEL --on A,B,C``."""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import Any

import click

from mlsysim.cli import options
from mlsysim.results import Note


@click.command("compare", short_help="Ask one question of several devices.")
@click.argument("model")
@click.option("--on", required=True, help="devices, separated by commas: a100,h100,b200")
@options.question
@options.efficiency
@options.output
def command(model: str, on: str, output: str, **question: Any) -> None:
    """Ask one question of several devices."""
    from mlsysim.report.answers import compare_table
    from mlsysim.report.tables import emit
    from mlsysim.whatif import compare

    names = [name.strip() for name in on.split(",") if name.strip()]
    results = compare(model, names, **question)
    emit(output, [r.to_dict() for r in results], compare_table(results))
    said: dict[Note, list[str]] = defaultdict(list)
    for result in results:
        for note in result.notes:
            said[note].append(result.hardware)
    for note, where in said.items():
        options.say_notes([note], prefix="" if len(where) == len(results) else f"{', '.join(where)}: ")
    sys.exit(0 if any(r.fits for r in results) else 1)
