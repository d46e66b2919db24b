"""``mlperf_log_summary.txt`` of MLPerf inference: what the load generator measured in one scenario.

Field names from mlcommons-loadgen 6.0.17 (loadgen/results.cc), whose own output the tests read; the token rates of
language models as in published results of v5.1. Latencies are of a query, in ns: of one sample in SingleStream, of
``samples_per_query`` together in MultiStream. Offline and Server tell samples a second and no batch size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlsysim.calibration.logs.log import Log, Reading
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue
from mlsysim.results import Note
from mlsysim.units import positive

_NAME = "MLPerf inference summary"
_TITLE = "MLPerf Results Summary"
_PAIR = re.compile(r"^\s*([^:]+?)\s*:\s*(.*?)\s*$")
_COUNT = re.compile(r"[1-9][0-9]{0,14}$")
_LATENCIES = ("50.00 percentile latency (ns)", "Mean latency (ns)")
_RATES = (
    ("Completed tokens per second", "tokens/s"),
    ("Tokens per second", "tokens/s"),
    ("Completed samples per second", "samples/s"),
    ("Samples per second", "samples/s"),
    ("Scheduled samples per second", "samples/s"),
)


class _Field(NamedTuple):
    line: int
    text: str


def _read(source: Source) -> Log:
    fields = _fields(source)
    where = f"{source.path}"
    mode = fields.get("Mode", _Field(0, "PerformanceOnly"))
    if mode.text != "PerformanceOnly":
        raise InvalidValue(f"{where}, line {mode.line}: Mode", "PerformanceOnly", mode.text, "it measures no speed")
    scenario = fields.get("Scenario", _Field(0, "")).text
    streams = scenario in {"SingleStream", "MultiStream", "MultiStreamFree"}
    reading = _of_latency(fields, where) if streams else _of_rate(fields, where)
    notes = [] if streams else [_batch_unknown(scenario)]
    if (result := fields.get("Result is")) and result.text.startswith("INVALID"):
        notes.append(
            Note(
                "run-invalid",
                "the summary says 'Result is : INVALID': by MLPerf's rules the run was too short"
                " or too slow for its target",
            )
        )
    return Log(_NAME, (reading._replace(label=scenario),), notes=tuple(notes))


def _fields(source: Source) -> Mapping[str, _Field]:
    """Return the fields of a summary; of one that is there twice, the first."""
    found: dict[str, _Field] = {}
    for number, line in source.lines():
        if pair := _PAIR.match(line.decode("utf-8", "replace")):
            found.setdefault(pair[1], _Field(number, pair[2]))
    return found


def _of_latency(fields: Mapping[str, _Field], where: str) -> Reading:
    """Return the median latency of a query as the time of a step [s]."""
    name = next((n for n in _LATENCIES if n in fields), None) or next(
        (n for n in fields if "th percentile latency" in n), ""
    )
    if not name:
        raise _missing(where, _LATENCIES[0])
    value = _positive(fields, name, where)
    samples = fields.get("samples_per_query", _Field(0, "1")).text
    conditions = {"batch_size": int(samples)} if _COUNT.match(samples) else {}
    return Reading("", "time_s", (value * 1e-9,), conditions, lines=(fields[name].line,))


def _of_rate(fields: Mapping[str, _Field], where: str) -> Reading:
    name, unit = next(((n, u) for n, u in _RATES if n in fields), ("", ""))
    if not name:
        raise _missing(where, _RATES[-2][0])
    value = _positive(fields, name, where)
    phase = "decode" if unit == "tokens/s" else ""
    return Reading(phase, "throughput", (value,), lines=(fields[name].line,), unit=unit)


def _positive(fields: Mapping[str, _Field], name: str, where: str) -> float:
    field = fields[name]
    try:
        value: Any = float(field.text)
    except ValueError:
        value = field.text
    return positive(value, f"{where}, line {field.line}: {name}", field.text)


def _missing(where: str, name: str) -> InvalidValue:
    return InvalidValue(
        "log", f"a summary with '{name}'", where, "the file breaks off before it, or the run did not end"
    )


def _batch_unknown(scenario: str) -> Note:
    message = (
        f"a summary of scenario {scenario or 'unknown'} does not say how many samples ran at once: state batch_size"
    )
    return Note("batch-unknown", message)


FORMATS = (Format(_NAME, _TITLE, lambda source: _TITLE in source.head, _read),)
