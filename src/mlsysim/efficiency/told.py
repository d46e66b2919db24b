"""What a breakdown says in sentences: the same in a terminal, in a figure and on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import NamedTuple

from mlsysim.efficiency.breakdown import Breakdown, Comparison, StepTime, WhatIf
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
_BY_SOURCE = {
    "pytorch": "; or record shapes (record_shapes=True), so that the sizes of matrix products are in the trace",
    "pytorch-cpu": "; or record shapes (record_shapes=True), so that the sizes of matrix products are in the trace",
}


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


def time_told(b: Breakdown) -> str:
    """Return what was measured, as a sentence."""
    on = f" on {b.devices:,} devices" if b.devices > 1 else ""
    if len(b.steps) < 2:
        return f"A step takes {si(b.measured_s, 's')}{on}."
    times = [step.seconds for step in b.steps]
    span = ends(Interval(0.0, min(times), max(times)))
    return f"A step takes {si(b.measured_s, 's')}{on}: the mean of {len(times):,} steps, {span}."


def eta_told(b: Breakdown) -> str:
    """Return what the ideal is, or how it can be had, as sentences."""
    if b.ideal_s is None or b.eta is None:
        return (
            "What it would take at the peak is not known, and so eta is not: state --model and --hardware, with the"
            f" batch size and precision that ran{_BY_SOURCE.get(b.source, '')}."
        )
    return (
        f"At the peak its FLOPs would take {si(b.ideal_s, 's')}: eta is {eta(b.eta)}."
        f" The other {eta(1.0 - b.eta)} of the time is lost."
    )


def headline(b: Breakdown) -> str:
    """Return the whole in one line."""
    if b.ideal_s is None or b.eta is None:
        return f"{si(b.measured_s, 's')} a step: where they go"
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
    """A thing to try, in words; ``recalled`` is true where no publication says how much it saves; ``eta``
    is empty where that is not known."""

    what: str
    effort: str
    saves: str
    of: str
    time: str
    eta: str
    source: str
    recalled: bool


def tried_told(w: WhatIf) -> Tried:
    """Return what a change would buy, in words."""
    of = f"{w.cause}/{w.part}" if w.part else w.cause
    time = f"{si(w.time_s.value, 's')} ({ends(w.time_s)})"
    then = f"{eta(w.eta.value)} ({eta(w.eta.low)} to {eta(w.eta.high)})" if w.eta else ""
    recalled = w.source.startswith("recalled") or "shares recalled" in w.source
    return Tried(w.what, EFFORT.get(w.effort, ""), ends(w.saves_s), of, time, then, w.source, recalled)


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
    usual, times = _usual(b.ranks), [rank.seconds for rank in b.ranks]
    unlike = {rank.index: {n: rank.causes.get(n, 0.0) - usual[n] for n in usual} for rank in b.ranks}
    far = {index: sum(map(abs, other.values())) / 2.0 for index, other in unlike.items()}
    first = sorted(far, key=lambda index: -far[index])[:MOST_TOLD]
    told = [index for index in first if far[index] >= UNLIKE * b.measured_s]
    found = [f"{len(times):,} ranks, whose steps take {ends(Interval(0.0, min(times), max(times)))}."]
    found += [f"Rank {index}, against the median rank: {_otherwise(unlike[index])}." for index in told]
    if not told:
        found.append(f"In none do the causes differ by more than {UNLIKE:.0%} of the time from the median rank.")
    return found


def _otherwise(differences: Mapping[str, float]) -> str:
    largest = sorted(differences, key=lambda name: -abs(differences[name]))[:3]
    worth = [n for n in largest if abs(differences[n]) >= 0.2 * abs(differences[largest[0]])]
    words = ((n, si(abs(differences[n]), "s"), "more" if differences[n] > 0 else "less") for n in worth)
    return ", ".join(map(" ".join, words))


def change_told(c: Comparison) -> list[str]:
    """Return what changed, in sentences."""
    before, after = c.before, c.after
    found = [f"before: {_one(before)}", f"after:  {_one(after)}"]
    ratio = before.measured_s / after.measured_s
    if round(ratio, 3) == 1.0:
        found.append("A step takes as long as before.")
    else:
        side, times = ("less", ratio) if ratio > 1.0 else ("more", 1.0 / ratio)
        how = f"{times:.4g} times as {'fast' if ratio > 1.0 else 'slow'}"
        found.append(f"A step takes {si(abs(c.change_s), 's')} {side}: {how} as before.")
    if before.ideal_s and after.ideal_s and abs(after.ideal_s / before.ideal_s - 1.0) > UNLIKE:
        found.append(
            f"The work is not the same: {si(before.ideal_s, 's')} at the peak before, {si(after.ideal_s, 's')} after."
            " Times compare steps, eta compares what is made of the device."
        )
    if (before.ideal_s is None) != (after.ideal_s is None):
        which = "before" if before.ideal_s is None else "after"
        found.append(f"The ideal is not known {which}, so its work is within unattributed.")
    if before.source != after.source:
        found.append(f"The sources differ ({before.source}, {after.source}): what one tells, the other may not.")
    return found


def _one(b: Breakdown) -> str:
    known = f", eta {eta(b.eta)}" if b.eta is not None else ""
    return f"{b.about}: {si(b.measured_s, 's')} a step{known}"
