"""Owning devices: what an hour of use costs of purchase, power, space and repair, and when that beats rent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from mlsysim.costs.facilities import Facility, pue_of
from mlsysim.costs.figures import CostFigure, figures, number, stated
from mlsysim.costs.power import HOSTLESS, idle_power_w, node_host_w
from mlsysim.costs.prices import Price, price_range, purchase_price
from mlsysim.costs.regions import SECTORS, Region, region
from mlsysim.errors import InvalidValue
from mlsysim.hardware.nodes import Nodes
from mlsysim.hardware.registry import Hardware
from mlsysim.hardware.spec import HardwareSpec
from mlsysim.physics import economics
from mlsysim.results import Interval

_HOSTS = (
    "derived: share drawn by three nodes, https://arxiv.org/abs/2412.08602, https://arxiv.org/abs/2506.14551,"
    " https://smc.co/mlperfv40/results/llama2-70b-lora"
)
_MONTHS = 12.0


def default(name: str) -> CostFigure:
    """Return a default of :class:`Ownership` with its source."""
    return figures("ownership.tsv", "name")[name][0]


def _defaulted(name: str) -> Any:
    return field(default_factory=lambda: default(name).value)


class OwnershipCost(NamedTuple):
    """What an hour of use of a device costs [USD/h], in parts that sum to ``total``; ends of published ranges.

    ``fixed`` is what an hour of owning costs, used or not, and ``running`` what an hour of use adds.
    ``assumptions`` holds every number that decided it, by name, each with its source.
    """

    total: Interval
    capital: Interval
    power: Interval
    facility: Interval
    maintenance: Interval
    fixed: Interval
    running: Interval
    assumptions: Mapping[str, CostFigure | Price]


class BreakEven(NamedTuple):
    """The share of hours in use from which owning is not dearer than renting; above 1 it cannot be."""

    utilisation: Interval
    rent: Interval
    owned: OwnershipCost


@dataclass(frozen=True, slots=True)
class Ownership:
    """How devices are owned. Every field has a default with a source (``default(name)``) and can be stated.

    ``years`` of use, ``discount_rate`` of the capital a year, ``residual_share`` of the price left at the end,
    ``maintenance_share`` of the price a year, ``facility_usd_per_kw_month`` for space and cooling of the rated power
    [USD/(kW month)], ``host_share`` of a device's power beside it where its node has no published power, ``pue`` a
    number or a facility (None: that of the region's operator, else of the industry).

    Raises
    ------
    InvalidValue
        A number out of range.
    """

    years: float = _defaulted("years")
    discount_rate: float = _defaulted("discount_rate")
    residual_share: float = _defaulted("residual_share")
    maintenance_share: float = _defaulted("maintenance_share")
    facility_usd_per_kw_month: float = _defaulted("facility_usd_per_kw_month")
    host_share: float = _defaulted("host_share")
    pue: float | str | Facility | None = None

    def __post_init__(self) -> None:
        number(self.years, "years", 0.01)
        number(self.residual_share, "residual_share", 0.0, 1.0)
        for name in ("discount_rate", "maintenance_share", "facility_usd_per_kw_month", "host_share"):
            number(getattr(self, name), name)

    def usd_per_device_hour(
        self,
        device: str | HardwareSpec,
        where: str | Region | None = None,
        *,
        utilisation: float,
        usd_per_kwh: float | None = None,
        usd: float | None = None,
        power_w: float | None = None,
    ) -> OwnershipCost:
        """Return what an hour of use costs where a device is in use for ``utilisation`` of the hours owned.

        The price of electricity is that of the region ``where``, from industrial to commercial, or ``usd_per_kwh``.
        ``usd`` states the purchase price of a device with its share of the node, ``power_w`` its mean power in use
        with its share of the host; else that is the device's rating, an upper bound, and what hosts of such devices
        draw. At rest the device idles and the host draws the same.

        Raises
        ------
        InvalidValue, UnknownName
            No such device or region, a number out of range, or a price or power that is not known and not given.
        """
        spec = Hardware[device] if isinstance(device, str) else device
        use = number(utilisation, "utilisation", 1e-6, 1.0)
        place = region(where) if where is not None else None
        told: dict[str, CostFigure | Price] = {name: self._told(name) for name in _FIELDS}
        told["pue"] = pue = pue_of(self.pue, place)
        bought = told["purchase"] = _purchase(spec, usd)
        drawn = _drawn(spec, self.host_share, power_w)
        told |= drawn
        if _host_known(spec):
            del told["host_share"]  # it decided nothing
        rated, busy = drawn["rated_power_w"], drawn["power_w"]
        idle = drawn["idle_power_w"].value / busy.value
        price, told["electricity"] = _electricity(place, usd_per_kwh)

        capital = bought.interval * economics.per_hour(self._capital_share())
        maintenance = bought.interval * (self.maintenance_share / economics.HOURS_PER_YEAR)
        kilowatts = rated.value / 1000
        space = _exactly(economics.per_hour(kilowatts * self.facility_usd_per_kw_month * _MONTHS))
        full = _each(price, lambda p: economics.electricity_per_hour(busy.value, pue.value, p))
        at_rest, running = full * idle, full * (1 - idle)
        fixed = _sum(capital, maintenance, space, at_rest)
        mean = full * economics.mean_power(1.0, idle, use)
        capital, mean, space, maintenance = (part * (1 / use) for part in (capital, mean, space, maintenance))
        total = _sum(capital, mean, space, maintenance)
        return OwnershipCost(total, capital, mean, space, maintenance, fixed, running, told)

    def break_even(
        self,
        device: str | HardwareSpec,
        where: str | Region | None = None,
        *,
        rent: float | str = "on-demand",
        usd_per_kwh: float | None = None,
        usd: float | None = None,
        power_w: float | None = None,
    ) -> BreakEven:
        """Return the utilisation from which owning is not dearer than a rent: a number [USD/h] or a kind of price.

        The low end takes the cheapest purchase and the dearest rent, the high end the opposite; inf is never.

        Raises
        ------
        InvalidValue, UnknownName
            As :meth:`usd_per_device_hour`; or no rent of that kind is known.
        """
        owned = self.usd_per_device_hour(
            device, where, utilisation=1.0, usd_per_kwh=usd_per_kwh, usd=usd, power_w=power_w
        )
        paid = _rent(device, rent)
        ends = zip(owned.fixed, owned.running, (paid.value, paid.high, paid.low), strict=True)
        return BreakEven(Interval(*(economics.break_even_utilisation(*end) for end in ends)), paid, owned)

    def _capital_share(self) -> float:
        return float(economics.annual_capital_cost(1.0, self.discount_rate, self.years, self.residual_share))

    def _told(self, name: str) -> CostFigure:
        value, usual = getattr(self, name), default(name)
        return usual if value == usual.value else stated(value)


_FIELDS = ("years", "discount_rate", "residual_share", "maintenance_share", "facility_usd_per_kw_month", "host_share")


def _purchase(spec: HardwareSpec, usd: float | None) -> Price:
    if usd is not None:
        v = number(usd, "usd")
        return Price(v, v, v, "USD", spec.name, "stated", "", "stated", "")
    found = purchase_price(spec)
    if found is None:
        raise InvalidValue("usd", f"given: no purchase price of {spec.name} is known", None)
    return found


@lru_cache(maxsize=64)
def _node_share(device: str) -> CostFigure | None:
    for name in Nodes:
        row = Nodes.row(name)
        if row["device"] == device and row["kind"] in ("node", "rack"):
            node = Nodes[name]
            if power := node.figures.get("power"):
                note = f"rated power of {name} / {node.devices}, an upper bound"
                value = power.value / node.devices
                return CostFigure(value, f"{value:g} W", "", device, "", power.source, power.retrieved, note)
    return None


def _drawn(spec: HardwareSpec, host_share: float, power_w: float | None) -> dict[str, CostFigure]:
    """Return the powers that decide a cost, by name: what is paid for as space, and what is drawn in use and at rest.

    Raises
    ------
    InvalidValue
        Neither a rating of the device nor ``power_w`` is known.
    """
    if spec.tdp_w is None and power_w is None:
        raise InvalidValue("power_w", f"one for which the rated power of {spec.name} is known", None)
    found: dict[str, CostFigure] = {}
    if spec.tdp_w is None:
        busy = _watts(number(power_w, "power_w", 1e-9), spec, "stated")
        return {"rated_power_w": busy, "power_w": busy, "idle_power_w": busy}
    host = found["host_power_w"] = _host(spec, host_share)
    shared = _node_share(spec.name)
    note = "rated power of the device and what its host draws"
    found["rated_power_w"] = shared or _watts(spec.tdp_w.value + host.value, spec, spec.tdp_w.source, note)
    if power_w is not None:
        busy = _watts(number(power_w, "power_w", 1e-9), spec, "stated")
    else:
        busy = _watts(spec.tdp_w.value + host.value, spec, spec.tdp_w.source, f"{note}, an upper bound")
    idle = _idle(spec, host)
    found["power_w"] = busy
    found["idle_power_w"] = idle if idle.value <= busy.value else busy
    return found


def _host_known(spec: HardwareSpec) -> bool:
    """Return whether nothing follows from ``host_share``: what the host draws is published, or there is none."""
    return spec.kind in HOSTLESS or node_host_w(spec.name) is not None


def _host(spec: HardwareSpec, host_share: float) -> CostFigure:
    """Return what a host draws beside a device [W]."""
    if spec.kind in HOSTLESS:
        return _watts(0.0, spec, "no part of a node")
    drawn = node_host_w(spec.name)
    if drawn:
        note = f"of the node's rating beside its devices, {drawn.low:.4g} to {drawn.high:.4g} W"
        return _watts(drawn.value, spec, _HOSTS, note)
    assert spec.tdp_w is not None
    note = f"host_share {host_share:g} of the rated power of the device"
    return _watts(spec.tdp_w.value * host_share, spec, f"derived: {default('host_share').source}", note)


def _idle(spec: HardwareSpec, host: CostFigure) -> CostFigure:
    """Return what device and host draw at rest [W]: the host as much as in use."""
    idle = idle_power_w(spec)
    assert idle is not None
    source = spec.idle_w.source if spec.idle_w else "the share of the rating that devices of its kind idle at"
    note = "the device at idle and its host, which is taken to draw as much as in use"
    return _watts(idle + host.value, spec, f"derived: {source}", note)


def _watts(value: float, spec: HardwareSpec, source: str, note: str = "") -> CostFigure:
    return CostFigure(value, f"{value:,.4g} W", "", spec.name, "", source, "", note)


def _electricity(place: Region | None, usd_per_kwh: float | None) -> tuple[Interval, CostFigure]:
    """Return the price with its ends [USD/J] and the figure of its value."""
    if usd_per_kwh is not None:
        figure = stated(number(usd_per_kwh, "usd_per_kwh"), "USD/kWh")
        return _exactly(figure.value), figure
    found = [f for f in (place.electricity(s) for s in SECTORS) if f] if place else []
    if not found:
        of = f"no price is known of {place.name}" if place else "neither it nor a region is"
        raise InvalidValue("usd_per_kwh", f"given: {of}", None)
    # Sectors of one place only: a wider region's price is not the other end of a state's.
    values = [f.value for f in found if f.of == found[0].of]
    return Interval(found[0].value, min(values), max(values)), found[0]


def _rent(device: str | HardwareSpec, rent: float | str) -> Interval:
    if not isinstance(rent, str):
        return _exactly(number(rent, "rent"))
    found = price_range(device, rent)
    if found is None:
        name = device if isinstance(device, str) else device.name
        raise InvalidValue("rent", f"a number: no {rent} price of {name} is known", rent)
    return found.interval


def _exactly(value: float) -> Interval:
    return Interval(value, value, value)


def _each(interval: Interval, function: Callable[[float], float]) -> Interval:
    return Interval(*(function(end) for end in interval))


def _sum(*parts: Interval) -> Interval:
    return Interval(*(sum(ends) for ends in zip(*parts, strict=True)))
