"""``mlsysim models [NAME]``."""

from __future__ import annotations

from dataclasses import asdict

import click

from mlsysim.cli import options


@click.command("models")
@click.argument("name", required=False)
@options.output
def command(name: str | None, output: str) -> None:
    """List the models, or show one."""
    from mlsysim.models import Models
    from mlsysim.report.answers import model_table
    from mlsysim.report.tables import emit

    chosen = [Models[name]] if name else [Models[n] for n in Models]
    data = [{"parameters": m.parameters, **asdict(m)} for m in chosen]
    emit(output, data[0] if name else data, model_table(chosen))
