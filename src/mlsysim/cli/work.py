"""``mlsysim work MODEL``."""

from __future__ import annotations

from typing import Any

import click

from mlsysim.cli import options


@click.command("work", short_help="Itemise FLOPs and bytes of a step.")
@click.argument("model")
@options.workload
@options.output
def command(model: str, output: str, **question: Any) -> None:
    """Itemise the work of a step: each class of operators with FLOPs and bytes, and a second count beside the sum.

    MODEL is a name as `mlsysim models` lists it, or a file or folder: config.json, *.safetensors, *.gguf, *.onnx.
    """
    from mlsysim.report.ledger import ledger_data, ledger_table
    from mlsysim.report.tables import emit
    from mlsysim.workload import Workload

    asked = Workload.of(model, **question)
    data = ledger_data(asked)
    emit(output, data["operators"] if output == "csv" else data, ledger_table(asked, data))
    options.say_notes(asked.question_notes())
