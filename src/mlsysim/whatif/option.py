"""One of the choices there are: a question, how it is paid for, and every quantity of its answer with an interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

from mlsysim.costs.ownership import Ownership
from mlsysim.errors import InvalidValue
from mlsysim.results import Interval, Result
from mlsysim.scenario import cluster_of, hardware_of
from mlsysim.solution import Solution
from mlsysim.whatif.asked import asked, unit_of, value_of
from mlsysim.whatif.pay import Pay, paid
from mlsysim.whatif.question import Question

BASES: Mapping[str, str] = {
    **dict.fromkeys(("time_s", "tpot_s", "ttft_s", "run_s"), "time_s"),
    **dict.fromkeys(("throughput", "efficiency", "attainment", "achieved_flops"), "time_s"),
    **dict.fromkeys(("energy_j", "joules_per_item", "run_j"), "energy_j"),
    **dict.fromkeys(("carbon_kg", "kg_per_million", "water_l", "run_kg"), "energy_j"),
    **dict.fromkeys(("cost_usd", "usd_per_million", "run_usd"), "cost_usd"),
}
"""Quantities that move in proportion to one that has an interval."""
FALLS = ("throughput", "efficiency", "attainment", "achieved_flops")
"""Those of them that fall where it grows."""
_FOOTPRINT = {**dict.fromkeys(("carbon_kg", "kg_per_million", "run_kg"), "carbon_kg"), "water_l": "water_l"}
PARTS: Mapping[str, tuple[str, ...]] = {
    "time_s": ("time",),
    "cost_usd": ("time", "price"),
    "energy_j": ("time", "power"),
}
"""What the interval of a quantity is made of."""


class Width(NamedTuple):
    """How far the ends of an interval lie below and above its value [ln]."""

    down: float
    up: float

    @property
    def turned(self) -> Width:
        """Return that of the reciprocal."""
        return Width(self.up, self.down)


NO_WIDTH = Width(0.0, 0.0)


class Option:
    """A question, how it is paid for, and its answer, which is worked out when it is asked for.

    ``fields`` are those of ``Engine.solve`` but the price, with ``model`` and ``hardware``, and ``tokens`` of a run.
    ``fixed_usd`` is what is paid once [USD]. ``told`` are further fields that its label tells; where it is None, the
    label tells how the devices are paid for.
    """

    def __init__(
        self,
        fields: Mapping[str, Any],
        pay: Pay | None = None,
        label: str = "",
        fixed_usd: float = 0.0,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        self.fields = dict(fields)
        self.told = told
        self.pay = pay or Pay()
        self.fixed_usd = fixed_usd
        self._label = label

    @cached_property
    def _asked(self) -> tuple[Question, Result]:
        fields = dict(self.fields)
        model, hardware = fields.pop("model"), fields.pop("hardware")
        price = None
        if not self.pay.published:
            price = self.pay.price(device_of(hardware), fields.get("region"))
        return asked(model, hardware, usd_per_hour=price, **fields)

    @property
    def question(self) -> Question:
        """Return the checked question."""
        return self._asked[0]

    @property
    def result(self) -> Result:
        """Return the answer as ``Engine.solve`` gives it."""
        return self._asked[1]

    @cached_property
    def solution(self) -> Solution:
        """Return the answer in numbers."""
        return self.question.solve()

    @property
    def device(self) -> str:
        """Return the name of the device."""
        return self.question.scenario.hardware.name

    @property
    def bought(self) -> str:
        """Return what day the price is of for which its devices are bought; nothing where they are rented."""
        return self.pay.bought(self.question.scenario.hardware)

    @property
    def label(self) -> str:
        """Return what it is called: devices and hardware, and what else tells it from others."""
        return self._label or label_of(self, self.told)

    def value(self, name: str) -> float:
        """Return a quantity in SI.

        Raises
        ------
        InvalidValue
            It is not known, or the question has no such quantity.
        """
        return value_of(name, self.question, self.solution)

    def known(self, name: str) -> Interval | None:
        """Return a quantity with its interval, None where it is not known or the question has none."""
        try:
            return self.interval(name)
        except InvalidValue:
            return None

    def interval(self, name: str) -> Interval:
        """Return a quantity with its 90 % interval, without width where none is known; raises as :meth:`value`."""
        value = self.value(name)
        if name == "power_w" and self.solution.power_w is not None:
            return self.solution.power_w
        if name not in BASES:
            return Interval(value, value, value)
        whole = self._whole(name)
        if name in FALLS:
            return Interval(value, value * whole.value / whole.high, value * whole.value / whole.low)
        return Interval(value, value * whole.low / whole.value, value * whole.high / whole.value)

    def _whole(self, name: str) -> Interval:
        """Return the interval that a quantity is in proportion to; of a footprint its own."""
        found: Interval
        footprint = self.solution.footprint
        if footprint is not None and name in _FOOTPRINT:
            found = getattr(footprint, _FOOTPRINT[name])
        else:
            found = getattr(self.solution, BASES[name])
        return found

    def unit(self, name: str) -> str:
        """Return the unit of a quantity."""
        return unit_of(name, self.solution)

    def widths(self, name: str) -> dict[str, Width]:
        """Return what the interval of a quantity is made of: ``time``, ``price``, ``power``, those that bear on it.

        Their squares add to that of the interval; of a footprint to that of the energy, which is a little wider.
        """
        found = {part: self._width(part, BASES[name]) for part in PARTS.get(BASES.get(name, ""), ())}
        return {part: width.turned for part, width in found.items()} if name in FALLS else found

    def _width(self, part: str, base: str) -> Width:
        if part == "time":
            return self._energy_by_time() if base == "energy_j" else width_of(self.solution.time_s)
        return width_of(self.solution.price if part == "price" else self.solution.power_w)

    def _energy_by_time(self) -> Width:
        """Return what the interval of the time leaves open of the energy: a slower step draws less."""
        here, *ends = (self.question.but(end=end).solve().energy_j for end in ("value", "low", "high"))
        known = sorted(math.log(end.value / here.value) for end in ends if end is not None and here is not None)
        return Width(max(-known[0], 0.0), max(known[-1], 0.0)) if known else NO_WIDTH

    def but(self, **changes: Any) -> Option:
        """Return the option with other fields of its question; its answer raises as ``Engine.solve``."""
        return Option({**self.fields, **changes}, self.pay, "", self.fixed_usd)

    def paying(self, pay: Pay) -> Option:
        """Return the option, otherwise paid for."""
        return Option(self.fields, pay, self._label, self.fixed_usd)

    def to_dict(self) -> dict[str, Any]:
        """Return the option as plain data, ready for JSON."""
        price = self.solution.price
        return {
            "label": self.label,
            "paid": self.pay.told(self.question.scenario.hardware),
            "usd_per_device_hour": None if price is None else price._asdict(),
            **self.result.to_dict(),
        }

    def __repr__(self) -> str:
        return f"<Option {self.label}>"


def width_of(interval: Interval | None) -> Width:
    """Return how far the ends of an interval of positive numbers lie from its value [ln]; none of what is not known."""
    if interval is None or not interval.low < interval.high:
        return NO_WIDTH
    return Width(math.log(interval.value / interval.low), math.log(interval.high / interval.value))


def label_of(o: Option, others: Mapping[str, Any] | None = None) -> str:
    """Return an option in a few words: devices and hardware, batch, and what else is told."""
    s = o.question.scenario
    more = "".join(f", {name.replace('_', ' ')} {value}" for name, value in (others or {}).items())
    if others is None and not o.pay.published:
        more += f", {o.pay.told(s.hardware)}"
    return f"{s.devices} x {s.hardware.name}, batch {s.batch_size:,}{more}"


def option(
    model: Any,
    hardware: Any,
    *,
    own: bool | Ownership = False,
    utilisation: float | None = None,
    rent: str | None = None,
    usd_per_hour: Any = None,
    usd: float | None = None,
    usd_per_kwh: float | None = None,
    power_w: float | None = None,
    fixed_usd: float = 0.0,
    label: str = "",
    **fields: Any,
) -> Option:
    """Return an option: a question of ``Engine.solve``, and how its devices are paid for.

    Parameters
    ----------
    model, hardware, fields
        As for ``Engine.solve``, and ``tokens`` of a training run.
    own
        True, or an :class:`~mlsysim.costs.ownership.Ownership`: the devices are bought; then ``usd`` is the purchase
        price of one, ``usd_per_kwh`` the price of electricity and ``power_w`` the mean power of one in use, where not
        those that are known of the device and the ``region``.
    utilisation
        Share of the hours paid for in which the devices are in use, in (0, 1]; 1 if not given.
    rent, usd_per_hour
        A kind of published price (on-demand, hyperscaler, specialist, marketplace, spot, reserved), or a price.
    fixed_usd
        What is paid once: moving, porting, a contract [USD].

    Raises
    ------
    UsageError
        A field breaks a rule, or both rent and purchase are stated.
    """
    pay = paid(
        own=own,
        rent=rent,
        usd_per_hour=usd_per_hour,
        utilisation=utilisation,
        usd=usd,
        usd_per_kwh=usd_per_kwh,
        power_w=power_w,
    )
    given = {name: value for name, value in fields.items() if value is not None}
    found = Option({"model": model, "hardware": hardware, **given}, pay, label, fixed_usd)
    _ = found.question  # a mistake is told here
    return found


def device_of(hardware: Any) -> Any:
    """Return the device that is named, alone or in a node or cluster; raises as ``Engine.solve``."""
    cluster = cluster_of(hardware)
    return cluster.device if cluster else hardware_of(hardware)
