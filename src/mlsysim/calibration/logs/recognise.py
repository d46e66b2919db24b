"""The formats that are known, and which of them a file is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from mlsysim.calibration.logs.log import Log, merged
from mlsysim.calibration.logs.parts import completed
from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue
from mlsysim.results import Note
from mlsysim.setup import UNKNOWN

MODULES: tuple[str, ...] = (
    "trainer_state",
    "loadgen",
    "mllog",
    "kineto",
    "vllm_bench",
    "sglang_bench",
    "trtllm_bench",
    "guidellm",
    "aiperf_requests",
    "aiperf",
    "llama_bench",
    "ollama",
    "prometheus",
    "vllm_log",
    "sglang_log",
    "trackers",
    "lines",
    "table",
)
"""Modules of this room that bring formats, the most particular first: each has a tuple ``FORMATS``."""
CSV_HINT = (
    "or give a CSV with a header line: phase, batch_size, seq_len or context, and one of time_s, throughput, efficiency"
)


class Format(NamedTuple):
    """A format: its name for people, what tells it, whether a file is in it, and its reader.

    ``read_several`` takes files that mean something together: what a server counted before and after.
    """

    name: str
    told_by: str
    recognises: Callable[[Source], bool]
    read: Callable[[Source], Log]
    read_several: Callable[[Sequence[Source]], Log] | None = None


def formats() -> Iterator[Format]:
    """Yield every known format in the order in which they are tried."""
    for name in MODULES:
        yield from import_module(f"mlsysim.calibration.logs.{name}").FORMATS


def read_log(paths: Sequence[Path]) -> Log:
    """Read one log, or the logs of one run at several operating points; summaries of the same point are its repeats.

    Raises
    ------
    InvalidValue
        A file that cannot be read, or whose format is not known; what a reader refuses, with the line and the field.
    """
    logs: list[Log] = []
    found = [(recognised(source), source) for source in map(Source, dict.fromkeys(paths))]
    for known in dict.fromkeys(form for form, _ in found):
        sources = [source for form, source in found if form is known]
        if known.read_several and len(sources) > 1:
            logs.append(known.read_several(sources))
        else:
            logs += [known.read(source) for source in sources]
    return logs[0] if len(logs) == 1 else _joined(completed(logs))


def recognised(source: Source) -> Format:
    """Return the format of a file.

    Raises
    ------
    InvalidValue
        It is in none that is known; those that were looked for are listed.
    """
    for known in formats():
        if known.recognises(source):
            return known
    if plain := _no_log(source):
        raise InvalidValue("log", "a log in a known format", str(source.path), plain)
    listed = "\n".join(f"  - {f.name}: {f.told_by}" for f in formats())
    hint = f"these were looked for:\n{listed}\n{CSV_HINT}"
    raise InvalidValue("log", "a log in a known format", str(source.path), hint)


def _no_log(source: Source) -> str:
    """Return why a file is no log of any format, empty where it may be one."""
    if not source.head.strip():
        return "it is empty"
    if "\0" not in source.head:
        return ""
    network = source.path.suffix.lower() == ".onnx"
    return "it is a network: `mlsysim measure` runs it" if network else "it is not text"


def _joined(logs: Sequence[Log]) -> Log:
    first = logs[0]
    for log in logs[1:]:
        for field in ("model", "hardware"):
            a, b = getattr(first, field), getattr(log, field)
            if a and b and a != b:
                raise InvalidValue("log", f"files of one {field}", f"{a}, {b}", "calibrate each by itself")
    formats_seen = dict.fromkeys(log.format for log in logs)
    return Log(
        ", ".join(formats_seen),
        merged(r for log in logs for r in log.readings),
        next((log.model for log in logs if log.model), ""),
        next((log.hardware for log in logs if log.hardware), ""),
        first.setup if all(log.setup.engine == first.setup.engine for log in logs) else UNKNOWN,
        tuple(part for log in logs for part in log.left_out),
        tuple(dict.fromkeys(note for log in logs for note in (*log.notes, *_model_taken(log, logs)))),
    )


def _model_taken(log: Log, logs: Sequence[Log]) -> tuple[Note, ...]:
    """Say where a file that names no model is taken to be of the model that the file of another program names."""
    known = next((other for other in logs if other.model), None)
    if log.model or known is None or _program(log) == _program(known):
        return ()
    message = f"{log.format} names no model: it is taken to be of {known.model}, which {known.format} names"
    return (Note("model-from-other-file", message),)


def _program(log: Log) -> str:
    return log.setup.engine or log.format
