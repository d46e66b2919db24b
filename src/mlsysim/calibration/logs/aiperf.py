"""Exports of NVIDIA's AIPerf (``profile_export_aiperf.json``) and its forerunner GenAI-Perf.

Field names from AIPerf 0.13.0 and a file that it wrote, and from GenAI-Perf 0.0.16,
``genai_perf/export_data/json_exporter.py`` and ``metrics/statistics.py``. Each metric has ``unit``, ``avg`` and
percentiles. What ``profile_export.json`` of GenAI-Perf holds are answers without counts of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsysim.calibration.logs.documents import has_fields
from mlsysim.calibration.logs.log import Log
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.records import Fields, Record, Unusable, count, dig, model_name, positive, read_records
from mlsysim.calibration.logs.serving import Served, point_label, served_readings
from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue

AIPERF, GENAI_PERF = "AIPerf", "GenAI-Perf"
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}
"""Units of time as these programs write them [s]."""
_MODEL = (
    "input_config.models.items.name",
    "input_config.endpoint.model_names",
    "input_config.model_names",
    "input_config.models",
)
_CONCURRENCY = (
    "input_config.phases.concurrency",
    "input_config.loadgen.concurrency",
    "input_config.perf_analyzer.stimulus.concurrency",
)
"""Where versions keep them: AIPerf 0.13 and 0.1 to 0.12 (recalled), GenAI-Perf 0.0.16."""
_RATE = ("input_config.phases.rate", "input_config.phases.request_rate", "input_config.loadgen.request_rate")


def read_aiperf(source: Source) -> Log:
    """Return the readings of an AIPerf export: decode, and prefill at concurrency 1."""
    return read_records(source, AIPERF, _record)


def read_genai_perf(source: Source) -> Log:
    """Return the readings of a GenAI-Perf export: decode, and prefill at concurrency 1."""
    return read_records(source, GENAI_PERF, _record)


def _record(fields: Fields) -> Record:
    metrics = fields.get("records") if isinstance(fields.get("records"), Mapping) else fields
    assert isinstance(metrics, Mapping)
    if "request_count" in metrics:
        positive(metrics, "request_count.avg")
    concurrency = count(_first(fields, _CONCURRENCY))
    served = Served(
        prompt=positive(metrics, "input_sequence_length.avg"),
        output=positive(metrics, "output_sequence_length.avg"),
        tpot_s=_seconds(metrics, "inter_token_latency"),
        tokens_per_s=positive(metrics, "output_token_throughput.avg"),
        ttft_s=_seconds(metrics, "time_to_first_token") if concurrency == 1 else None,
        concurrency=concurrency,
    )
    readings, notes = served_readings(served, label=point_label(concurrency, _first(fields, _RATE)))
    return Record(readings, model_name(_first(fields, _MODEL)), notes=notes)


def _seconds(metrics: Fields, name: str) -> float:
    """Return the mean of a metric in seconds, by the unit that stands beside it."""
    mean = positive(metrics, f"{name}.avg")
    unit = dig(metrics, f"{name}.unit")
    if unit not in SECONDS:
        raise Unusable(f"{name}.unit is {unit!r}: not a unit of time that is known")
    return mean * SECONDS[unit]


def _first(fields: Fields, paths: tuple[str, ...]) -> Any:
    """Return the first value that is there, of a list its first."""
    for path in paths:
        found = dig(fields, path)
        if isinstance(found, list):
            found = found[0] if found else None
        if found is not None and not isinstance(found, Mapping):
            return found
    return None


def _raw(source: Source) -> Log:
    rule = "an export with counts of tokens"
    hint = "give profile_export_genai_perf.json, which lies beside it"
    raise InvalidValue("log", rule, f"{source.path} (raw answers of GenAI-Perf)", hint)


FORMATS = (
    Format(
        AIPERF,
        "JSON with aiperf_version or input_config, inter_token_latency and output_sequence_length",
        lambda source: (
            has_fields(source, "inter_token_latency", "output_sequence_length", "output_token_throughput")
            and "aiperf" in source.head
        ),
        read_aiperf,
    ),
    Format(
        GENAI_PERF,
        "JSON with input_config, inter_token_latency and output_sequence_length",
        lambda source: has_fields(source, "inter_token_latency", "output_sequence_length", "output_token_throughput"),
        read_genai_perf,
    ),
    Format(
        "GenAI-Perf answers",
        "JSON with experiments; it is refused, with what to give in its place",
        lambda source: has_fields(source, "experiments", "response_timestamps"),
        _raw,
    ),
)
