"""Results of SGLang's load generator, ``python -m sglang.bench_serving --output-file``: one JSON object a line.

Field names from SGLang 0.5.23, ``sglang/benchmark/serving.py`` (``benchmark``, ``result`` and ``result_details``;
``bench_serving.py`` in earlier versions), those of ``server_info`` from ``ServerArgs`` in ``srt/server_args.py``.
"""

from __future__ import annotations

from mlsysim.calibration.logs.documents import has_fields
from mlsysim.calibration.logs.log import Log
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
    read_records,
    text,
)
from mlsysim.calibration.logs.serving import point_label, served_readings
from mlsysim.calibration.logs.source import Source
from mlsysim.calibration.logs.vllm_bench import served_by_totals, speculative
from mlsysim.setup import Setup

NAME = "SGLang bench_serving"


def read(source: Source) -> Log:
    """Return the readings of ``sglang.bench_serving``: decode, and prefill where requests ran one by one."""
    return read_records(source, NAME, _record)


def _record(fields: Fields) -> Record:
    accepted = optional(fields, "accept_length")
    if accepted and accepted > 1:
        raise Unusable(speculative(accepted))
    concurrency = count(fields.get("max_concurrency"))
    served = served_by_totals(fields, concurrency)
    setup = _setup(fields)
    devices = max(1, setup.tp) * max(1, setup.pp)
    conditions: dict[str, object] = {"devices": devices} if devices > 1 else {}
    precision = engine_precision(
        *(dig(fields, f"server_info.{f}") for f in ("quantization", "dtype", "kv_cache_dtype"))
    )
    if precision:
        conditions["precision"] = precision
    readings, notes = served_readings(served, conditions, point_label(concurrency, fields.get("request_rate")))
    model = model_name(dig(fields, "server_info.model_path"))
    return Record(readings, model, setup=setup, notes=notes)


def _setup(fields: Fields) -> Setup:
    """Return the engine and its plan; data parallelism shares out attention alone, and its devices are those of TP."""
    backend = text(fields.get("backend"))
    engine = "sglang" if backend.startswith("sglang") or dig(fields, "server_info.model_path") else ""
    return Setup(
        engine or {"vllm": "vllm", "trt": "tensorrt-llm", "lmdeploy": "lmdeploy"}.get(backend, ""),
        text(dig(fields, "server_info.version")),
        tp=count(dig(fields, "server_info.tp_size")),
        pp=count(dig(fields, "server_info.pp_size")),
        dp=count(dig(fields, "server_info.dp_size")),
        ep=count(dig(fields, "server_info.ep_size")),
    )


FORMATS = (
    Format(
        NAME,
        "JSON lines with sharegpt_output_len, completed, total_output_tokens_retokenized and mean_tpot_ms",
        lambda source: has_fields(source, "dataset_name", "sharegpt_output_len", "random_input_len"),
        read,
    ),
)
