"""``mlsysim guide [factors]``."""

from __future__ import annotations

import click

from mlsysim.cli import options


@click.command("guide", short_help="Show what eta to expect.")
@click.argument("topic", required=False)
@click.option("--hardware", help="the device whose ceilings are shown  [default: h100-sxm]")
@options.output
def command(topic: str | None, hardware: str | None, output: str) -> None:
    """Show what eta to expect: classical ranges, published percentiles, ceilings.

    TOPIC `factors` shows the twelve causes that eta compresses, each with its sign in a profile.
    """
    from mlsysim.efficiency.guide import DEFAULT_DEVICE, Efficiency
    from mlsysim.errors import UnknownName
    from mlsysim.report.listings import factor_table, guide_table
    from mlsysim.report.tables import emit

    if topic is None:
        rows = Efficiency.guide(hardware or DEFAULT_DEVICE)
        emit(
            output,
            [{**g._asdict(), "measured": g.measured._asdict(), "attainment": g.attainment._asdict()} for g in rows],
            guide_table(rows),
        )
    elif topic.lower() == "factors":
        factors = Efficiency.factors()
        emit(output, [f._asdict() for f in factors], factor_table(factors))
    else:
        raise UnknownName("topic", topic, ["factors"], "`mlsysim guide` alone shows the ranges")
