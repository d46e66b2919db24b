"""eta predicted: the time that the fitted equations give for a scenario, and the interval that measurements lie in.

A decode step of one sequence and one of many are measured in different ways, alone and under load: between 1 and 32
sequences the prediction goes from one to the other in logarithms, so that a sweep finds no step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from mlsysim.efficiency.case import Case
from mlsysim.efficiency.equations import EQUATIONS, case_of
from mlsysim.efficiency.estimate import Estimate
from mlsysim.efficiency.fitted import combined, known_parameters, seen, spreads
from mlsysim.efficiency.published import pooled
from mlsysim.efficiency.regimes import FITTED_TITLES, LARGE_BATCH, alone, fitted_regime
from mlsysim.efficiency.small import small_run
from mlsysim.efficiency.structure import structure
from mlsysim.models import NetworkSpec, Work
from mlsysim.physics.elementwise import Real, all_finite, at_least, log, maximum, minimum
from mlsysim.results import Interval, Note
from mlsysim.scenario import Roofline, Scenario
from mlsysim.setup import UNKNOWN, Setup

if TYPE_CHECKING:
    from mlsysim.evidence.edge_rows import EdgeRun, TinyRun

_STEP = 1e-4
"""Relative step of a parameter in numerical derivatives."""


class Prediction(NamedTuple):
    """A predicted time with its fixed part [s], the case it is of, and the regime whose measurements it rests on.

    ``parts`` are the cases that it is between, with their weights in logarithms.
    """

    seconds: Any
    overhead_s: Any
    case: Case
    regime: str
    new: tuple[str, ...]
    parts: tuple[tuple[Case, Any], ...]

    @property
    def ends(self) -> tuple[float, float]:
        """Return what the time is multiplied by at the ends of the 90 % interval."""
        low, high = combined(self.regime, self.new, spreads())
        return math.exp(low), math.exp(high)


def prediction(scenario: Scenario, setup: Setup = UNKNOWN, work: Work | None = None) -> Prediction | None:
    """Return the predicted time of a step, None where no equation answers: a figure of the hardware is not known."""
    if (fitted_regime(scenario), "") not in spreads():
        return None
    small = small_run(scenario)
    if small is None and scenario.hardware.kind in {"mcu", "cpu"} and isinstance(scenario.model, NetworkSpec):
        return None
    return _by_equation(scenario, setup, work, small)


def by_equation(scenario: Scenario, setup: Setup = UNKNOWN) -> Prediction | None:
    """Return what the equations give, be it of machines of a kind that they were not fitted to; None as above."""
    return _by_equation(scenario, setup, None, small_run(scenario))


def _by_equation(
    scenario: Scenario, setup: Setup, work: Work | None, small: EdgeRun | TinyRun | None
) -> Prediction | None:
    case = case_of(scenario if small is None else small, setup, work)
    parts: tuple[tuple[Case, Any], ...] = ((case, 1.0),)
    if scenario.phase == "decode" and not alone(scenario.batch_size):
        loaded, share = case._replace(levels=served(case.levels)), loaded_share(scenario.batch_size)
        parts = ((loaded, 1.0),) if at_least(share, 1.0) else ((case, 1.0 - share), (loaded, share))
    seconds, overhead = _between(parts)
    if small is not None:
        seconds, overhead = scenario.batch_size * seconds, scenario.batch_size * overhead
    if not all_finite(seconds):
        return None
    names = seen()
    new = ["source"]
    if scenario.model.name not in names["model"]:
        new.append("model")
    if scenario.hardware.name not in names["hardware"]:
        new.append("hardware")
    return Prediction(seconds, overhead, case, fitted_regime(scenario), tuple(new), parts)


def loaded_share(batch_size: Real) -> Any:
    """Return how far a decode step is from one sequence alone to many under load, 0 to 1."""
    return minimum(1.0, log(batch_size) / math.log(LARGE_BATCH))


def _between(parts: Sequence[tuple[Case, Any]]) -> tuple[Any, Any]:
    """Return the time of a step between cases, in logarithms, and the fixed part of it [s]."""
    (first, weight), *others = [(_timed(case), weight) for case, weight in parts]
    if not others:
        return first
    ((second, share),) = others
    seconds, overhead = (a**weight * b**share for a, b in zip(first, second, strict=True))
    return seconds, overhead


def slopes_of(parts: Sequence[tuple[Case, Any]]) -> dict[str, float]:
    """Return the slopes of ln of a predicted time by ln of each parameter of its equation that matters to it."""
    found: dict[str, float] = {}
    for case, weight in parts:
        equation = EQUATIONS[case.equation]
        p = known_parameters(case.equation, tuple(case.levels.items()))
        here = float(equation.seconds(case.x, p))
        for name in equation.NAMES:
            there = float(equation.seconds(case.x, {**p, name: p[name] * (1.0 + _STEP)}))
            if there != here:
                found[name] = found.get(name, 0.0) + weight * math.log(there / here) / _STEP
    return found


def served(levels: Mapping[str, str]) -> dict[str, str]:
    """Return the levels of a decode step with those of serving in place of those of a step alone."""
    return {k: v.replace("decode", "serving") if "phase" in k else v for k, v in levels.items()}


def _timed(case: Case) -> tuple[Any, Any]:
    """Return the time of a case, and the part of it that no faster hardware removes [s]."""
    equation = EQUATIONS[case.equation]
    p = known_parameters(case.equation, tuple(case.levels.items()))
    seconds = equation.seconds(case.x, p)
    without = equation.seconds(case.x, {**p, **_nothing_fixed(case.equation)})
    return seconds, seconds - without


@cache
def _nothing_fixed(equation: str) -> Mapping[str, float]:
    """Return 0 for each parameter of an equation that is a time."""
    return {n: 0.0 for n in EQUATIONS[equation].NAMES if structure()[n].unit == "s"}


def predicted(scenario: Scenario, roof: Roofline, work: Work | None = None, setup: Setup = UNKNOWN) -> Estimate:
    """Return the estimate of the fitted model for a scenario; never above the ceiling."""
    p = prediction(scenario, setup, work)
    if p is None:
        return pooled(scenario, roof)
    low, high = p.ends
    moving = maximum(p.seconds - p.overhead_s, roof.floor_s)
    value = roof.floor_s / moving
    reached = Interval(value, value / high, minimum(1.0, value / low))
    fixed = maximum(p.overhead_s, 0.0)
    return Estimate(
        "predicted", None, reached, Interval(fixed, fixed * low, fixed * high), partial(_notes, p, scenario, low, high)
    )


def _notes(p: Prediction, scenario: Scenario, low: float, high: float) -> list[Note]:
    names = {"model": f"{scenario.model.name} is not among them", "hardware": f"no {scenario.hardware.name} is"}
    fresh = "; ".join(names[k] for k in p.new if k in names)
    message = (
        f"by equations fitted to {spreads()[p.regime, ''].rows:,} published measurements of"
        f" '{FITTED_TITLES[p.regime]}'{f' ({fresh})' if fresh else ''}: 90 % of runs of others lie between {low:.2g}"
        f" and {high:.2g} times this time"
    )
    return [Note("predicted-from-evidence", message)]
