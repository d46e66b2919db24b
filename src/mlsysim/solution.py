"""What follows from a question and an eta: every quantity of an answer, worked out when it is asked for.

One path for one point and for many: batch, lengths, eta and price may be numbers, or arrays that broadcast; what
depends on none of the arrays stays a number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

from mlsysim.calibration import Calibration, Profile, moved
from mlsysim.efficiency.estimate import Estimate, assumed
from mlsysim.efficiency.predict import predicted
from mlsysim.models import Work
from mlsysim.physics import performance
from mlsysim.physics.elementwise import Real, binade, maximum, minimum, where
from mlsysim.results import Eta, Interval, Memory
from mlsysim.scenario import Roofline, Scenario
from mlsysim.setup import UNKNOWN, Setup

Stated: TypeAlias = Real | Calibration | Profile | None
"""What is said of eta: a number or an array of them, a measurement, or nothing."""
BOUNDS = ("compute", "memory", "overhead")
"""What may bind a step, in the order of its codes."""


T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801  # used like property
    """An attribute that is worked out once, when it is asked for: as functools.cached_property, without its lock.

    Python 3.11 takes a lock each time, which would be a tenth of the cost of an answer.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function, self.name, self.__doc__ = function, function.__name__, function.__doc__

    def __get__(self, owner: Any, kind: type[Any] | None = None) -> T:
        """Return the value, and keep it in place of this."""
        found = owner.__dict__[self.name] = self.function(owner)
        return found


class Solution:
    """The answer to a checked question in numbers: times [s], bytes [B], FLOPs, energy [J], cost [USD].

    ``efficiency`` is what is said of eta; ``usd_per_hour`` the price of one device, in place of the registry's.
    """

    def __init__(
        self, scenario: Scenario, efficiency: Stated, usd_per_hour: Real | None = None, setup: Setup = UNKNOWN
    ) -> None:
        self.scenario = scenario
        self.stated = efficiency
        self.usd_per_hour = usd_per_hour
        self.setup = setup

    @lazy
    def work(self) -> Work:
        """Return the ledger of the step."""
        return self.scenario.work()

    @lazy
    def roof(self) -> Roofline:
        """Return what the hardware allows."""
        return self.scenario.roofline(self.work)

    @lazy
    def estimate(self) -> Estimate:
        """Return what is achieved of it: as stated, as measured and moved, or predicted."""
        if self.stated is None:
            return predicted(self.scenario, self.roof, self.work, self.setup)
        if isinstance(self.stated, (Calibration, Profile)):
            return moved(tuple(self.stated), self.scenario, self.roof)
        return assumed(self.stated, self.scenario, self.roof)

    @lazy
    def time_s(self) -> Interval:
        """Return the time of the step [s]."""
        roof, estimate = self.roof, self.estimate
        if estimate.asked is not None:
            time_s = performance.step_time(roof.flops, roof.peak_flops, minimum(estimate.asked, roof.ceiling))
            return Interval(time_s, time_s, time_s)
        reached, fixed = estimate.attainment, estimate.overhead
        value = roof.time_s(reached.value, fixed.value)
        low, high = roof.time_s(reached.high, fixed.low), roof.time_s(reached.low, fixed.high)
        return Interval(value, minimum(low, value), maximum(high, value))

    @lazy
    def breakdown_s(self) -> dict[str, Any]:
        """Return the parts of the step time [s], which sum to it exactly in any order.

        Each part is a multiple of the spacing of floats at the total, so that every partial sum is exact.
        """
        total, roof, fixed = self.time_s.value, self.roof, self.estimate.overhead.value
        coarse = binade(total)
        compute = (roof.compute_s + coarse) - coarse
        overhead = fixed if _is_zero(fixed) else (fixed + coarse) - coarse
        rest = total - compute if _is_zero(fixed) else maximum(total - compute - overhead, 0.0)
        memory = minimum((roof.floor_s - roof.compute_s + coarse) - coarse, rest)
        return {"compute": compute, "memory": memory, "overhead": overhead, "software": rest - memory}

    @lazy
    def throughput(self) -> Interval:
        """Return what the step makes in a second: tokens, images, ..."""
        return self.time_s.reciprocal(self.work.items)

    @lazy
    def efficiency(self) -> Eta:
        """Return eta: what was asked, what is allowed, what is achieved."""
        roof, asked = self.roof, self.estimate.asked
        if asked is None:
            eta = self.time_s.reciprocal(roof.compute_s).capped(roof.ceiling)
        else:
            stated = minimum(asked, roof.ceiling)
            eta = Interval(stated, stated, stated)
        return Eta(self.estimate.kind, asked, roof.ceiling, eta.value, eta.value / roof.ceiling, eta.low, eta.high)

    @lazy
    def bound(self) -> Any:
        """Return what binds, as a code of :data:`BOUNDS`: overhead where it is the larger part, else the roofline's."""
        parts = self.breakdown_s
        by_roof = where(self.roof.memory_s > self.roof.compute_s, 1, 0)
        if _is_zero(parts["overhead"]):
            return by_roof
        return where(parts["overhead"] > self.roof.floor_s + parts["software"], 2, by_roof)

    @lazy
    def memory(self) -> Memory:
        """Return the bytes held against those there are."""
        return self.scenario.memory()

    @lazy
    def energy_j(self) -> Any:
        """Return the energy of the step at the rated power of the devices [J], an upper estimate; None if unknown."""
        power = self.scenario.hardware.tdp_w
        return (self.scenario.devices * power.value) * self.time_s.value if power else None

    @lazy
    def cost_usd(self) -> Any:
        """Return the rent of the devices for the step [USD], None where no price is known."""
        known = self.scenario.hardware.usd_per_hour
        price = self.usd_per_hour if self.usd_per_hour is not None else known.value if known else None
        return None if price is None else (self.scenario.devices * price / 3600.0) * self.time_s.value


def _is_zero(value: Any) -> bool:
    return isinstance(value, float) and value == 0.0
