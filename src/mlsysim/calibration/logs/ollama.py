"""Times that Ollama tells: the lines of ``ollama run --verbose``, and answers of its API as JSON.

Field names from Ollama's ``api/types.go`` (``Metrics.Summary`` and the JSON tags of ``Metrics``; durations in JSON are
nanoseconds, those printed are Go's, ``1m2.5s``). A request runs alone: batch size 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlsysim.calibration.logs.documents import Documents, has_fields
from mlsysim.calibration.logs.log import LeftOut, Log, Reading
from mlsysim.calibration.logs.quantization import gguf_precision, without_gguf_precision
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.records import Fields, Record, Unusable, finite, log_of, positive, text
from mlsysim.calibration.logs.source import Source
from mlsysim.results import Note
from mlsysim.setup import Setup

NAME = "Ollama"
_LINE = re.compile(rb"^[\s>*-]*((?:prompt )?eval (?:count|duration|rate)|total duration):\s+(.+?)\s*$")
_GO = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|µs|us|ns|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}
_FEWEST_PROMPT = 16
"""Prompt tokens below which a prefill's time says more of starting it than of the prompt."""
_CACHED = Note(
    "prompt-may-be-cached",
    "Ollama keeps the cache of the last prompt: a prompt that starts as the one before is not taken in again, and its"
    " prefill looks faster than it is; the eta of prefill is that of fresh prompts only",
)


def read(source: Source) -> Log:
    """Return the readings of Ollama's answers, one a request: decode, and prefill of prompts that are long enough."""
    if has_fields(source, "eval_count", "eval_duration") or source.head.lstrip().startswith("{"):
        documents = Documents(source, _unfinished)
        answers = ((d.line, d.fields) for d in documents if d.fields.get("done") is not False)
        return log_of(source, NAME, answers, documents.left_out, _record)
    left_out: list[LeftOut] = []
    return log_of(source, NAME, _printed(source), left_out, _record)


def _unfinished(line: bytes) -> bool:
    """Return whether a line is a piece of an answer that is still being made, which has no times."""
    return b'"done":false' in line or b'"done": false' in line


def _printed(source: Source) -> Iterator[tuple[int, Fields]]:
    """Yield each block of printed lines by the names of the JSON, durations in nanoseconds."""
    fields: dict[str, object] = {}
    first = 0
    for number, line in source.lines():
        match = _LINE.match(line)
        if match is None:
            continue
        name, shown = match[1].decode(), match[2].decode("utf-8", "replace")
        if name == "total duration" and "eval_count" in fields:
            yield first, fields
            fields = {}
        first = first if fields else number
        field = name.replace(" ", "_")
        if name.endswith("count"):
            digits = re.match(r"\d+", shown)
            fields[field] = int(digits[0]) if digits else shown
        elif name.endswith("duration"):
            fields[field] = _nanoseconds(shown)
        elif name.endswith("rate"):
            fields[field] = _rate(shown)
        if name == "eval rate":
            yield first, fields
            fields = {}
    if "eval_count" in fields:
        yield first, fields


def _rate(shown: str) -> object:
    match = re.match(r"\d+(?:\.\d+)?(?= tokens/s)", shown)
    return float(match[0]) if match else shown


def _nanoseconds(shown: str) -> object:
    """Return a duration as Go prints it in nanoseconds, or the text where it is none."""
    parts = _GO.findall(shown)
    if "".join(number + unit for number, unit in parts) != shown:
        return shown
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) * 1e9


def _record(fields: Fields) -> Record:
    if "eval_count" not in fields and "eval_rate" in fields:
        step_s = 1 / positive(fields, "eval_rate")
        return Record((Reading("decode", "time_s", (step_s,), {"batch_size": 1}),), setup=Setup("ollama"))
    made = positive(fields, "eval_count")
    prompt = finite(fields.get("prompt_eval_count")) or 0.0
    if made < 2:
        raise Unusable(f"eval_count is {made:g}: there is no decode step")
    name = text(fields.get("model"))
    precision = gguf_precision(name)
    conditions: dict[str, object] = {"batch_size": 1, **({"precision": precision} if precision else {})}
    step_s = positive(fields, "eval_duration") / 1e9 / made
    context = max(1, round(prompt + made / 2))
    readings = [Reading("decode", "time_s", (step_s,), {**conditions, "context": context}, label=f"context {context}")]
    taken_s = (finite(fields.get("prompt_eval_duration")) or 0.0) / 1e9
    if prompt >= _FEWEST_PROMPT and taken_s > 0:
        found = {**conditions, "seq_len": int(prompt)}
        readings.append(Reading("forward", "time_s", (taken_s,), found, label=f"prompt {int(prompt)}"))
    notes = (_CACHED,) if len(readings) > 1 else ()
    return Record(tuple(readings), without_gguf_precision(name), setup=Setup("ollama"), notes=notes)


def _recognises(source: Source) -> bool:
    if has_fields(source, "eval_count", "eval_duration"):
        return True
    if has_fields(source, "created_at", "done", "model"):  # a stream, whose last line has the counts
        return True
    return re.search(r"^[\s>*-]*eval rate:\s+[\d.]+ tokens/s", source.head, re.M) is not None


FORMATS = (Format(NAME, "lines such as 'eval rate: 45.2 tokens/s', or JSON with eval_count", _recognises, read),)
