"""What a breakdown says in sentences: the same in a terminal, in a figure and on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import NamedTuple

from mlsysim.efficiency.breakdown import Breakdown, StepTime, WhatIf
from mlsysim.efficiency.columns import ChangeRows, change_rows
from mlsysim.efficiency.comparison import Comparison
from mlsysim.efficiency.factors import SOURCES, causes
from mlsysim.efficiency.remedies import EFFORT
from mlsysim.results import Interval
from mlsysim.units import si

SLOW = 1.1
"""How many times the median a step takes that is called slow."""
UNLIKE = 0.02
"""Share of the time that must lie elsewhere for a rank to be called unlike the others."""
MOST_TOLD = 4
"""Steps or ranks that are told one by one."""
_WAITING = "communication"
"""The cause in which a rank waits for others."""
_OR_ELSE = {
    "pytorch": ", or record the sizes of its products (record_shapes=True)",
    "pytorch-cpu": ", or record the sizes of its products (record_shapes=True)",
}
KNOWN = {
    "derived": "worked out from work and hardware",
    "observed": "seen in the source",
    "unattributed": "its cause is not known",
}
"""What each kind of time is, in words."""
RECALLED = "an estimate: no published figure"
"""What is said of a saving that no publication tells."""
_SOLVED = {"predicted": "predicted", "measured": "calibrated", "assumed": "stated"}
"""What the time of a solved question is, by the kind of its eta."""


def eta(value: float) -> str:
    """Return an efficiency as text."""
    return f"{value:#.3g}"


def ends(interval: Interval) -> str:
    """Return the ends of an interval of times, in one unit where they have one."""
    low, high = si(interval.low, "s"), si(interval.high, "s")
    if low == high:
        return high
    number, unit = low.rsplit(" ", 1)
    return f"{number if high.endswith(f' {unit}') else low} to {high}"


def whole(b: Breakdown) -> str:
    """Return what the time of a step is, in one word: ``measured``, or of a solved question what its eta is."""
    if b.source != "solve":
        return "measured"
    return _SOLVED.get(b.facts.get("eta_kind", ""), "predicted")


def within(b: Breakdown) -> str:
    """Return the interval of the time of a solved question in brackets, where it has one."""
    known = b.facts.get("time_s")
    if not known or known["low"] == known["high"]:
        return ""
    return f" ({ends(Interval(**known))})"


def time_told(b: Breakdown) -> str:
    """Return what a step takes, and how that is known, as a sentence."""
    on = f" on {b.devices:,} devices" if b.devices > 1 else ""
    if b.source == "solve":
        word, time = whole(b), f"{si(b.measured_s, 's')}{within(b)}"
        if word == "predicted":
            return f"A step is predicted to take {time}{on}."
        return f"By the {word} eta a step takes {time}{on}."
    if len(b.steps) < 2:
        return f"A step takes {si(b.measured_s, 's')}{on}."
    times = [step.seconds for step in b.steps]
    span = ends(Interval(0.0, min(times), max(times)))
    return f"A step takes {si(b.measured_s, 's')}{on}: the mean of {len(times):,} steps, {span}."


def eta_told(b: Breakdown) -> str:
    """Return what the ideal is, or how it can be had, as sentences."""
    if b.ideal_s is None or b.eta is None:
        return f"Eta is not known: {(b.no_ideal or _missing(b)).rstrip('.')}."
    return (
        f"At the peak its FLOPs would take {si(b.ideal_s, 's')}: eta is {eta(b.eta)}."
        f" The other {eta(1.0 - b.eta)} of the time is lost."
    )


def _missing(b: Breakdown) -> str:
    """Return what is to be stated, or recorded, for an ideal."""
    if not b.facts.get("flops"):
        device = "" if b.facts.get("hardware") else "--hardware and "
        return f"state {device}--model, with its batch size and precision{_OR_ELSE.get(b.source, '')}"
    if not b.facts.get("hardware"):
        return "state --hardware, for the peak that its FLOPs are held against"
    return "its FLOPs have no time at the peak of this device"


def headline(b: Breakdown) -> str:
    """Return the whole in one line."""
    if b.ideal_s is None or b.eta is None:
        return f"Where the {si(b.measured_s, 's')} of a step go"
    if b.source == "solve":
        time, word = f"{si(b.measured_s, 's')}{within(b)}", whole(b)
        said = "Predicted" if word == "predicted" else f"By the {word} eta"
        return f"{said}: {si(b.ideal_s, 's')} of work take {time}, eta {eta(b.eta)}"
    return f"{si(b.ideal_s, 's')} of work take {si(b.measured_s, 's')}: eta {eta(b.eta)}"


def source_told(b: Breakdown) -> str:
    """Return what the breakdown was made from, with its article."""
    what = SOURCES.get(b.source, "trace")
    return what if what.startswith("a ") else f"this {what}"


def hidden_told(b: Breakdown) -> list[tuple[str, str]]:
    """Return what is not visible, with why, causes of one reason together."""
    reasons: dict[str, list[str]] = {}
    for name, why in b.not_visible:
        reasons.setdefault(why, []).append(name)
    return [(", ".join(names), why) for why, names in reasons.items()]


class Tried(NamedTuple):
    """A thing to try, in words; ``recalled`` is true where no publication says how much it saves.

    ``eta`` is empty where that is not known; ``ask`` is how to ask for it by itself, empty where it is no remedy.
    """

    what: str
    effort: str
    saves: str
    of: str
    time: str
    eta: str
    source: str
    recalled: bool
    ask: str = ""


def tried_told(w: WhatIf, source: str = "") -> Tried:
    """Return what a change would buy, in words; ``source`` is that of the breakdown, by which it is asked for."""
    of = f"{w.cause}/{w.part}" if w.part else w.cause
    time = f"{si(w.time_s.value, 's')} ({ends(w.time_s)})"
    then = f"{eta(w.eta.value)} ({eta(w.eta.low)} to {eta(w.eta.high)})" if w.eta else ""
    recalled = w.source.startswith("recalled") or "shares recalled" in w.source
    ask = "" if not w.key else f'.tried("{w.key}")' if source == "solve" else f"--try {w.key}"
    return Tried(w.what, EFFORT.get(w.effort, ""), ends(w.saves_s), of, time, then, w.source, recalled, ask)


def beside(b: Breakdown) -> str:
    """Return what the intervals of what may be tried leave out; empty where that is nothing."""
    return f"These intervals leave out how uncertain the {whole(b)} time itself is." if within(b) else ""


def title(name: str) -> str:
    """Return what a cause is called for people; what is none of them as it is."""
    return causes()[name].title if name in causes() else name


def steps_told(b: Breakdown) -> list[str]:
    """Return what there is to say of steps: how many are slow, and which cause takes longer in them."""
    if len(b.steps) < 2:
        return []
    usual, times = _usual(b.steps), [step.seconds for step in b.steps]
    middle = median(times)
    slow = [step for step in b.steps if step.seconds > SLOW * middle]
    if not slow:
        return [f"None of the {len(times):,} steps takes more than {SLOW:g} times the median, {si(middle, 's')}."]
    worst = max(slow, key=lambda step: step.seconds)
    found = [
        f"Step {worst.index} is the slowest: {si(worst.seconds, 's')}, where the median is {si(middle, 's')}."
        f" {_more(worst.causes, usual, worst.seconds - middle)}"
    ]
    if len(slow) > 1:
        mean = {name: fmean(step.causes.get(name, 0.0) for step in slow) for name in usual}
        excess = fmean(step.seconds for step in slow) - middle
        found.append(
            f"{len(slow):,} of {len(times):,} steps take more than {SLOW:g} times the median"
            f" ({_which([step.index for step in slow])}). {_more(mean, usual, excess)}"
        )
    return found


def _usual(steps: Sequence[StepTime]) -> dict[str, float]:
    """Return the median time of each cause [s]."""
    names = dict.fromkeys(name for step in steps for name in step.causes)
    return {name: median(step.causes.get(name, 0.0) for step in steps) for name in names}


def _more(found: Mapping[str, float], usual: Mapping[str, float], excess: float) -> str:
    """Say which causes take longer than usual, the largest first: those that make up most of the excess."""
    longer = {name: found.get(name, 0.0) - usual[name] for name in usual}
    told = sorted((name for name in longer if longer[name] > 0.1 * excess), key=lambda name: -longer[name])[:2]
    if not told:
        return "No cause alone is much larger there."
    words = [f"{name} by {si(longer[name], 's')}" for name in told]
    return f"Larger there: {' and '.join(words)}."


def _which(numbers: Sequence[int]) -> str:
    """Return the numbers of steps as text: every k-th where they are evenly spaced."""
    apart = {b - a for a, b in pairwise(numbers)}
    if len(numbers) > 2 and len(apart) == 1 and (k := apart.pop()) > 1:
        return f"every {_nth(k)} from {numbers[0]} on"
    shown = ", ".join(map(str, numbers[: 2 * MOST_TOLD]))
    return shown + (", ..." if len(numbers) > 2 * MOST_TOLD else "")


def _nth(k: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(k % 10 if k % 100 not in {11, 12, 13} else 0, "th")
    return f"{k}{ending}"


def ranks_told(b: Breakdown) -> list[str]:
    """Return what there is to say of ranks: how far apart they are, and what the most unlike do otherwise."""
    if len(b.ranks) < 2:
        return []
    times = [rank.seconds for rank in b.ranks]
    found = [f"{len(times):,} ranks, whose steps take {ends(Interval(0.0, min(times), max(times)))}."]
    if len(b.ranks) == 2:
        return [*found, _two(*b.ranks, UNLIKE * b.measured_s)]
    usual = _usual(b.ranks)
    unlike = {rank.index: {n: rank.causes.get(n, 0.0) - usual[n] for n in usual} for rank in b.ranks}
    far = {index: sum(map(abs, other.values())) / 2.0 for index, other in unlike.items()}
    first = sorted(far, key=lambda index: -far[index])[:MOST_TOLD]
    told = [index for index in first if far[index] >= UNLIKE * b.measured_s]
    found += [f"Rank {index}, against the median rank: {_otherwise(unlike[index])}." for index in told]
    if not told:
        found.append(f"In none do the causes differ by more than {UNLIKE:.0%} of the time from the median rank.")
    return found


def _two(one: StepTime, other: StepTime, least: float) -> str:
    """Say how two ranks differ; the one that waits less is the late one. ``least`` is what is worth saying [s]."""
    names = dict.fromkeys((*one.causes, *other.causes))
    apart = {n: other.causes.get(n, 0.0) - one.causes.get(n, 0.0) for n in names}
    if sum(map(abs, apart.values())) / 2.0 < least:
        return f"Their causes differ by less than {UNLIKE:.0%} of the time."
    waits, most = apart.get(_WAITING, 0.0), max(apart.values(), key=abs)
    if abs(waits) < abs(most) / 2.0 or (waits != most and waits * most > 0):
        return f"Rank {other.index}, against rank {one.index}: {_otherwise(apart)}."
    late, early, sign = (other, one, 1.0) if waits < 0 else (one, other, -1.0)
    longer = {n: sign * apart[n] for n in _largest(apart) if sign * apart[n] > 0}
    return (
        f"Rank {late.index} waits {si(abs(waits), 's')} less in {_WAITING} than rank {early.index}: it is the late one"
        f"{f' ({_otherwise(longer)})' if longer else ''}."
    )


def _largest(differences: Mapping[str, float]) -> list[str]:
    """Return the largest differences, at most three, and none that is small beside the largest."""
    largest = sorted(differences, key=lambda name: -abs(differences[name]))[:3]
    return [n for n in largest if abs(differences[n]) >= 0.2 * abs(differences[largest[0]])]


def _otherwise(differences: Mapping[str, float]) -> str:
    worth = _largest(differences)
    words = ((n, si(abs(differences[n]), "s"), "more" if differences[n] > 0 else "less") for n in worth)
    return ", ".join(map(" ".join, words))


def change_told(c: Comparison) -> list[str]:
    """Return what changed, in sentences, whose figures are those of the table of changes."""
    before, after, shown = c.before, c.after, change_rows(c)
    found = [f"before: {_one(before, shown, shown.before)}", f"after:  {_one(after, shown, shown.after)}"]
    ratio = before.measured_s / after.measured_s
    if not shown.change:
        found.append("A step takes as long as before.")
    else:
        side, times, way = ("less", ratio, "fast") if shown.change < 0 else ("more", 1.0 / ratio, "slow")
        how = f": {times:.4g} times as {way} as before" if round(times, 3) > 1.0 else ""
        found.append(f"A step takes {_time(shown, abs(shown.change))} {side}{how}.")
    if before.ideal_s and after.ideal_s and abs(after.ideal_s / before.ideal_s - 1.0) > UNLIKE:
        found.append(
            f"The work is not the same: {si(before.ideal_s, 's')} at the peak before, {si(after.ideal_s, 's')} after."
            " The times are of different work; eta tells which run uses the device better."
        )
    if (before.ideal_s is None) != (after.ideal_s is None):
        which = "before" if before.ideal_s is None else "after"
        found.append(f"The ideal is not known {which}, so its work is within unattributed.")
    if before.source != after.source:
        found.append(f"The sources differ ({before.source}, {after.source}): what one tells, the other may not.")
    return found


def _one(b: Breakdown, shown: ChangeRows, time: float) -> str:
    known = f", eta {eta(b.eta)}" if b.eta is not None else ""
    return f"{b.about}: {_time(shown, time)} a step{known}"


def _time(shown: ChangeRows, time: float) -> str:
    return f"{shown.times.shown(time)} {shown.times.unit}"
