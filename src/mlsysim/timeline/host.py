"""A run on a CPU: its operators are the timeline, on all threads, and what interrupts them goes before.

The collector and the data loader stop the thread that computes, so they have their instants whatever else runs. A chain
of operators too short for the work in them to matter is the cost of starting operators, where no other thread computes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlsysim.timeline.activity import WORK, Activity
from mlsysim.timeline.gaps import HOST, by_activity
from mlsysim.timeline.paint import Layer, layer, paint
from mlsysim.timeline.spans import Spans
from mlsysim.timeline.trace import Trace

SHORT_NS = 20_000
"""An operator, and a pause between two, below which starting is what they take [ns].

Dispatching an operator from Python takes 2 to 10 µs on a CPU (recalled), under a profiler about twice that: the tiny
operators of tests/timeline/files/kernel_launch.json.gz take 3.6 µs each without the profiler and 7.7 µs under it.
"""
FIRST = (Activity.GARBAGE, Activity.LOADING)
"""What stops a thread that computes."""


def layers(trace: Trace, work: Sequence[Layer], kinds: Sequence[Activity]) -> tuple[list[Layer], list[Activity]]:
    """Return the layers of a run on a CPU, uppermost first, with their activities, around those of its operators.

    What waits on another thread than that which marks the steps holds nothing up.
    """
    host = trace.host
    main = host.lane == host.lanes.index(trace.main) if trace.main in host.lanes else np.ones(len(host), bool)
    waiting = tuple(a for a in HOST if a not in FIRST and a != Activity.DISPATCH)
    short = host.where(np.zeros(len(host), bool)) if trace.source == "timers" else host  # a timer is no operator
    before = [*by_activity(host, FIRST, main), _alone(chains(short), short)]
    return (
        [*before, *work, *by_activity(host, waiting, main), *by_activity(host, (Activity.DISPATCH,))],
        [*FIRST, Activity.STARTING, *kinds, *waiting, Activity.DISPATCH],
    )


def _alone(chain: Layer, host: Spans) -> Layer:
    """Return what of chains lies beside no operator of another thread that is long enough to be work."""
    long = np.flatnonzero((host.end - host.start >= SHORT_NS) & np.isin(host.activity, [*map(int, WORK)]))
    if not len(chain.start) or not len(long):
        return chain
    found = paint([layer(host.start[long], host.end[long]), chain], np.array([chain.start[0], chain.end[-1]]))
    return Layer(*(column[found.layer == 1] for column in (found.start, found.end, found.which)))


def chains(host: Spans) -> Layer:
    """Return the stretches in which operators that are all short follow each other closely on a thread."""
    at = np.flatnonzero(np.isin(host.activity, [*map(int, WORK), int(Activity.DISPATCH)]))
    starts, ends = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for lane in np.unique(host.lane[at]):
        here = at[host.lane[at] == lane]
        outermost = layer(host.start[here], host.end[here], here)
        start, end, which = outermost
        reached = np.maximum.accumulate(host.end[which])
        whole = np.ones(len(which), bool)
        whole[1:] = host.start[which][1:] >= reached[:-1]  # not a piece of one that began inside another
        start, end, which = start[whole], end[whole], which[whole]
        short = (end - start < SHORT_NS) & (host.activity[which] != Activity.DISPATCH)
        until = np.where(np.append(start[1:] - end[:-1] < SHORT_NS, False), np.append(start[1:], 0), end)
        after_short = np.append(False, short[:-1] & (until[:-1] == start[1:]))
        since = np.where(
            after_short,
            start,
            np.where(np.append(False, start[1:] - end[:-1] < SHORT_NS), np.append(0, end[:-1]), start),
        )
        starts.append(since[short])
        ends.append(until[short])
    start, end = np.concatenate(starts), np.concatenate(ends)
    order = np.lexsort((end, start))
    return layer(start[order], end[order])
