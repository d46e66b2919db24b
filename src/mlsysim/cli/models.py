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
    """List the models, or show every fact of one with its source; NAME may be a file or folder too."""
    from mlsysim.errors import Checks
    from mlsysim.models import Models
    from mlsysim.report.listings import model_table, models_table
    from mlsysim.report.tables import emit
    from mlsysim.workload import model_of

    if name is not None:
        spec = model_of(name)
        emit(output, _data(spec), model_table(spec))
    else:
        checks = Checks()  # one file of one's own that cannot be read does not hide the others
        own = [checks(build) for build in Models.others().values()]
        chosen = [*(Models[n] for n in Models), *(spec for spec in own if spec)]
        emit(output, [_data(m) for m in chosen], models_table(chosen))
        checks.done()


def _data(model: ModelSpec) -> dict[str, Any]:
    return {
        "name": model.name,
        "parameters": model.parameters,
        "active_parameters": model.active_parameters,
        **asdict(model),
    }
