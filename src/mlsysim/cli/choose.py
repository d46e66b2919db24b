"""``mlsysim choose MODEL --where "tpot_s < 50 ms" --by usd_per_million``."""

from __future__ import annotations

import sys
from typing import Any

import click

from mlsysim.cli import options, paying
from mlsysim.cli.options import Word


@click.command("choose", short_help="Choose hardware: the cheapest that meets a condition, and the front.")
@click.argument("model")
@click.option(
    "--on", default="all", help="devices with commas, a kind (gpu, tpu, npu, cpu, mcu) or all  [default: all]"
)
@click.option(
    "--by", default="usd_per_million", help="what is to be least; -throughput for the most  [default: usd_per_million]"
)
@click.option("--where", default="", help="what must be met: 'tpot_s < 50 ms and devices <= 8'")
@click.option("--pareto", default="", help="objectives of the front, with commas: time_s,-throughput,usd_per_million")
@click.option("--front", is_flag=True, help="show the front in place of the best of each hardware")
@click.option("--rent", help="on-demand, hyperscaler, specialist, marketplace, spot or reserved  [default: on-demand]")
@click.option("--price", multiple=True, help="what you pay: 2.5 for every device, or h100=2.5,h200=3.2 [USD/h]")
@click.option("--own", is_flag=True, help="the devices are bought, not rented: needs --region or --usd-per-kwh")
@click.option("--utilisation", type=Word(), help="share of the hours paid for that are used, 70%  [default: 1]")
@click.option("--years", type=Word(), help="years for which what is owned is used  [default: 5]")
@click.option("--usd", multiple=True, help="purchase price: 35000 for every device, or h100=35000,b200=55000 [USD]")
@click.option("--usd-per-kwh", type=Word(), help="price of electricity of what is owned  [default: the region's]")
@click.option("--tokens", type=Word(), help="tokens that a training run reads in all, for run_s and run_usd")
@click.option("--region", help="where it runs, for carbon, water and what electricity costs an owner")
@click.option("--plan", help="how devices share the work and what runs it: 'tp8', 'engine=vllm tp=2'")
@click.option("--efficiency", type=options.Eta(many=True), help=options.ETA)
@click.option("--plot", help="draw the front to this file: .png, .svg or .pdf")
@options.question
@options.output
def command(
    model: str,
    on: str,
    output: str,
    pareto: str,
    price: tuple[str, ...],
    usd: tuple[str, ...],
    own: bool,
    years: Any,
    usd_per_kwh: Any,
    front: bool,
    plot: str | None,
    **question: Any,
) -> None:
    """Choose hardware for a question: the best option of each device by one quantity, best first.

    Sizes and devices may be lists (1,2,4,8) or ranges (1..256*2). Options whose ratio may be 1 are said to be
    indistinguishable, with what would settle it. Exits with 1 where nothing meets the condition, and says what misses
    it by least.
    """
    from mlsysim.report.choices import choices_table, front_table
    from mlsysim.report.tables import emit
    from mlsysim.whatif.choose import OBJECTIVES, choose

    objectives = tuple(name.strip() for name in pareto.split(",") if name.strip()) or OBJECTIVES
    found = choose(
        model,
        on,
        pareto=objectives,
        usd_per_hour=paying.prices(price, "price"),
        own=paying.owned(own, years=years),
        usd=paying.prices(usd, "usd"),
        usd_per_kwh=usd_per_kwh,
        **question,
    )
    if plot:
        found.plot(plot)
    data = found.to_dict()
    rows = data["front" if front else "options"]
    emit(output, rows if output == "csv" else data, front_table(found) if front else choices_table(found))
    if found.best is None:
        print(f"mlsysim: {found.why_none()}", file=sys.stderr)
    else:
        options.say_notes(found.best.result.notes)
    sys.exit(0 if found.best else 1)
