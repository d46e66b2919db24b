"""Where each step begins and ends on the timeline.

The host marks steps and runs ahead of the device. On a device a step therefore begins when the host began it, or when
the device has finished what was launched before, whichever is later; it ends by the same rule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice, pairwise

import numpy as np

from mlsysim.errors import InvalidValue
from mlsysim.results import Note
from mlsysim.timeline.spans import NO_LINK, Integers, Spans
from mlsysim.timeline.trace import Trace
from mlsysim.units import si

_MOST = 0.5
"""Share of what was recorded that steps must cover for the rest to go without a word."""
_NAMED = 5
"""Steps without a mark that are named."""


@dataclass(frozen=True, slots=True)
class Windows:
    """The steps on the timeline: numbers, starts and ends [ns]; and what must be said of them."""

    index: tuple[int, ...]
    start: Integers
    end: Integers
    notes: tuple[Note, ...] = ()


def windows(trace: Trace) -> Windows:
    """Return the steps of a trace; one that holds all of it where no step is marked.

    Raises
    ------
    InvalidValue
        Nothing in the trace takes time.
    """
    spans, rule = trace.timeline, "a trace with operators or kernels that take time"
    if not len(spans):
        unused = ", ".join(f"{n:,} {why}" for why, n in trace.left_out.items())
        hint = f"its events cannot be used: {unused}" if unused else "was the profiler active while steps ran?"
        raise InvalidValue("trace", rule, trace.path, hint)
    if not trace.marks:
        message = (
            "no step is marked: all of the trace is taken as one step, with what is before and after the work;"
            " mark steps with prof.step(), NVTX ranges or StepTraceAnnotation"
        )
        start, end = np.array([spans.start.min()]), np.array([spans.end.max()])
        if start == end:
            raise InvalidValue("trace", rule, trace.path, "all of its events begin and end at one instant")
        return Windows((0,), start, end, (Note("no-steps", message),))
    marks = sorted(trace.marks, key=lambda mark: (mark.start, mark.end, mark.index))
    marked = tuple(np.array([getattr(m, end) for m in marks], np.int64) for end in ("start", "end"))
    found = [_apart(*_on_device(trace, *marked)), _apart(*marked)]  # a device that only caught up has the host's steps
    kept, start, end = next((f for f in found if len(f[0])), found[1])
    if not len(kept):
        raise InvalidValue("trace", "a trace whose steps take time", trace.path, "every mark of a step is empty")
    if trace.cut:
        kept = kept[end[kept] <= spans.end.max()]
        if not len(kept):
            hint = "the file breaks off before the first step ends"
            raise InvalidValue("trace", "a trace with a whole step", trace.path, hint)
    index = tuple(marks[i].index for i in kept)
    steps = Windows(index, start[kept], end[kept])
    return replace(steps, notes=(*_numbering(index), *_outside(spans, steps)))


def _outside(spans: Spans, steps: Windows) -> tuple[Note, ...]:
    """Say where most of what was recorded lies outside the steps."""
    recorded, inside_s = int(spans.end.max() - spans.start.min()), int((steps.end - steps.start).sum())
    if inside_s >= _MOST * recorded:
        return ()
    message = (
        f"the steps are {si(inside_s * 1e-9, 's')} of {si(recorded * 1e-9, 's')} that were recorded: what lies outside"
        " them, such as start-up and compilation, is in no cause"
    )
    return (Note("outside-steps", message),)


def _on_device(trace: Trace, start: Integers, end: Integers) -> tuple[Integers, Integers]:
    """Return where steps that the host marked begin and end on the device."""
    if not trace.on_device:
        return start, end
    times = launch_times(trace)
    order = np.argsort(times, kind="stable")
    reached = np.maximum.accumulate(trace.device.end[order])
    return _reached(start, times[order], reached), _reached(end, times[order], reached)


def _apart(start: Integers, end: Integers) -> tuple[Integers, Integers, Integers]:
    """Return the places of steps that take time, and all starts and ends, each ending before the next begins."""
    end = end.copy()
    end[:-1] = np.minimum(end[:-1], np.maximum(start[1:], start[:-1]))
    return np.flatnonzero(end > start), start, end


def launch_times(trace: Trace) -> Integers:
    """Return for each span of the device when the host launched it [ns]: its own start where no call is known."""
    if not len(trace.host):
        return trace.device.start
    found = linked(trace.device.link, launches(trace.host))
    return np.where(found >= 0, trace.host.start[found], trace.device.start)


def launches(host: Spans) -> tuple[Integers, Integers]:
    """Return the correlations of calls, sorted, and the places of the calls among the host's spans."""
    places = np.flatnonzero(host.link != NO_LINK)
    order = np.argsort(host.link[places], kind="stable")
    return host.link[places][order], places[order]


def linked(links: Integers, calls: tuple[Integers, Integers]) -> Integers:
    """Return for each correlation the place of its call, -1 where there is none."""
    keys, places = calls
    if not len(keys):
        return np.full(len(links), -1)
    at = np.minimum(np.searchsorted(keys, links), len(keys) - 1)
    return np.where((keys[at] == links) & (links != NO_LINK), places[at], -1)


def _reached(host: Integers, launched: Integers, reached: Integers) -> Integers:
    before = np.searchsorted(launched, host, "left") - 1
    return np.where(before >= 0, np.maximum(host, reached[np.maximum(before, 0)]), host)


def _numbering(index: tuple[int, ...]) -> tuple[Note, ...]:
    known = set(index)
    every = min((b - a for a, b in pairwise(sorted(known))), default=1)  # a log may tell each tenth
    whole = range(min(known), max(known) + 1, every)  # not gone through: it may be long
    missing = len(whole) - sum(number in whole for number in known)
    if not missing:
        return ()
    some = islice((number for number in whole if number not in known), _NAMED)
    named = ", ".join(map(str, some)) + (", ..." if missing > _NAMED else "")
    return (Note("steps-missing", f"marks of {missing:,} steps are missing: {named}"),)
