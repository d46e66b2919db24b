"""The marks of a timed loop as a log: what each step took, or its throughput where it says what it held."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from mlsysim.calibration.logs.log import Log
from mlsysim.calibration.logs.steps import Steps
from mlsysim.calibration.steady import FEWEST_STEPS
from mlsysim.errors import InvalidValue
from mlsysim.results import Note
from mlsysim.scenario import Scenario

FORMAT = "live run"
APART = 1.5
"""Ratio of what a step holds to what the question says beyond which they are told to differ: padding explains less."""
_FEWEST_MARKED = FEWEST_STEPS + 1  # the first is warm-up


class Marks(NamedTuple):
    """What a loop left: ``clocks`` [s] at its start and after each step, and what each step said it held.

    ``kind`` is ``tokens``, ``samples`` or empty; ``odd`` are steps that cannot be used and why, ``pauses`` what
    happened in a step, both by index.
    """

    clocks: Sequence[float]
    counts: Sequence[Any]
    kind: str
    odd: Mapping[int, str]
    pauses: Mapping[int, str]


def log_of(marks: Marks, scenario: Scenario) -> Log:
    """Return the marks as a log with one reading: ``throughput`` where steps say what they held, else ``time_s``.

    Raises
    ------
    InvalidValue
        Too few steps for an interval.
    """
    marked = len(marks.counts)
    if marked < _FEWEST_MARKED:
        hint = "the first warms up, and fewer than 5 cannot bound a median at 90 %"
        raise InvalidValue("run", f"at least {_FEWEST_MARKED} steps", marked, hint)
    each = _items_of_one(scenario)
    steps = Steps("the run", "throughput" if marks.kind else "time_s")
    held = []
    for i, count in enumerate(marks.counts):
        took = marks.clocks[i + 1] - marks.clocks[i]
        number = _number(count) if marks.kind else 1.0
        odd = marks.odd.get(i)
        if odd is None and not 0 < number < math.inf:
            odd = f"it states {count!r} {marks.kind}"
        if odd is not None or took <= 0:
            steps.leave_out(i + 1, odd or f"it took {took:g} s")
            continue
        if i in marks.pauses:
            steps.pause(marks.pauses[i])
        items = number * (each if marks.kind == "samples" else 1.0)
        steps.add(i + 1, items / took if marks.kind else took)
        held.append(items)
    if len(held) < _FEWEST_MARKED:
        first = steps.left_out[0]
        hint = f"{marked - len(held)} of {marked} were left out; step {first.line}: {first.reason}"
        raise InvalidValue("run", f"at least {_FEWEST_MARKED} steps that can be used", len(held), hint)
    conditions, notes = _batch(median(held) / each, marks.kind, scenario)
    reading = steps.reading(scenario.phase, conditions)
    return Log(FORMAT, (reading,), left_out=tuple(steps.left_out), notes=notes)


def _items_of_one(scenario: Scenario) -> float:
    """Return the items of a step of batch 1: the tokens of a sequence, or 1 sample."""
    return float(scenario.replace(batch_size=1).work().items)


def _number(count: Any) -> float:
    try:
        return float(count)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _batch(held: float, kind: str, scenario: Scenario) -> tuple[dict[str, Any], tuple[Note, ...]]:
    """Return the batch size that the steps tell where none was stated, else a note where the two are far apart."""
    if not kind:
        return {}, ()
    if "batch_size" in scenario.defaults:
        return {"batch_size": max(1, round(held))}, ()
    if 1 / APART < held / scenario.batch_size < APART:
        return {}, ()
    message = (
        f"a step holds {held:.3g} sequences' worth, and the stated batch is {scenario.batch_size}: eta follows from"
        " what the steps hold, the ceiling from the stated batch. Are the counts those of all devices, of all"
        " accumulated micro-batches?"
    )
    return {}, (Note("batch-differs", message),)
