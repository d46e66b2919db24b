"""What comes back: values with intervals, notes with stable codes, and the Result of a solve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mlsysim.physics.elementwise import Real, exp, log, minimum, where

NORMAL_90 = 1.645
"""Standard deviations on either side of the mean of a normal distribution that 90 % lie between."""


_MAYBE = ("energy_j", "joules_per_item", "cost_usd", "usd_per_million", "carbon_kg", "water_l")
"""What an answer has where the figures behind it are known."""


class Interval(NamedTuple):
    """A value with the ends of its interval, 90 % unless its owner says otherwise; low <= value <= high."""

    value: float
    low: float
    high: float

    def __mul__(self, factor: float) -> Interval:  # type: ignore[override]  # an interval scales; it is not repeated
        """Scale by a positive factor."""
        value = self.value * factor
        return Interval(value, value, value) if self.exact else Interval(value, self.low * factor, self.high * factor)

    def reciprocal(self, numerator: float) -> Interval:
        """Return ``numerator`` / self, whose ends change places."""
        value = numerator / self.value
        if self.exact:
            return Interval(value, value, value)
        return Interval(value, numerator / self.high, numerator / self.low)

    @property
    def exact(self) -> bool:
        """Return whether the interval has no width because its ends are its value."""
        return self.low is self.value is self.high

    def times(self, other: Interval) -> Interval:
        """Return the product with an independent quantity: distances of ends in logarithms add as squares.

        Validity: positive values. Exact where either has no width, and for normally distributed logarithms.
        """
        value = self.value * other.value
        if other.exact or self.exact:
            if self.exact and other.exact:
                return Interval(value, value, value)
            return Interval(value, self.low * other.low, self.high * other.high)
        down = (log(self.value / self.low) ** 2 + log(other.value / other.low) ** 2) ** 0.5
        up = (log(self.high / self.value) ** 2 + log(other.high / other.value) ** 2) ** 0.5
        return Interval(value, value * exp(-down), value * exp(up))

    def at(self, z: Real) -> Interval:
        """Return what is ``z`` standard deviations from the value, without width.

        The logarithm is taken as normal on either side of the value, with 90 % between the ends.
        """
        if self.exact:
            return self
        wide = where(z > 0, log(self.high / self.value), log(self.value / self.low))
        found = self.value * exp(wide * z / NORMAL_90)
        return Interval(found, found, found)

    def capped(self, limit: float) -> Interval:
        """Return the interval with nothing above ``limit``."""
        return Interval(minimum(self.value, limit), minimum(self.low, limit), minimum(self.high, limit))


class Note(NamedTuple):
    """Something the reader of a result must know. ``code`` is stable; ``message`` is for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Eta:
    """eta of a result and where it comes from.

    ``kind`` is ``assumed``, ``measured`` or ``predicted``; ``asked`` the number the caller stated (None if none was);
    ``ceiling`` what the roofline allows; ``achieved`` what the result stands on, never above the ceiling;
    ``attainment`` achieved / ceiling; ``low`` and ``high`` the interval of ``achieved``: 90 % where it was measured,
    where 90 % of runs of others lie where it is predicted, no width where it was stated.
    """

    kind: str
    asked: Any
    ceiling: float
    achieved: float
    attainment: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes needed by purpose against the bytes there are, all devices together.

    ``flash`` is room for weights beside the ``capacity``, from which a microcontroller runs them in place.
    """

    needed: Mapping[str, float]
    capacity: float
    flash: float = 0.0

    @property
    def total(self) -> float:
        """Return the bytes needed in all."""
        return sum(self.needed.values())

    @property
    def missing(self) -> Any:
        """Return the bytes for which there is no room; 0 or less if all fits."""
        return bytes_missing(self.total, self.needed["weights"], self.capacity, self.flash)

    @property
    def fits(self) -> Any:
        """Return whether there is room."""
        return self.missing <= 0


def bytes_missing(total: Real, weights: Real, capacity: Real, flash: Real) -> Any:
    """Return the bytes for which there is no room where weights may lie in flash; 0 or less if all fits [B]."""
    return total - minimum(weights, flash) - capacity


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """The answer to one question. Times in s, sizes in B, work in FLOP; ``to_dict`` is the JSON contract.

    ``breakdown_s`` sums exactly to ``time_s.value``: ``compute`` is FLOPs / peak, ``memory`` what the roofline adds,
    ``overhead`` fixed time that no faster hardware removes, ``software`` all the rest (eta absorbs it unnamed).
    ``basis`` is what ``evidence`` and ``explain`` are worked out from when they are asked for, ``costs`` what energy,
    cost and footprint are.
    """

    model: str
    hardware: str
    phase: str
    precision: str
    batch_size: int
    seq_len: int | None
    context: int | None
    devices: int
    time_s: Interval
    throughput: Interval
    throughput_unit: str
    efficiency: Eta
    bound: str
    breakdown_s: Mapping[str, float]
    flops: float
    traffic_bytes: float
    peak_flops: float
    memory: Memory
    defaults: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    remedies: tuple[str, ...] = ()
    modifiers: Mapping[str, object] = field(default_factory=dict)
    basis: Any = field(default=None, compare=False)
    costs: Any = field(default=None, compare=False)

    @property
    def evidence(self) -> Sequence[Any]:
        """Return the published measurements nearest to this question, nearest first, each with its address."""
        found: Sequence[Any] = self.basis.evidence() if self.basis else ()
        return found

    @property
    def energy_j(self) -> Interval | None:
        """Return the energy that the devices use in the step [J], None where it is not known."""
        found: Interval | None = self.costs.energy_j if self.costs else None
        return found

    @property
    def cost_usd(self) -> Interval | None:
        """Return the rent of the devices for the step [USD], None where no price is known."""
        found: Interval | None = self.costs.cost_usd if self.costs else None
        return found

    @property
    def joules_per_item(self) -> Interval | None:
        """Return the energy of a token, image or sample [J], None where it is not known."""
        return self._of_one(self.energy_j, 1.0)

    @property
    def usd_per_million(self) -> Interval | None:
        """Return the rent for a million tokens, images or samples [USD], None where no price is known."""
        return self._of_one(self.cost_usd, 1e6)

    def _of_one(self, step: Interval | None, many: float) -> Interval | None:
        items = self.throughput.value * self.time_s.value
        return None if step is None else step * (many / items)

    @property
    def carbon_kg(self) -> Interval | None:
        """Return the emissions of the step [kg CO2e], None where no region was given."""
        found: Interval | None = self.costs.footprint.carbon_kg if self.costs and self.costs.footprint else None
        return found

    @property
    def water_l(self) -> Interval | None:
        """Return the water consumed for the step [L], None where no region was given or none is published."""
        found: Interval | None = self.costs.footprint.water_l if self.costs and self.costs.footprint else None
        return found

    def explain(self) -> Any:
        """Return where the time goes, cause by cause: a :class:`~mlsysim.efficiency.breakdown.Breakdown`.

        It is worked out when it is asked for; None where the result was not made by a solve.
        """
        return self.basis.explain() if self.basis else None

    @property
    def fits(self) -> bool:
        """Return whether the workload fits into the memory of the devices."""
        return bool(self.memory.fits)

    @property
    def memory_bytes(self) -> dict[str, float | None]:
        """Return the bytes needed by purpose, in all, and those there are, None where that is not known [B]."""
        room = None if math.isinf(self.memory.capacity) else self.memory.capacity
        return {**self.memory.needed, "total": self.memory.total, "capacity": room}

    @property
    def achieved_flops(self) -> float:
        """Return the achieved rate of all devices [FLOP/s]: the number to compare, where eta alone misleads."""
        return self.flops / self.time_s.value

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data, ready for JSON."""
        eta = self.efficiency
        return {
            "model": self.model,
            "hardware": self.hardware,
            "phase": self.phase,
            "precision": self.precision,
            "batch_size": self.batch_size,
            "seq_len": self.seq_len,
            "context": self.context,
            "devices": self.devices,
            "time_s": self.time_s._asdict(),
            "throughput": {**self.throughput._asdict(), "unit": self.throughput_unit},
            "efficiency": {name: getattr(eta, name) for name in Eta.__slots__},
            "bound": self.bound,
            "breakdown_s": dict(self.breakdown_s),
            "flops": self.flops,
            "traffic_bytes": self.traffic_bytes,
            "peak_flops": self.peak_flops,
            "achieved_flops": self.achieved_flops,
            "memory_bytes": self.memory_bytes,
            "fits": self.fits,
            "remedies": list(self.remedies),
            **{name: _plain(getattr(self, name)) for name in _MAYBE},
            "modifiers": dict(self.modifiers),
            "defaults": dict(self.defaults),
            "notes": [note._asdict() for note in self.notes],
        }

    def __str__(self) -> str:
        """Return a summary of some lines; ``mlsysim solve`` prints a fuller one."""
        eta, rate, room = self.efficiency, self.throughput, self.memory.capacity
        capacity = "an unknown number of" if math.isinf(room) else f"{room / 1e9:.4g}"
        lines = [
            f"{self.model} {self.phase} on {self.devices} x {self.hardware}, {self.precision}, batch {self.batch_size}",
            f"  time        {self.time_s.value:.4g} s  ({self.time_s.low:.4g} to {self.time_s.high:.4g})",
            f"  throughput  {rate.value:,.4g} {self.throughput_unit}  ({rate.low:,.4g} to {rate.high:,.4g})",
            f"  eta         {eta.achieved:.4g} {eta.kind}  ({eta.low:.4g} to {eta.high:.4g})",
            f"  ceiling     {eta.ceiling:.4g}, attainment {eta.attainment:.3g}",
            f"  bound by    {self.bound}",
            f"  memory      {self.memory.total / 1e9:.4g} of {capacity} GB",
            *(f"  [{note.code}] {note.message}" for note in self.notes),
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        on = f"{self.devices} x {self.hardware}"
        return f"<Result {self.model} on {on}: {self.time_s.value:.4g} s, eta {self.efficiency.achieved:.4g}>"


def _plain(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else interval._asdict()
