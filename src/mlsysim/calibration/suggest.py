"""Which measurement to make next: the one after which least is left unknown of the others that one may ask about."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mlsysim.calibration.calibration import Calibration
from mlsysim.calibration.expected import expectation
from mlsysim.calibration.transfer import changed, known_of
from mlsysim.efficiency.conditioning import left_unknown, most_telling, tail_of
from mlsysim.efficiency.deviations import Point
from mlsysim.efficiency.regimes import regime_of
from mlsysim.errors import UsageError
from mlsysim.results import NORMAL_90
from mlsysim.scenario import Scenario

FACTORS = (1 / 16, 1 / 4, 1, 4, 16)
"""By what batch and length are multiplied for the runs that one may ask about; what does not fit is left out."""


class Suggestion(NamedTuple):
    """A run to measure, and the half-width of the 90 % intervals of all runs in mind before and after it [1]."""

    change: dict[str, Any]
    before: float
    after: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return self._asdict()


def suggestions(calibrations: Sequence[Calibration], count: int = 3) -> list[Suggestion]:
    """Return the next measurements to make, the best first: each as if those before it had been made.

    The runs in mind are those of the first calibration's model and hardware with other batches and lengths, up to 16
    times larger and smaller, that fit.
    """
    home = calibrations[0]
    asked = list(_candidates(home))
    known = known_of(calibrations)
    points = [_point(s, home) for _, s in asked]
    measured, noise = [k.point for k in known], [k.noise for k in known]
    weights = [tail_of(p, measured) ** 2 for p in points]
    best = most_telling(left_unknown(measured, noise, points), count, weights)
    found = []
    before = _half(measured, noise, points)
    for i in best:
        measured, noise = [*measured, points[i]], [*noise, 0.0]
        after = _half(measured, noise, points)
        found.append(Suggestion(asked[i][0], before, after))
        before = after
    return found


def _half(measured: Sequence[Point], noise: Sequence[float], points: Sequence[Point]) -> float:
    """Return the root mean square of the half-widths of 90 % intervals, as a factor less 1 [1]."""
    left = left_unknown(measured, noise, points)
    tails = [tail_of(p, measured) for p in points]
    squares = [(NORMAL_90 * t) ** 2 * max(left[i, i], 0.0) for i, t in enumerate(tails)]
    return math.expm1(math.sqrt(math.fsum(squares) / len(squares)))


def _candidates(home: Calibration) -> Iterator[tuple[dict[str, Any], Scenario]]:
    """Yield runs that fit, as what is changed and the scenario after it."""
    scenario = changed(home)
    length = next((name for name in ("seq_len", "context") if getattr(scenario, name)), None)
    seen = set()
    for batch in FACTORS:
        for long in FACTORS if length else (1,):
            change = {"batch_size": max(1, round(scenario.batch_size * batch))}
            if length:
                change[length] = max(1, round(getattr(scenario, length) * long))
            key = tuple(change.values())
            if key in seen:
                continue
            seen.add(key)
            try:
                found = changed(home, **change)
            except UsageError:
                continue
            if found.memory().fits:
                yield change, found


def _point(scenario: Scenario, home: Calibration) -> Point:
    roof = scenario.roofline(scenario.work())
    return expectation(scenario, roof, regime_of(scenario, roof), home.setup, home.overhead_s is not None).point
