"""``mlsysim cost DEVICE --region virginia --utilisation 0.7``."""

from __future__ import annotations

import sys
from typing import Any

import click

from mlsysim.cli import options
from mlsysim.cli.options import Word


@click.command("cost", short_help="Tell what an hour of a device costs, rented and owned, and what it emits.")
@click.argument("device")
@click.option("--region", help="where it runs, for electricity, carbon and water: virginia, germany, eu-west-1")
@click.option("--utilisation", type=Word(), default=1.0, help="share of the hours owned that are used  [default: 1]")
@click.option("--devices", type=Word(), default=1, help="how many  [default: 1]")
@click.option("--years", type=Word(), help="years of use")
@click.option("--discount-rate", type=Word(), help="cost of capital a year: 0.08")
@click.option("--pue", type=Word(), help="energy of the building over that of its equipment, or a facility's name")
@click.option("--usd", type=Word(), help="purchase price of a device with its share of the node")
@click.option("--usd-per-kwh", type=Word(), help="price of electricity")
@click.option("--power-w", type=Word(), help="mean power of a device in use with its share of the host")
@click.option("--assumptions", is_flag=True, help="list every figure that decides, with its source")
@options.output
def command(
    device: str,
    region: str | None,
    output: str,
    years: Any,
    discount_rate: Any,
    pue: Any,
    assumptions: bool,
    **stated: Any,
) -> None:
    """Tell what an hour of use of a device costs: rented by kind of provider, and owned, in parts.

    And from what share of the hours in use owning beats each rent; carbon, operational and embodied, and water. What
    is not known is said. Exits with 1 where neither rent nor cost of owning is.
    """
    from mlsysim.costs.ownership import Ownership
    from mlsysim.report.device_costs import assumptions_table, cost_table
    from mlsysim.report.tables import emit
    from mlsysim.whatif.device_cost import device_cost

    given = {"years": years, "discount_rate": discount_rate, "pue": pue}
    owned = Ownership(**{name: value for name, value in given.items() if value is not None})
    found = device_cost(device, region, ownership=owned, **stated)
    data = found.to_dict()
    if assumptions:
        told = [{"assumption": name, **figure} for name, figure in data["assumptions"].items()]
        emit(output, told, assumptions_table(found))
    else:
        emit(output, data, cost_table(found))
    sys.exit(0 if found.rents or found.owned else 1)
