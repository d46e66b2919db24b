"""What is expected of a run before it is measured: by the fitted equations, else by percentiles of published runs."""

from __future__ import annotations

import math
from typing import NamedTuple

from mlsysim.efficiency.deviations import Machine, Place, Point
from mlsysim.efficiency.evidence import parameters
from mlsysim.efficiency.predict import Prediction, by_equation, prediction, slopes_of
from mlsysim.efficiency.published import launches, published_range
from mlsysim.errors import UsageError
from mlsysim.evidence.measurement import Refused
from mlsysim.scenario import Roofline, Scenario
from mlsysim.setup import Setup

OTHER_MACHINES = ""
"""The regime of runs that no equation was fitted to: deviations are those of all."""


class Expectation(NamedTuple):
    """The expected time of a step: what scales with the hardware, and the fixed part [s].

    90 % of runs are up to ``faster`` below and ``slower`` above it [ln]. ``of`` says what it rests on: ``equation``,
    ``equation of other machines`` or ``percentiles``.
    """

    moving_s: float
    overhead_s: float
    faster: float
    slower: float
    point: Point
    of: str


def place_of(scenario: Scenario, regime: str, setup: Setup) -> Place:
    """Return what decides how much a run says of another."""
    d = scenario.hardware
    machine = Machine(d.name, d.kind, d.vendor, d.generation, d.memory_class)
    sizes = tuple(float(n or 0) for n in (scenario.batch_size, scenario.seq_len, scenario.context))
    return Place(regime, machine, scenario.model.name, scenario.precision, scenario.devices, setup.engine, sizes)


def expectation(
    scenario: Scenario, roof: Roofline, regime: str, setup: Setup, overhead_known: bool = False
) -> Expectation:
    """Return what is expected of a scenario; with its overhead known, of the part of the step that is not fixed.

    No equation was fitted to servers' processors or unknown cores: there, equations of accelerators give the shape,
    and where they do not answer, published attainment of other machines the time; how far such answers are off is
    what pairs of runs on machines of another memory class show.
    """
    found, of = prediction(scenario, setup), "equation"
    if found is None:
        found, of = _of_other_machines(scenario, setup), "equation of other machines"
    if found is None:
        return _percentiles(scenario, roof, regime, setup, overhead_known)
    fixed = 0.0 if overhead_known else found.overhead_s
    low, high = (math.log(end) for end in found.ends) if of == "equation" else (-_unfitted(), _unfitted())
    moving = max(found.seconds - found.overhead_s, roof.floor_s)
    regime = found.regime if of == "equation" else OTHER_MACHINES
    point = Point(place_of(scenario, regime, setup), slopes_of(found.parts))
    return Expectation(moving, fixed, -low, high, point, of)


def _unfitted() -> float:
    """Return half of the interval of what rests on other machines [ln]: how far attainment lies apart between them."""
    return parameters()["other-memory-class"].value


def _of_other_machines(scenario: Scenario, setup: Setup) -> Prediction | None:
    try:
        return by_equation(scenario, setup)
    except (Refused, UsageError, KeyError, ZeroDivisionError):
        return None


def _percentiles(scenario: Scenario, roof: Roofline, regime: str, setup: Setup, overhead_known: bool) -> Expectation:
    seen, _ = published_range(scenario, roof, regime)
    fixed = 0.0 if overhead_known else launches(scenario).value
    point = Point(place_of(scenario, OTHER_MACHINES, setup), {})
    return Expectation(roof.floor_s / seen.value, fixed, _unfitted(), _unfitted(), point, "percentiles")
