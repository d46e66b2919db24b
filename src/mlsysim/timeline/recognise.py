"""The formats of traces that are known, which of them a file is in, and what a file that is in none may be."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue
from mlsysim.timeline.tables import MAGIC
from mlsysim.timeline.trace import Trace

Progress = Callable[[int], None]
_KINETO = re.compile(
    r'"(schemaVersion|deviceProperties|distributedInfo|baseTimeNanoseconds|traceName)"'
    r'|"cat"\s*:\s*"(cpu_op|kernel|gpu_memcpy|gpu_memset|cuda_runtime|cuda_driver|hip_runtime|xpu_runtime|ac2g'
    r'|user_annotation|gpu_user_annotation|python_function|fwdbwd|overhead|Operator|Runtime|Memcpy|Memset)"'
)
"""What PyTorch writes beside events, and the categories of its events (libkineto, output_json.cpp)."""
_NSYS = "a report of Nsight Systems: export it with `nsys export --type sqlite {name}`, and give the .sqlite"
_PERFETTO = "a trace of Perfetto: convert it with `traceconv json {name} {stem}.json`, if a profiler of ML wrote it"
_ENDINGS = {
    ".nsys-rep": _NSYS,
    ".qdrep": _NSYS,
    ".qdstrm": "a stream of Nsight Systems: import it into a report first, then `nsys export --type sqlite`",
    ".ncu-rep": "a report of Nsight Compute, which profiles kernels one by one: record steps with `nsys profile`",
    ".pftrace": _PERFETTO,
    ".perfetto-trace": _PERFETTO,
    ".onnx": "a network: `mlsysim measure` runs it",
    ".zip": "an archive: unpack it first",
    ".tar": "an archive: unpack it first",
    ".pickle": "a snapshot of memory, which holds no times",
}
"""Files that are mistaken for a trace, by what their names end with."""


class Format(NamedTuple):
    """A format: its name for people, what tells it, whether a file is in it, and its readers.

    ``read`` gives the first device of a file, ``read_all`` a trace for each.
    """

    name: str
    told_by: str
    recognises: Callable[[Source], bool]
    module: str

    def read(self, source: Source, progress: Progress | None = None) -> Trace:
        """Return the trace of the first device."""
        return self.read_all(source, progress)[0]

    def read_all(self, source: Source, progress: Progress | None = None) -> tuple[Trace, ...]:
        """Return a trace for each device.

        Raises
        ------
        InvalidValue
            What the reader refuses.
        """
        found: tuple[Trace, ...] = import_module(f"mlsysim.timeline.{self.module}").read_all(source, progress)
        return found


def _of(module: str) -> Callable[[Source], bool]:
    return lambda source: bool(import_module(f"mlsysim.timeline.{module}").recognises(source))


def _of_kineto(source: Source) -> bool:
    head = source.head
    events = '"traceEvents"' in head or head.lstrip().startswith("[") or '"schemaVersion"' in head
    return events and _KINETO.search(head) is not None


FORMATS = (
    Format("Nsight Systems", "an SQLite file of `nsys export --type sqlite`", _of("nsight"), "nsight"),
    Format("JAX or XLA", "*.trace.json.gz with processes /host:CPU and /device:GPU:0 or TPU", _of("xla"), "xla"),
    Format("ONNX Runtime", "a list of events of categories Session and Node", _of("onnxruntime"), "onnxruntime"),
    Format("PyTorch profiler", "traceEvents of categories cpu_op, kernel, cuda_runtime", _of_kineto, "kineto"),
    Format(
        "log with timers", "lines of Megatron-LM, DeepSpeed or vLLM that time parts of a step", _of("timers"), "timers"
    ),
)
"""Every known format in the order in which they are tried."""


def is_trace(source: Source) -> bool:
    """Return whether a file is in a known format."""
    return any(known.recognises(source) for known in FORMATS)


def recognised(source: Source) -> Format:
    """Return the format of a trace.

    Raises
    ------
    InvalidValue
        It is in none that is known: what it is where that can be told, else what was looked for.
    """
    for known in FORMATS:
        if known.recognises(source):
            return known
    rule = "a trace in a known format"
    if other := _other(source):
        raise InvalidValue("trace", rule, str(source.path), other)
    listed = "\n".join(f"  - {f.name}: {f.told_by}" for f in FORMATS)
    raise InvalidValue("trace", rule, str(source.path), f"these were looked for:\n{listed}")


def _other(source: Source) -> str:
    """Return what a file is that is no trace, and what to do; empty where that cannot be told."""
    name, head = source.path.name, source.head
    if not head.strip():
        return "its packed content breaks off at once" if source.cut else "it is empty"
    if head.startswith(MAGIC):
        return "it is an SQLite file without the tables of Nsight Systems"
    for ending, hint in _ENDINGS.items():
        if name.lower().endswith((ending, f"{ending}.gz")):
            return "it is " + hint.format(name=name, stem=name[: -len(ending)])
    if name.endswith(".xplane.pb"):
        return _of_xplane(source)
    if "\0" in head:
        packets = head[:1] == "\n"  # the field of a packet, with which each begins
        return "it may be " + _PERFETTO.format(name=name, stem=source.path.stem) if packets else "it is not text"
    return _of_text(source)


def _of_xplane(source: Source) -> str:
    """Return what to give in place of an XSpace."""
    beside = sorted(path.name for path in source.path.parent.glob("*.trace.json.gz"))
    if beside:
        return f"it is an XSpace of XLA: give {' or '.join(beside)}, which lies beside it"
    return (
        "it is an XSpace of XLA: jax.profiler writes a .trace.json.gz beside it; without that, convert it:"
        " xprof.convert.raw_to_tool_data.xspace_to_tool_data([path], 'trace_viewer', {})"
    )


def _of_text(source: Source) -> str:
    """Return what a text is that is no trace."""
    if '"traceEvents"' in source.head:
        return "its events are those of another program: none has a category or a process that is known"
    from mlsysim.calibration.logs.recognise import formats

    for known in formats():
        if known.recognises(source):
            return f"it is a log ({known.name}), which tells no causes: `mlsysim calibrate` reads it"
    if source.head.lstrip()[:1] in {"{", "["}:
        return "it is JSON without traceEvents"
    return ""
