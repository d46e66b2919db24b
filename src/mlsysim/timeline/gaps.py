"""What the host did while a device had nothing to do.

A gap ends with a span on the device. From the moment at which the host called for it, the gap is its launch; before
that, it is what the thread that made the call was doing, or, where that thread was idle, the thread that marks the
steps. Work that had been queued before the gap began and starts late by more than a launch takes is told as such: what
held it back is not in a trace.
"""

from __future__ import annotations

import numpy as np

from mlsysim.timeline.activity import Activity
from mlsysim.timeline.paint import Layer, Segments, inside, layer, paint
from mlsysim.timeline.spans import Integers, Spans
from mlsysim.timeline.trace import Trace
from mlsysim.timeline.windows import launches, linked

QUEUED_NS = 20_000
"""A gap before queued work, up to which it is the cost of starting a kernel [ns].

Launches take 2 to 10 µs from call to start (recalled); twice the upper end leaves room for the kernel before to end.
"""
UNMARKED_NS = 1_000_000
"""A gap outside all operators from which, without Python's stack, nothing tells Python from waiting [ns]."""
_CALLS = tuple(a for a in Activity if Activity.WAITING <= a <= Activity.PYTHON)
HOST = (Activity.GARBAGE, Activity.LOADING, *_CALLS, Activity.UNTIMED)
"""What the host may do while a device waits, the most telling first."""
AT_WORK = tuple(a for a in Activity if a < Activity.WAITING and a not in HOST)
"""What operators compute on a CPU: beside a device, the time that the host takes to dispatch them."""


def by_activity(spans: Spans, kinds: tuple[Activity, ...], chosen: np.ndarray | None = None) -> list[Layer]:
    """Return a layer for each activity, of the spans that are chosen by a mask."""
    found = []
    for kind in kinds:
        at = spans.activity == kind
        places = np.flatnonzero(at if chosen is None else at & chosen)
        found.append(layer(spans.start[places], spans.end[places], places))
    return found


def fill(trace: Trace, gaps: Segments) -> tuple[Segments, Integers]:
    """Return gaps of a device cut by what the host did, and the activity of each piece.

    The pieces lie in the gaps and sum to them.
    """
    begin, end = gaps.start, gaps.end
    host, call = trace.host, _calls(trace, end)
    called = np.where(call >= 0, host.start[call], end) if len(host) else end
    split = np.clip(called, begin, end)
    queued = (call >= 0) & (called <= begin)
    thread = np.where(call >= 0, host.lane[call], -1) if len(host) else call
    pieces = [
        (begin[queued], np.minimum(begin + QUEUED_NS, end)[queued], Activity.STARTING),
        (np.minimum(begin + QUEUED_NS, end)[queued], end[queued], Activity.QUEUED),
        (split[~queued], end[~queued], Activity.LAUNCHING),
    ]
    starts, ends = ([p[i] for p in pieces] for i in (0, 1))
    kinds = [np.full(len(p[0]), int(p[2])) for p in pieces]
    for number in np.unique(thread[~queued]):
        chosen = ~queued & (thread == number)
        found, doing = host_time(trace, Segments(begin[chosen], split[chosen], call[chosen], call[chosen]), number)
        starts.append(found.start)
        ends.append(found.end)
        kinds.append(doing)
    start, end, kind = np.concatenate(starts), np.concatenate(ends), np.concatenate(kinds)
    order = np.argsort(start, kind="stable")
    order = order[(end > start)[order]]
    nothing = np.full(len(order), -1)
    return Segments(start[order], end[order], nothing, nothing), kind[order]


def _calls(trace: Trace, end: Integers) -> Integers:
    """Return for each gap the place of the call whose work ends it: the first of those of which work begins together.

    -1 where no call is known.
    """
    device = trace.device
    first = np.searchsorted(device.start, end, "left")
    last, known = first.copy(), first < len(device)
    last[known] = np.searchsorted(device.start, device.start[first[known]], "right")
    counts = last - first
    gap = np.repeat(np.arange(len(end)), counts)
    span = np.arange(len(gap)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
    made = linked(device.link[span], launches(trace.host))
    call = np.full(len(end), len(trace.host))
    np.minimum.at(call, gap[made >= 0], made[made >= 0])
    return np.where(call < len(trace.host), call, -1)


def host_time(trace: Trace, gaps: Segments, thread: int) -> tuple[Segments, Integers]:
    """Return stretches of time cut by what a thread of the host did in them, and the activity of each piece."""
    host = trace.host
    gaps = gaps.where(gaps.end > gaps.start)
    nothing = np.empty(0, np.int64)
    if not len(gaps.start):
        return Segments(nothing, nothing, nothing, nothing), nothing
    main = host.lanes.index(trace.main) if trace.main in host.lanes else -1
    near = np.searchsorted(gaps.end, host.start, "right")
    during = host.end > np.append(gaps.start, np.iinfo(np.int64).max)[near]
    first = thread if thread >= 0 else main
    layers, kinds = [], []
    for lane in dict.fromkeys((first, main)):
        chosen = during & (host.lane == lane) if lane >= 0 else during
        layers += by_activity(host, (*HOST, *AT_WORK), chosen)
        kinds += [*HOST, *(Activity.DISPATCH for _ in AT_WORK)]
    found = paint(layers, np.unique(np.concatenate([gaps.start, gaps.end])))
    where = inside(found.start, (gaps.start, gaps.end))
    kept = where >= 0
    found = found.where(kept)
    doing = np.array([*map(int, kinds), int(Activity.GAP)])[found.layer]
    return found, unmarked(trace, found, doing)


def unmarked(trace: Trace, found: Segments, doing: Integers) -> Integers:
    """Tell what the host did outside all that was recorded: Python where it can be nothing else, or is short."""
    if not len(trace.host):
        return np.full(len(doing), int(Activity.UNRECORDED))
    if trace.stacks:
        return doing
    long = (doing == Activity.GAP) & (found.length >= UNMARKED_NS)
    return np.where(long, int(Activity.IDLE), doing)
