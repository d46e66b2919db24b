"""What a load generator measured of a server, as readings of decode steps and of prefill passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any, NamedTuple

from mlsysim.calibration.logs.log import NOTHING, Reading
from mlsysim.calibration.logs.records import Unusable
from mlsysim.results import Note
from mlsysim.units import LARGEST

_BATCHES, _SMALLEST = 10, 5
_FEWEST = 3
AMONG_PREFILLS = Note(
    "decode-among-prefills",
    "the time per output token of a server with several requests holds the prefills of the others: eta is that of the"
    " service, and lower than that of decode steps alone",
)
QUEUED = Note(
    "ttft-not-used",
    "time to first token is not taken for a prefill where several requests are in flight, for they may wait: measure"
    " at concurrency 1 for that",
)
WITH_FRONTEND = Note(
    "ttft-has-frontend",
    "the prefill time is the time to first token: tokenizing, scheduling and the network are in it, and a prompt found"
    " in a prefix cache would make it too short",
)


class Served(NamedTuple):
    """One operating point of a server.

    ``prompt`` and ``output`` are mean tokens a request; ``tokens_per_s`` output tokens of all requests; ``tpot_s`` the
    mean time per output token after the first, ``tpots`` those of requests in order where they are known; ``ttft_s``
    and ``ttfts`` likewise the times to first token; ``concurrency`` the most requests at once, 0 where not limited;
    ``decoding`` the mean number of sequences in decode where it was measured.
    """

    prompt: float
    output: float
    tpot_s: float
    tokens_per_s: float = 0.0
    tpots: Sequence[float] = ()
    ttft_s: float | None = None
    ttfts: Sequence[float] = ()
    concurrency: int = 0
    decoding: float | None = None

    @property
    def batch(self) -> int:
        """Return the sequences in decode at once, by Little's law: rate x time (Little 1961, Operations Research 9(3)).

        The rate is that of tokens made by decode steps: the first token of each request comes of its prefill.
        """
        decoding = self.decoding
        if decoding is None:
            decoding = self.tokens_per_s * (1 - 1 / self.output) * self.tpot_s
        found = max(1, round(min(decoding, LARGEST)))
        return min(found, self.concurrency) if self.concurrency else found

    @property
    def context(self) -> int:
        """Return the mean tokens in the cache of a sequence in decode: its prompt and half of its output."""
        return max(1, round(self.prompt + self.output / 2))


def served_readings(
    served: Served, conditions: Mapping[str, Any] = NOTHING, label: str = ""
) -> tuple[tuple[Reading, ...], tuple[Note, ...]]:
    """Return the readings of an operating point, and notes on them.

    Decode is the mean time per output token, so that batch over time is the measured rate of tokens. Prefill is the
    time to first token where only one request was in flight at a time.

    Raises
    ------
    Unusable
        Requests of one output token, which have no decode step.
    """
    if served.output <= 1:
        raise Unusable(f"requests have {served.output:g} output tokens: there is no decode step")
    alone = served.concurrency == 1
    tpots = repeats(served.tpots, served.batch) or (served.tpot_s,)
    found = {**conditions, "batch_size": served.batch, "context": served.context}
    readings = [Reading("decode", "time_s", tpots, found, label=label)]
    if alone and served.ttft_s:
        ttfts = repeats(served.ttfts, 1) or (served.ttft_s,)
        found = {**conditions, "batch_size": 1, "seq_len": max(1, round(served.prompt))}
        readings.append(Reading("forward", "time_s", ttfts, found, label=label))
        return tuple(readings), (WITH_FRONTEND,)
    return tuple(readings), () if alone else (AMONG_PREFILLS, QUEUED)


def repeats(values: Sequence[float], at_once: int) -> tuple[float, ...]:
    """Return means of consecutive batches of ``values``, which serve as repeats; none where they are too few.

    Requests in flight together share their steps and are no repeats of each other. Batches hold as many as are in
    flight, 5 at least, and there are 3 to 10 of them: nonoverlapping batch means (Schmeiser 1982, Operations
    Research 30(3), doi:10.1287/opre.30.3.556, who finds little use in more than 30 and few losses at 10).
    """
    batches = min(_BATCHES, len(values) // max(_SMALLEST, at_once))
    if batches < _FEWEST:
        return ()
    edges = [len(values) * i // batches for i in range(batches + 1)]
    return tuple(fmean(values[a:b]) for a, b in pairwise(edges))


def point_label(concurrency: int, request_rate: object = None) -> str:
    """Return what tells one operating point from another, for people."""
    if concurrency:
        return f"concurrency {concurrency}"
    try:
        rate = float(request_rate)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ""
    return f"{rate:g} requests/s" if 0 < rate < float("inf") else "all requests at once"
