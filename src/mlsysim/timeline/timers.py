"""Logs with timers: Megatron-LM (``--timing-log-level``), DeepSpeed (``wall_clock_breakdown``), iterations of vLLM.

A timer says how long something took and not when, so that the timers of a step are laid side by side, and what they do
not cover is told as that. Forward and backward passes are one block: what is inside them a timer does not tell.

Lines as the programs write them: Megatron-LM (megatron/core/timers.py) ``(min, max) time across ranks (ms):`` with a
line a timer, before 2023 ``time (ms) | name: value | ...``, as DeepSpeed does; both below the line of the iteration.
vLLM (``--enable-logging-iteration-details``, pull request 31193): ``Iteration(515): 0 context requests, ...,
iteration elapsed time: 10.99 ms``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue
from mlsysim.registry import read_table
from mlsysim.results import Note
from mlsysim.timeline.activity import Activity
from mlsysim.timeline.spans import SpanRows
from mlsysim.timeline.trace import BREAKS_OFF, Mark, Trace

_ITERATION = re.compile(r"iteration\s+(\d+)\s*/\s*\d+.*?elapsed time per iteration \(ms\):\s*([\d.]+)")
_ACROSS = re.compile(r"(?:\(min, max\) |max )time across ranks \(ms\):")
_TIMER = re.compile(r"^\s*([\w-]+) \.*: (?:\(([\d.]+), ([\d.]+)\)|([\d.]+))\s*$")
_INLINE = re.compile(r"time \(ms\) \|(.*)")
_PAIR = re.compile(r"([\w/-]+): ([\d.]+)")
_VLLM = re.compile(
    r"Iteration\((\d+)\): (\d+) context requests, (\d+) context tokens, (\d+) generation requests,"
    r" (\d+) generation tokens, iteration elapsed time: ([\d.]+) ms"
)
_JSON = re.compile(r"\s*(\{|\[\s*\{)")
_DEEPSPEED = re.compile(r"backward_inner|bwd_inner")
_NS = 1e6
"""Nanoseconds in a millisecond."""
_FIRST = ("loading", "optimizer", "transfer", "exchange", "passes")
"""Order in which timers are laid out: what holds the others comes last, and has what is left."""


class _Timer(NamedTuple):
    """One timer of a step: its name, and the least and the most over the ranks [ms]."""

    name: str
    least: float
    most: float


class _Step(NamedTuple):
    """One step: its number, its time [ms], None where no line tells it, and its timers."""

    number: int
    time: float | None
    timers: list[_Timer]


def recognises(source: Source) -> bool:
    """Return whether a text holds timers, or iterations of vLLM."""
    if _JSON.match(source.head) or "\0" in source.head:
        return False
    return any(
        _ACROSS.search(line) or _VLLM.search(line) or (_INLINE.search(line) and _PAIR.search(line))
        for line in _lines(source)
    )


def read_all(source: Source, progress: Callable[[int], None] | None = None) -> tuple[Trace, ...]:
    """Return the steps of a log, as one trace.

    Raises
    ------
    InvalidValue
        It holds no step with a time.
    """
    steps, deepspeed = _steps(source, progress)
    steps = [step for step in steps if step.time or step.timers]
    if not steps:
        raise InvalidValue("trace", "a log with timers of steps", str(source.path), "no step has a time")
    rows, marks, over = _laid(steps, "deepspeed" if deepspeed else "megatron")
    notes = [_laid_out()]
    if over:
        message = f"in {over} of {len(steps)} steps the timers, of the slowest rank each, take longer than the step"
        notes.append(Note("timers-overlap", message))
    empty = SpanRows().spans()
    training = not any(timer.name == "vllm" for step in steps for timer in step.timers)
    left_out = {BREAKS_OFF: 1} if source.cut else {}
    program = "vLLM iterations" if not training else "DeepSpeed timers" if deepspeed else "Megatron-LM timers"
    return (
        Trace(
            program,
            "timers",
            empty,
            rows.spans(),
            tuple(marks),
            0,
            training=training,
            left_out=left_out,
            notes=tuple(notes),
            path=str(source.path),
        ),
    )


def _laid(steps: list[_Step], program: str) -> tuple[SpanRows, list[Mark], int]:
    """Lay the timers of each step side by side; return also in how many steps they take longer than the step."""
    rows, marks, begun, over = SpanRows(), [], 0, 0
    for step in steps:
        parts = _parts(step, program)
        covered = sum(length for _, length in parts)
        length = round((step.time or 0.0) * _NS) or covered
        over += covered > length
        at = begun
        for kind, part in parts:
            end = min(at + part, begun + length)
            rows.add(at, end, kind, 0, kind.name)
            at = end
        rows.add(at, begun + length, Activity.UNTIMED, 0, "outside the timers")
        marks.append(Mark(step.number, begun, begun + length))
        begun += length
    return rows, marks, over


def _laid_out() -> Note:
    message = (
        "timers say how long something took and not when: those of a step are laid side by side, and what they do not"
        " cover is unattributed"
    )
    return Note("timers-laid-out", message)


def _lines(source: Source, progress: Callable[[int], None] | None = None) -> Iterator[str]:
    """Yield the lines that may tell a time."""
    size = 0
    for _, line in source.lines():
        size += len(line)
        if b"time" in line or b" .." in line:
            yield line.decode("utf-8", "replace").rstrip("\r\n")
        if progress:
            progress(size)


def _steps(source: Source, progress: Callable[[int], None] | None) -> tuple[list[_Step], bool]:
    """Return the steps of a log in order, and whether DeepSpeed wrote it."""
    steps: list[_Step] = []
    deepspeed = within = False
    for line in _lines(source, progress):
        if found := _VLLM.search(line):
            time = float(found[6])
            steps.append(_Step(int(found[1]), time, [_Timer("vllm", time, time)]))
        elif found := _ITERATION.search(line):
            steps.append(_Step(int(found[1]), float(found[2]), []))
            within = False
        elif _ACROSS.search(line):
            within = True
        elif found := _INLINE.search(line):
            deepspeed |= bool(_DEEPSPEED.search(line))
            timers = [_Timer(name, float(ms), float(ms)) for name, ms in _PAIR.findall(found[1])]
            if deepspeed and any(t.name.endswith("microstep") for t in timers):
                continue
            if deepspeed or not steps:
                steps.append(_Step(len(steps), None, []))
            steps[-1].timers.extend(timers)
        elif within and steps and (found := _TIMER.match(line)):
            least, most = (float(found[2]), float(found[3])) if found[2] else (float(found[4]),) * 2
            steps[-1].timers.append(_Timer(found[1], least, most))
    return steps, deepspeed


@cache
def _patterns(program: str) -> list[tuple[re.Pattern[str], str]]:
    rows = read_table("mlsysim.timeline", "timers.tsv")
    return [(re.compile(r["pattern"]), r["activity"]) for r in rows if r["program"] == program]


def _parts(step: _Step, program: str) -> list[tuple[Activity, int]]:
    """Return what the timers of a step are, and how long each takes [ns], in the order in which they are laid out.

    What gradients take on the slowest rank beyond the fastest is waiting for it. The data come within the forward pass.
    """
    if any(timer.name == "vllm" for timer in step.timers):
        return [(Activity.PASSES, round((step.time or 0.0) * _NS))]
    taken: dict[str, float] = dict.fromkeys(_FIRST, 0.0)
    skew = 0.0
    for timer in step.timers:
        kind = next((kind for pattern, kind in _patterns(program) if pattern.search(timer.name)), "ignored")
        if kind == "transfer":
            taken[kind] += timer.least
            skew += timer.most - timer.least
        elif kind != "ignored":
            taken[kind] += timer.most
    taken["passes"] = max(0.0, taken["passes"] - taken["loading"])
    parts = [(Activity[kind.upper()], round(ms * _NS)) for kind, ms in taken.items()]
    parts.insert(_FIRST.index("transfer"), (Activity.SKEW, round(skew * _NS)))
    return [(kind, length) for kind, length in parts if length]
