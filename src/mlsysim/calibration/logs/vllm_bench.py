"""Results of vLLM's load generator, ``vllm bench serve`` (formerly ``benchmark_serving.py``).

Field names from vLLM 0.33.0, ``vllm/benchmarks/serve.py`` (``benchmark``, ``main_async``, ``calculate_metrics``), and
``throughput.py`` and ``latency.py`` beside it. ``--save-result`` writes one object, ``--append-result`` one a line,
``--save-detailed`` adds the lists ``input_lens``, ``output_lens``, ``ttfts`` and ``itls`` [s], one entry a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlsysim.calibration.logs.documents import has_fields
from mlsysim.calibration.logs.log import Log
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.records import (
    Fields,
    Record,
    Unusable,
    count,
    finite,
    model_name,
    optional,
    positive,
    read_records,
    text,
)
from mlsysim.calibration.logs.serving import Served, point_label, served_readings
from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue
from mlsysim.setup import Setup

NAME = "vLLM bench serve"
_ENGINES = {"vllm": "vllm", "sglang": "sglang", "tensorrt-llm": "tensorrt-llm", "tgi": "tgi", "lmdeploy": "lmdeploy"}
"""Backends of the generator that name the engine; ``openai`` names only its interface."""
_INSTEAD = "give the JSON of 'vllm bench serve --save-result', or a CSV with the batch size and the context"


def read(source: Source) -> Log:
    """Return the readings of ``vllm bench serve``: decode, and prefill where one request was in flight at a time."""
    return read_records(source, NAME, _record)


def _record(fields: Fields) -> Record:
    concurrency = count(fields.get("max_concurrency"))
    label = point_label(concurrency, fields.get("request_rate"))
    if optional(fields, "spec_decode_acceptance_length"):
        raise Unusable(speculative(fields["spec_decode_acceptance_length"]))
    served = served_by_totals(fields, concurrency)
    setup = _setup(fields)
    devices = max(1, setup.tp) * max(1, setup.pp) * max(1, setup.dp)
    readings, notes = served_readings(served, {"devices": devices} if devices > 1 else {}, label)
    return Record(readings, model_name(fields.get("model_id")), setup=setup, notes=notes)


def served_by_totals(fields: Fields, concurrency: int) -> Served:
    """Return an operating point from what vLLM's generator and those made after it total: tokens, times, requests."""
    completed, made = positive(fields, "completed"), positive(fields, "total_output_tokens")
    ttfts, tpots = request_times(fields)
    return Served(
        prompt=positive(fields, "total_input_tokens") / completed,
        output=made / completed,
        tpot_s=positive(fields, "mean_tpot_ms") / 1e3,
        tokens_per_s=made / positive(fields, "duration"),
        tpots=tpots,
        ttft_s=(optional(fields, "mean_ttft_ms") or 0.0) / 1e3,
        ttfts=ttfts,
        concurrency=concurrency,
    )


def speculative(accepted: object) -> str:
    """Return why a result with drafted tokens is left out."""
    return f"speculative decoding, {accepted} tokens a step: a token's time is not a step's; measure without drafts"


def request_times(fields: Fields) -> tuple[Sequence[float], Sequence[float]]:
    """Return the times to first token and the mean times per later token of requests, in order [s].

    Both are empty where the result has no lists. A request that failed has no output and is passed over.
    """
    made, firsts, later = (fields.get(name) for name in ("output_lens", "ttfts", "itls"))
    if not (isinstance(made, list) and isinstance(firsts, list) and isinstance(later, list)):
        return (), ()
    ttfts, tpots = [], []
    for tokens, first, gaps in zip(made, firsts, later, strict=False):
        number, spread = finite(tokens), _total(gaps)
        if number and number > 1 and spread:
            tpots.append(spread / (number - 1))
            ttfts.append(finite(first) or 0.0)
    return (ttfts if all(t > 0 for t in ttfts) else ()), tpots


def _total(gaps: Any) -> float:
    try:
        return finite(sum(gaps)) or 0.0
    except (TypeError, OverflowError):
        return 0.0


def _setup(fields: Fields) -> Setup:
    """Return the engine and what ``--metadata version=... tp=...`` says of it."""

    def stated(*names: str) -> int:
        return next((n for n in (count(fields.get(name)) for name in names) if n), 0)

    engine = _ENGINES.get(text(fields.get("backend") or fields.get("endpoint_type")), "")
    return Setup(
        engine,
        text(fields.get("version")),
        tp=stated("tp", "tensor_parallel_size"),
        pp=stated("pp", "pipeline_parallel_size"),
        dp=stated("dp", "data_parallel_size"),
    )


def _recognises(source: Source) -> bool:
    return has_fields(source, "model_id", "tokenizer_id", "completed", "total_output_tokens")


def _throughput(source: Source) -> Log:
    rule = "a result that tells prompt tokens from generated ones"
    raise InvalidValue("log", rule, f"{source.path} (vLLM bench throughput)", _INSTEAD)


def _latency(source: Source) -> Log:
    rule = "a result that says how many tokens were taken in and made"
    raise InvalidValue("log", rule, f"{source.path} (vLLM bench latency)", _INSTEAD)


FORMATS = (
    Format(NAME, "JSON with model_id, completed, total_output_tokens and mean_tpot_ms", _recognises, read),
    Format(
        "vLLM bench throughput",
        "JSON with elapsed_time and total_num_tokens; it is refused, with what to give in its place",
        lambda source: has_fields(source, "elapsed_time", "num_requests", "total_num_tokens", "tokens_per_second"),
        _throughput,
    ),
    Format(
        "vLLM bench latency",
        "JSON with avg_latency, latencies and percentiles; it is refused, with what to give in its place",
        lambda source: has_fields(source, "avg_latency", "latencies"),
        _latency,
    ),
)
