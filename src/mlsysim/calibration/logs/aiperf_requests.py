"""Requests of AIPerf one by one (``profile_export.jsonl``): a whole run, with the spread from request to request.

Field names from a file that AIPerf 0.13.0 wrote: ``metadata`` with ``request_start_ns``, ``request_end_ns`` and
``benchmark_phase``, and ``metrics``, each a ``value`` with its ``unit``.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from mlsysim.calibration.logs.aiperf import SECONDS
from mlsysim.calibration.logs.documents import Documents, has_fields
from mlsysim.calibration.logs.log import LeftOut, Log
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.records import Fields, Unusable, dig, finite, nothing_usable, positive, shortened
from mlsysim.calibration.logs.serving import Served, served_readings
from mlsysim.calibration.logs.source import Source

NAME = "AIPerf requests"


class _Request(NamedTuple):
    start_s: float
    end_s: float
    prompt: float
    output: float
    ttft_s: float
    itl_s: float


def read(source: Source) -> Log:
    """Return the readings of a run's requests, warm-up and those that failed left out.

    Raises
    ------
    InvalidValue
        No request could be used.
    """
    documents = Documents(source)
    requests: list[_Request] = []
    refused: list[LeftOut] = []
    for line, fields in documents:
        if dig(fields, "metadata.benchmark_phase") not in ("profiling", None):
            continue
        try:
            requests.append(_request(fields))
        except Unusable as reason:
            refused.append(LeftOut(line, str(reason)))
    left_out = shortened([*documents.left_out, *refused])
    if not requests:
        raise nothing_usable(source, left_out)
    requests.sort()
    served = _served(requests)
    label = "one request at a time" if served.concurrency == 1 else f"up to {served.concurrency} requests at once"
    try:
        readings, notes = served_readings(served, label=label)
    except Unusable as reason:
        raise nothing_usable(source, [LeftOut(1, str(reason))]) from None
    return Log(NAME, readings, left_out=left_out, notes=notes)


def _request(fields: Fields) -> _Request:
    if dig(fields, "metadata.was_cancelled") or fields.get("error"):
        raise Unusable("the request failed")
    start, end = ((finite(dig(fields, f"metadata.request_{which}_ns")) or 0.0) * 1e-9 for which in ("start", "end"))
    if end <= start:
        raise Unusable("metadata.request_end_ns is not after request_start_ns: the clock goes backwards")
    counts = (positive(fields, f"metrics.{which}_sequence_length.value") for which in ("input", "output"))
    times = (_seconds(fields, name) for name in ("time_to_first_token", "inter_token_latency"))
    return _Request(start, end, *counts, *times)


def _seconds(fields: Fields, name: str) -> float:
    unit = dig(fields, f"metrics.{name}.unit")
    if unit not in SECONDS:
        raise Unusable(f"metrics.{name}.unit is {unit!r}: not a unit of time that is known")
    return positive(fields, f"metrics.{name}.value") * SECONDS[unit]


def _served(requests: Sequence[_Request]) -> Served:
    """Return the operating point that requests add up to; the decode of all over the time of the run is its batch."""
    span_s = max(r.end_s for r in requests) - requests[0].start_s
    decode_s = [(r.output - 1) * r.itl_s for r in requests]
    steps = sum(r.output - 1 for r in requests)
    return Served(
        prompt=fmean(r.prompt for r in requests),
        output=fmean(r.output for r in requests),
        tpot_s=sum(decode_s) / steps if steps else 0.0,
        tpots=[r.itl_s for r in requests],
        ttft_s=fmean(r.ttft_s for r in requests),
        ttfts=[r.ttft_s for r in requests],
        concurrency=_most_at_once(requests),
        decoding=sum(decode_s) / span_s,
    )


def _most_at_once(requests: Sequence[_Request]) -> int:
    """Return the most requests in flight at once; one that starts as another ends follows it."""
    edges = sorted([(r.start_s, 1) for r in requests] + [(r.end_s, -1) for r in requests])
    most = now = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return most


FORMATS = (
    Format(
        NAME,
        "JSON lines with credit_issued_ns, request_start_ns and metrics",
        lambda source: has_fields(source, "credit_issued_ns", "request_start_ns", "inter_token_latency"),
        read,
    ),
)
