"""``mlsysim guide [TOPIC]``."""

from __future__ import annotations

from typing import Any

import click

from mlsysim.cli import options

WIDE = 110
"""Characters of a line of text that are still read with ease."""


@click.command("guide", short_help="Show what eta to expect.")
@click.argument("topic", required=False)
@click.option("--hardware", help="the device whose ceilings are shown  [default: h100-sxm]")
@click.option("--precision", help="of a regime, the runs in this precision alone")
@options.output
def command(topic: str | None, hardware: str | None, precision: str | None, output: str) -> None:
    """Show what eta to expect: classical ranges, published percentiles, ceilings.

    TOPIC decode, prefill, training, network or tinyml shows what is published of that alone: percentiles of eta and
    attainment, with their sources. TOPIC `factors` shows the twelve causes that eta compresses: the sign of each in a
    profile, what it costs in published runs, what mends it. The name of one (kernel_launch, occupancy, ...) shows that
    one with what to try and where it is seen.
    """
    from mlsysim.efficiency.factors import causes, factor
    from mlsysim.efficiency.guide import DEFAULT_DEVICE, Efficiency
    from mlsysim.registry import normal
    from mlsysim.report.tables import emit

    if topic is None:
        from mlsysim.report.listings import guide_table

        rows = Efficiency.guide(hardware or DEFAULT_DEVICE)
        emit(
            output,
            [{**g._asdict(), "measured": g.measured._asdict(), "attainment": g.attainment._asdict()} for g in rows],
            guide_table(rows),
        )
    elif normal(topic) == "factors":
        _all(output)
    elif normal(topic) in map(normal, causes()):
        _one(factor(topic).name, output)
    else:
        _regime(topic.lower(), hardware, precision, output)


def _all(output: str) -> None:
    """Show the twelve: for people one figure of each beside the others, then all that is known of each."""
    from mlsysim.efficiency.factors import factors
    from mlsysim.report.factors import factor_document, factor_table, factor_text
    from mlsysim.report.tables import emit

    found = factors()
    if output != "table":
        emit(output, [_data(f.name) for f in found], factor_document(found))
        return
    emit(output, None, factor_table(found))
    for f in found:
        click.echo()
        _say(factor_text(f, _width()))


def _one(name: str, output: str) -> None:
    """Show one factor: for people as text, for documents as several tables, for programs as one answer."""
    from mlsysim.efficiency.factors import factor
    from mlsysim.efficiency.remedies import remedies
    from mlsysim.report.factors import factor_tables, factor_text
    from mlsysim.report.tables import emit

    if output == "table":
        _say(factor_text(factor(name), _width(), remedies(name)))
        return
    tables = [t for t in factor_tables(factor(name), remedies(name)) if t.rows]
    for i, table in enumerate(tables if output == "markdown" else tables[:1]):
        click.echo(nl=i > 0)
        emit(output, _data(name), table)


def _say(text: str) -> None:
    """Print text, its first line as a heading."""
    head, _, rest = text.partition("\n")
    click.echo(f"{click.style(head, bold=True)}\n{rest}")


def _width() -> int:
    from shutil import get_terminal_size

    return min(get_terminal_size((WIDE, 0)).columns, WIDE)


def _data(name: str) -> dict[str, Any]:
    from mlsysim.efficiency.factors import factor
    from mlsysim.efficiency.remedies import remedies

    return {**factor(name).to_dict(), "remedies": [r._asdict() for r in remedies(name)]}


def _regime(topic: str, hardware: str | None, precision: str | None, output: str) -> None:
    """Show what is published of a kind of work."""
    from mlsysim.efficiency.factors import causes
    from mlsysim.efficiency.grade import FAMILIES, comparable, regimes_of
    from mlsysim.efficiency.regimes import TITLES
    from mlsysim.errors import UnknownName
    from mlsysim.precision import parse_precision
    from mlsysim.registry import nearest
    from mlsysim.report.graded import regime_table
    from mlsysim.report.tables import emit
    from mlsysim.scenario import hardware_of

    topics = list(dict.fromkeys(("factors", *FAMILIES, *TITLES)))
    if topic not in topics:
        topics += causes()
        known = "known: " + ", ".join(topics) + "; `mlsysim guide` alone shows the ranges"
        raise UnknownName("topic", topic, nearest(topic, topics), known)
    device = hardware_of(hardware) if hardware else None
    found = comparable(regimes_of(topic), device, parse_precision(precision) if precision else "")
    emit(output, found.to_dict(), regime_table(found))
