"""Traces of XLA, as JAX writes them: ``plugins/profile/*/*.trace.json.gz``.

Processes are the host (``/host:CPU``) and devices (``/device:GPU:0``, ``/device:TPU:0``), threads their lines. On a GPU
the lines of streams hold kernels, with ``kernel_details`` (regs, static_shared, dynamic_shared, grid, block; XLA,
cupti_collector.h). On a TPU the line ``XLA Ops`` holds operations with ``hlo_category``, ``model_flops`` and
``bytes_accessed``; ``XLA Modules`` and ``Steps`` contain them. On a CPU operations carry ``hlo_op`` and lie on threads
of the host, beside what Python does, whose names begin with a dollar sign (jax 0.10).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from math import prod
from typing import Any

import msgspec

from mlsysim.calibration.logs.source import Source
from mlsysim.results import Note
from mlsysim.timeline.activity import Activity, activity
from mlsysim.timeline.chrome import Event, Events, nanoseconds, whole
from mlsysim.timeline.spans import NO_LINK, SpanRows, Spans
from mlsysim.timeline.trace import Launch, Mark, Operator, Trace, unusable

NAME = "JAX/XLA trace"
MOST_EVENTS = (1_000_000, 5_000_000)
"""Events at which exporters cut a trace: the first ones are kept (kMaxEvents of xplane_to_trace_events.cc)."""
_DEVICE = re.compile(r"/device:(GPU|TPU):(\d+)(?!.*SparseCore)")
_CALL = re.compile(r"(?:cu|cuda|hip)[A-Z]")
_PYTHON = re.compile(r"\$(?:(?P<file>\S+\.py):(?P<line>\d+)|\S+) (?P<function>.*)")
_DETAIL = re.compile(r"(\w+):([\d,]+)")
_PRECISIONS = (("bf16[", "bf16"), ("f16[", "fp16"), ("f32[", "fp32"), ("f64[", "fp64"))
_MOVES = {Activity.TRANSFER, Activity.EXCHANGE, Activity.UPLOAD, Activity.DOWNLOAD}


class Args(msgspec.Struct, gc=False):
    """What is read of the arguments of an event."""

    name: Any = ""
    step_num: Any = None
    hlo_op: Any = ""
    hlo_category: Any = ""
    correlation_id: Any = None
    kernel_details: Any = ""
    model_flops: Any = None
    flops: Any = None
    bytes_accessed: Any = None
    long_name: Any = ""
    tf_op: Any = ""


class _Device:
    """What was recorded of one device."""

    def __init__(self, kind: str, number: int) -> None:
        self.kind, self.number = kind, number
        self.rows = SpanRows()
        self.steps: list[Mark] = []
        self.linked = False


class _Reader:
    """Takes events; those that name processes and threads come first."""

    def __init__(self) -> None:
        self.devices: dict[Any, _Device] = {}
        self.lines: dict[tuple[Any, Any], str] = {}
        self.streamed: set[Any] = set()
        self.host = SpanRows()
        self.marks: dict[tuple[Any, Any], list[Mark]] = {}
        self.left_out: Counter[str] = Counter()
        self.training = self.stacks = False
        self.events = 0

    def take(self, batch: list[Event[Args]]) -> None:
        """Take a batch of events."""
        for event in batch:
            if event.ph == "M":
                self._named(event)
            elif event.ph == "X":
                self.events += 1
                start, duration = nanoseconds(event.ts), nanoseconds(event.dur)
                if start is None or duration is None or start < 0 or duration < 0:
                    self.left_out[unusable(start, duration)] += 1
                elif event.pid in self.devices:
                    self._on_device(event, self.devices[event.pid], start, start + duration)
                else:
                    self._on_host(event, start, start + duration)

    def _named(self, event: Event[Args]) -> None:
        name = str(event.args.name) if event.args else ""
        if event.name == "thread_name":
            self.lines[event.pid, event.tid] = name
            if name.startswith("Stream #"):
                self.streamed.add(event.pid)
        elif event.name == "process_name" and (found := _DEVICE.search(name)):
            self.devices[event.pid] = _Device(found[1], int(found[2]))

    def _line(self, event: Event[Args]) -> str:
        return self.lines.get((event.pid, event.tid), "")

    def _on_device(self, event: Event[Args], device: _Device, start: int, end: int) -> None:
        line, args = self._line(event), event.args or Args()
        if line == "Steps":
            digits = re.search(r"\d{1,15}", event.name)
            device.steps.append(Mark(int(digits[0]) if digits else len(device.steps), start, end))
        elif line.startswith("Stream #"):
            kind = activity("kernel", event.name)
            kind = activity("hlo", str(args.hlo_op)) if kind is Activity.OTHER and args.hlo_op else kind
            self._add(event, args, device, kind, start, end)
        elif line == "XLA Ops" and event.pid not in self.streamed:
            self._add(
                event, args, device, _operation(event.name, str(args.hlo_category), _last(args.tf_op)), start, end
            )

    def _add(self, event: Event[Args], args: Args, device: _Device, kind: Activity, start: int, end: int) -> None:
        if kind is Activity.IGNORED:
            return
        self.training = self.training or "transpose(" in str(args.tf_op)
        link = whole(args.correlation_id)
        device.linked = device.linked or link != NO_LINK
        work = None if kind in _MOVES else _work(event.name, args)
        lane = (device.number, event.tid)
        device.rows.add(start, end, kind, lane, event.name, link, _launch(str(args.kernel_details)), work)

    def _on_host(self, event: Event[Args], start: int, end: int) -> None:
        args, lane = event.args, (event.pid, event.tid)
        if args and args.step_num is not None and (number := whole(args.step_num)) != NO_LINK:
            self.marks.setdefault(lane, []).append(Mark(number, start, end))
            return
        if args and args.hlo_op and not event.name.startswith("end: "):
            kind = _operation(str(args.hlo_op), str(args.hlo_category), _last(args.tf_op))
            name, link = str(args.hlo_op), NO_LINK
        else:
            name, kind = self._called(event.name)
            link = whole(args.correlation_id) if args else NO_LINK
        if kind is not Activity.IGNORED:
            self.host.add(start, end, kind, lane, name, link)

    def _called(self, name: str) -> tuple[str, Activity]:
        """Return the name of a span of the host that is no operation, and what it is."""
        if name.startswith("$"):
            self.stacks = True
            called = _python(name)
            kind = activity("python", called)
            return called, Activity.IGNORED if kind is Activity.PYTHON else kind
        if _CALL.match(name):
            return name, activity("call", name)
        kind = activity("host", name)
        return name, activity("mark", name) if kind is Activity.IGNORED else kind


def recognises(source: Source) -> bool:
    """Return whether a file is a trace of XLA."""
    return '"traceEvents"' in source.head and re.search(r'"/(host:CPU|device:(GPU|TPU))', source.head) is not None


def read(source: Source, progress: Callable[[int], None] | None = None) -> Trace:
    """Return the trace of the first device, or of the host where there is none.

    Raises
    ------
    InvalidValue
        The file cannot be read.
    """
    return read_all(source, progress)[0]


def read_all(source: Source, progress: Callable[[int], None] | None = None) -> tuple[Trace, ...]:
    """Return a trace for each device; one of the host alone where none was recorded.

    Raises
    ------
    InvalidValue
        The file cannot be read.
    """
    reader, events = _Reader(), Events(source, Args, progress)
    for batch in events:
        reader.take(batch)
    reader.left_out.update(events.lost)
    devices = [device for _, device in sorted(reader.devices.items(), key=lambda d: d[1].number) if len(device.rows)]
    host, path = reader.host.spans(), str(source.path)
    return tuple(_trace(reader, host, device, len(devices), path) for device in devices or [_Device("CPU", 0)])


def _trace(reader: _Reader, host: Spans, device: _Device, devices: int, path: str) -> Trace:
    main = max(reader.marks, key=lambda lane: (len(reader.marks[lane]), str(lane)), default=None)
    marks = reader.marks[main] if main else []
    by_line = bool(device.steps) and (not marks or not device.linked)
    if by_line:  # the host runs ahead, and where nothing joins its calls to the device, its marks say little
        marks = device.steps
    if main is None:
        python = [lane for lane, line in reader.lines.items() if line.split("/")[0] in {"python", "python3", "main"}]
        main = python[0] if python else None
    return Trace(
        NAME,
        "xla",
        device.rows.spans(),
        host,
        tuple(sorted(marks, key=lambda mark: mark.start)),
        main,
        world=max(devices, 1),
        training=reader.training,
        stacks=reader.stacks,
        left_out=dict(reader.left_out),
        notes=_notes(reader, device, by_line),
        path=f"{path}, {device.kind} {device.number}" if devices > 1 else path,
    )


def _notes(reader: _Reader, device: _Device, by_line: bool) -> tuple[Note, ...]:
    found = []
    if reader.events in MOST_EVENTS:
        message = (
            f"the trace has exactly {reader.events:,} events, where its exporter stops: what came later is not in it;"
            " record fewer steps, or set TF_PROFILER_TRACE_VIEWER_MAX_EVENTS"
        )
        found.append(Note("trace-full", message))
    if by_line:
        found.append(Note("steps-of-device", f"steps are those of the line `Steps` of the {device.kind}"))
    if device.kind == "TPU" and not any(device.rows.works.labels):
        message = "the operations carry no model_flops: the FLOPs are not known without a model"
        found.append(Note("no-flops", message))
    return tuple(found)


@cache
def _operation(name: str, category: str, framework: str) -> Activity:
    """Return what an operation is: by its category, else by its name, else by what the framework calls it."""
    for text in (category, name, framework):
        if text and (found := activity("hlo", text)) is not Activity.OTHER:
            return found
    return Activity.OTHER


def _last(path: Any) -> str:
    """Return the last part of a path such as ``jit(step)/transpose(jvp(Model))/dot_general``."""
    return str(path or "").rstrip(":").rpartition("/")[2]


def _work(name: str, args: Args) -> Operator | None:
    """Return the FLOPs and bytes that an operation is said to take, as an operator that states them."""
    flops, traffic = _number(args.model_flops) or _number(args.flops), _number(args.bytes_accessed)
    if not flops and not traffic:
        return None
    text = str(args.long_name)
    precision = next((found for typed, found in _PRECISIONS if typed in text), "")
    told = {"flops": flops, "bytes": traffic, "precision": precision}
    return Operator(name, b"", b"", json.dumps(told).encode())


@cache
def _launch(details: str) -> Launch | None:
    """Return how a kernel was launched, from ``regs:32 static_shared:0 dynamic_shared:0 grid:8,1,1 block:128,1,1``."""
    told = {key: [int(n) for n in values.split(",") if n] for key, values in _DETAIL.findall(details)}
    blocks, threads = prod(told.get("grid", [0])), prod(told.get("block", [0]))
    if not blocks or not threads:
        return None
    held = sum(told.get("static_shared", [0])) + sum(told.get("dynamic_shared", [0]))
    return Launch(blocks, threads, sum(told.get("regs", [0])), held)


@cache
def _python(name: str) -> str:
    """Return the name of a function of Python in the spelling of PyTorch's profiler."""
    found = _PYTHON.match(name)
    if not found:
        return name
    if found["file"]:
        return f"{found['file']}({found['line']}): {found['function']}"
    return f"<built-in function {found['function']}>"


def _number(value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return 0.0
    return found if 0 < found < 1e30 else 0.0
