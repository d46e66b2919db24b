"""What an export of Nsight Systems tells of threads: calls of the operating system, and time without a core."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsysim.results import Note
from mlsysim.timeline.activity import Activity, activity
from mlsysim.timeline.nvtx import Lane
from mlsysim.timeline.paint import inside, layer
from mlsysim.timeline.spans import Integers, SpanRows
from mlsysim.timeline.tables import Tables

_READY = re.compile("running|runnable|ready|preempt", re.IGNORECASE)
"""States of a thread that lost its core though it had work (names of ENUM_SAMPLING_THREAD_STATE)."""
_RUNNING = 1
"""The state of that name, where the names are missing."""
_MPI = ("MPI_P2P_EVENTS", "MPI_COLLECTIVES_EVENTS", "MPI_START_WAIT_EVENTS")


def calls(
    tables: Tables,
    host: SpanRows,
    threads: Sequence[int],
    lane_of: Callable[[int], Lane],
    sound: Callable[[Any, Any], bool],
) -> None:
    """Add to the host what some threads called: the operating system, MPI, and what the profiler took."""
    only = ("globalTid", threads)
    for start, end, thread, name in tables.rows("OSRT_API", ("start", "end", "globalTid", "nameId"), only):
        if sound(start, end):
            called = tables.text(name)
            host.add(start, end, activity("system", called), lane_of(thread), called)
    for table in _MPI:
        for start, end, thread, name in tables.rows(table, ("start", "end", "globalTid", "textId"), only):
            if sound(start, end):
                host.add(start, end, Activity.WAITING, lane_of(thread), tables.text(name) or "MPI")
    for table in ("PROFILER_OVERHEAD", "CUPTI_ACTIVITY_KIND_OVERHEAD"):
        for start, end, thread, name in tables.rows(table, ("start", "end", "globalTid", "nameId"), only):
            if sound(start, end):
                label = tables.text(name) or "overhead of the profiler"
                kind = activity("mark", label)
                kind = Activity.PROFILING if kind is Activity.IGNORED else kind
                host.add(start, end, kind, lane_of(thread), label)


def preempted(tables: Tables, host: SpanRows, threads: Sequence[int], lane_of: Callable[[int], Lane]) -> None:
    """Add to the host the time in which threads had work and no core.

    A thread that goes to sleep leaves its core too: that is told by its state, else by the call that it sleeps in.
    Where neither is recorded, nothing is added.
    """
    states = dict(tables.rows("ENUM_SAMPLING_THREAD_STATE", ("id", "name")))
    ready = {number for number, name in states.items() if _READY.search(str(name))} or {_RUNNING}
    switches: dict[int, array[int]] = {}
    columns = ("start", "isSchedIn", "threadState", "globalTid")
    for start, runs, state, thread in tables.rows("SCHED_EVENTS", columns, ("globalTid", threads)):
        if isinstance(start, int) and start >= 0:
            known = -1 if state is None else int(state in ready)
            switches.setdefault(thread, array("q")).extend((start, int(bool(runs)), known))
    numbers = {label: number for number, label in enumerate(host.lanes.labels)}
    for thread, rows in switches.items():
        lane = lane_of(thread)
        for start, end in _lost(np.array(rows, np.int64).reshape(-1, 3), host, numbers.get(lane, -1), tables):
            host.add(int(start), int(end), Activity.PREEMPTED, lane, "thread not running")


def _lost(switches: Integers, host: SpanRows, lane: int, tables: Tables) -> npt.NDArray[np.int64]:
    """Return from when to when a thread had no core though it had work, a row each [ns]."""
    switches = switches[np.lexsort((switches[:, 1], switches[:, 0]))]
    out = np.flatnonzero((switches[:-1, 1] == 0) & (switches[1:, 1] == 1))
    start, end, state = switches[out, 0], switches[out + 1, 0], switches[out, 2]
    voluntary = np.ones(len(out), bool)
    if tables.filled("OSRT_API"):
        here = np.flatnonzero(np.array(host.lane, np.int64) == lane)
        begins, ends = np.array(host.start, np.int64)[here], np.array(host.end, np.int64)[here]
        order = np.lexsort((ends, begins))
        busy = layer(begins[order], ends[order])
        voluntary = inside(start, (busy.start, busy.end)) >= 0
    kept = (end > start) & np.where(state < 0, ~voluntary, state == 1)
    return np.stack([start[kept], end[kept]], axis=1)


def notes(tables: Tables) -> tuple[Note, ...]:
    """Say what is not known of threads."""
    if not tables.filled("SCHED_EVENTS"):
        message = (
            "no scheduling of threads was recorded: time that the operating system took is not told from the rest;"
            " `nsys profile --cpuctxsw=process-tree` records it"
        )
        return (Note("no-scheduling", message),)
    if "threadState" not in tables.columns["SCHED_EVENTS"] and not tables.filled("OSRT_API"):
        message = (
            "why threads left their core is not recorded, so that none is said to have lost it:"
            " `nsys profile --trace=cuda,nvtx,osrt` records the calls that sleep"
        )
        return (Note("no-thread-state", message),)
    return ()
