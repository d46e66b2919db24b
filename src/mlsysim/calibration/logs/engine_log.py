"""What a serving engine prints every few seconds, as series of steps, one for each number of requests in decode."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any, NamedTuple

from mlsysim.calibration.logs.log import NOTHING, LeftOut, Log, Reading
from mlsysim.calibration.logs.source import Source
from mlsysim.calibration.logs.steps import Steps
from mlsysim.errors import InvalidValue
from mlsysim.results import Note
from mlsysim.setup import Setup
from mlsysim.units import LARGEST, si

ENOUGH = 5
"""Lines without a prefill that make those with one unnecessary: the least for an interval of a median."""
_FINE = 10
_WIDTH = math.log(1.1)
MIXED = Note(
    "decode-among-prefills",
    "most lines are of times in which prompts were taken in too: the rate of generated tokens holds those prefills, eta"
    " is that of the service, and lower than that of decode steps alone",
)
_AT_ONCE = Note(
    "batch-from-log",
    "the batch is the number of running requests at the end of each interval, taken where it was the same at its start"
    " to one part in ten",
)


class Interval(NamedTuple):
    """One line: ``value`` of a step or an interval, and what ran then.

    ``pure`` says that no prompt was taken in, ``tokens`` how many lie in the cache of all requests, None where the
    line does not say, ``clock`` the time of the line [s].
    """

    line: int
    value: float
    running: int
    pure: bool
    tokens: float | None = None
    clock: float | None = None


class Intervals:
    """Collects the intervals of one quantity, by the number of requests that ran: one operating point each."""

    def __init__(
        self, path: object, phase: str, quantity: str, what: str, of_all: Mapping[str, Any] = NOTHING, **more: Any
    ) -> None:
        self.path, self.phase, self.quantity, self.what, self.more = path, phase, quantity, what, more
        self._of_all = of_all
        self._found: list[Interval] = []
        self._unused = Steps(path, quantity)

    def add(self, interval: Interval) -> None:
        """Take one line."""
        if interval.running > LARGEST:
            self.leave_out(interval.line, "more requests than any server runs")
            return
        self._found.append(interval)

    def leave_out(self, line: int, reason: str) -> None:
        """Say that a line is not used."""
        self._unused.leave_out(line, reason)

    def readings(self, conditions: Mapping[str, Any] = NOTHING) -> tuple[list[Reading], list[LeftOut], bool]:
        """Return one reading an operating point, the lines left out, and whether prefills are in them.

        Raises
        ------
        InvalidValue
            The clock goes backwards.
        """
        pure = [interval for interval in self._found if interval.pure]
        used = pure if len(pure) >= ENOUGH else self._found
        points: dict[int, tuple[Steps, list[Interval]]] = {}
        last = -math.inf
        for interval in self._found:
            if interval.clock is not None:
                last = _forward(self.path, interval, last)
        for interval in used:
            if interval.running < 1:
                self.leave_out(interval.line, "no request was running")
                continue
            steps, members = points.setdefault(_bin(interval.running), (Steps(self.path, self.quantity), []))
            steps.add(interval.line, interval.value)
            members.append(interval)
        readings = []
        left_out = list(self._unused.left_out)
        for key in sorted(points):
            steps, members = points[key]
            left_out += steps.left_out
            if steps.values:
                readings.append(self._reading(steps, members, conditions))
        return readings, left_out, used is not pure and any(not interval.pure for interval in used)

    def _reading(self, steps: Steps, members: list[Interval], conditions: Mapping[str, Any]) -> Reading:
        running = fmean(interval.running for interval in members)
        found = {**conditions, **self._of_all, "batch_size": max(1, round(running))}
        held = [interval.tokens / interval.running for interval in members if interval.tokens]
        if held and self.phase == "decode":
            found["context"] = max(1, round(min(fmean(held), LARGEST)))
        label = f"{max(1, round(running))} requests at once{self.what}"
        return steps.reading(self.phase, found, label=label, **self.more)


def _bin(running: int) -> int:
    """Return what numbers of requests count as one operating point: each by itself up to 10, then within a tenth."""
    return running if running <= _FINE else _FINE + 1 + round(math.log(running / _FINE) / _WIDTH)


def _forward(path: object, interval: Interval, last: float) -> float:
    assert interval.clock is not None
    if interval.clock < last:
        rule = f"no earlier than the lines before ({last:.0f} s)"
        hint = "the clock goes backwards: cut the log where a run starts"
        raise InvalidValue(f"{path}, line {interval.line}: time", rule, f"{interval.clock:.0f} s", hint)
    return interval.clock


def engine_log(
    source: Source, name: str, kinds: list[Intervals], conditions: Mapping[str, Any], model: str, setup: Setup
) -> Log:
    """Return the log of all kinds of lines that an engine printed.

    Raises
    ------
    InvalidValue
        No line could be used, or the clock goes backwards.
    """
    readings: list[Reading] = []
    left_out: list[LeftOut] = []
    mixed = False
    for kind in kinds:
        found, unused, with_prefills = kind.readings(conditions)
        readings += found
        left_out += unused
        mixed = mixed or with_prefills
    if not readings:
        why = "; ".join(f"line {part.line}: {part.reason}" for part in left_out[:3])
        hint = why or "it holds no line of an interval in which tokens were generated"
        raise InvalidValue("log", "a log with at least one usable line", str(source.path), hint)
    if source.cut:
        left_out.append(LeftOut(0, "the packed file breaks off; what stands before is used"))
    readings, counts = _without_second_counts(readings)
    notes = (_AT_ONCE, *([MIXED] if mixed else []), *counts)
    return Log(name, tuple(readings), model, "", setup, tuple(left_out), notes)


def _without_second_counts(readings: list[Reading]) -> tuple[list[Reading], list[Note]]:
    """Return the readings without counts of FLOPs where the same point was timed, and notes that tell those counts.

    Both would be one measurement taken for two.
    """
    timed = {_point(reading) for reading in readings if reading.quantity != "achieved_flops"}
    kept, notes = [], []
    for reading in readings:
        if reading.quantity == "achieved_flops" and _point(reading) in timed:
            rate = si(fmean(reading.values), "FLOP/s")
            message = f"{reading.label}: {rate} a device; eta is from the tokens of the same lines"
            notes.append(Note("own-count-of-flops", message))
        else:
            kept.append(reading)
    return kept, notes


def _point(reading: Reading) -> tuple[str, int]:
    return reading.phase, _bin(reading.conditions["batch_size"])


def steady(now: int, before: int | None) -> bool:
    """Return whether as many requests ran at the start of an interval as at its end, to one part in ten."""
    return before is not None and 10 * abs(now - before) <= max(now, before)
