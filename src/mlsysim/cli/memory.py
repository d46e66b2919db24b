"""``mlsysim memory MODEL``."""

from __future__ import annotations

from typing import Any

import click

from mlsysim.cli import options


@click.command("memory", short_help="Itemise the bytes a model holds.")
@click.argument("model")
@options.workload
@options.output
def command(model: str, output: str, **question: Any) -> None:
    """Itemise what a step holds in memory: weights, KV cache, activations, gradients, optimizer states, workspace.

    MODEL is a name as `mlsysim models` lists it, or a file or folder: config.json, *.safetensors, *.gguf, *.onnx.
    """
    from mlsysim.report.ledger import memory_data, memory_table
    from mlsysim.report.tables import emit
    from mlsysim.workload import Workload

    asked = Workload.of(model, **question)
    data = memory_data(asked)
    emit(output, data, memory_table(asked, data))
    options.say_notes(asked.question_notes())
