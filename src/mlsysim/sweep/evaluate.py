"""The answers of a box: every quantity that is wanted, as an array that broadcasts to the shape of the box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from mlsysim.calibration import Calibration, Profile
from mlsysim.efficiency.equations import EQUATIONS
from mlsysim.efficiency.predict import prediction
from mlsysim.scenario import Scenario
from mlsysim.setup import Setup
from mlsysim.solution import Solution, Stated
from mlsysim.sweep.grid import NUMBERS, Block, Box
from mlsysim.sweep.quantities import QUANTITIES, Quantity

FEASIBLE = "feasible"
"""Whether a point can be answered and fits: a column of every sweep."""
Values = dict[str, Any]
"""A number or an array by name; arrays have as many dimensions as the box has axes."""


def evaluate(block: Block, box: Box, wanted: Sequence[str]) -> Values:
    """Return what is wanted of the points of a box; quantities that are not known are NaN.

    ``feasible`` is always among it. Where points are infeasible, what would be an answer is NaN.
    """
    scenario = block.scenario
    if scenario is None:
        return {FEASIBLE: False, **{name: _nothing(QUANTITIES[name]) for name in wanted}}
    numbers = {
        name: axis.values(start, stop)
        for (name, axis), start, stop in zip(block.axes, box.start, box.stop, strict=True)
    }
    arrays = NUMBERS if "efficiency" in numbers else arrays_of(scenario, block.efficiency, block.setup)
    looped = [name for name, values in numbers.items() if name not in arrays and len(values) > 1]
    if not looped:
        return _solved(scenario, block, numbers, wanted)
    return _looped(scenario, block, numbers, looped, wanted)


def arrays_of(scenario: Scenario, efficiency: Stated, setup: Setup) -> tuple[str, ...]:
    """Return the fields that may be arrays: all where eta is stated, else those that the equation of it takes."""
    if efficiency is not None and not isinstance(efficiency, (Calibration, Profile)):
        return NUMBERS
    always = ("usd_per_hour",)
    if isinstance(efficiency, (Calibration, Profile)):
        return always
    found = prediction(scenario, setup)
    return always if found is None else (*always, *EQUATIONS[found.case.equation].ARRAYS)


def _solved(scenario: Scenario, block: Block, numbers: Mapping[str, Any], wanted: Sequence[str]) -> Values:
    shaped = {name: _along(values, n, len(numbers)) for n, (name, values) in enumerate(numbers.items())}
    eta = shaped.pop("efficiency", block.efficiency)
    price = shaped.pop("usd_per_hour", None)
    solution = Solution(_with(scenario, shaped), eta, price, block.setup)
    fits = solution.memory.fits
    found: Values = {FEASIBLE: fits}
    for name in wanted:
        quantity = QUANTITIES[name]
        value = quantity.of(solution)
        found[name] = _nothing(quantity) if value is None else value
    return _masked(found, fits)


def _masked(found: Values, fits: Any) -> Values:
    """Return quantities without those that would be an answer where there is none."""
    if isinstance(fits, bool):
        return found if fits else {n: _nothing(QUANTITIES[n]) if _hides(n) else v for n, v in found.items()}
    if fits.all():
        return found
    import numpy as np

    masked: dict[int, Any] = {}  # quantities that are one array stay one
    for name, value in found.items():
        if _hides(name) and id(value) not in masked:
            masked[id(value)] = np.where(fits, value, _nothing(QUANTITIES[name]))
    return {n: masked[id(v)] if _hides(n) else v for n, v in found.items()}


def _hides(name: str) -> bool:
    return name != FEASIBLE and QUANTITIES[name].masked


def _nothing(quantity: Quantity) -> Any:
    return -1 if quantity.words else float("nan")


def _along(values: Any, axis: int, axes: int) -> Any:
    """Return values along one axis of a box; one value alone as a number."""
    import numpy as np

    if len(values) == 1:
        return values[0] if isinstance(values[0], int) else float(values[0])
    return np.asarray(values, dtype=float).reshape([-1 if n == axis else 1 for n in range(axes)])


def _with(scenario: Scenario, shaped: Mapping[str, Any]) -> Scenario:
    """Return a question with numbers or arrays for some of its fields."""
    changes = dict(shaped)
    acceptance = changes.pop("acceptance", None)
    if acceptance is not None:
        drafted = scenario.modifiers.speculative
        assert drafted is not None
        changes["modifiers"] = scenario.modifiers._replace(speculative=drafted._replace(acceptance=acceptance))
    whole: dict[str, Any] = {n: int(v) if isinstance(v, float) and n != "modifiers" else v for n, v in changes.items()}
    return replace(scenario, **whole)


def _looped(
    scenario: Scenario, block: Block, numbers: Mapping[str, Any], looped: Sequence[str], wanted: Sequence[str]
) -> Values:
    """Return the answers of a box some of whose fields are taken value by value."""
    import numpy as np

    shape = tuple(len(values) for values in numbers.values())
    found: Values = {}
    for at in product(*(range(len(numbers[name])) for name in looped)):
        here = dict(zip(looped, at, strict=True))
        where = tuple(slice(here[name], here[name] + 1) if name in here else slice(None) for name in numbers)
        one = {name: values[cut] for (name, values), cut in zip(numbers.items(), where, strict=True)}
        part = _solved(scenario, block, one, wanted)
        for name, value in part.items():
            if name not in found:
                found[name] = np.empty(shape, dtype=np.asarray(value).dtype)
            found[name][where] = value
    return found
