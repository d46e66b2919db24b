"""A checked question that may be changed a little at a time, and the numbers of its answer.

Every answer comes from the same :class:`~mlsysim.solution.Solution` as one of ``Engine.solve``; what is changed beside
the fields of a question is the software: parameters of the fitted equations, or how much of the ceiling is attained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlsysim.calibration import Calibration, Profile
from mlsysim.costs.prices import price_range
from mlsysim.costs.site import Site
from mlsysim.efficiency.case import Case
from mlsysim.efficiency.equations import EQUATIONS
from mlsysim.efficiency.estimate import Estimate
from mlsysim.efficiency.fitted import known_parameters
from mlsysim.efficiency.predict import Prediction, prediction
from mlsysim.efficiency.structure import structure
from mlsysim.physics.elementwise import maximum, minimum
from mlsysim.results import Interval
from mlsysim.scenario import Scenario
from mlsysim.setup import UNKNOWN, Setup
from mlsysim.solution import Solution, Stated

HELD = ("eta", "attainment")
"""What of a stated eta stays as it is when something else changes."""
ENDS = ("value", "low", "high")
"""Which time of its interval an answer takes: low is the fastest."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question and what is changed of its answer. Make one with :func:`~mlsysim.whatif.asked.asked`.

    ``tokens`` is what a training run reads in all. ``held`` is the attainment [1] that a stated eta is kept at, None
    where eta itself is kept. ``parameters`` are factors on those of the fitted equations, ``software`` the factor on
    attainment; ``carried`` what a measurement took over what is predicted for it, with its ends. ``end`` is one of
    :data:`ENDS`.
    """

    scenario: Scenario
    stated: Stated
    usd_per_hour: float | Interval | None = None
    tokens: float | None = None
    setup: Setup = UNKNOWN
    site: Site | None = None
    held: float | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    software: float = 1.0
    carried: Interval | None = None
    end: str = "value"

    def but(self, **changes: Any) -> Question:
        """Return the question with other fields."""
        return replace(self, **changes)

    def with_scenario(self, **changes: Any) -> Question:
        """Return the question with other fields of its scenario, which are not checked again."""
        return replace(self, scenario=self.scenario.replace(**changes))

    @property
    def price(self) -> float | None:
        """Return the price of one device [USD/h], stated or published; None where none is known."""
        if isinstance(self.usd_per_hour, Interval):
            return self.usd_per_hour.value
        known = price_range(self.scenario.hardware) if self.usd_per_hour is None else None
        return known.value if known else self.usd_per_hour

    @property
    def number(self) -> float | None:
        """Return the eta that was stated as a number, None where it is measured or predicted."""
        if self.stated is None or isinstance(self.stated, (Calibration, Profile)):
            return None
        return float(self.stated)

    def solve(self) -> Solution:
        """Return the answer in numbers."""
        found = Solution(self.scenario, self.stated, self.usd_per_hour, self.setup, self.site)
        kept = vars(found)  # what is put here before it is asked for is not worked out again
        if self.number is not None and self.held is not None:
            found.stated = self.held * found.roof.ceiling
        if self.carried is not None or self.parameters:
            kept["estimate"] = _estimate(self, found)
        if self.software != 1.0:
            kept["estimate"] = _attained(found.estimate, self.software)
        if self.end != "value":
            time_s = getattr(found.time_s, self.end)
            kept["time_s"] = Interval(time_s, time_s, time_s)
        return found


def carried_of(question: Question) -> Interval | None:
    """Return what a measured run takes over what is predicted for it [1], with its ends; None where not measured.

    Near a measured run this ratio is kept: a small step away it would otherwise be shrunk at once, as it is far away.
    """
    if question.number is not None or question.stated is None:
        return None
    found = question.solve()
    p = prediction(question.scenario, question.setup, found.work)
    return None if p is None else found.time_s * (1.0 / p.seconds)


def parameters_of(question: Question) -> dict[str, tuple[float, str, str]]:
    """Return the fitted parameters that matter to a time: value, unit and meaning; none where eta is stated.

    Between two cases, of one sequence and of many, a value is the mean of theirs in logarithms.
    """
    if question.number is not None:
        return {}
    p = prediction(question.scenario, question.setup)
    if p is None:
        return {}
    known = [(known_parameters(c.equation, tuple(c.levels.items())), weight) for c, weight in p.parts]
    found = {}
    for name in EQUATIONS[p.case.equation].NAMES:
        about = structure()[name]
        value = math.prod(values[name] ** weight for values, weight in known)
        found[name] = (value, about.unit, about.meaning)
    return found


def _estimate(question: Question, s: Solution) -> Estimate:
    """Return what is predicted with other parameters, and what a measurement was slower or faster than predicted."""
    p = prediction(question.scenario, question.setup, s.work)
    if p is None:
        return s.estimate
    seconds, overhead = p.seconds, p.overhead_s
    if question.parameters:
        seconds, overhead = _between(p, question.parameters)
    low, high = p.ends
    kind = "predicted"
    if question.carried is not None:
        c = question.carried
        seconds, overhead, kind = seconds * c.value, overhead * c.value, "measured"
        low, high = c.low / c.value, c.high / c.value
    value = s.roof.floor_s / maximum(seconds - overhead, s.roof.floor_s)
    fixed = maximum(overhead, 0.0)
    reached = Interval(value, value / high, minimum(1.0, value / low))
    return Estimate(kind, None, reached, Interval(fixed, fixed * low, fixed * high), tuple)


def _between(p: Prediction, factors: Mapping[str, float]) -> tuple[float, float]:
    """Return the time of a prediction with other parameters, and the fixed part of it [s]."""
    usual = whole = fixed = 1.0
    for case, weight in p.parts:
        was, here, moving = _times(case, factors)
        usual, whole = usual * was**weight, whole * here**weight
        fixed *= max(here - moving, 0.0) ** weight
    return p.seconds * whole / usual, p.seconds * fixed / usual


def _times(case: Case, factors: Mapping[str, float]) -> tuple[float, float, float]:
    """Return the time of a case as it is fitted, with other parameters, and with those but nothing fixed [s]."""
    equation = EQUATIONS[case.equation]
    p = known_parameters(case.equation, tuple(case.levels.items()))
    other = {name: value * factors.get(name, 1.0) for name, value in p.items()}
    none = {name: 0.0 for name in equation.NAMES if structure()[name].unit == "s"}
    was, here, moving = (float(equation.seconds(case.x, q)) for q in (p, other, {**other, **none}))
    return was, here, moving


def _attained(e: Estimate, factor: float) -> Estimate:
    """Return an estimate with another share of the ceiling reached, 1 at most."""
    return e._replace(attainment=(e.attainment * factor).capped(1.0), notes=tuple)
