"""Steps of a log collected one by one, with the checks that every reader of steps owes its user."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any

from mlsysim.calibration.logs.log import NOTHING, LeftOut, Reading
from mlsysim.errors import InvalidValue

SHOWN = 5
"""Lines left out for one and the same reason that are told apart; of more, the number is told."""
MANY = 1_000_000
"""Steps from which a reading holds them in an array."""
_RESUMED = (
    "a run started again, or was resumed from a checkpoint: cut the log where it starts, and give the parts as files"
)


class Steps:
    """Collects the values of steps in order; what cannot be used is left out with its line and reason.

    Refused at once, since no part of such a log can be trusted: a step number that starts again (several runs in one
    log) and a clock that goes backwards.
    """

    def __init__(self, path: object, quantity: str) -> None:
        self.path, self.quantity = path, quantity
        self.values = array("d")
        self.lines = array("q")
        self.pauses: dict[int, str] = {}
        self._points: dict[tuple[tuple[str, Any], ...], int] = {}
        self._point_of = array("L")
        self._refused: dict[str, list[int]] = {}
        self._last_step = -math.inf
        self._last_clock = -math.inf

    def add(
        self,
        line: int,
        value: float,
        *,
        step: float | None = None,
        clock: float | None = None,
        point: Mapping[str, Any] = NOTHING,
    ) -> None:
        """Take one step: its value, its number and the time it ended at [s], as far as the log says.

        ``point`` are the conditions of this step alone, where they may change within a log.
        """
        if step is not None and not self._in_order(line, step):
            return
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
        self._point_of.append(self._points.setdefault(tuple(point.items()), len(self._points)))

    def _in_order(self, line: int, step: float) -> bool:
        """Return whether a step is the next one; the same number once more is left out, a lower one refused."""
        if step < self._last_step:
            rule = f"the log of one run, whose step numbers rise (they had reached {self._last_step:g})"
            raise InvalidValue(f"{self.path}, line {line}: step", rule, step, _RESUMED)
        if step == self._last_step or not math.isfinite(step):
            self.leave_out(line, "a step number once more" if math.isfinite(step) else "a step number that is none")
            return False
        self._last_step = step
        return True

    def leave_out(self, line: int, reason: str) -> None:
        """Say that a line is not used; of one reason, the first lines only are told apart."""
        self._refused.setdefault(reason, []).append(line)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Return what was not used and why, in the order of lines."""
        found = [LeftOut(line, reason) for reason, lines in self._refused.items() for line in lines[:SHOWN]]
        found += [
            LeftOut(lines[SHOWN], f"{reason} ({len(lines) - SHOWN} more)")
            for reason, lines in self._refused.items()
            if len(lines) > SHOWN
        ]
        return tuple(sorted(found))

    def pause(self, what: str) -> None:
        """Say what the log says happened since the last step: it will be in the next one's time."""
        at = len(self.values)
        before = self.pauses.get(at, "")
        if what not in before:
            self.pauses[at] = f"{before} and {what}" if before else what

    def readings(self, phase: str, conditions: Mapping[str, Any] = NOTHING, **more: Any) -> tuple[Reading, ...]:
        """Return what was collected, one reading for each set of conditions that steps were added with.

        Raises
        ------
        InvalidValue
            No step could be used.
        """
        points = [dict(items) for items in self._points]
        if len(points) < 2:  # also where there is none, which is refused below
            return (self.reading(phase, {**conditions, **(points[0] if points else {})}, **more),)
        found = []
        for number, point in enumerate(points):
            kept = [k for k, p in enumerate(self._point_of) if p == number]
            pauses = {new: self.pauses[k] for new, k in enumerate(kept) if k in self.pauses}
            label = ", ".join(f"{name} {value}" for name, value in point.items())
            values, lines = tuple(self.values[k] for k in kept), tuple(self.lines[k] for k in kept)
            whole = self.reading(phase, {**conditions, **point}, **more)
            found.append(whole._replace(values=values, lines=lines, pauses=pauses, label=label))
        return tuple(found)

    def reading(self, phase: str, conditions: Mapping[str, Any] = NOTHING, **more: Any) -> Reading:
        """Return what was collected as one reading.

        Raises
        ------
        InvalidValue
            No step could be used.
        """
        if not self.values:
            first = next(iter(self.left_out), None)
            why = f"line {first.line}: {first.reason}" if first else "no step lines"
            raise InvalidValue("log", "a log with at least one usable step", str(self.path), why)
        return Reading(
            phase,
            self.quantity,
            _handed_on(self.values),
            conditions,
            steps=True,
            lines=_handed_on(self.lines),
            pauses={at: what for at, what in self.pauses.items() if at < len(self.values)},
            **more,
        )


def _handed_on(numbers: Any) -> Any:
    """Return numbers as a tuple; millions of them as they are, for a tuple takes four times the memory."""
    return tuple(numbers) if len(numbers) <= MANY else numbers
