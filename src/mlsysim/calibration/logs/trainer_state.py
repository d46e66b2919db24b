"""``trainer_state.json`` of the Hugging Face Trainer.

Field names from transformers 5.24.0: ``TrainerState`` in trainer_callback.py, ``speed_metrics`` in trainer_utils.py,
``Trainer.log`` in trainer.py. With ``include_num_input_tokens_seen`` every entry of ``log_history`` has the seconds
since the start (``train_runtime``), so that steps can be timed; else only the last entry, the summary, has a time.
Before transformers 5 the rates of the summary were those of ``max_steps``, also in a run that stopped early or was
resumed; of the latter nothing in the file tells.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mlsysim.calibration.logs.json_parts import elements, number
from mlsysim.calibration.logs.log import Log, Reading
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.source import Source
from mlsysim.calibration.logs.steps import Steps
from mlsysim.errors import InvalidValue
from mlsysim.results import Note
from mlsysim.setup import Setup

_HISTORY = '"log_history"'
_ROUNDED = 0.0005
"""Half of the last digit of the rates in the summary."""
_UNTIMED = (
    "the summary that training ends with is missing: was it stopped? include_num_input_tokens_seen=True times the steps"
)
_WHOLE = 0.002
"""How far a quotient of measured rates may lie from the whole number that it is taken for."""


class _Entry(NamedTuple):
    line: int
    values: Mapping[str, Any]

    def number(self, name: str) -> float | None:
        return number(self.values.get(name))

    def finite(self, name: str) -> float:
        """Return a number that something is worked out from, 0 where there is none or no finite one."""
        found = self.number(name)
        return found if found is not None and math.isfinite(found) else 0.0


def _read(source: Source) -> Log:
    text = source.text()
    found, whole = elements(text, text.index("[", text.index(_HISTORY)))
    entries = [_Entry(line, value) for line, value in found if isinstance(value, dict)]
    state = _state(text) if whole else {}
    summary = next((e for e in reversed(entries) if "train_samples_per_second" in e.values), None)
    conditions = _conditions(entries, summary, state)
    timed = [e for e in entries if e.number("step") and "train_runtime" in e.values and e is not summary]
    counted = "seq_len" not in conditions and all(e.number("num_input_tokens_seen") for e in timed)
    steps = Steps(source.path, "throughput" if counted else "time_s")
    if not state:
        steps.leave_out(0, "the file breaks off: the entries before that are used")
    _timed(entries, timed, state.get("save_steps"), steps)
    if len(steps.values) > 1:
        tokens = _tokens_a_step(timed) if counted and "batch_size" not in conditions else 0
        reading = steps.reading("training", conditions, unit="tokens/s" if counted else "", tokens=tokens)
        notes = _averaged(timed)
    elif summary is not None:
        reading, notes = _of_summary(source, entries, summary, conditions)
    else:
        raise InvalidValue("log", "a trainer_state.json with train_runtime in it", str(source.path), _UNTIMED)
    setup = Setup(engine="transformers")
    return Log("Hugging Face trainer_state", (reading,), setup=setup, left_out=steps.left_out, notes=notes)


def _state(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _timed(entries: Sequence[_Entry], timed: Sequence[_Entry], saves: Any, steps: Steps) -> None:
    """Take the seconds a step, or the tokens a second, between entries that have the seconds since the start."""
    before, chosen = (0.0, 0.0, 0.0), {id(entry) for entry in timed}
    for entry in entries:
        if "eval_runtime" in entry.values:
            steps.pause("evaluation")
        if id(entry) not in chosen:
            continue
        names = ("step", "train_runtime", "num_input_tokens_seen")
        now = tuple(entry.number(name) or 0.0 for name in names)
        count, took, tokens = (a - b for a, b in zip(now, before, strict=True))
        if took < 0 < count:
            steps.leave_out(entry.line, "training was resumed here: the time of these steps is not told apart")
        elif steps.quantity == "throughput":
            steps.add(entry.line, tokens / took if took else math.nan, step=now[0])
        else:
            steps.add(entry.line, took / count if count else math.nan, step=now[0])
        before = now  # type: ignore[assignment]  # as long as its names
        if isinstance(saves, int) and saves >= 1 and now[0] % saves == 0:
            steps.pause("checkpoint")  # it is written after this entry


def _tokens_a_step(timed: Sequence[_Entry]) -> int:
    """Return the tokens of a step where all have the same number of them, else 0."""
    rates = {e.finite("num_input_tokens_seen") / (e.finite("step") or 1.0) for e in timed}
    each = rates.pop() if len(rates) == 1 else 0.0
    return int(each) if each.is_integer() else 0


def _averaged(timed: Sequence[_Entry]) -> tuple[Note, ...]:
    numbers = [e.number("step") or 0.0 for e in timed]
    most = max(b - a for a, b in itertools.pairwise(numbers))
    if most <= 1:
        return ()
    return (Note("steps-averaged", f"each time is the mean of the {most:g} steps between two entries of the log"),)


def _of_summary(
    source: Source, entries: Sequence[_Entry], summary: _Entry, conditions: Mapping[str, Any]
) -> tuple[Reading, tuple[Note, ...]]:
    """Return the mean seconds a step of all training, without the evaluations that the log times."""
    runtime, step = summary.number("train_runtime"), summary.number("step")
    rate = summary.finite("train_steps_per_second")
    field = f"{source.path}, line {summary.line}: "
    if not runtime or not 0 < runtime < float("inf"):
        raise InvalidValue(field + "train_runtime", "a time above 0 s", summary.values.get("train_runtime"))
    if not step or not 0 < step < float("inf"):
        raise InvalidValue(field + "step", "at least 1", summary.values.get("step"), "no step was made")
    count = step
    if rate and (rate + _ROUNDED) * runtime < step - 1:
        count = max(1, round(rate * runtime))  # resumed: fewer steps than the number of the last
    evaluated = sum(e.finite("eval_runtime") for e in entries)
    took = runtime - evaluated if evaluated < runtime else runtime
    without = f", without {evaluated:.4g} s of evaluation" if 0 < evaluated < runtime else ""
    message = (
        f"the log has no times of steps: this is the mean of {count:g} steps{without}, with warm-up, loading of data"
        " and checkpoints in it; include_num_input_tokens_seen=True and logging_steps=1 would give the times"
    )
    reading = Reading("training", "time_s", (took / count,), conditions, lines=(summary.line,))
    return reading, (Note("whole-run", message),)


def _conditions(entries: Sequence[_Entry], summary: _Entry | None, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the batch of all devices, from the rates of the summary, and the tokens of a sequence."""
    found: dict[str, Any] = {}
    batch = _batch(summary, state) if summary else None
    if batch:
        found["batch_size"] = batch
    last = next((e for e in reversed(entries) if e.finite("num_input_tokens_seen") and e.finite("step")), None)
    if batch and last:
        each = last.finite("num_input_tokens_seen") / last.finite("step") / batch
        if each >= 1 and abs(each - round(each)) <= _WHOLE:
            found["seq_len"] = round(each)
    return found


def _batch(summary: _Entry, state: Mapping[str, Any]) -> int | None:
    samples, steps = summary.finite("train_samples_per_second"), summary.finite("train_steps_per_second")
    if not samples or not steps or steps < 20 * _ROUNDED:
        return None
    of_one = state.get("train_batch_size")
    each = of_one if isinstance(of_one, int) and of_one > 0 else 1
    batch = max(1, round(samples / steps / each)) * each
    slack = _ROUNDED / steps + _ROUNDED / samples + _WHOLE
    return batch if abs(samples / steps / batch - 1) <= max(slack, 0.5 / batch if each == 1 else 0.05) else None


def _recognises(source: Source) -> bool:
    head = source.head
    return head.lstrip()[:1] == "{" and _HISTORY in head and "[" in head[head.index(_HISTORY) :]


FORMATS = (Format("Hugging Face trainer_state.json", "log_history", _recognises, _read),)
