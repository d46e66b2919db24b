"""What a reader makes of a trace: spans on the device and on the host, the marks of steps, and what is known beside."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from mlsysim.results import Note
from mlsysim.timeline.spans import Spans

BREAKS_OFF = "behind the place where the file breaks off"
"""Why events are missing from a file that was cut."""
BROKEN = "that break off or are no events"
"""Why events are left out that could not be read."""


def unusable(start: int | None, length: int | None) -> str:
    """Return why an event of a start and a length [ns], None where not told, cannot be used; nothing where it can."""
    if start is None or length is None:
        return "without a time stamp" if start is None else "without a duration"
    if start < 0 or length < 0:
        return "with a negative time stamp" if start < 0 else "with a negative duration"
    return ""


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """One step as the host marked it: its number, its start and its end [ns]."""

    index: int
    start: int
    end: int


class Launch(NamedTuple):
    """How a kernel was launched: blocks and threads in each, registers a thread, shared memory a block [B].

    ``resident`` is how many of its blocks a multiprocessor holds at once, 0 where that is not told.
    """

    blocks: int
    threads: int
    registers: int = 0
    shared_bytes: int = 0
    resident: int = 0


class Operator(NamedTuple):
    """An operator with its operands: name, dimensions of each, types of each, and other arguments, as text."""

    name: str
    dims: bytes
    types: bytes = b""
    arguments: bytes = b""


class Collective(NamedTuple):
    """A collective of a group of ranks: its group, its name, and the elements that go in."""

    group: str
    name: str
    elements: int = 0


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What a trace says of the device: its name, and of a GPU multiprocessors and what each holds; 0 where not told."""

    name: str = ""
    multiprocessors: int = 0
    threads: int = 0
    registers: int = 0
    shared_bytes: int = 0
    blocks: int = 0
    warp: int = 32


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One rank of a run.

    ``base_ns`` is what times are counted from, in ns since 1970, where that is told.
    ``device`` holds what ran on the accelerator: of a run on a CPU nothing, then ``host`` is the timeline. ``host``
    holds operators, runtime calls, marks and functions; ``main`` is the lane of it on which steps are marked.
    ``left_out`` counts events by why they are not used. ``source`` is a key of the table of what is visible.
    """

    format: str
    source: str
    device: Spans
    host: Spans
    marks: tuple[Mark, ...] = ()
    main: Any = None
    accelerator: Accelerator = Accelerator()
    rank: int | None = None
    world: int = 1
    training: bool = False
    stacks: bool = False
    left_out: dict[str, int] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    path: str = ""
    base_ns: int = 0

    @property
    def cut(self) -> bool:
        """Return whether the file breaks off, so that what comes behind is missing."""
        return BREAKS_OFF in self.left_out

    @property
    def on_device(self) -> bool:
        """Return whether an accelerator was recorded."""
        return len(self.device) > 0

    @property
    def timeline(self) -> Spans:
        """Return the spans that time is given to: of the device, or of the host where there is none."""
        return self.device if self.on_device else self.host


def in_order(name: object) -> tuple[bool, int, str]:
    """Return what numbers and words are sorted by: numbers first, by their size."""
    number = name if isinstance(name, int) else None
    return number is None, number or 0, str(name)


def by_device(trace: Trace) -> tuple[Trace, ...]:
    """Return a trace for each device that was recorded: a process may drive several, each with its own timeline."""
    lanes = trace.device.lanes
    devices = list(dict.fromkeys(lane[0] for lane in lanes))
    if len(devices) < 2:
        return (trace,)
    found = []
    for number, device in enumerate(sorted(devices, key=in_order)):
        chosen = np.isin(trace.device.lane, [i for i, lane in enumerate(lanes) if lane[0] == device])
        rank = number if trace.rank is None else trace.rank
        found.append(replace(trace, device=trace.device.where(chosen), rank=rank))
    return tuple(found)
