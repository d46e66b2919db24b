"""Step times from when step lines arrive: where a program prints a counter and no reader of logs knows its lines."""

from __future__ import annotations

import re
from array import array
from typing import NamedTuple

from mlsysim.calibration.logs.log import Log, Reading
from mlsysim.errors import InvalidValue
from mlsysim.results import Note

FORMAT = "times of arrival"
MOST_KINDS = 64
"""Kinds of step lines that are told apart; a program has a handful."""
FEWEST = 6
"""The least times: the first is warm-up, and fewer than 5 cannot bound a median at 90 %."""
_NAMED = re.compile(
    rb"\b(?:global[_ ]?step|step|iteration|iter|it|batch)s?\b['\"]?\s*[:=#\[]{0,2}\s*(\d{1,15})\b", re.I
)
_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
_WORD = re.compile(rb"[A-Za-z_]+")
_OF = re.compile(rb"(?<![\w./-])(\d{1,15})\s*/\s*\d{1,15}(?![\w./-])")


class _Kind:
    """One kind of step line: the counter and the time that it stood at, and the time of a step at each rise."""

    def __init__(self, count: int, clock: float) -> None:
        self.count, self.clock = count, clock
        self.times = array("d")
        self.counts = array("q")
        self._since: tuple[int, float] | None = None

    def reached(self, count: int, clock: float) -> None:
        """Take a line of this kind; the same number again says nothing, a lower one begins anew (an epoch).

        Lines that arrive together, out of a buffer, are one rise: up to the last of them.
        """
        if count == self.count:
            return
        if count < self.count:
            self._since = None
        elif clock > self.clock:
            self._since = self.count, self.clock
            self.times.append((clock - self.clock) / (count - self.count))
            self.counts.append(count)
        elif self._since is not None:
            before, then = self._since
            self.times[-1] = (clock - then) / (count - before)
            self.counts[-1] = count
        self.count, self.clock = count, clock


class Found(NamedTuple):
    """The longest series of one kind of line: times of a step [s], and the counter at the end of each."""

    kind: str
    times: tuple[float, ...]
    counts: tuple[int, ...]


class Arrivals:
    """Takes lines as they arrive. Lines are of one kind where the words before the counter are the same."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, bytes], _Kind] = {}

    def line(self, stream: str, line: bytes, clock: float) -> None:
        """Take a line that arrived at ``clock`` [s]."""
        plain = _COLOUR.sub(b"", line)
        match = _NAMED.search(plain) or _OF.search(plain)
        if match is None:
            return
        name = stream, b" ".join(_WORD.findall(plain[: match.start(1)]))[-80:]
        known = self._kinds.get(name)
        if known is not None:
            known.reached(int(match[1]), clock)
        elif len(self._kinds) < MOST_KINDS:
            self._kinds[name] = _Kind(int(match[1]), clock)

    def longest(self) -> Found:
        """Return the kind of line with the most times; one without any where no counter rose."""
        if not self._kinds:
            return Found("", (), ())
        (_, before), kind = max(self._kinds.items(), key=lambda pair: len(pair[1].times))
        return Found(before.decode("utf-8", "replace"), tuple(kind.times), tuple(kind.counts))

    def log(self) -> Log:
        """Return the times as a log with one reading.

        Raises
        ------
        InvalidValue
            Fewer lines with a rising counter than an interval takes.
        """
        found = self.longest()
        if len(found.times) < FEWEST:
            hint = "such as 'step 12: ...', 'iter 12', or '12/100'; print one a step, or every few steps"
            seen = len(found.times) + bool(self._kinds)
            raise InvalidValue("output", f"at least {FEWEST + 1} lines with a counter", seen, hint)
        reading = Reading("training", "time_s", found.times, steps=True, lines=found.counts)
        counter = f"the counter after {found.kind!r}" if found.kind else "the counter of a progress bar"
        message = (
            f"no reader knows these lines: steps are timed by when {counter} arrived, and taken as those of a training"
            " unless a phase is stated"
        )
        return Log(FORMAT, (reading,), notes=(Note("times-of-arrival", message),))
