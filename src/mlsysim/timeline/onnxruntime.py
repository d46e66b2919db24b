"""Profiles of ONNX Runtime: a list of events of sessions and of nodes, as ``enable_profiling`` writes them.

A run is ``model_run``, in it the executor, in that an event ``NAME_kernel_time`` a node, with ``op_name``, ``provider``
and the types and sizes of what goes in and out (onnxruntime 1.32, sequential_executor.cc). Weights that were packed
beforehand are not among them, so that work is counted from the result. Times are whole microseconds. Nodes of a
provider that only calls for work on a device take on the host what the call takes; a build with
``--enable_cuda_profiling`` or ``--enable_rocm_profiling`` adds events ``Kernel`` behind each such node.
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
from mlsysim.timeline.activity import MATH, Activity, activity
from mlsysim.timeline.chrome import Event, Events, Name, nanoseconds, whole
from mlsysim.timeline.operators import BYTES, PRECISIONS
from mlsysim.timeline.spans import NO_LINK, SpanRows
from mlsysim.timeline.trace import Accelerator, Launch, Mark, Operator, Trace, unusable

NAME = "profile of ONNX Runtime"
RUN = "model_run"
_FRAMES = (RUN, "SequentialExecutor::Execute", "ParallelExecutor::Execute")
_NODE = re.compile(r"_kernel_time$")
_FENCE = re.compile(r"_fence_(before|after)$")
_ON_DEVICE = frozenset(
    f"{name}ExecutionProvider"
    for name in ("CUDA", "Tensorrt", "NvTensorRTRTX", "ROCM", "MIGraphX", "Dml", "WebGpu", "Js", "CANN")
)
"""Providers whose nodes return before a device has done them."""
_PRODUCTS = re.compile(r"MatMul|Gemm")
_CONVOLUTIONS = re.compile(r"Conv(?!Transpose)")


class Args(msgspec.Struct, gc=False):
    """What is read of the arguments of an event."""

    op_name: Any = ""
    provider: Any = ""
    input_type_shape: msgspec.Raw = msgspec.Raw(b"")
    output_type_shape: msgspec.Raw = msgspec.Raw(b"")
    activation_size: Any = None
    parameter_size: Any = None
    output_size: Any = None
    stream: Name = None
    correlation_id: Any = None
    grid_x: Any = None
    grid_y: Any = None
    grid_z: Any = None
    block_x: Any = None
    block_y: Any = None
    block_z: Any = None


class _Reader:
    """Takes events and gives the trace that they make."""

    def __init__(self) -> None:
        self.device, self.host = SpanRows(), SpanRows()
        self.runs: dict[tuple[Any, Any], list[tuple[int, int]]] = {}
        self.providers: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.node: Operator | None = None

    def take(self, batch: list[Event[Args]]) -> None:
        """Take a batch of events, in the order of the file."""
        for event in batch:
            if event.ph != "X":
                continue
            start, duration = nanoseconds(event.ts), nanoseconds(event.dur)
            if start is None or duration is None or start < 0 or duration < 0:
                self.left_out[unusable(start, duration)] += 1
            elif event.cat == "Kernel":
                self._kernel(event, start, start + duration)
            elif event.cat == "Node":
                self._node(event, start, start + duration)
            elif event.name in _FRAMES:
                self._frame(event, start, start + duration)

    def _frame(self, event: Event[Args], start: int, end: int) -> None:
        lane = (event.pid, event.tid)
        self.host.add(start, end, Activity.DISPATCH, lane, event.name)
        if event.name == RUN:
            self.runs.setdefault(lane, []).append((start, end))

    def _node(self, event: Event[Args], start: int, end: int) -> None:
        lane, args = (event.pid, event.tid), event.args or Args()
        if _FENCE.search(event.name):
            self.host.add(start, end, Activity.WAITING, lane, "fence")
            return
        if not _NODE.search(event.name):
            return
        name, provider = str(args.op_name), str(args.provider)
        self.providers[provider] += 1
        kind = activity("operator", name)
        kind = Activity.OTHER if kind is Activity.DISPATCH else kind
        self.node = _operator(name, args) if kind in MATH else None
        if provider in _ON_DEVICE:
            self.host.add(start, end, Activity.LAUNCHING, lane, name)
        elif kind is not Activity.IGNORED:
            self.host.add(start, end, kind, lane, name, NO_LINK, None, self.node)

    def _kernel(self, event: Event[Args], start: int, end: int) -> None:
        args = event.args or Args()
        kind = activity("kernel", event.name)
        if kind is Activity.OTHER and args.op_name:
            kind = activity("operator", str(args.op_name))
            kind = kind if kind in {*MATH, Activity.SOFTMAX} else Activity.OTHER
        work = self.node if kind in MATH and self.node and self.node.name == str(args.op_name) else None
        link = whole(args.correlation_id, 0) or NO_LINK
        self.device.add(start, end, kind, (0, args.stream), event.name, link, _launch(args), work)


def recognises(source: Source) -> bool:
    """Return whether a file is a profile of ONNX Runtime."""
    head = source.head
    if not head.lstrip().startswith("["):
        return False
    return re.search(r'"cat"\s*:\s*"(Session|Node)"', head) is not None


def read(source: Source, progress: Callable[[int], None] | None = None) -> Trace:
    """Return the trace of a process.

    Raises
    ------
    InvalidValue
        The file cannot be read.
    """
    reader, events = _Reader(), Events(source, Args, progress)
    for batch in events:
        reader.take(batch)
    reader.left_out.update(events.lost)
    main = max(reader.runs, key=lambda lane: (len(reader.runs[lane]), str(lane)), default=None)
    marks = tuple(Mark(number, *run) for number, run in enumerate(sorted(reader.runs[main]))) if main else ()
    hidden = _hidden(reader)
    return Trace(
        NAME,
        "onnxruntime",
        reader.device.spans(),
        reader.host.spans(),
        marks,
        main,
        Accelerator(hidden),
        left_out=dict(reader.left_out),
        notes=_notes(reader, hidden, bool(marks)),
        path=str(source.path),
    )


def read_all(source: Source, progress: Callable[[int], None] | None = None) -> tuple[Trace, ...]:
    """Return the trace of a process, as one.

    Raises
    ------
    InvalidValue
        The file cannot be read.
    """
    return (read(source, progress),)


def _hidden(reader: _Reader) -> str:
    """Return the provider of most nodes where it computes on a device that was not recorded."""
    if len(reader.device) or not reader.providers:
        return ""
    most = reader.providers.most_common(1)[0][0]
    return most.removesuffix("ExecutionProvider") if most in _ON_DEVICE else ""


def _notes(reader: _Reader, hidden: str, marked: bool) -> tuple[Note, ...]:
    found = [Note("whole-microseconds", "times are whole microseconds: those of short nodes are rounded")]
    if hidden:
        message = (
            f"nodes of {hidden} run on a device, and their times here are those of the calls: record the device with"
            " `nsys profile`, or with a build of ONNX Runtime with --enable_cuda_profiling or --enable_rocm_profiling"
        )
        found.append(Note("launches-only", message))
    if not marked:
        message = "no run is recorded: end the profile with session.end_profiling() after runs"
        found.append(Note("no-runs", message))
    elif len(reader.runs) > 1:
        message = f"runs on {len(reader.runs)} threads: the steps are those of the thread with most"
        found.append(Note("runs-beside-each-other", message))
    return tuple(found)


def _operator(name: str, args: Args) -> Operator:
    """Return a node with its operands, and its FLOPs and bytes where they can be told."""
    sizes = tuple(whole(value, 0) for value in (args.activation_size, args.parameter_size, args.output_size))
    return _counted(name, bytes(args.input_type_shape), bytes(args.output_type_shape), sizes)


@cache
def _counted(name: str, inputs: bytes, outputs: bytes, sizes: tuple[int, ...]) -> Operator:
    types, dims = _typed(inputs)
    _, results = _typed(outputs)
    told = _work(name, dims, results)
    if not told:
        return Operator(name, json.dumps(dims).encode(), json.dumps(types).encode())
    flops, weights = told
    precision = PRECISIONS.get(types[0] if types else "", "")
    counted = {"flops": flops, "bytes": sum(sizes) + weights * BYTES.get(precision, 4), "precision": precision}
    return Operator(name, json.dumps(dims).encode(), json.dumps(types).encode(), json.dumps(counted).encode())


def _typed(text: bytes) -> tuple[list[str], list[list[int]]]:
    """Return types and sizes of operands, which are recorded as ``[{"float":[64,128]}, ...]``."""
    try:
        pairs = [(kind, dims) for operand in json.loads(text or b"[]") for kind, dims in operand.items()]
    except (ValueError, AttributeError, TypeError):
        return [], []
    sound = [(kind, dims) for kind, dims in pairs if isinstance(dims, list) and all(isinstance(d, int) for d in dims)]
    return [kind for kind, _ in sound], [dims for _, dims in sound]


def _work(name: str, dims: list[list[int]], results: list[list[int]]) -> tuple[float, float] | None:
    """Return the FLOPs of a node, and how many weights it reads that are not among its operands.

    A product of [.., m, k] with [k, n] takes 2 m k n, whatever of the second is recorded; a convolution twice its
    result times the weights that meet in a value of it.
    """
    if not dims or not results or len(dims[0]) < 1:
        return None
    first, result = dims[0], results[0]
    if _PRODUCTS.search(name) and len(first) >= 2 and len(result) >= 2:
        inner = first[-1] if first[-2] == result[-2] else first[-2]
        weights = inner * result[-1]
        packed = 8 if name.endswith("NBits") else 1  # values in a byte
        recorded = any(prod(operand) * packed >= weights for operand in dims[1:])
        return 2.0 * prod(result) * inner, 0.0 if recorded else float(weights)
    if _CONVOLUTIONS.search(name):
        weight = next((operand for operand in dims[1:] if len(operand) == len(first) > 2), None)
        return (2.0 * prod(result) * prod(weight[1:]), 0.0) if weight else None
    if name == "MultiHeadAttention" and len(dims) > 1 and len(first) == len(dims[1]) == 3:
        return 4.0 * prod(first) * dims[1][1], 0.0
    return None


def _launch(args: Args) -> Launch | None:
    blocks = prod(whole(size, 0) for size in (args.grid_x, args.grid_y, args.grid_z))
    threads = prod(whole(size, 0) for size in (args.block_x, args.block_y, args.block_z))
    return Launch(blocks, threads) if blocks and threads else None
