"""Carbon and water of an energy used somewhere, and the carbon of the devices themselves."""

from __future__ import annotations

from typing import Any, NamedTuple

from mlsysim.costs.facilities import Facility, facility, facility_of, pue_of
from mlsysim.costs.figures import CostFigure, figures, number, stated
from mlsysim.costs.regions import Region, region
from mlsysim.hardware.registry import Hardware
from mlsysim.hardware.spec import HardwareSpec
from mlsysim.physics import economics


class Carbon(NamedTuple):
    """Emissions [kg CO2e], the energy at the wall [J], and the figures they follow from."""

    kg: Any
    wall_energy_j: Any
    intensity: CostFigure
    pue: CostFigure


class Water(NamedTuple):
    """Water consumed [m^3] on site and in generation, and the figures it follows from; None is what is unpublished."""

    on_site_m3: Any
    off_site_m3: Any
    wue: CostFigure | None
    grid: CostFigure | None
    pue: CostFigure

    @property
    def total_m3(self) -> Any:
        """Return both together, None unless both are known [m^3]."""
        return None if self.on_site_m3 is None or self.off_site_m3 is None else self.on_site_m3 + self.off_site_m3


class Embodied(NamedTuple):
    """The share of making devices that their use stands for [kg CO2e], and the figures it follows from."""

    kg: Any
    made: CostFigure
    years: CostFigure
    utilisation: float


def carbon(
    it_energy_j: Any,
    where: str | Region | None = None,
    *,
    pue: float | str | Facility | None = None,
    scope: str | None = None,
    g_per_kwh: float | None = None,
) -> Carbon:
    """Return the emissions of an energy that equipment used [J, a float or an array], before the building's share.

    ``where`` is a region or its name; ``pue`` a number or a facility, that of the region's operator if None.
    ``scope`` is as in :meth:`Region.carbon`; ``g_per_kwh`` states the intensity instead [g CO2e/kWh].

    Raises
    ------
    InvalidValue, UnknownName
        No such region or facility, a number out of range, or nothing to take the intensity from.
    """
    energy = number(it_energy_j, "it_energy_j")
    place = region(where) if where is not None else None
    if g_per_kwh is not None:
        intensity = stated(number(g_per_kwh, "g_per_kwh"), "g/kWh")
    else:
        intensity = (place or region(where)).carbon(scope)  # type: ignore[arg-type]  # None is refused with a sentence
    building = pue_of(pue, place)
    wall = economics.wall_energy(energy, building.value)
    return Carbon(economics.operational_carbon(wall, intensity.value), wall, intensity, building)


def water(
    it_energy_j: Any,
    where: str | Region,
    *,
    at: str | Facility | None = None,
    pue: float | None = None,
    wue_l_per_kwh: float | None = None,
) -> Water:
    """Return the water consumed for an energy that equipment used [J, a float or an array].

    ``at`` is a facility or its name, the region's operator if None; ``pue`` and ``wue_l_per_kwh`` state its figures
    instead. What neither the facility nor the grid publishes is None: nothing is guessed.

    Raises
    ------
    InvalidValue, UnknownName
        No such region or facility, or a number out of range.
    """
    energy, place = number(it_energy_j, "it_energy_j"), region(where)
    building = facility(at) if at is not None else facility_of(place)
    effectiveness = pue_of(building if pue is None else pue, place)
    wue = building.wue if wue_l_per_kwh is None else stated(number(wue_l_per_kwh, "wue_l_per_kwh"), "L/kWh")
    grid = place.water()
    on_site = None if wue is None else economics.operational_water(energy, wue.value, 1.0, 0.0)
    off_site = None if grid is None else economics.operational_water(energy, 0.0, effectiveness.value, grid.value)
    return Water(on_site, off_site, wue, grid, effectiveness)


def embodied(
    device: str | HardwareSpec, hours: Any, *, utilisation: float, years: float | None = None, devices: int = 1
) -> Embodied | None:
    """Return the carbon of making devices for the hours that each is used; None where none is published.

    ``utilisation`` is the share of its life that a device is in use, ``years`` its life (that of
    :class:`~mlsysim.costs.ownership.Ownership` if None).

    Raises
    ------
    InvalidValue, UnknownName
        No such device, or a number out of range.
    """
    spec = Hardware[device] if isinstance(device, str) else device
    made = figures("embodied.tsv", "device").get(spec.name)
    if made is None:
        return None
    life = figures("ownership.tsv", "name")["years"][0] if years is None else stated(number(years, "years", 0.01))
    use = number(utilisation, "utilisation", 1e-6, 1.0)
    used = number(hours, "hours")
    kg = economics.embodied_carbon(made[0].value * number(devices, "devices", 1), used, life.value, use)
    return Embodied(kg, made[0], life, use)
