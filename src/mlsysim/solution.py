"""What follows from a question and an eta: every quantity of an answer, worked out when it is asked for.

One path for one point and for many: batch, lengths, eta and price may be numbers, or arrays that broadcast; what
depends on none of the arrays stays a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from mlsysim.calibration import Calibration, Profile, moved
from mlsysim.costs.power import power_w
from mlsysim.costs.prices import price_range
from mlsysim.efficiency.estimate import Estimate, assumed
from mlsysim.efficiency.predict import predicted
from mlsysim.models import Work
from mlsysim.physics import performance
from mlsysim.physics.elementwise import Real, at_least, binade, maximum, minimum, where
from mlsysim.results import Eta, Interval, Memory, Note
from mlsysim.scenario import Roofline, Scenario
from mlsysim.setup import UNKNOWN, Setup

Stated: TypeAlias = Real | Calibration | Profile | None
"""What is said of eta: a number or an array of them, a measurement, or nothing."""
EFFICIENCY, POWER, PRICE = SOURCES = ("efficiency", "power", "price")
"""What may be uncertain beside the fields of a question, each apart from the others."""
NOT_DRAWN: Mapping[str, Real] = MappingProxyType({})
TINY = 1e-300
"""Below this a fixed part is none [s]."""
BOUNDS = ("compute", "memory", "overhead")
"""What may bind a step, in the order of its codes."""


if TYPE_CHECKING:
    from mlsysim.costs.site import Footprint, Site

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

    ``efficiency`` is what is said of eta; ``usd_per_hour`` the price of one device, in place of published ones;
    ``site`` where it runs. With ``draws``, intervals are not carried: each of eta, power and price that has one is
    taken so many standard deviations from its value. Where ``masked``, points that do not fit have NaN for an answer.
    """

    def __init__(
        self,
        scenario: Scenario,
        efficiency: Stated,
        usd_per_hour: Real | Interval | None = None,
        setup: Setup = UNKNOWN,
        site: Site | None = None,
        draws: Mapping[str, Real] = NOT_DRAWN,
        masked: bool = False,
    ) -> None:
        self.scenario = scenario
        self.stated = efficiency
        self.usd_per_hour = usd_per_hour
        self.setup = setup
        self.site = site
        self.draws = draws
        self.masked = masked

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
            found = predicted(self.scenario, self.roof, self.work, self.setup)
        elif isinstance(self.stated, (Calibration, Profile)):
            found = moved(tuple(self.stated), self.scenario, self.roof)
        else:
            return assumed(self.stated, self.scenario, self.roof)
        if EFFICIENCY not in self.draws:
            return found
        z = self.draws[EFFICIENCY]
        return found._replace(attainment=found.attainment.at(z).capped(1.0), overhead=_overhead_at(found.overhead, -z))

    @lazy
    def time_s(self) -> Interval:
        """Return the time of the step [s]."""
        roof, estimate = self.roof, self.estimate
        if estimate.asked is not None:
            time_s = self._of_feasible(performance.step_time(roof.flops, roof.peak_flops, self._stated_eta))
            return Interval(time_s, time_s, time_s)
        reached, fixed = estimate.attainment, estimate.overhead
        value = self._of_feasible(roof.time_s(reached.value, fixed.value))
        if reached.exact and fixed.exact:
            return Interval(value, value, value)
        low, high = roof.time_s(reached.high, fixed.low), roof.time_s(reached.low, fixed.high)
        return Interval(value, minimum(low, value), maximum(high, value))

    @lazy
    def _stated_eta(self) -> Any:
        """Return the eta that was stated, never above the ceiling."""
        return minimum(self.estimate.asked, self.roof.ceiling)  # type: ignore[arg-type]  # asked for where it is stated

    def _of_feasible(self, value: Any) -> Any:
        """Return an answer without those of points that do not fit, where that is asked for; what follows has none."""
        if not self.masked:
            return value
        fits = self.memory.fits
        return value if at_least(fits, True) else where(fits, value, math.nan)

    @lazy
    def breakdown_s(self) -> dict[str, Any]:
        """Return the parts of the step time [s], which sum to it exactly in any order.

        Each part is a multiple of the spacing of floats at the total, so that every partial sum is exact.
        """
        total, roof, fixed = self.time_s.value, self.roof, self.estimate.overhead.value
        coarse = binade(total)
        compute = minimum((roof.compute_s + coarse) - coarse, total)
        rest = total - compute
        overhead = fixed
        if not _is_zero(fixed):
            overhead = minimum((fixed + coarse) - coarse, rest)
            rest = rest - overhead
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
            stated = self._of_feasible(self._stated_eta)
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
    def power_w(self) -> Interval | None:
        """Return what a device draws in the step [W], None where its rating is not known."""
        found = self._power_at(self.time_s.value)
        if found is None or POWER not in self.draws:
            return found
        rated = self.scenario.hardware.tdp_w
        drawn = found.at(self.draws[POWER])
        return drawn.capped(rated.value) if rated else drawn

    def _power_at(self, time_s: Any) -> Interval | None:
        """Return what a device draws where the step takes some time [W]."""
        roof = self.roof
        return power_w(self.scenario.hardware, roof.compute_s / time_s, roof.memory_s / time_s)

    @lazy
    def energy_j(self) -> Interval | None:
        """Return the energy that the devices use in the step [J], None where it is not known.

        A slower step draws less: its ends are those of the time, each at its own power, and those of the power.
        """
        power, time_s, n = self.power_w, self.time_s, self.scenario.devices
        if power is None:
            return None
        if time_s.exact:
            return power * (n * time_s.value)
        low, high = (self._power_at(t).value * t for t in (time_s.low, time_s.high))  # type: ignore[union-attr]
        by_time = Interval(power.value * time_s.value, low, high)
        spread = Interval(1.0, power.low / power.value, power.high / power.value)
        return by_time.times(spread) * n

    @lazy
    def price(self) -> Interval | None:
        """Return the price of a device [USD/h], stated or the range of what is published; None where none is known."""
        stated: Any = self.usd_per_hour
        if stated is None:
            known = price_range(self.scenario.hardware)
            stated = None if known is None else known.interval
        if stated is None:
            return None
        found = stated if isinstance(stated, Interval) else Interval(stated, stated, stated)
        return found.at(self.draws[PRICE]) if PRICE in self.draws else found

    @lazy
    def cost_usd(self) -> Interval | None:
        """Return the rent of the devices for the step [USD], None where no price is known."""
        if self.price is None:
            return None
        return (self.price * (self.scenario.devices / 3600.0)).times(self.time_s)

    def cost_notes(self) -> list[Note]:
        """Say which price a cost rests on where it is not the caller's own, and what a footprint takes in."""
        found = []
        device, site = self.scenario.hardware, self.site
        known = None if self.usd_per_hour is not None else price_range(device)
        if known is not None:
            wide = f", {known.low:g} to {known.high:g}" if known.low < known.high else ""
            about = known.note or f"published {known.kind} prices, {known.date}"
            found.append(Note("price-taken", f"{known.value:g} USD/h for one {device.name}{wide}: {about}"))
        if site is not None:
            message = (
                f"{site.region.carbon()}; a PUE of {site.pue.value:g} ({site.pue.of or 'stated'}); hosts beside the"
                " devices are in carbon and water, not in the energy"
            )
            found.append(Note("footprint-taken", message))
        return found

    @lazy
    def footprint(self) -> Footprint | None:
        """Return carbon and water of the step, None where no region is given or the energy is not known."""
        if self.site is None or self.energy_j is None:
            return None
        from mlsysim.costs.site import footprint

        return footprint(self.energy_j, self.time_s.value, self.scenario, self.site)


def _overhead_at(overhead: Interval, z: Any) -> Interval:
    """Return a fixed part so many standard deviations from its value; nothing stays nothing."""
    return overhead if overhead.exact or not at_least(overhead.low, TINY) else overhead.at(z)


def _is_zero(value: Any) -> bool:
    return isinstance(value, float) and value == 0.0
