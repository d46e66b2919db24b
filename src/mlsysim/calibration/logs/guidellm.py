"""Reports of GuideLLM (``guidellm run --output kind=json``; ``guidellm benchmark`` in earlier versions).

Field names from GuideLLM 0.8.1, ``guidellm/benchmark/schemas`` (``report.py``, ``benchmark.py``, ``metrics.py``), and
from a file that it wrote. What it calls ``time_per_output_token_ms`` is the whole latency over all tokens, the first
included: a decode step takes ``inter_token_latency_ms``. Where versions before 0.8 keep the model is recalled.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlsysim.calibration.logs.documents import has_fields
from mlsysim.calibration.logs.log import Log, Reading
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.records import (
    Fields,
    Record,
    Unusable,
    count,
    dig,
    finite,
    model_name,
    optional,
    positive,
    read_records,
)
from mlsysim.calibration.logs.serving import Served, point_label, served_readings
from mlsysim.calibration.logs.source import Source
from mlsysim.results import Note

NAME = "GuideLLM"
_MODEL = (
    "config.backend.model",
    "benchmarker.backend.model",
    "worker.backend_model",
    "args.backend_args.model",
    "config.model",
)


def read(source: Source) -> Log:
    """Return the readings of a report: one operating point a benchmark."""
    return read_records(source, NAME, _record)


def _record(fields: Fields) -> Record:
    benchmarks = fields.get("benchmarks")
    if not isinstance(benchmarks, list) or not benchmarks:
        raise Unusable("benchmarks is empty: no operating point was measured")
    readings: list[Reading] = []
    notes: dict[Note, None] = {}
    left_out, models = [], set()
    for index, benchmark in enumerate(benchmarks):
        try:
            found, more = _benchmark(benchmark if isinstance(benchmark, dict) else {})
        except Unusable as reason:
            left_out.append(f"benchmarks[{index}]: {reason}")
            continue
        readings += found
        notes |= dict.fromkeys(more)
        models.add(next((name for name in (model_name(dig(benchmark, path)) for path in _MODEL) if name), ""))
    if not readings:
        raise Unusable("; ".join(left_out[:3]))
    models.discard("")
    if len(models) > 1:
        raise Unusable(f"benchmarks of several models ({', '.join(sorted(models))}): calibrate each by itself")
    model = (
        models.pop() if models else model_name(dig(fields, "config.spec.backend.model") or dig(fields, "args.model"))
    )
    return Record(tuple(readings), model, notes=tuple(notes), left_out=tuple(left_out))


def _benchmark(fields: Fields) -> tuple[tuple[Reading, ...], tuple[Note, ...]]:
    positive(fields, "metrics.request_totals.successful")
    prompt, output, itl_s, latency, at_once = (
        positive(fields, f"metrics.{name}.successful.mean") * scale
        for name, scale in (
            ("prompt_token_count", 1.0),
            ("output_token_count", 1.0),
            ("inter_token_latency_ms", 1e-3),
            ("request_latency", 1.0),
            ("request_concurrency", 1.0),
        )
    )
    single = dig(fields, "config.strategy.type_") == "synchronous"
    concurrency = 1 if single else count(dig(fields, "config.strategy.streams"))
    ttfts, tpots = _requests(fields)
    served = Served(
        prompt=prompt,
        output=output,
        tpot_s=itl_s,
        tpots=tpots,
        ttft_s=(optional(fields, "metrics.time_to_first_token_ms.successful.mean") or 0.0) / 1e3,
        ttfts=ttfts,
        concurrency=concurrency,
        # Of the requests in flight, those past their first token: the share of a request's time that decode takes.
        decoding=at_once * min(1.0, (output - 1) * itl_s / latency),
    )
    return served_readings(served, label=point_label(concurrency, dig(fields, "config.strategy.rate")))


def _requests(fields: Fields) -> tuple[Sequence[float], Sequence[float]]:
    """Return times to first token and between tokens of the requests, in the order in which they started [s]."""
    found = fields.get("requests")
    requests = found.get("successful") if isinstance(found, dict) else None
    rows = []
    for request in requests if isinstance(requests, list) else ():
        start, first, itl = (
            finite(dig(request, name))
            for name in ("request_start_time", "time_to_first_token_ms", "inter_token_latency_ms")
        )
        if start is not None and first and itl:
            rows.append((start, first / 1e3, itl / 1e3))
    rows.sort()
    return [row[1] for row in rows], [row[2] for row in rows]


FORMATS = (
    Format(
        NAME,
        "JSON with benchmarks and, in each, metrics.inter_token_latency_ms",
        lambda source: has_fields(source, "benchmarks") and "guidellm" in source.head.lower(),
        read,
    ),
)
