"""The answers of a box: every quantity that is wanted, as an array that broadcasts to the shape of the box."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

from mlsysim.calibration import Calibration, Profile
from mlsysim.efficiency.equations import EQUATIONS
from mlsysim.efficiency.predict import prediction
from mlsysim.errors import InvalidValue
from mlsysim.physics.elementwise import at_least, where
from mlsysim.scenario import Scenario
from mlsysim.setup import Setup
from mlsysim.solution import NOT_DRAWN, SOURCES, Solution, Stated
from mlsysim.sweep.distributions import Distribution, draws_of
from mlsysim.sweep.grid import NUMBERS, SIZES, Block, Grid, Uncertain
from mlsysim.sweep.pieces import Box
from mlsysim.sweep.quantities import QUANTITIES, Quantity, base_of, quantile, varies

FEASIBLE = "feasible"
"""Whether a point can be answered and fits: a column of every sweep."""
Values = dict[str, Any]
"""A number or an array by name; arrays have as many dimensions as the box has axes."""


def evaluate(grid: Grid, box: Box, wanted: Sequence[str]) -> Values:
    """Return what is wanted of the points of a box; quantities that are not known are NaN.

    ``feasible`` is always among it. Where points are infeasible, what would be an answer is NaN. In a grid with
    uncertain numbers a quantity is its median, and its quantiles are beside it.
    """
    block = grid.block(box.block)
    scenario, names = block.scenario, wanted
    if grid.uncertain:
        names = grid.uncertain.expanded(wanted)
    if scenario is None:
        return {FEASIBLE: False, **{name: _nothing(QUANTITIES[base_of(name)]) for name in names}}
    numbers = {
        name: axis.values(start, stop)
        for (name, axis), start, stop in zip(block.axes, box.start, box.stop, strict=True)
    }
    asking = _Asking(block, tuple(wanted), grid.uncertain, grid.drawn(block))
    several = [name for name, values in numbers.items() if len(values) > 1]
    if "efficiency" in (*numbers, *asking.drawn) or not (several or asking.drawn):
        return asking.answers(numbers)
    arrays = arrays_of(scenario, block.efficiency, block.setup)
    asking.check(arrays)
    looped = [name for name in several if name not in arrays]
    return _looped(asking, numbers, looped) if looped else asking.answers(numbers)


def arrays_of(scenario: Scenario, efficiency: Stated, setup: Setup) -> tuple[str, ...]:
    """Return the fields that may be arrays: all where eta is stated, else those that the equation of it takes."""
    if efficiency is not None and not isinstance(efficiency, (Calibration, Profile)):
        return NUMBERS
    always = ("usd_per_hour",)
    if isinstance(efficiency, (Calibration, Profile)):
        return always
    found = prediction(scenario, setup)
    return always if found is None else (*always, *EQUATIONS[found.case.equation].ARRAYS)


class _Asking(NamedTuple):
    """What is asked of a block, and what of it is drawn."""

    block: Block
    wanted: tuple[str, ...]
    uncertain: Uncertain | None
    drawn: Mapping[str, Distribution]

    def check(self, arrays: Sequence[str]) -> None:
        """Refuse what cannot be drawn: a size on which the plan of a predicted training step depends."""
        for name in self.drawn:
            if name not in arrays:
                hint = "state efficiency, or give a list of values"
                raise InvalidValue(
                    name, "one number or a list where eta is predicted for this phase", "a distribution", hint
                )

    def answers(self, numbers: Mapping[str, Any]) -> Values:
        """Return the answers for values along each axis, in the shape of their grid."""
        import numpy as np

        with np.errstate(invalid="ignore"):  # infeasible points are NaN on purpose
            return self._answers(numbers)

    def _answers(self, numbers: Mapping[str, Any]) -> Values:
        more = 1 if self.uncertain else 0
        axes = len(numbers) + more
        shaped = {name: _along(values, n, axes) for n, (name, values) in enumerate(numbers.items())}
        draws: Mapping[str, Any] = NOT_DRAWN
        if self.uncertain:
            sources = (*SOURCES, *self.drawn)
            z = {s: v.reshape([1] * (axes - 1) + [-1]) for s, v in draws_of(sources, self.uncertain.draws).items()}
            draws = {source: z[source] for source in SOURCES}
            shaped |= {name: _possible(name, d.at(z[name])) for name, d in self.drawn.items()}
        eta = shaped.pop("efficiency", self.block.efficiency)
        price = shaped.pop("usd_per_hour", None)
        assert self.block.scenario is not None
        scenario = _with(self.block.scenario, shaped)
        solution = Solution(scenario, eta, price, self.block.setup, self.block.site, draws, True)
        fits = solution.memory.fits
        found: Values = {FEASIBLE: fits}
        for name in self.wanted:
            quantity = QUANTITIES[name]
            value = quantity.of(solution)
            if quantity.words and not at_least(fits, True):
                value = where(fits, value, -1)
            found[name] = math.nan if value is None else value
        return _quantiles(found, self.uncertain, axes) if self.uncertain else found


def _possible(name: str, values: Any) -> Any:
    """Return draws of a field as it can be: whole sizes of 1 or more, shares up to 1."""
    import numpy as np

    if name in SIZES:
        return np.maximum(np.rint(values), 1.0)
    return np.minimum(values, 1.0) if name in {"efficiency", "acceptance"} else values


def _quantiles(found: Values, uncertain: Uncertain, axes: int) -> Values:
    """Return medians and quantiles over the draws, which are along the last axis."""
    import numpy as np

    reduced: Values = {}
    for name, value in found.items():
        drawn = getattr(value, "ndim", 0) == axes and value.shape[-1] > 1
        if name == FEASIBLE:
            reduced[name] = value.all(axis=-1) if drawn else _without_draws(value)
        elif not varies(name):
            middle = value[..., 0] if drawn and QUANTITIES[name].words else np.median(value, axis=-1) if drawn else None
            reduced[name] = _without_draws(value) if middle is None else middle
        else:
            levels = (0.5, *uncertain.levels)
            parts = (
                np.quantile(value, levels, axis=-1, method="hazen") if drawn else [_without_draws(value)] * len(levels)
            )
            reduced[name] = parts[0]
            reduced |= {quantile(name, at): part for at, part in zip(uncertain.levels, parts[1:], strict=True)}
    return reduced


def _without_draws(value: Any) -> Any:
    """Return a value that no draw changes, without the axis of draws."""
    return value[..., 0] if getattr(value, "ndim", 0) else value


def _kind(name: str) -> type:
    """Return what the values of a column are: truth, codes of words, or numbers."""
    if name == FEASIBLE:
        return bool
    return int if QUANTITIES[base_of(name)].words else float


def _nothing(quantity: Quantity) -> Any:
    return -1 if quantity.words else math.nan


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


def _looped(asking: _Asking, numbers: Mapping[str, Any], looped: Sequence[str]) -> Values:
    """Return the answers of a box some of whose fields are taken value by value."""
    import numpy as np

    shape = tuple(len(values) for values in numbers.values())
    found: Values = {}
    for at in product(*(range(len(numbers[name])) for name in looped)):
        here = dict(zip(looped, at, strict=True))
        cuts = tuple(slice(here[name], here[name] + 1) if name in here else slice(None) for name in numbers)
        one = {name: values[cut] for (name, values), cut in zip(numbers.items(), cuts, strict=True)}
        for name, value in asking.answers(one).items():
            if name not in found:
                found[name] = np.empty(shape, dtype=_kind(name))
            found[name][cuts] = value
    return found
