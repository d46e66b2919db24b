"""What is not known of the inputs themselves, and what that leaves open of an output."""

from __future__ import annotations

from typing import NamedTuple

from mlsysim.costs.prices import price_range
from mlsysim.results import Interval
from mlsysim.whatif.asked import getter
from mlsysim.whatif.question import Question

_ETA = {"assumed": "", "measured": "90 % of the measurement", "predicted": "90 % of runs of others"}
_OF_POWER = ("power_w", "energy_j", "joules_per_item", "run_j")


class Uncertain(NamedTuple):
    """An input with the ends it is known between, and the output at those ends; ``source`` says what the ends are."""

    input: str
    title: str
    unit: str
    value: float
    low: float
    high: float
    output_low: float
    output_high: float
    source: str

    @property
    def spread(self) -> float:
        """Return the larger output over the smaller [1]."""
        ends = sorted((self.output_low, self.output_high))
        return ends[1] / ends[0] if ends[0] > 0 else float("inf")


def uncertain_of(question: Question, of: str) -> list[Uncertain]:
    """Return what is uncertain of eta, of the price and of the power, widest effect on the output first."""
    found = [u for u in (_eta(question, of), _price(question, of), _power(question, of)) if u is not None]
    return sorted((u for u in found if u.output_low != u.output_high), key=lambda u: -u.spread)


def _eta(q: Question, of: str) -> Uncertain | None:
    s, output = q.solve(), getter(of)
    eta = s.efficiency
    if not eta.low < eta.high:
        return None
    ends = (output(q.but(end="high")), output(q.but(end="low")))  # the slow end is the low eta
    return Uncertain("eta", "eta", "", eta.achieved, eta.low, eta.high, *ends, _ETA[eta.kind])


def _price(q: Question, of: str) -> Uncertain | None:
    """Return the range of the price, stated or published; one number that the caller states is taken as certain."""
    stated, source = q.usd_per_hour, "as stated"
    if stated is None and (known := price_range(q.scenario.hardware)) is not None:
        stated, source = known.interval, f"lowest and highest {known.kind} price, {known.date}"
    if not isinstance(stated, Interval) or stated.low >= stated.high:
        return None
    ends = [getter(of)(q.but(usd_per_hour=end)) for end in (stated.low, stated.high)]
    return Uncertain("price", "price of a device", "USD/h", *stated, ends[0], ends[1], source)


def _power(q: Question, of: str) -> Uncertain | None:
    """Return the interval of the power drawn, where the output is an energy or follows from one."""
    if of not in _OF_POWER:
        return None
    drawn, here = q.solve().power_w, getter(of)(q)
    if drawn is None or not drawn.low < drawn.high:
        return None
    ends = (here * drawn.low / drawn.value, here * drawn.high / drawn.value)
    return Uncertain("power", "power drawn by a device", "W", *drawn, *ends, "90 % of measured power")
