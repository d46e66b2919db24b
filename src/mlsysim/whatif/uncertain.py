"""What is not known of the inputs themselves, and what that leaves open of an output."""

from __future__ import annotations

from typing import NamedTuple

from mlsysim.costs.power import power_w
from mlsysim.costs.prices import price_range
from mlsysim.whatif.asked import getter
from mlsysim.whatif.question import Question

_ETA = {"assumed": "", "measured": "90 % of the measurement", "predicted": "90 % of runs of others"}


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
    """Return the range of prices on demand; a price that the caller states is taken as certain."""
    known = price_range(q.scenario.hardware) if q.usd_per_hour is None else None
    if known is None or q.price is None or known.low >= known.high:
        return None
    output = getter(of)
    ends = (output(q.but(usd_per_hour=known.low)), output(q.but(usd_per_hour=known.high)))
    said = f"lowest and highest {known.kind} price, {known.date}"
    return Uncertain("price", "price of a device", "USD/h", q.price, known.low, known.high, *ends, said)


def _power(q: Question, of: str) -> Uncertain | None:
    """Return the interval of the power drawn, where the output is an energy."""
    if of not in {"energy_j", "joules_per_item", "run_j"}:
        return None
    s = q.solve()
    n, time_s = q.scenario.devices, s.time_s.value
    moved = s.roof.traffic_bytes / s.roof.bandwidth / time_s
    drawn = power_w(q.scenario.hardware, s.efficiency.achieved, min(1.0, moved))
    energy = s.energy_j
    if drawn is None or energy is None or not drawn.low < drawn.high:
        return None
    counted = energy / (n * time_s)  # the power that the answer takes
    here = getter(of)(q)
    ends = (here * drawn.low / counted, here * drawn.high / counted)
    said = "90 % of measured power"
    return Uncertain("power", "power drawn by a device", "W", counted, drawn.low, drawn.high, *ends, said)
