"""``mlsysim grade --eta ETA --model MODEL --hardware HARDWARE``."""

from __future__ import annotations

from typing import Any

import click

from mlsysim.cli import options


@click.command("grade", short_help="Say where an eta stands among published ones.")
@click.option("--eta", required=True, type=options.Word(), help="the eta to grade, in (0, 1]")
@click.option("--model", required=True, help="what is run")
@click.option("--hardware", required=True, help="what it is run on")
@options.question
@options.output
def command(eta: Any, model: str, hardware: str, output: str, **question: Any) -> None:
    """Say where an eta stands among published runs of the same kind, and what the best of them reaches."""
    from mlsysim.efficiency.estimate import checked_efficiency
    from mlsysim.efficiency.grade import grade
    from mlsysim.errors import Checks
    from mlsysim.report.graded import grade_table
    from mlsysim.report.tables import emit
    from mlsysim.scenario import Scenario
    from mlsysim.units import parse

    checks = Checks()
    stated = checks(lambda: checked_efficiency(parse(eta, "1", "eta"), eta, "eta"))
    scenario = Scenario.of(model, hardware, checks=checks, **question)
    assert stated is not None
    found = grade(stated, scenario)
    emit(output, found.to_dict(), grade_table(found))
