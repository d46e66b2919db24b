"""Several ranks of one run: which of their collectives are the same, and how long each waited for the others.

The last rank to arrive waits for none, so that its collective takes as long as the transfer; what it took longer on
another rank is waiting. That needs no clock. The clocks are compared all the same: a collective ends at nearly the same
moment everywhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

import numpy as np

from mlsysim.results import Note
from mlsysim.timeline.activity import Activity
from mlsysim.timeline.paint import inside
from mlsysim.timeline.spans import Integers
from mlsysim.timeline.trace import Trace
from mlsysim.timeline.windows import windows
from mlsysim.units import si

_KEEP_STEP = 0.05
"""Share of a step by which the ends of one collective may shift from rank to rank.

Of one run it is 0.1 to 2.8 % (the pairs of straggler*.json.gz in tests/timeline/files), of two runs of one program 28 %
and more.
"""
CLOCKS_APART_NS = 1_000_000
"""Difference of two clocks that is told [ns]: less than a millisecond is how well hosts are commonly kept."""


def skews(traces: Sequence[Trace]) -> tuple[list[Integers | None], tuple[Note, ...]]:
    """Return for each rank what each span of its timeline waited for other ranks [ns], and what is to be said.

    None where nothing can be compared: one rank, or no collectives that several ranks have.
    """
    if len(traces) < 2:
        return [None] * len(traces), ()
    met: dict[Any, list[tuple[int, int]]] = defaultdict(list)
    for number, trace in enumerate(traces):
        for key, place in _collectives(trace):
            met[key].append((number, place))
    together = [found for found in met.values() if len(found) > 1]
    if not together:
        message = "the ranks have no collective in common: how long each waited for the others is not known"
        return [None] * len(traces), (Note("ranks-not-matched", message),)
    if strange := _strange(traces, together):
        return [None] * len(traces), strange
    late = [np.zeros(len(trace.timeline), np.int64) for trace in traces]
    for found in together:
        length = {(n, place): _length(traces[n], place) for n, place in found}
        least = min(length.values())
        for (n, place), taken in length.items():
            late[n][place] = taken - least
    return list(late), _clocks(traces, together)


def _collectives(trace: Trace) -> Iterator[tuple[Any, int]]:
    """Yield the collectives of a trace with what tells them apart: group, name, step, and which of the step."""
    spans, steps = trace.timeline, windows(trace)
    places = np.flatnonzero(spans.activity == Activity.TRANSFER)
    at = inside(spans.start[places], (steps.start, steps.end))
    seen: dict[Any, int] = defaultdict(int)
    for place, step in zip(places, at, strict=True):
        if step < 0:
            continue
        work = spans.works[spans.work[place]]
        key = (*(work[:2] if work else ("", spans.names[spans.name[place]])), steps.index[step])
        yield (*key, seen[key]), int(place)
        seen[key] += 1


def _length(trace: Trace, place: int) -> int:
    spans = trace.timeline
    return int(spans.end[place] - spans.start[place])


def _offsets(traces: Sequence[Trace], together: Sequence[Sequence[tuple[int, int]]]) -> dict[int, list[int]]:
    """Return for each rank how much later its collectives end than those of the first, by their clocks [ns]."""
    apart: dict[int, list[int]] = defaultdict(list)
    for found in together:
        ends = {n: int(traces[n].timeline.end[place]) + traces[n].base_ns for n, place in found}
        if 0 in ends:
            for n, end in ends.items():
                apart[n].append(end - ends[0])
    return apart


def _strange(traces: Sequence[Trace], together: Sequence[Sequence[tuple[int, int]]]) -> tuple[Note, ...]:
    """Say where the collectives of a rank do not keep step with those of the first: they are of another run."""
    steps = windows(traces[0])
    usual = float(np.median(steps.end - steps.start))
    for n, offsets in _offsets(traces, together).items():
        middle = median(offsets)
        spread = median(abs(offset - middle) for offset in offsets)
        if spread > _KEEP_STEP * usual:
            message = (
                f"the collectives of {traces[n].path} do not end with those of {traces[0].path}: from one to the next"
                f" they shift by {si(spread * 1e-9, 's')}. Are these ranks of one run? How long they waited for each"
                " other is not told"
            )
            return (Note("ranks-not-matched", message),)
    return ()


def _clocks(traces: Sequence[Trace], together: Sequence[Sequence[tuple[int, int]]]) -> tuple[Note, ...]:
    """Say where the clock of a rank is far from that of the first."""
    notes = []
    for n, offsets in _offsets(traces, together).items():
        offset = median(offsets)
        if abs(offset) >= CLOCKS_APART_NS:
            name = traces[n].rank if traces[n].rank is not None else traces[n].path
            message = (
                f"the clock of rank {name} is {si(abs(offset) * 1e-9, 's')} {'ahead of' if offset > 0 else 'behind'}"
                f" that of the first, by the ends of {len(offsets)} collectives: waiting is told by their lengths,"
                " which need no clock"
            )
            notes.append(Note("clocks-apart", message))
    return tuple(notes)
