"""The mean step over the ranks and steps of a run, from accounts in whole nanoseconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mlsysim.efficiency.breakdown import Breakdown, NotVisible, StepTime, hidden, ordered
from mlsysim.efficiency.factors import visible
from mlsysim.errors import InvalidValue
from mlsysim.results import Note
from mlsysim.timeline.account import Account, Step, Times
from mlsysim.timeline.activity import Activity
from mlsysim.timeline.kernels import AT_CEILING
from mlsysim.timeline.trace import Trace
from mlsysim.units import si

NS = 1e-9
_RUNS_ON = {
    "pytorch": ("pytorch", "gpu"),
    "pytorch-cpu": ("pytorch",),
    "nsight": ("pytorch", "gpu"),
    "timers": ("pytorch", "gpu"),
}
"""What a run is, by what it was recorded with: see :class:`Breakdown`."""
_UNMARKED = {
    "garbage_collection": (
        Activity.GARBAGE,
        "no collection is marked: profile with record_python_gc_info, or with_stack for those that are called",
    ),
    "data_loader": (
        Activity.LOADING,
        "no loading is marked: a DataLoader marks itself, another loader by record_function('data_load')",
    ),
}


def common_steps(accounts: Sequence[Account], skip: int = 0) -> list[int]:
    """Return the numbers of the steps that all ranks have, without the first ``skip``.

    Raises
    ------
    InvalidValue
        None is left.
    """
    first = [step.index for step in accounts[0].steps]
    shared = set(first).intersection(*({step.index for step in one.steps} for one in accounts))
    found = [index for index in first if index in shared][skip:]
    if not shared:
        raise InvalidValue("trace", "of ranks with steps in common", len(accounts), "no step is in the traces of all")
    if not found:
        raise InvalidValue("skip", f"less than the steps that there are ({len(shared)})", skip)
    return found


def of_accounts(
    accounts: Sequence[Account],
    steps: Sequence[int],
    *,
    about: str,
    traces: Sequence[Trace],
    known: bool,
    no_ideal: str,
    purpose: str,
    facts: Mapping[str, Any],
    notes: Sequence[Note],
) -> Breakdown:
    """Return the mean over ranks and steps; the causes sum to the time, since each account does so exactly.

    ``known`` says whether a device is known, without which no FLOPs have a time.
    """
    kept = set(steps)
    chosen = [[step for step in one.steps if step.index in kept] for one in accounts]
    every = [step for one in chosen for step in one]
    measured = sum(step.length for step in every) * NS / len(every)
    times = _total(every)
    parts = {(b.cause, b.part, b.kind): ns * NS / len(every) for b, ns in times.items()}
    flops = sum(step.flops for step in every)
    ideal = times[AT_CEILING] * NS / len(every) if known and times[AT_CEILING] else None
    by_step = _by_step(every)
    ranks = [_step(number, mine) for number, mine in zip(_numbers(accounts), chosen, strict=True)]
    causes = ordered(parts, measured)
    return Breakdown(
        about=about,
        source=traces[0].source,
        measured_s=measured,
        ideal_s=ideal,
        causes=causes,
        steps=tuple(by_step),
        not_visible=hidden(traces[0].source, [c.name for c in causes], _unmarked(traces)),
        ranks=tuple(ranks) if len(accounts) > 1 else (),
        devices=max(traces[0].world, len(accounts)),
        no_ideal=no_ideal,
        purpose=purpose,
        runs_on=_runs_on(traces[0]),
        facts={**facts, "flops": flops / len(every)},
        lines=_communication(every, times, traces[0].source == "timers"),
        notes=tuple(notes),
    )


def _communication(steps: Sequence[Step], times: Times, timed: bool) -> tuple[str, ...]:
    """Say how much of communication is hidden behind what computes; what was ``timed`` has no place in time."""
    moving = sum(step.moving for step in steps)
    if not moving or timed:
        return ()
    exposed = sum(ns for booking, ns in times.items() if booking.cause == "communication")
    beside = 1.0 - exposed / moving
    taken = si(moving * NS / len(steps), "s")
    return (f"collectives take {taken} a step; {beside:.0%} of that is overlapped with computation",)


def _runs_on(trace: Trace) -> frozenset[str]:
    """Return what remedies may rest on in a run; see :class:`Breakdown`."""
    compiled = (trace.host.activity == Activity.FUSED).any() or any("triton_" in name for name in trace.device.names)
    known = {"any", *_RUNS_ON.get(trace.source, ())} | ({"gpu"} if trace.on_device else set())
    return frozenset(known if compiled else known | {"eager"})


def _total(steps: Sequence[Step]) -> Times:
    total: Times = Counter()
    for step in steps:
        total.update(step.times)
    return total


def _step(index: int, steps: Sequence[Step]) -> StepTime:
    """Return the mean of steps: of one number on all ranks, or of all numbers on one rank."""
    causes: Counter[str] = Counter()
    for booking, ns in _total(steps).items():
        causes[booking.cause] += ns
    seconds = {cause: ns * NS / len(steps) for cause, ns in causes.most_common() if ns}
    return StepTime(index, sum(step.length for step in steps) * NS / len(steps), seconds)


def _by_step(steps: Sequence[Step]) -> list[StepTime]:
    """Return the mean over ranks of each step."""
    same: dict[int, list[Step]] = {}
    for step in steps:
        same.setdefault(step.index, []).append(step)
    return [_step(index, found) for index, found in same.items()]


def _numbers(accounts: Sequence[Account]) -> list[int]:
    """Return the numbers of ranks: those that they say, where all of them differ, else those of their order."""
    said = {one.rank: None for one in accounts if one.rank is not None}
    return list(said) if len(said) == len(accounts) else list(range(len(accounts)))


def _unmarked(traces: Sequence[Trace]) -> list[NotVisible]:
    """Return what traces of this kind could tell and these do not, since nothing of it is marked."""
    source = traces[0].source
    found = []
    for name, (kind, why) in _UNMARKED.items():
        told = visible(source)[name]
        if told.kind != "unattributed" and not any((trace.host.activity == kind).any() for trace in traces):
            how = why if source.startswith("pytorch") else f"nothing of it is marked; it would be by {told.how}"
            found.append(NotVisible(name, how))
    return found
