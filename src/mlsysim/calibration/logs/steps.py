"""Steps of a log collected one by one, with the checks that every reader of steps owes its user."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mlsysim.calibration.logs.log import NOTHING, LeftOut, Reading
from mlsysim.errors import InvalidValue


class Steps:
    """Collects the values of steps in order; what cannot be used is left out with its line and reason.

    Refused at once, since no part of such a log can be trusted: a step number that starts again (several runs in one
    log) and a clock that goes backwards.
    """

    def __init__(self, path: object, quantity: str) -> None:
        self.path, self.quantity = path, quantity
        self.values: list[float] = []
        self.lines: list[int] = []
        self.pauses: dict[int, str] = {}
        self.left_out: list[LeftOut] = []
        self._last_step = -math.inf
        self._last_clock = -math.inf

    def add(self, line: int, value: float, *, step: float | None = None, clock: float | None = None) -> None:
        """Take one step: its value, its number and the time it ended at [s], as far as the log says."""
        if step is not None:
            if step < self._last_step:
                rule = f"the log of one run, whose step numbers rise (they had reached {self._last_step:g})"
                raise InvalidValue(f"{self.path}, line {line}: step", rule, step, "cut the log where a run starts")
            self._last_step = step
        if clock is not None:
            if clock < self._last_clock:
                rule = f"no earlier than the line before ({self._last_clock:.6f} s)"
                raise InvalidValue(f"{self.path}, line {line}: time", rule, clock, "the clock goes backwards")
            self._last_clock = clock
        if not math.isfinite(value) or value <= 0:
            self.leave_out(line, f"{self.quantity} is {value:g}, which no step takes")
            return
        self.values.append(value)
        self.lines.append(line)

    def leave_out(self, line: int, reason: str) -> None:
        """Say that a line is not used; of one reason, the first lines only are kept apart."""
        self.left_out.append(LeftOut(line, reason))

    def pause(self, what: str) -> None:
        """Say what the log says happened since the last step: it will be in the next one's time."""
        self.pauses[len(self.values)] = what

    def reading(self, phase: str, conditions: Mapping[str, Any] = NOTHING, **more: Any) -> Reading:
        """Return what was collected as one reading.

        Raises
        ------
        InvalidValue
            No step could be used.
        """
        if not self.values:
            why = f"line {self.left_out[0].line}: {self.left_out[0].reason}" if self.left_out else "no step lines"
            raise InvalidValue("log", "a log with at least one usable step", str(self.path), why)
        return Reading(
            phase,
            self.quantity,
            tuple(self.values),
            conditions,
            steps=True,
            lines=tuple(self.lines),
            pauses=self.pauses,
            **more,
        )
