"""Reports of TensorRT-LLM's ``trtllm-bench throughput`` and ``latency`` (``--report_json``).

Field names from TensorRT-LLM, ``tensorrt_llm/bench/dataclasses/reporting.py`` (``ReportUtility.get_statistics_dict``,
commit 02499765). ``streaming_metrics`` is there only with ``--streaming``; lengths are means a request.
"""

from __future__ import annotations

import math

from mlsysim.calibration.logs.documents import has_fields
from mlsysim.calibration.logs.log import Log, Reading
from mlsysim.calibration.logs.quantization import engine_precision
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.records import (
    Fields,
    Record,
    Unusable,
    count,
    dig,
    model_name,
    optional,
    positive,
    read_records,
    text,
)
from mlsysim.calibration.logs.serving import Served, served_readings
from mlsysim.calibration.logs.source import Source
from mlsysim.results import Note
from mlsysim.setup import Setup

NAME = "TensorRT-LLM trtllm-bench"
_WITH_PREFILL = Note(
    "decode-with-prefill",
    "without --streaming the report has no time per output token: the rate of output tokens is over the whole run, its"
    " prefills included, and eta is that of the service",
)


def read(source: Source) -> Log:
    """Return the readings of ``trtllm-bench``: decode, and prefill where one request was in flight at a time."""
    return read_records(source, NAME, _record)


def _record(fields: Fields) -> Record:
    positive(fields, "request_info.num_requests")
    if "streaming_metrics" not in fields and "dataset" not in fields:  # which is written last
        raise Unusable("the report breaks off before streaming_metrics and dataset")
    if dig(fields, "decoding_stats.mode"):
        raise Unusable("speculative decoding: a token's time is not a step's; measure without drafts")
    degrees = (count(dig(fields, f"world_info.{name}_size")) for name in ("tp", "pp"))
    world = count(dig(fields, "world_info.world_size")) or math.prod(max(1, degree) for degree in degrees)
    conditions: dict[str, object] = {"devices": world} if world > 1 else {}
    precision = engine_precision(*(dig(fields, f"engine.{f}") for f in ("quantization", "dtype", "kv_cache_dtype")))
    if precision:
        conditions["precision"] = precision
    readings, notes = _readings(fields, conditions)
    setup = Setup(
        "tensorrt-llm",
        text(dig(fields, "engine.version")),
        tp=count(dig(fields, "world_info.tp_size")),
        pp=count(dig(fields, "world_info.pp_size")),
        ep=count(dig(fields, "world_info.ep_size")),
    )
    return Record(readings, model_name(dig(fields, "engine.model")), text(dig(fields, "machine.name")), setup, notes)


def _readings(fields: Fields, conditions: dict[str, object]) -> tuple[tuple[Reading, ...], tuple[Note, ...]]:
    at_once = positive(fields, "request_info.avg_num_concurrent_requests")
    rate = positive(fields, "performance.system_output_throughput_tok_s")
    served = Served(
        prompt=positive(fields, "request_info.avg_input_length"),
        output=positive(fields, "request_info.avg_output_length"),
        tpot_s=(optional(fields, "streaming_metrics.avg_tpot_ms") or 0.0) / 1e3,
        tokens_per_s=rate,
        ttft_s=(optional(fields, "streaming_metrics.avg_ttft_ms") or 0.0) / 1e3,
        # An average of 1 in flight: one after another.
        concurrency=1 if at_once < 1.05 else 0,
    )
    label = f"{at_once:.3g} requests at once"
    if served.tpot_s:
        return served_readings(served, conditions, label)
    found = {**conditions, "batch_size": max(1, round(at_once)), "context": served.context}
    return (Reading("decode", "throughput", (rate,), found, label=label),), (_WITH_PREFILL,)


FORMATS = (
    Format(
        NAME,
        "JSON with engine, world_info, request_info and performance.system_output_throughput_tok_s",
        lambda source: has_fields(source, "world_info", "request_info", "performance"),
        read,
    ),
)
