"""The time of each step given to causes: every instant to one, whole nanoseconds, nothing left over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mlsysim.hardware import HardwareSpec
from mlsysim.results import Note
from mlsysim.timeline import host as on_host
from mlsysim.timeline.activity import BOOKED, ON_WAY, WORK, Activity, Booking
from mlsysim.timeline.gaps import by_activity, fill, unmarked
from mlsysim.timeline.kernels import Kernels, split
from mlsysim.timeline.paint import NONE, Layer, Segments, inside, layer, paint, summed
from mlsysim.timeline.spans import Integers, Spans
from mlsysim.timeline.trace import Trace
from mlsysim.timeline.windows import Windows, windows

Times = Counter[Booking]
"""Nanoseconds by what they are booked as."""
BLOCK = 250_000
"""Spans that are painted at a time, so that a large trace takes the memory of a part of it."""
_TOGETHER = Booking("communication", "transfer and waiting")
"""What a collective takes where the other ranks are not known."""
_MOST_MICRO_BATCHES = 32
"""Waits of a pipeline that are told one by one."""
_WORK = tuple(sorted(WORK))
_MOVING = tuple(sorted(ON_WAY - {Activity.TRANSFER}))


class Question(NamedTuple):
    """What a trace is held against: the device, the FLOPs that one of them does in a step, and their precision.

    ``hardware`` is None where it is not known; ``flops`` None where they are taken from the operators of the trace.
    """

    hardware: HardwareSpec | None = None
    flops: float | None = None
    precision: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of one rank: its number, its length [ns], where that went, and the FLOPs that are known of it.

    ``moving`` is how long collectives ran in it [ns], those beside which something computed included.
    """

    index: int
    length: int
    times: Times
    flops: float
    moving: int


class Account(NamedTuple):
    """The steps of one rank, and what must be said of them.

    ``counted`` are the FLOPs of a step that sizes of operands tell, ``told`` the share of the time of products of which
    they tell it, ``beyond`` by which share of that time they exceed the peak; ``without_peak`` holds the precisions of
    operands in which the device has none.
    """

    rank: int | None
    steps: tuple[Step, ...]
    counted: float
    told: float
    beyond: float
    without_peak: frozenset[str]
    notes: tuple[Note, ...]


def account(trace: Trace, question: Question, skew: Integers | None = None) -> Account:
    """Return where the time of each step went.

    ``skew`` is for each span of the timeline (of the device, or of the host where there is none) the time that it
    waited for other ranks [ns], where that is known.

    Raises
    ------
    InvalidValue
        Nothing in the trace takes time.
    ImpossibleMeasurement
        More FLOPs are said to be done than the peak allows in the time in which anything was computed.
    """
    steps = windows(trace)
    spans = trace.timeline
    times: list[Times] = [Counter() for _ in steps.index]
    kernels = []
    layers, kinds = _layers(trace, spans, skew)
    for block in _blocks(spans, steps):
        segments, doing, step = _painted(trace, layers, kinds, steps, block)
        at_work, waiting = np.isin(doing, _WORK), doing == Activity.EXCHANGE
        _book(times, doing[~at_work], step[~at_work], segments.length[~at_work])
        _pipeline(times, _own(spans, segments.where(waiting), step[waiting]))
        kernels.append(_own(spans, segments.where(at_work), step[at_work]))
    every = Kernels(*(np.concatenate(column) for column in zip(*kernels, strict=True)))
    done = split(every, spans, times, question, trace)
    length, moving = (steps.end - steps.start).tolist(), _moving(spans, steps)
    if skew is None and trace.world > 1:
        for booked in times:
            booked[_TOGETHER] = booked.pop(BOOKED[Activity.TRANSFER], 0)
    found = tuple(map(Step, steps.index, length, times, done.flops, moving))
    return Account(
        trace.rank, found, done.counted, done.told, done.beyond, done.without_peak, (*trace.notes, *steps.notes)
    )


def joined(accounts: Sequence[Account]) -> Account:
    """Return the accounts of one rank in several traces as one."""
    first = accounts[0]
    if len(accounts) == 1:
        return first
    return Account(
        first.rank,
        tuple(sorted((step for one in accounts for step in one.steps), key=lambda step: step.index)),
        sum(one.counted for one in accounts) / len(accounts),
        min(one.told for one in accounts),
        max(one.beyond for one in accounts),
        first.without_peak.union(*(one.without_peak for one in accounts)),
        tuple(note for one in accounts for note in one.notes),
    )


def _layers(trace: Trace, spans: Spans, skew: Integers | None) -> tuple[list[Layer], list[Activity]]:
    """Return the layers of a timeline, uppermost first, and the activity of each."""
    layers = [*by_activity(spans, _WORK), *_late(spans, skew), *by_activity(spans, _MOVING)]
    kinds = [*_WORK, Activity.SKEW, Activity.TRANSFER, *_MOVING]
    return (layers, kinds) if trace.on_device else on_host.layers(trace, layers, kinds)


def _blocks(spans: Spans, steps: Windows) -> Iterator[slice]:
    """Yield stretches of steps that hold about as many spans as are painted at a time, at least one step each."""
    begun = np.searchsorted(spans.start, np.append(steps.start, steps.end[-1]))
    first = 0
    for last in range(1, len(steps.index) + 1):
        if last == len(steps.index) or begun[last + 1] - begun[first] > BLOCK:
            yield slice(first, last)
            first = last


def _painted(
    trace: Trace, layers: Sequence[Layer], kinds: Sequence[Activity], steps: Windows, block: slice
) -> tuple[Segments, Integers, npt.NDArray[np.int64]]:
    """Return the timeline of some steps cut into segments, with the activity and the step of each."""
    start, end = steps.start[block], steps.end[block]
    found = paint(layers, np.concatenate([start, end]))
    step = inside(found.start, (start, end))
    found = found.where(step != NONE)
    doing = np.array([*map(int, kinds), int(Activity.GAP)])[found.layer]
    if trace.on_device:
        idle = found.layer == NONE
        pieces, during = fill(trace, found.where(idle))
        found = Segments(*(np.concatenate([a[~idle], b]) for a, b in zip(found, pieces, strict=True)))
        doing = np.concatenate([doing[~idle], during])
    else:
        doing = unmarked(trace, found, doing)
    return found, doing, inside(found.start, (start, end)) + block.start


def _moving(spans: Spans, steps: Windows) -> list[int]:
    """Return how long collectives ran in each step [ns], whatever else did."""
    places = np.flatnonzero(spans.activity == Activity.TRANSFER)
    found = paint([layer(spans.start[places], spans.end[places])], np.concatenate([steps.start, steps.end]))
    step = inside(found.start, (steps.start, steps.end))
    running = (found.layer != NONE) & (step != NONE)
    total = np.zeros(len(steps.index), np.int64)
    at, length = summed(step[running], found.length[running])
    total[at] = length
    return [int(ns) for ns in total]


def _late(spans: Spans, skew: Integers | None) -> list[Layer]:
    """Return two layers of collectives: what of each was waiting for other ranks, and the rest."""
    places = np.flatnonzero(spans.activity == Activity.TRANSFER)
    start, end = spans.start[places], spans.end[places]
    late = np.zeros(len(places), np.int64) if skew is None else skew[places]
    arrived = np.minimum(start + late, end)
    waiting = late > 0
    order = np.argsort(arrived, kind="stable")
    return [
        layer(start[waiting], arrived[waiting], places[waiting]),
        layer(arrived[order], end[order], places[order]),
    ]


def _book(times: list[Times], doing: Integers, step: npt.NDArray[np.int64], length: Integers) -> None:
    """Add lengths to what activities are booked as; those of a pipeline are told one by one elsewhere."""
    kinds = Activity.IGNORED + 1  # the highest number
    for key, total in zip(*(column.tolist() for column in summed(step * kinds + doing, length)), strict=True):
        at, kind = divmod(key, kinds)
        if kind != Activity.EXCHANGE:
            times[at][BOOKED[Activity(kind)]] += total


def _pipeline(times: list[Times], waits: Kernels) -> None:
    """Book what stages of a pipeline wait for each other, by the number of the exchange in the step."""
    seen: Counter[int] = Counter()
    for at, own in zip(waits.step.tolist(), waits.own.tolist(), strict=True):
        seen[at] += 1
        part = f"exchange {seen[at]}" if seen[at] <= _MOST_MICRO_BATCHES else "later exchanges"
        times[at][Booking("pipeline_bubble", part)] += own


def _own(spans: Spans, segments: Segments, step: npt.NDArray[np.int64]) -> Kernels:
    """Return the time that each span has of its own in each step, by step and by start."""
    many = max(len(spans), 1)
    keys, own = summed(step * many + segments.which, segments.length)
    return Kernels(keys // many, keys % many, own)
