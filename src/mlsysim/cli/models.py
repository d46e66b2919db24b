"""``mlsysim models [NAME]``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from mlsysim.cli import options
from mlsysim.models import ModelSpec


@click.command("models", short_help="List the models, or show one.")
@click.argument("name", required=False)
@options.output
def command(name: str | None, output: str) -> None:
    """List the models, or show every fact of one with its source."""
    from mlsysim.models import Models
    from mlsysim.report.listings import model_table, models_table
    from mlsysim.report.tables import emit

    if name:
        emit(output, _data(Models[name]), model_table(Models[name]))
    else:
        chosen = [Models[n] for n in Models]
        emit(output, [_data(m) for m in chosen], models_table(chosen))


def _data(model: ModelSpec) -> dict[str, Any]:
    return {"name": model.name, "parameters": model.parameters, **asdict(model)}
