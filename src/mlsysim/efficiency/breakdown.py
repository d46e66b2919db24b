"""Where the time of a step goes, from the ideal to what was measured: causes that sum, and what each would buy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import stdev
from typing import Any, NamedTuple

from mlsysim.efficiency.factors import causes, factor, visible
from mlsysim.efficiency.remedies import Remedy, remedies
from mlsysim.errors import InvalidValue
from mlsysim.registry import nearest
from mlsysim.results import NORMAL_90, Interval, Note

WORTH_TRYING = 0.01
"""Share of the time that a remedy must buy to be named."""
SUGGESTED = 3
"""Remedies that are named."""
_WORTH_OF_BEST = 0.1
"""Share of what the best remedy buys, from which one that takes less effort goes before it."""
_ENDS = ("compute", "unattributed")
"""What stands first and last whatever it takes."""


class Part(NamedTuple):
    """A finer name within a cause, and how it is known."""

    name: str
    seconds: float
    kind: str


class Cause(NamedTuple):
    """One cause: its time in the mean step [s], its share of it, how it is known, what usually mends it, its parts.

    The share of ``compute`` is eta, that of any other cause the eta that is lost to it. ``kind`` is ``derived`` (from
    work and hardware), ``observed`` (in the trace) or ``unattributed``, that of the largest part.
    """

    name: str
    seconds: float
    share: float
    kind: str
    advice: str
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class StepTime:
    """One step: its number, its time [s], and the time of each cause in it [s]."""

    index: int
    seconds: float
    causes: Mapping[str, float]


class NotVisible(NamedTuple):
    """A cause that the source does not tell, and why."""

    name: str
    why: str


class WhatIf(NamedTuple):
    """What a change would buy: the time that is saved, the new time [s], and the new eta where eta is known.

    ``key`` is that of the remedy, empty where a cause is thought away.

    The ends of the intervals are what usually remains of a cause after such a change, and beyond that the 90 % interval
    of the mean step.
    """

    what: str
    cause: str
    part: str
    effort: int
    saves_s: Interval
    time_s: Interval
    eta: Interval | None
    source: str
    key: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        intervals = {k: v._asdict() if isinstance(v, Interval) else v for k, v in self._asdict().items()}
        return {**intervals, "eta": self.eta._asdict() if self.eta else None}


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The mean step of a run, cause by cause; ``to_dict`` is the JSON contract.

    ``measured_s`` is the time of a step, ``ideal_s`` that of its FLOPs at the peak (None where the FLOPs or the peak
    are not known); ``causes`` sum to ``measured_s``. ``source`` is a key of
    :data:`mlsysim.efficiency.factors.SOURCES`. ``purpose`` (``training``, ``serving`` or ``any``) and ``runs_on``
    (``gpu``, ``pytorch``, ``eager``, beside ``any``) choose the remedies that apply. ``about`` says what was explained,
    ``lines`` what more there is to say; ``no_ideal`` why the ideal is not known, where there is more to say of it.
    """

    about: str
    source: str
    measured_s: float
    ideal_s: float | None
    causes: tuple[Cause, ...]
    steps: tuple[StepTime, ...] = ()
    not_visible: tuple[NotVisible, ...] = ()
    ranks: tuple[StepTime, ...] = ()
    devices: int = 1
    purpose: str = "any"
    runs_on: frozenset[str] = frozenset({"any", "gpu", "pytorch", "eager"})
    facts: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    no_ideal: str = ""
    notes: tuple[Note, ...] = ()

    @property
    def eta(self) -> float | None:
        """Return the efficiency: ideal over measured; None where the ideal is not known."""
        return None if self.ideal_s is None else self.ideal_s / self.measured_s

    def seconds(self, cause: str, part: str = "") -> float:
        """Return the time of a cause, or of a part of it, in the mean step [s]."""
        for found in self.causes:
            if found.name == cause:
                return found.seconds if not part else sum(p.seconds for p in found.parts if p.name == part)
        return 0.0

    def suggestions(self) -> tuple[WhatIf, ...]:
        """Return the three cheapest things to try, with what each would buy.

        Least effort first among those that buy a tenth of what the best buys, and one percent of the time; one for
        each cause or part.
        """
        purposes = {"any", self.purpose} if self.purpose != "any" else {"any", "training", "serving"}
        lost = [r for r in remedies() if r.cause != "compute"]  # the work itself is no loss
        tried = [self._tried(r) for r in lost if r.applies in purposes and set(r.on.split("-")) <= self.runs_on]
        worth = [w for w in tried if w.saves_s.value >= WORTH_TRYING * self.measured_s]
        best = max((w.saves_s.value for w in worth), default=0.0)
        worth = [w for w in worth if w.saves_s.value >= _WORTH_OF_BEST * best]
        worth.sort(key=lambda w: (w.effort, -w.saves_s.value))
        first: dict[tuple[str, str], WhatIf] = {}
        for w in worth:
            first.setdefault((w.cause, w.part), w)
        return tuple(first.values())[:SUGGESTED]

    def without(self, name: str) -> WhatIf:
        """Return what it would buy if a cause vanished, or a part of one (``framework/dispatch``).

        Raises
        ------
        UnknownName, InvalidValue
            No such cause; it has no such part here; or it is the work itself.
        """
        cause, _, part = name.partition("/")
        cause = factor(cause).name
        if cause == "compute":
            raise InvalidValue("without", "a cause of lost time", name, "compute is the work itself")
        parts = [p.name for c in self.causes if c.name == cause for p in c.parts]
        if part and part not in parts:
            near = nearest(part, parts)
            hint = f"did you mean {' or '.join(near)}?" if near else f"{cause} has here: {', '.join(parts) or 'none'}"
            raise InvalidValue("without", f"a part of {cause}", part, hint)
        seconds = self.seconds(cause, part)
        what = f"without {cause}" + (f" ({part})" if part else "")
        return self._saved(what, cause, part, 0, Interval(seconds, seconds, seconds), "if it vanished")

    def tried(self, key: str) -> WhatIf:
        """Return what a remedy would buy, by its key.

        Raises
        ------
        InvalidValue
            No such remedy.
        """
        known = {r.key: r for r in remedies()}
        if key not in known:
            near = nearest(key, known)
            listed = f"did you mean {' or '.join(near)}?" if near else "there are " + ", ".join(known)
            raise InvalidValue("try", "the key of a remedy", key, listed)
        return self._tried(known[key])

    def _tried(self, remedy: Remedy) -> WhatIf:
        seconds = self.seconds(remedy.cause, remedy.part)
        least, most = (seconds * (1.0 - share) for share in (remedy.remains_high, remedy.remains_low))
        saved = Interval((least + most) / 2.0, least, most)
        found = self._saved(remedy.action, remedy.cause, remedy.part, remedy.effort, saved, remedy.source)
        return found._replace(key=remedy.key)

    def _saved(self, what: str, cause: str, part: str, effort: int, saved: Interval, source: str) -> WhatIf:
        wide = NORMAL_90 * self._error(cause, saved.value)
        least = 0.0 if cause == "compute" else self.ideal_s or 0.0
        low, high = (self.measured_s - s for s in (saved.high, saved.low))
        time = Interval(max(self.measured_s - saved.value, least), max(low - wide, least), high + wide)
        known = self.ideal_s is not None and time.low > 0 and cause != "compute"  # which changes the ideal itself
        eta = time.reciprocal(self.ideal_s or 0.0) if known else None
        return WhatIf(what, cause, part, effort, saved, time, eta, source)

    def _error(self, cause: str, saved: float) -> float:
        """Return the standard error of the time of the mean step [s] once some of a cause is gone from each."""
        share = saved / self.seconds(cause) if saved else 0.0
        times = [step.seconds - share * step.causes.get(cause, 0.0) for step in self.steps]
        return stdev(times) / len(times) ** 0.5 if len(times) > 1 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the breakdown as plain data: the JSON contract."""
        eta = self.eta
        return {
            "about": self.about,
            "source": self.source,
            "measured_s": self.measured_s,
            "ideal_s": self.ideal_s,
            "efficiency": eta,
            "causes": [{**c._asdict(), "parts": [p._asdict() for p in c.parts]} for c in self.causes],
            "steps": [_plain(step) for step in self.steps],
            "ranks": [_plain(rank) for rank in self.ranks],
            "not_visible": [n._asdict() for n in self.not_visible],
            "suggestions": [w.to_dict() for w in self.suggestions()],
            "devices": self.devices,
            **self.facts,
            "notes": [note._asdict() for note in self.notes],
        }

    def __str__(self) -> str:
        """Return the breakdown as text: a bar for each cause."""
        from mlsysim.efficiency.bars import text

        return text(self)


def _plain(step: StepTime) -> dict[str, Any]:
    return {"index": step.index, "seconds": step.seconds, "causes": dict(step.causes)}


def ordered(parts: Mapping[tuple[str, str, str], float], measured_s: float) -> tuple[Cause, ...]:
    """Return causes from times [s] by cause, part and kind: compute first, the largest next, unattributed last."""
    by_cause: dict[str, list[Part]] = {}
    for (cause, part, kind), seconds in parts.items():
        if seconds:
            by_cause.setdefault(cause, []).append(Part(part, seconds, kind))
    found = []
    for name, known in by_cause.items():
        known.sort(key=lambda p: -p.seconds)
        seconds = sum(p.seconds for p in known)
        found.append(Cause(name, seconds, seconds / measured_s, known[0].kind, factor(name).mend, tuple(known)))
    return tuple(sorted(found, key=lambda c: (_place(c.name), -c.seconds)))


def _place(name: str) -> int:
    return {_ENDS[0]: 0, _ENDS[1]: 2}.get(name, 1)


def hidden(source: str, seen: Iterable[str], more: Sequence[NotVisible] = ()) -> tuple[NotVisible, ...]:
    """Return the causes that a source does not tell, with why, but for those seen; ``more`` is of this run."""
    known, seen = visible(source), set(seen)
    table = [NotVisible(name, known[name].how) for name in causes() if known[name].kind == "unattributed"]
    found = {n.name: n for n in (*table, *more) if n.name not in seen and n.name != "unattributed"}
    return tuple(found.values())
