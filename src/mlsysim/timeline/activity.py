"""What a span of a trace is: the activities that are told apart, the cause each counts as, and how names tell them.

The patterns are a table, ``data/activities.tsv``: the first that matches the name of a span, among those of its place
(``kernel`` and ``hlo`` on a device, ``operator``, ``call``, ``system``, ``host``, ``mark`` and ``python`` on the host),
says what it is. ``{base}`` in a pattern stands for the beginning of a name, up to its template arguments and
parameters: those name much that a kernel is not.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import cache
from typing import NamedTuple

from mlsysim.registry import read_table


class Activity(IntEnum):
    """What is going on in a span. Where spans overlap, the one of the lower number has the instant."""

    GARBAGE = 1
    LOADING = 2
    SCORES = 9
    ATTENTION = 10
    MATRIX = 11
    QUANTIZING = 12
    ELEMENTWISE = 13
    NORMALISATION = 14
    REDUCTION = 15
    SOFTMAX = 16
    EMBEDDING = 17
    OPTIMIZER = 18
    RECURRENCE = 19
    COPY = 20
    FUSED = 21
    OTHER = 22
    PASSES = 23
    HIDDEN = 24
    SKEW = 30
    TRANSFER = 31
    EXCHANGE = 32
    UPLOAD = 33
    DOWNLOAD = 34
    WAITING = 40
    PREEMPTED = 41
    BLOCKED = 42
    ALLOCATING = 43
    DRIVER = 44
    PROFILING = 45
    LAUNCHING = 46
    DISPATCH = 47
    PYTHON = 48
    GAP = 49
    STARTING = 50
    QUEUED = 51
    IDLE = 52
    UNRECORDED = 53
    UNTIMED = 54
    IGNORED = 99


class Booking(NamedTuple):
    """The cause that an activity counts as, the finer name within it, and whether it was seen."""

    cause: str
    part: str
    kind: str = "observed"


BOOKED = {
    Activity.GARBAGE: Booking("garbage_collection", "collector"),
    Activity.LOADING: Booking("data_loader", "loading"),
    Activity.SCORES: Booking("attention", "scores written out"),
    Activity.ATTENTION: Booking("attention", "fused kernels"),
    Activity.MATRIX: Booking("unattributed", "matrix products below the ceiling", "unattributed"),
    Activity.QUANTIZING: Booking("quantization", "conversion"),
    Activity.ELEMENTWISE: Booking("memory_bound", "elementwise"),
    Activity.NORMALISATION: Booking("memory_bound", "normalisation"),
    Activity.REDUCTION: Booking("memory_bound", "reduction"),
    Activity.SOFTMAX: Booking("attention", "scores written out"),
    Activity.EMBEDDING: Booking("memory_bound", "embedding"),
    Activity.OPTIMIZER: Booking("memory_bound", "optimizer"),
    Activity.RECURRENCE: Booking("memory_bound", "state-space scans"),
    Activity.COPY: Booking("memory_bound", "copies"),
    Activity.FUSED: Booking("memory_bound", "loops of a compiler"),
    Activity.OTHER: Booking("unattributed", "work of unknown kind", "unattributed"),
    Activity.PASSES: Booking("unattributed", "forward and backward passes", "unattributed"),
    Activity.HIDDEN: Booking("unattributed", "device not recorded", "unattributed"),
    Activity.TRANSFER: Booking("communication", "transfer"),
    Activity.SKEW: Booking("communication", "skew"),
    Activity.EXCHANGE: Booking("pipeline_bubble", "waiting"),
    Activity.UPLOAD: Booking("data_loader", "copies"),
    Activity.DOWNLOAD: Booking("synchronisation", "copies to the host"),
    Activity.WAITING: Booking("synchronisation", "waiting"),
    Activity.PREEMPTED: Booking("os_driver", "thread not running"),
    Activity.ALLOCATING: Booking("framework", "allocator"),
    Activity.DRIVER: Booking("os_driver", "driver"),
    Activity.PROFILING: Booking("framework", "profiler"),
    Activity.LAUNCHING: Booking("kernel_launch", "calls"),
    Activity.DISPATCH: Booking("framework", "dispatch"),
    Activity.PYTHON: Booking("framework", "python"),
    Activity.GAP: Booking("framework", "python"),
    Activity.STARTING: Booking("kernel_launch", "gaps"),
    Activity.QUEUED: Booking("unattributed", "queued work that did not start", "unattributed"),
    Activity.IDLE: Booking("unattributed", "host outside operators, unmarked", "unattributed"),
    Activity.UNRECORDED: Booking("unattributed", "host not recorded", "unattributed"),
    Activity.BLOCKED: Booking("unattributed", "host asleep or in files", "unattributed"),
    Activity.UNTIMED: Booking("unattributed", "outside the timers", "unattributed"),
}
"""What the time of an activity is booked as, beyond what of it is at the ceiling."""
WORK = frozenset(a for a in Activity if Activity.SCORES <= a <= Activity.HIDDEN)
"""What computes, on a device or on the host."""
MATH = frozenset({Activity.SCORES, Activity.ATTENTION, Activity.MATRIX})
"""What does the FLOPs that are counted."""
ON_WAY = frozenset({Activity.TRANSFER, Activity.SKEW, Activity.EXCHANGE, Activity.UPLOAD, Activity.DOWNLOAD})
"""What moves data between devices, or to and from the host."""

_BASE = r"^(?:\(anon|<unn|[^(<])*"
"""``{base}``, across a namespace without a name as PyTorch and as Nsight write it."""


@cache
def _patterns(place: str) -> tuple[tuple[re.Pattern[str], Activity], ...]:
    """Return the patterns of a place, which ignore case."""
    rows = read_table("mlsysim.timeline", "activities.tsv")
    return tuple(
        (re.compile(r["pattern"].replace("{base}", _BASE), re.IGNORECASE), Activity[r["activity"].upper()])
        for r in rows
        if r["place"] == place
    )


@cache
def activity(place: str, name: str) -> Activity:
    """Return what a span is, by where it is found and by its name.

    What no pattern knows is OTHER on a device and among operators, DRIVER among calls of a GPU's runtime, PYTHON
    among functions and calls of the operating system, IGNORED elsewhere.
    """
    for pattern, found in _patterns(place):
        if pattern.search(name):
            return found
    return _UNKNOWN[place]


_UNKNOWN = {
    "kernel": Activity.OTHER,
    "hlo": Activity.OTHER,
    "operator": Activity.OTHER,
    "call": Activity.DRIVER,
    "system": Activity.PYTHON,
    "host": Activity.IGNORED,
    "mark": Activity.IGNORED,
    "python": Activity.PYTHON,
}
