"""An estimate of what is achieved: attainment with an interval, fixed overhead, and what must be said about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from mlsysim.efficiency.evidence import Percentiles, attainment_of
from mlsysim.efficiency.regimes import TITLES, regime_of
from mlsysim.errors import Infeasible, InvalidValue
from mlsysim.physics.elementwise import Real, minimum
from mlsysim.results import Interval, Note
from mlsysim.scenario import Roofline, Scenario
from mlsysim.units import si

NO_OVERHEAD = Interval(0.0, 0.0, 0.0)
SMALLEST_EFFICIENCY = 1e-9
"""No run is slower than a billionth of its hardware's peak: less is a slip."""


class Estimate(NamedTuple):
    """What software achieves: the step takes floor / ``attainment`` + ``overhead`` [s].

    Numbers, or arrays where the question has arrays; ``notes`` says what must be said about it, for numbers alone.
    """

    kind: str
    asked: Real | None
    attainment: Interval
    overhead: Interval
    notes: Callable[[], Sequence[Note]]


def checked_efficiency(value: float, shown: object, field: str = "efficiency") -> float:
    """Return an eta that a caller states, if it can be one.

    Raises
    ------
    InvalidValue
        Above 1, or below a billionth; ``shown`` is what the caller wrote.
    """
    if value > 1:
        percent = value <= 100 and value == int(value)
        hint = f"{value:g} % is {value / 100:g}" if percent else "achieved / peak cannot exceed 1"
        raise InvalidValue(field, "in (0, 1]", shown, hint)
    if value < SMALLEST_EFFICIENCY:
        raise InvalidValue(field, f"at least {SMALLEST_EFFICIENCY:g}", shown)
    return value


def assumed(efficiency: Real, scenario: Scenario, roof: Roofline) -> Estimate:
    """Take the caller's end-to-end eta, never above the ceiling."""
    reached = minimum(efficiency / roof.ceiling, 1.0)
    return Estimate(
        "assumed",
        efficiency,
        Interval(reached, reached, reached),
        NO_OVERHEAD,
        partial(_assumed_notes, efficiency, scenario, roof),
    )


def _assumed_notes(efficiency: Any, scenario: Scenario, roof: Roofline) -> list[Note]:
    return [*above_ceiling(efficiency, roof), *outside_evidence(efficiency, roof, regime_of(scenario, roof))]


def above_ceiling(efficiency: float, roof: Roofline, strict: bool = False) -> list[Note]:
    """Return a note if an eta is more than physics allows, or raise :class:`Infeasible` where that is ``strict``."""
    if efficiency <= roof.ceiling:
        return []
    message = (
        f"eta {efficiency:.4g} is {efficiency / roof.ceiling:.3g} times the roofline ceiling {roof.ceiling:.4g}: moving"
        f" {si(roof.traffic_bytes, 'B')} at {si(roof.bandwidth, 'B/s')} takes {si(roof.memory_s, 's')} at least;"
        " the answer is this floor"
    )
    if strict:
        raise Infeasible(message.removesuffix("; the answer is this floor"))
    return [Note("efficiency-above-ceiling", message)]


def outside_evidence(efficiency: float, roof: Roofline, regime: str) -> list[Note]:
    """Return a note if an eta is far from all that is published for its regime (outside p5-p95)."""
    seen = attainment_of(regime)
    low, high = seen.p5 * roof.ceiling, min(1.0, seen.p95) * roof.ceiling
    if low <= efficiency <= high:
        return []
    side, factor = ("below", low / efficiency) if efficiency < low else ("above", efficiency / high)
    message = (
        f"eta {efficiency:.4g} is {side} what is published for '{TITLES[regime]}', by a factor of {factor:.3g}: on this"
        f" ceiling, nine in ten of {count_sources(seen)} give {low:.3g}-{high:.3g}, median"
        f" {seen.median * roof.ceiling:.3g}"
    )
    return [Note("efficiency-outside-evidence", message)]


def count_sources(seen: Percentiles) -> str:
    """Return how many measurements from how many sources there are, in words."""
    sources = "1 source" if seen.sources == 1 else f"{seen.sources} sources"
    return f"{seen.n} published measurements from {sources}"
