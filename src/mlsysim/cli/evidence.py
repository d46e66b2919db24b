"""``mlsysim evidence [--where CONDITIONS]``."""

from __future__ import annotations

import click

from mlsysim.cli import options


@click.command("evidence", short_help="List published measurements.")
@click.option("--where", default="", help='conditions: "hardware=b200 and regime=decode and batch_size>1"')
@click.option("--add", multiple=True, type=click.Path(), help="a CSV table of further measurements; may be repeated")
@options.output
def command(where: str, add: tuple[str, ...], output: str) -> None:
    """List published measurements, each with the address and the place it was read at.

    The signs are = and != (names in any spelling, or their beginning), ~ (a part), >, >=, < and <=.
    """
    from pathlib import Path

    from mlsysim.evidence.listing import listed
    from mlsysim.report.listings import evidence_table
    from mlsysim.report.tables import emit

    rows = listed(where, [Path(name) for name in add])
    emit(output, [row._asdict() for row in rows], evidence_table(rows))
