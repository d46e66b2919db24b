"""``mlsysim guide [factors]``."""

from __future__ import annotations

import click

from mlsysim.cli import options


@click.command("guide", short_help="Show what eta to expect.")
@click.argument("topic", required=False)
@click.option("--hardware", help="the device whose ceilings are shown  [default: h100-sxm]")
@click.option("--precision", help="of a regime, the runs in this precision alone")
@options.output
def command(topic: str | None, hardware: str | None, precision: str | None, output: str) -> None:
    """Show what eta to expect: classical ranges, published percentiles, ceilings.

    TOPIC decode, prefill, training, network or tinyml shows what is published of that alone: percentiles of eta and
    attainment, with their sources. TOPIC `factors` shows the twelve causes that eta compresses, each with its sign in
    a profile.
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
        emit(
            output,
            [{**f._asdict(), "status": {s: v._asdict() for s, v in f.status.items()}} for f in factors],
            factor_table(factors),
        )
    else:
        from mlsysim.efficiency.grade import FAMILIES, comparable, regimes_of
        from mlsysim.efficiency.regimes import TITLES
        from mlsysim.precision import parse_precision
        from mlsysim.registry import nearest
        from mlsysim.report.graded import regime_table
        from mlsysim.scenario import hardware_of

        topics = list(dict.fromkeys(("factors", *FAMILIES, *TITLES)))
        if topic.lower() not in topics:
            known = "known: " + ", ".join(topics) + "; `mlsysim guide` alone shows the ranges"
            raise UnknownName("topic", topic, nearest(topic, topics), known)
        device = hardware_of(hardware) if hardware else None
        found = comparable(regimes_of(topic.lower()), device, parse_precision(precision) if precision else "")
        emit(output, found.to_dict(), regime_table(found))
