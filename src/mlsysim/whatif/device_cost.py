"""What an hour of a device costs, rented and owned, and what it emits: from published figures, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mlsysim.costs.figures import CostFigure
from mlsysim.costs.footprint import Carbon, Embodied, Water, carbon, embodied, water
from mlsysim.costs.ownership import Ownership, OwnershipCost
from mlsysim.costs.prices import KINDS, Price, price_range
from mlsysim.costs.regions import Region, region
from mlsysim.errors import InvalidValue
from mlsysim.hardware import HardwareSpec
from mlsysim.physics import economics
from mlsysim.results import Interval
from mlsysim.scenario import cluster_of, hardware_of
from mlsysim.units import whole
from mlsysim.whatif.pay import share_of

PARTS = ("capital", "power", "facility", "maintenance")
"""What the cost of owning is made of."""


class Rent(NamedTuple):
    """A published price, and the share of hours in use from which owning is not dearer; None where not known."""

    price: Price
    break_even: Interval | None


class DeviceCost(NamedTuple):
    """What an hour of use of some devices costs and emits.

    ``owned`` is of one device [USD/h]; None, with ``why`` in words, where what it takes is not known. ``it_energy_j``
    is what devices and hosts draw for an hour of use, the hours not used shared among those used [J]; ``carbon`` and
    ``water`` follow from it, ``embodied`` from the making of the devices.
    """

    device: str
    devices: int
    utilisation: float
    region: Region | None
    rents: tuple[Rent, ...]
    owned: OwnershipCost | None
    it_energy_j: float | None
    carbon: Carbon | None
    embodied: Embodied | None
    water: Water | None
    why: tuple[str, ...]

    @property
    def assumptions(self) -> Mapping[str, CostFigure | Price]:
        """Return every figure that decided the answer, by name."""
        found: dict[str, CostFigure | Price] = dict(self.owned.assumptions) if self.owned else {}
        found |= {f"rent, {rent.price.kind}": rent.price for rent in self.rents}
        if self.carbon:
            found["carbon_intensity"] = self.carbon.intensity
        if self.embodied:
            found["embodied"] = self.embodied.made
        if self.water:
            given = (("water_on_site", self.water.wue), ("water_of_grid", self.water.grid))
            found |= {name: figure for name, figure in given if figure is not None}
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON; money, carbon and water are of all devices for an hour of use."""
        n = self.devices
        owned = None
        if self.owned is not None:
            owned = {name: (getattr(self.owned, name) * n)._asdict() for name in ("total", *PARTS)}
        return {
            "device": self.device,
            "devices": n,
            "utilisation": self.utilisation,
            "region": self.region.name if self.region else None,
            "rent_usd_per_hour": {r.price.kind: (r.price.interval * n)._asdict() for r in self.rents},
            "owned_usd_per_hour": owned,
            "break_even_utilisation": {r.price.kind: _plain(r.break_even) for r in self.rents if r.break_even},
            "energy_j": None if self.it_energy_j is None else n * self.it_energy_j,
            "carbon_kg": None if self.carbon is None else n * self.carbon.kg,
            "embodied_kg": None if self.embodied is None else n * self.embodied.kg,
            "water_l": self.water_l,
            "not_known": list(self.why),
            "assumptions": {name: figure._asdict() for name, figure in self.assumptions.items()},
        }

    @property
    def water_l(self) -> float | None:
        """Return the water for an hour of use of all devices [L], None where a part is not published."""
        total = self.water.total_m3 if self.water else None
        return None if total is None else float(total) * 1e3 * self.devices


def device_cost(
    device: str | HardwareSpec,
    where: str | Region | None = None,
    *,
    utilisation: float = 1.0,
    devices: int = 1,
    scope: str | None = None,
    ownership: Ownership | None = None,
    usd: float | None = None,
    usd_per_kwh: float | None = None,
    power_w: float | None = None,
) -> DeviceCost:
    """Return what an hour of use costs, rented from each kind of provider and owned, and what it emits.

    Parameters
    ----------
    device
        A spec or a name; of a node or a cluster all of its devices.
    where
        A region, for electricity, carbon and water.
    utilisation
        Share of the hours owned in which the devices are in use, in (0, 1].
    devices
        How many.
    scope
        What the carbon of electricity is to count: ``life-cycle`` or ``direct``; if None, what there is of the
        nearest grid.
    ownership, usd, usd_per_kwh, power_w
        How they are owned, and what is stated of it, as for :meth:`Ownership.usd_per_device_hour`.

    Raises
    ------
    InvalidValue, UnknownName
        No such device or region, or a number out of range.
    """
    cluster, use, count = cluster_of(device), share_of(utilisation), whole(devices, "devices")
    spec = cluster.device if cluster else hardware_of(device)
    count *= cluster.devices if cluster else 1
    place = None if where is None else region(where)
    if scope is not None:
        _has_scope(place, scope)
    how = ownership or Ownership()
    why: list[str] = []
    stated = {"usd_per_kwh": usd_per_kwh, "usd": usd, "power_w": power_w}
    owned = _owned(how, spec, place, use, stated, why)
    energy = None
    if owned is not None:
        busy, rest = (owned.assumptions[name].value for name in ("power_w", "idle_power_w"))
        energy = float(economics.mean_power(busy, rest, use)) * economics.SECONDS_PER_HOUR / use
    made = embodied(spec, 1.0, utilisation=use, years=how.years)
    if made is None:
        why.append(f"embodied carbon: none is published of {spec.name}")
    if place is None:
        why.append("carbon and water: they follow from a region: state region")
    at = energy if place is not None else None
    emitted = None if at is None else carbon(at, place, pue=how.pue, scope=scope)
    building = how.pue if isinstance(how.pue, (int, float)) else None
    drunk = None if at is None or place is None else water(at, place, pue=building)
    if drunk is not None and drunk.total_m3 is None:
        why.append(f"water: not all of it is published of {place.name if place else ''}")
    rents = _rents(how, spec, place, owned, stated)
    if not rents:
        why.append(f"rent: no price of {spec.name} is known")
    return DeviceCost(spec.name, count, use, place, rents, owned, energy, emitted, made, drunk, tuple(why))


def _has_scope(place: Region | None, scope: str) -> None:
    """Refuse a scope of no region, one that is none, or one of which nothing is published there.

    Raises
    ------
    InvalidValue
        It is one of these.
    """
    if place is None:
        raise InvalidValue("scope", "left out where no region is given", scope)
    place.carbon(scope)


def _owned(
    how: Ownership, spec: HardwareSpec, place: Region | None, use: float, stated: Mapping[str, Any], why: list[str]
) -> OwnershipCost | None:
    """Return the cost of owning, None where a figure is not known that was not stated; what is out of range raises."""
    try:
        return how.usd_per_device_hour(spec, place, utilisation=use, **stated)
    except InvalidValue as problem:
        if problem.value is not None:
            raise
        why.append(f"owning: {problem.field} must be {problem.rule}")
        return None


def _rents(
    how: Ownership,
    spec: HardwareSpec,
    place: Region | None,
    owned: OwnershipCost | None,
    stated: Mapping[str, Any],
) -> tuple[Rent, ...]:
    """Return what each kind of provider asks, with where owning meets it."""
    found = []
    for kind in KINDS:
        price = price_range(spec, kind)
        if price is None:
            continue
        meets = None if owned is None else how.break_even(spec, place, rent=kind, **stated).utilisation
        found.append(Rent(price, meets))
    return tuple(found)


def _plain(interval: Interval | None) -> dict[str, Any] | None:
    """Return an interval whose infinite ends, which are never, are None."""
    if interval is None:
        return None
    return {name: None if end == float("inf") else end for name, end in interval._asdict().items()}
