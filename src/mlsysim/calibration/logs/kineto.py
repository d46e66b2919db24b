"""Chrome traces of PyTorch's profiler (Kineto): the spans ``ProfilerStep#N`` are the steps.

A trace is scanned for its few marks and never parsed as a whole, so that one of a gigabyte takes seconds and little
memory. Field names from torch 2.14.1: a step is an event ``{"ph": "X", "cat": "user_annotation", "name":
"ProfilerStep#2", "ts": .., "dur": ..}`` in microseconds; ``deviceProperties`` and ``distributedInfo`` stand beside
``traceEvents`` (libkineto, output_json.cpp; the keys of ``distributedInfo`` from torch/profiler/profiler.py). On an
accelerator the same name is repeated with ``cat`` ``gpu_user_annotation``, once a stream.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mlsysim.calibration.logs.log import Log
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.source import BLOCK_BYTES, Source
from mlsysim.calibration.logs.steps import Steps
from mlsysim.errors import InvalidValue
from mlsysim.results import Note

_STEP = b"ProfilerStep#"
_DEVICES, _WORLD = b'"deviceProperties"', b'"distributedInfo"'
_TRAINS = (b"autograd::engine", b"Optimizer.step#")
"""What only a backward pass and an optimizer leave in a trace."""
_EVENT_BYTES = 16_384
"""More than the longest event of a step, or the properties of eight devices, takes up [B]."""
_DECODER = json.JSONDecoder()
_NUMBER = re.compile(r"[0-9]{1,15}$")
_MARK = re.compile(rb"ProfilerStep#\w*")
_RANKS = re.compile(rb'"(rank|world_size)": *(\d{1,9})\b')
_HOST, _DEVICE = "user_annotation", "gpu_user_annotation"


class _Span(NamedTuple):
    """One event of a step: its number, process, start and duration [us], on the host or a device, and its line."""

    number: int
    process: str
    start: float
    duration: float
    kind: str
    line: int


class _Found:
    """What a scan found in a trace."""

    def __init__(self) -> None:
        self.spans: list[_Span] = []
        self.broken: list[int] = []
        self.trains = False
        self.devices: list[Any] = []
        self.world: dict[str, int] = {}
        self.end = b""
        self.seen = -1  # where the last mark stood [B]


def _read(source: Source) -> Log:
    found = _scan(source)
    on_host = sorted((s for s in found.spans if s.kind == _HOST), key=lambda s: s.start)
    if not on_host:
        hint = "none of its spans is a step: call prof.step() after each, or give the step times as a CSV"
        raise InvalidValue("log", "a trace with marks ProfilerStep#N", str(source.path), hint)
    on_device: dict[int, float] = {}
    for span in found.spans:
        if span.kind == _DEVICE:
            on_device[span.number] = max(span.duration, on_device.get(span.number, 0.0))
    steps = Steps(source.path, "time_s")
    for span in on_host:
        if span.process != on_host[0].process:
            steps.leave_out(span.line, "a step of another process")
            continue
        slower = max(span.duration, on_device.get(span.number, 0.0))
        steps.add(span.line, slower * 1e-6, step=span.number, clock=(span.start + span.duration) * 1e-6)
    for line in found.broken:
        steps.leave_out(line, "a step whose event breaks off")
    if source.cut or not found.end.rstrip().endswith((b"}", b"]")):
        steps.leave_out(0, "the trace breaks off: the steps before that are used")
    conditions = {"devices": found.world["world_size"]} if found.world.get("world_size") else {}
    label = f"rank {found.world['rank']}" if "rank" in found.world else ""
    reading = steps.reading("training" if found.trains else "", conditions, label=label)
    names = {str(d["name"]) for d in found.devices if isinstance(d, dict) and d.get("name")}
    hardware = names.pop() if len(names) == 1 else ""
    notes = (_profiled(), *_ran_ahead(on_host, on_device))
    return Log("PyTorch trace", (reading,), hardware=hardware, left_out=steps.left_out, notes=notes)


def _profiled() -> Note:
    message = "steps were timed under the profiler, which slows down small operators: a run without it is faster"
    return Note("profiled", message)


def _ran_ahead(on_host: Sequence[_Span], on_device: Mapping[int, float]) -> tuple[Note, ...]:
    longer = sum(on_device.get(span.number, 0.0) > span.duration for span in on_host)
    if not longer:
        return ()
    message = f"in {longer} of {len(on_host)} steps the device was busy for longer than the host: its time is taken"
    return (Note("device-time", message),)


def _scan(source: Source) -> _Found:
    """Go through a trace piece by piece, each with the end of the one before, so that no event is cut in two."""
    found, before, passed, line = _Found(), b"", 0, 1
    for piece in _large(source):
        text = before + piece
        final = len(text) - _EVENT_BYTES  # what begins behind this may not be whole yet
        _take(text, final, passed, line, found)
        keep = max(0, final - _EVENT_BYTES)  # an event begins before its name
        line += text.count(b"\n", 0, keep)
        before, passed = text[keep:], passed + keep
        found.end = text[-64:]
    _take(before, len(before), passed, line, found)
    return found


def _large(source: Source) -> Iterator[bytes]:
    """Yield pieces of a megabyte, also of a packed file, which comes in small ones."""
    held: list[bytes] = []
    size = 0
    for piece in source.pieces():
        held.append(piece)
        size += len(piece)
        if size >= BLOCK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def _take(text: bytes, final: int, passed: int, line: int, found: _Found) -> None:
    """Note the marks that begin before ``final``, and that were not seen in the piece before."""
    at = text.find(_STEP)
    while 0 <= at < final:
        if passed + at > found.seen:
            found.seen = passed + at
            _take_step(text, at, line + text.count(b"\n", 0, at), found)
        at = text.find(_STEP, at + 1)
    if not found.trains:
        found.trains = any(word in text for word in _TRAINS)
    if not found.devices and 0 <= (at := text.find(_DEVICES)) < final:
        value = _value(text, at + len(_DEVICES))
        found.devices = value if isinstance(value, list) else []
    if not found.world and 0 <= (at := text.find(_WORLD)) < final:
        found.world = {name.decode(): int(n) for name, n in _RANKS.findall(text[at : at + _EVENT_BYTES])[:2]}


def _take_step(text: bytes, at: int, line: int, found: _Found) -> None:
    event = _event(text, at)
    if event is None:
        found.broken.append(line)
        return
    number = str(event.get("name", "")).removeprefix(_STEP.decode())
    kind = event.get("cat")
    if event.get("ph") != "X" or not _NUMBER.match(number) or kind not in {_HOST, _DEVICE}:
        return  # an operator that mentions a step, a mark of another kind
    try:
        start, duration = float(event["ts"]), float(event["dur"])
    except (KeyError, TypeError, ValueError, OverflowError):
        found.broken.append(line)
        return
    found.spans.append(_Span(int(number), str(event.get("pid")), start, duration, str(kind), line))


def _event(text: bytes, at: int) -> dict[str, Any] | None:
    """Return the event in whose name a mark stands: the nearest whole object before it with that name."""
    mark = _MARK.match(text, at)
    start = at
    for _ in range(8):
        start = text.rfind(b"{", max(0, at - _EVENT_BYTES), start)
        if start < 0 or mark is None:
            return None
        value = _value(text, start)
        if isinstance(value, dict) and mark[0].decode() in str(value.get("name", "")).split():
            return value
    return None


def _value(text: bytes, at: int) -> Any:
    """Return the JSON value that begins at a place, or behind a colon there; None where it is not whole."""
    part = text[at : at + _EVENT_BYTES].decode("utf-8", "replace").lstrip(": \r\n\t")
    try:
        return _DECODER.raw_decode(part)[0]
    except (ValueError, RecursionError):
        return None


def _recognises(source: Source) -> bool:
    head = source.head
    return head.lstrip()[:1] in {"{", "["} and (
        '"traceEvents"' in head or '"deviceProperties"' in head or ('"ph":' in head and '"ts":' in head)
    )


FORMATS = (Format("PyTorch trace", "traceEvents, ProfilerStep#N", _recognises, _read),)
