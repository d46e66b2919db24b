"""Where a workload runs, and what that makes of its energy: carbon and water of a step."""

from __future__ import annotations

from typing import Any, NamedTuple

from mlsysim.costs.facilities import facility_of, pue_of
from mlsysim.costs.figures import CostFigure
from mlsysim.costs.ownership import default
from mlsysim.costs.power import HOSTLESS, node_host_w
from mlsysim.costs.regions import Region, region
from mlsysim.hardware import HardwareSpec
from mlsysim.physics import economics
from mlsysim.physics.elementwise import Real
from mlsysim.results import Interval
from mlsysim.scenario import Scenario

LITRES = 1e3
"""Litres of a cubic metre."""


class Site(NamedTuple):
    """A region with its grid, and the building in it."""

    region: Region
    pue: CostFigure

    def __str__(self) -> str:
        return self.region.name


class Footprint(NamedTuple):
    """Energy at the wall [J], carbon [kg CO2e] and water [L] of a step; water is None where it is not published."""

    wall_j: Interval
    carbon_kg: Interval
    water_l: Interval | None


def site_of(name: object, pue: float | str | None = None) -> Site:
    """Return a site: a region by its name, and a PUE or that of the region's operator, else of the industry.

    Raises
    ------
    InvalidValue, UnknownName
        No such region or facility, or a PUE out of range.
    """
    place = region(name)  # type: ignore[arg-type]  # what is no name is refused with a sentence
    return Site(place, pue_of(pue, place))


def footprint(energy_j: Interval, time_s: Real, scenario: Scenario, site: Site) -> Footprint:
    """Return what a step takes at a site: the energy of its devices [J], of the host beside them, and of the building.

    The host draws what published nodes of such devices draw beside them; where none is, a usual share of the devices'.
    """
    each, share = host_of(scenario.hardware)
    it_energy = energy_j * (1.0 + share)
    if each:
        beside: Any = scenario.devices * each * time_s
        it_energy = Interval(*(e + beside for e in it_energy))
    wall = it_energy * site.pue.value
    carbon = wall * site.region.carbon().value
    grid, wue = site.region.water(), facility_of(site.region).wue
    if grid is None or wue is None:
        return Footprint(wall, carbon, None)
    water = economics.operational_water(1.0, wue.value, site.pue.value, grid.value)
    return Footprint(wall, carbon, it_energy * (LITRES * water))


def host_of(device: HardwareSpec) -> tuple[float, float]:
    """Return what the host draws beside a device: a power [W], and a share of the device's own; one of them is 0."""
    if device.kind in HOSTLESS:
        return 0.0, 0.0
    drawn = node_host_w(device.name)
    return (0.0, default("host_share").value) if drawn is None else (drawn.value, 0.0)
