"""``mlsysim cost DEVICE --region virginia --utilisation 0.7``."""

from __future__ import annotations

import sys
from typing import Any

import click

from mlsysim.cli import options
from mlsysim.cli.options import Word

_UNITS = {"usd": "USD", "power_w": "W"}
"""Options that are quantities, which may be written with their unit."""


def _read(value: Any, dimension: str | None, name: str) -> Any:
    from mlsysim.units import parse

    return parse(value, dimension, name) if dimension and isinstance(value, str) else value


@click.command("cost", short_help="Tell what an hour of a device costs, rented and owned, and what it emits.")
@click.argument("device")
@click.option("--region", help="where it runs, for electricity, carbon and water: virginia, germany, eu-west-1")
@click.option(
    "--scope", help="what the carbon of electricity counts: life-cycle or direct  [default: what is published]"
)
@click.option(
    "--utilisation", type=Word(), default=1.0, help="share of the hours owned that are used, 70%  [default: 1]"
)
@click.option("--devices", type=Word(), default=1, help="how many  [default: 1]")
@click.option("--years", type=Word(), help="years of use  [default: 5]")
@click.option("--discount-rate", type=Word(), help="cost of capital a year  [default: 8%]")
@click.option(
    "--pue", type=Word(), help="what the building takes over its equipment, or a facility's name: 1.2, google"
)
@click.option("--usd", type=Word(), help="purchase price of a device with its share of the node [USD]")
@click.option("--usd-per-kwh", type=Word(), help="price of electricity [USD/kWh]")
@click.option("--power-w", type=Word(), help="mean power of a device in use with its share of the host [W]")
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

    given = {"years": years, "discount_rate": _read(discount_rate, "1", "discount_rate"), "pue": pue}
    owned = Ownership(**{name: value for name, value in given.items() if value is not None})
    stated = {name: _read(value, _UNITS.get(name), name) for name, value in stated.items()}
    found = device_cost(device, region, ownership=owned, **stated)
    data = found.to_dict()
    if assumptions:
        told = [{"assumption": name, **figure} for name, figure in data["assumptions"].items()]
        emit(output, told, assumptions_table(found))
    else:
        emit(output, data, cost_table(found))
    sys.exit(0 if found.rents or found.owned else 1)
