"""Traces of PyTorch's profiler (Kineto), of GPUs and of CPUs.

Categories and arguments as torch 1.8 to 2.14 write them (libkineto, output_json.cpp; torch/profiler/profiler.py):
``kernel`` with its grid, block, registers and shared memory, ``gpu_memcpy``, ``gpu_memset``, ``cuda_runtime`` and
``cuda_driver`` calls that a ``correlation`` joins with what they launched, ``cpu_op`` with ``Input Dims`` where shapes
were recorded, ``user_annotation`` and ``python_function``.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec

from mlsysim.calibration.logs.source import Source
from mlsysim.results import Note
from mlsysim.timeline.activity import MATH, WORK, Activity, activity
from mlsysim.timeline.chrome import Event, Events, Name, nanoseconds, whole
from mlsysim.timeline.nvtx import Ranges
from mlsysim.timeline.operands import Operands
from mlsysim.timeline.spans import NO_LINK, SpanRows
from mlsysim.timeline.trace import (
    Accelerator,
    Collective,
    Launch,
    Mark,
    Operator,
    Trace,
    by_device,
    unusable,
)

_STEP = re.compile(r"ProfilerStep#(\d{1,15})$")
_UPDATE = "Optimizer.step#"
_TRAINS = ("autograd::engine", _UPDATE)
"""What only a backward pass and an optimizer leave in a trace."""
_COLLECTIVE = (Activity.TRANSFER, Activity.EXCHANGE)


class Args(msgspec.Struct, gc=False):
    """What is read of the arguments of an event."""

    correlation: Any = None
    external: Any = msgspec.field(default=None, name="External id")
    external_once: Any = msgspec.field(default=None, name="external id")  # of kernels before torch 1.10
    device: Name = None
    stream: Name = None
    grid: Any = None
    block: Any = None
    registers: Any = msgspec.field(default=0, name="registers per thread")
    shared: Any = msgspec.field(default=0, name="shared memory")
    occupancy: Any = None
    dims: msgspec.Raw = msgspec.field(default=msgspec.Raw(b""), name="Input Dims")
    types: msgspec.Raw = msgspec.field(default=msgspec.Raw(b""), name="Input type")
    concrete: msgspec.Raw = msgspec.field(default=msgspec.Raw(b""), name="Concrete Inputs")
    group: Any = msgspec.field(default="", name="Process Group Name")
    collective: Any = msgspec.field(default="", name="Collective name")
    elements: Any = msgspec.field(default=0, name="In msg nelems")


class _Reader:
    """Takes events in any order and gives the trace that they make."""

    def __init__(self) -> None:
        self.device, self.host = SpanRows(), SpanRows()
        self.marks: list[tuple[Mark, Any]] = []
        self.ranges, self.updates = Ranges(self.host), dict[Any, list[int]]()
        self.operands = Operands()
        self.left_out: Counter[str] = Counter()
        self.training = self.stacks = False
        self._take: dict[str, Callable[[Event[Args], int, int], None]] = {
            **dict.fromkeys(("kernel", "Kernel", "gpu_memcpy", "Memcpy", "gpu_memset", "Memset"), self._kernel),
            **dict.fromkeys(("cpu_op", "Operator"), self._operator),
            **dict.fromkeys(("cuda_runtime", "Runtime", "cuda_driver", "hip_runtime", "xpu_runtime"), self._call),
            "user_annotation": self._mark,
            "overhead": self._overhead,
            "python_function": self._python,
        }

    def take(self, batch: list[Event[Args]]) -> None:
        """Take a batch of events."""
        handlers, left_out = self._take, self.left_out
        for event in batch:
            if event.ph != "X":
                continue
            take = handlers.get(event.cat)
            if take is None:
                continue
            start, duration = nanoseconds(event.ts), nanoseconds(event.dur)
            if start is None or duration is None or start < 0 or duration < 0:
                left_out[unusable(start, duration)] += 1
            else:
                take(event, start, start + duration)

    def _kernel(self, event: Event[Args], start: int, end: int) -> None:
        args = event.args or Args()
        kind = activity("kernel", event.name)
        shape, work = None, None
        if kind in _COLLECTIVE:
            work = _collective(event, args)
            if said := str(args.collective).lower():  # a kernel for sending and receiving does all-to-all, too
                kind = Activity.EXCHANGE if said in {"send", "recv"} else Activity.TRANSFER
        elif args.grid is not None:
            shape = _launch(args)
        device = args.device if args.device is not None else event.pid
        lane = (device, args.stream if args.stream is not None else event.tid)
        self.device.add(start, end, kind, lane, event.name, whole(args.correlation), shape, work)
        self.operands.kernel(whole(args.external_once if args.external is None else args.external) or NO_LINK)

    def _operator(self, event: Event[Args], start: int, end: int) -> None:
        kind = activity("operator", event.name)
        if kind is Activity.IGNORED:
            if step := _STEP.match(event.name):
                self.marks.append((Mark(int(step[1]), start, end), (event.pid, event.tid)))
            elif not self.training and event.name.startswith(_TRAINS):
                self.training = True
            return
        args = event.args or Args()
        work: Any = None
        if kind in WORK and bytes(args.dims):
            dims = bytes(args.dims)
            self.operands.operator(len(self.host), event.name, dims, whole(args.external) or NO_LINK)
            if kind in MATH:
                work = Operator(event.name, dims, bytes(args.types), bytes(args.concrete))
        elif kind is Activity.TRANSFER:
            work = _collective(event, args)
        self.host.add(start, end, kind, (event.pid, event.tid), event.name, NO_LINK, None, work)

    def _call(self, event: Event[Args], start: int, end: int) -> None:
        link = whole(event.args.correlation) if event.args else NO_LINK
        self.host.add(start, end, activity("call", event.name), (event.pid, event.tid), event.name, link)

    def _mark(self, event: Event[Args], start: int, end: int) -> None:
        if step := _STEP.match(event.name):
            self.marks.append((Mark(int(step[1]), start, end), (event.pid, event.tid)))
            return
        lane = (event.pid, event.tid)
        self.ranges.count(lane, event.name, start, end)
        if event.name.startswith(_UPDATE):
            self.updates.setdefault((lane, event.name), []).append(end)
            self.training = True
        kind = activity("mark", event.name)
        if kind is not Activity.IGNORED:
            work = _collective(event, event.args or Args()) if kind is Activity.TRANSFER else None
            self.host.add(start, end, kind, lane, event.name, NO_LINK, None, work)

    def _overhead(self, event: Event[Args], start: int, end: int) -> None:
        kind = activity("mark", event.name)
        kind = Activity.PROFILING if kind is Activity.IGNORED else kind
        self.host.add(start, end, kind, (event.pid, event.tid), event.name)

    def _python(self, event: Event[Args], start: int, end: int) -> None:
        self.stacks = True
        kind = activity("python", event.name)
        if kind is not Activity.PYTHON:
            self.host.add(start, end, kind, (event.pid, event.tid), event.name)

    def steps(self) -> tuple[Any, tuple[Mark, ...], tuple[Note, ...]]:
        """Return the thread that marks the steps, the marks, and what is to be said of how they were found.

        Those of the profiler, else ranges that count up, else updates of an optimizer: between the ends of two of them
        lies a step, so that all but the first are known.
        """
        if self.marks:
            lane = min(self.marks, key=lambda marked: (marked[0], str(marked[1])))[1]
            return lane, tuple(sorted(mark for mark, where in self.marks if where == lane)), ()
        if counted := self.ranges.steps():
            text = f"ranges `{counted[0].word} N` are taken as the steps"
            return counted[0].lane, counted[0].marks, (Note("steps-by-name", text),)
        if not self.updates:
            return None, (), ()
        (lane, name), ends = max(self.updates.items(), key=lambda item: (len(item[1]), str(item[0])))
        ends = sorted(ends)
        marks = tuple(Mark(i, a, b) for i, (a, b) in enumerate(pairwise(ends), 1))
        text = f"no step is marked: what lies between two ends of `{name}` is taken as one; prof.step() marks them"
        return lane, marks, (Note("steps-by-update", text),)


def read_all(source: Source, progress: Callable[[int], None] | None = None) -> tuple[Trace, ...]:
    """Return the trace of a rank, or one for each device where a process drives several.

    Raises
    ------
    InvalidValue
        The file cannot be read.
    """
    return by_device(read(source, progress))


def read(source: Source, progress: Callable[[int], None] | None = None) -> Trace:
    """Return the trace of one process, with all its devices; see :func:`read_all`."""
    reader, events = _Reader(), Events(source, Args, progress)
    for batch in events:
        reader.take(batch)
    reader.operands.join(reader.host, reader.device)
    about = events.about
    reader.left_out.update(events.lost)
    world = about.get("distributedInfo")
    world = world if isinstance(world, dict) else {}
    rank = world.get("rank")
    main, marks, notes = reader.steps()
    training, stacks, left_out = reader.training, reader.stacks, dict(reader.left_out)
    rows = [reader.host, reader.device]
    del reader  # rows are let go one after the other, each when it is sorted
    device, host = rows.pop().spans(), rows.pop().spans()
    return Trace(
        "PyTorch trace",
        "pytorch" if len(device) else "pytorch-cpu",
        device,
        host,
        marks,
        main,
        _accelerator(about),
        rank if isinstance(rank, int) else None,
        int(world.get("world_size") or 1),
        training,
        stacks,
        left_out,
        notes,
        str(source.path),
        whole(about.get("baseTimeNanoseconds"), 0),
    )


def _launch(args: Args) -> Launch:
    resident = args.occupancy.get("activeBlocksPerMultiprocessor", 0) if isinstance(args.occupancy, dict) else 0
    return Launch(
        _product(args.grid),
        _product(args.block),
        whole(args.registers, 0),
        whole(args.shared, 0),
        whole(resident, 0),
    )


def _product(sizes: Any) -> int:
    known = isinstance(sizes, list) and all(isinstance(size, int) and size > 0 for size in sizes)
    return math.prod(sizes) if known else 0


def _collective(event: Event[Args], args: Args) -> Collective:
    name = str(args.collective or event.name)
    elements = whole(args.elements, 0)
    if not elements and bytes(args.dims):
        elements = _elements(bytes(args.dims))
    return Collective(str(args.group), name, elements)


def _elements(dims: bytes) -> int:
    try:
        return sum(_product(sizes) for sizes in json.loads(dims))
    except (ValueError, TypeError):
        return 0


def _accelerator(about: dict[str, Any]) -> Accelerator:
    """Return the device, where all that are listed are alike."""
    listed = about.get("deviceProperties") or about.get("computeProperties") or []
    devices = [d for d in listed if isinstance(d, dict)] if isinstance(listed, list) else []
    if not devices or len({d.get("name") for d in devices}) != 1:
        return Accelerator()
    d = devices[0]
    return Accelerator(
        str(d.get("name") or ""),
        whole(d.get("numSms") or d.get("multiProcessorCount"), 0),
        whole(d.get("maxThreadsPerMultiprocessor") or d.get("maxThreadsPerMultiProcessor"), 0),
        whole(d.get("regsPerMultiprocessor"), 0),
        whole(d.get("sharedMemPerMultiprocessor"), 0),
        0,
        whole(d.get("warpSize"), 32),
    )
