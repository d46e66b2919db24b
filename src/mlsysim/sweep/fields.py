"""The fields of a sweep, checked one by one: every problem of all of them is told at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mlsysim.calibration import Calibration, Profile
from mlsysim.costs.regions import region
from mlsysim.efficiency.estimate import checked_efficiency
from mlsysim.errors import Checks, InvalidValue, UnknownName
from mlsysim.precision import parse_precision
from mlsysim.registry import nearest
from mlsysim.results import Interval
from mlsysim.scenario import cluster_of, hardware_of
from mlsysim.setup import setup_of
from mlsysim.sweep.axes import Axis, Listed, Numbers, Spaced, axis_of
from mlsysim.sweep.distributions import Between, Distribution, distribution_of
from mlsysim.sweep.grid import NUMBERS, SIZES, WORDS, Grid, Uncertain
from mlsysim.units import parse, whole
from mlsysim.workload.modifiers import recompute_of
from mlsysim.workload.named import model_of, phase_of

PARTS = ("encoder", "body")
"""What training may freeze."""
DRAWS = 256
"""Draws by default: ends of 90 % intervals were within two hundredths of what 500 times as many give."""
MOST_WORDS = 100_000
"""Values of a field of words: each is checked, and makes a question of its own."""
LEAST_DRAWS = 16
"""Draws below which a quantile says nothing."""
LEVELS = (0.05, 0.95)
"""Quantiles beside the median: the ends of what 90 % lie between."""


def grid_of(
    models: object,
    hardware: object,
    fields: Mapping[str, object],
    quantiles: Sequence[float] | None = None,
    draws: int = DRAWS,
) -> Grid:
    """Return the grid of all combinations of what the fields hold.

    With ``quantiles``, or where a field is a distribution, everything uncertain is drawn ``draws`` times.

    Raises
    ------
    UsageError
        Fields that break a rule, all told at once.
    """
    check = Checks()
    given: dict[str, object] = {"model": models, "hardware": hardware, "phase": "forward"}
    given |= {name: value for name, value in fields.items() if value is not None}
    words: dict[str, tuple[tuple[str, Any], ...]] = {}
    numbers: dict[str, Axis] = {}
    drawn: dict[str, Distribution] = {}
    for name, value in given.items():
        before = len(check.problems)
        if name in NUMBERS and (found := check(_drawn, name, value)) is not None:
            drawn[name] = found
            continue
        axis = check(axis_of, value, name) if len(check.problems) == before else None
        if len(check.problems) > before:
            continue
        values = axis if axis is not None else Listed((value,))
        if name in NUMBERS and not _of_words(name, values):
            if (checked := check(_numbers, name, values)) is not None:
                numbers[name] = checked
        elif name in WORDS or name == "efficiency":
            each = check(_each, name, values) or ()
            words[name] = tuple(pair for v in each if (pair := check(_word, name, v)) is not None)
        else:
            known = (*WORDS, *NUMBERS)
            check.add(UnknownName("field", name, nearest(name, known), "known: " + ", ".join(known)))
    uncertain = check(_uncertain, drawn, quantiles, draws)
    if "pue" in words and "region" not in words:
        check.add(InvalidValue("pue", "left out where no region is given", given["pue"]))
    check.done()
    order = [*(n for n in WORDS if n in words), *(n for n in ("efficiency",) if n in words)]
    grid = Grid({n: _once(words[n]) for n in order}, numbers, uncertain)
    grid.check()
    return grid


def _uncertain(drawn: Mapping[str, Distribution], quantiles: Sequence[float] | None, draws: int) -> Uncertain | None:
    """Return what is drawn, None where nothing is.

    Raises
    ------
    InvalidValue
        Quantiles that are no shares, or fewer draws than say anything of them.
    """
    if not drawn and quantiles is None:
        return None
    if isinstance(quantiles, (int, float)):
        quantiles = (quantiles,)
    levels = LEVELS if quantiles is None else tuple(quantiles)
    for level in levels:
        if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0 < level < 1:
            raise InvalidValue("quantiles", "between 0 and 1", level)
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < LEAST_DRAWS:
        raise InvalidValue("draws", f"a whole number of at least {LEAST_DRAWS}", draws)
    return Uncertain(dict(drawn), draws, tuple(level for level in levels if level != 0.5))


def _drawn(name: str, value: object) -> Distribution | None:
    """Return a distribution whose ends the field may have, None where the value is none."""
    if isinstance(value, Interval):
        value = Between(value.low, value.high, value.value)
    found = distribution_of(value, name, "USD/h" if name == "usd_per_hour" else "1")
    if found is not None:
        check = _checked_number(name)
        for end in found.ends:
            check(max(1, round(end)) if name in SIZES else end)
    return found


def _each(name: str, axis: Axis) -> list[Any]:
    """Return the values of a field of words.

    Raises
    ------
    InvalidValue
        So many that each cannot be a question of its own.
    """
    if len(axis) > MOST_WORDS:
        raise InvalidValue(name, f"at most {MOST_WORDS:,} values", f"{len(axis):,}")
    values = axis.values(0, len(axis))
    return [v.item() if hasattr(v, "item") else v for v in values]


def _of_words(name: str, axis: Axis) -> bool:
    """Return whether a field of numbers holds something else: calibrations, or a prediction among stated values."""
    if name != "efficiency" or not isinstance(axis, Listed):
        return False
    return any(v is None or isinstance(v, (Calibration, Profile)) or v == "predicted" for v in axis.given)


def _once(pairs: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
    """Return values without those that were given under another spelling before."""
    found: dict[str, list[Any]] = {}
    for label, value in pairs:
        if value not in (same := found.setdefault(label, [])):
            same.append(value)
    return tuple((label, value) for label, same in found.items() for value in same)


def _word(name: str, value: Any) -> tuple[str, Any]:
    """Return the label of a value, and what it stands for."""
    if name == "model":
        model = model_of(value)
        return model.name, model
    if name == "hardware":
        found = cluster_of(value) or hardware_of(value)
        return found.name, found
    if name == "efficiency":
        return _eta(value)
    check: Callable[..., Any] = _CHECKS.get(name, _as_given)
    found = check(value, name)
    return str(value if name == "plan" else getattr(found, "name", found)), found


def _one_of(known: Sequence[str], value: Any, name: str) -> Any:
    if value not in known:
        raise UnknownName(name, str(value), nearest(str(value), known), "known: " + ", ".join(known))
    return value


def _as_given(value: Any, _: str) -> Any:
    return value


_CHECKS: Mapping[str, Callable[..., Any]] = {
    "phase": phase_of,
    "precision": parse_precision,
    "devices": whole,
    "region": lambda value, _: region(value).name,
    "plan": setup_of,
    "recompute": recompute_of,
    "freeze": lambda value, name: _one_of(PARTS, value, name),
    "draft": lambda value, _: value if value == "mtp" else model_of(value),
    "lora_rank": whole,
    "target_len": whole,
    "steps": whole,
    "draft_tokens": whole,
}


def _eta(value: Any) -> tuple[str, Any]:
    if value is None or value == "predicted":
        return "predicted", None
    if isinstance(value, (Calibration, Profile)):
        return repr(value), value
    eta = checked_efficiency(parse(value, "1", "efficiency"), value)
    return f"{eta:g}", eta


def _numbers(name: str, axis: Axis) -> Axis:
    """Return the axis of a field of numbers, each of them checked.

    Raises
    ------
    UsageError
        A value that the field cannot have.
    """
    check = _checked_number(name)
    if isinstance(axis, Spaced):
        for value in (axis.low, axis.last):
            check(value)
        if name in SIZES and not axis.whole:
            raise InvalidValue(name, "a range of whole numbers", f"{axis.low:g}, {axis.values(1, 2)[0]:g}, ...")
        return axis
    found = [check(value) for value in axis.values(0, len(axis))]
    if len(set(found)) < len(found):
        found = list(dict.fromkeys(found))
    return Numbers(np.array(found, dtype=np.int64 if name in SIZES else np.float64))


def _checked_number(name: str) -> Callable[[Any], Any]:
    if name in SIZES:
        return lambda value: whole(value, name)
    if name == "usd_per_hour":
        return lambda value: parse(value, "USD/h", name)
    if name == "efficiency":
        return lambda value: checked_efficiency(parse(value, "1", name), value)
    return lambda value: _share(parse(value, "1", name), value, name)


def _share(value: float, shown: object, name: str) -> float:
    if value > 1:
        raise InvalidValue(name, "in (0, 1]", shown)
    return value
