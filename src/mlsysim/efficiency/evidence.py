"""Published measurements, each turned into eta and attainment by the same path as any answer.

``evidence.tsv`` is written by ``tools/curate_evidence.py``; a row keeps the address and place it was read at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from mlsysim.registry import Row, read_table


class Evidence(NamedTuple):
    """One published measurement: where, what, and the eta and attainment that follow. ``group`` is its source."""

    id: str
    group: str
    regime: str
    model: str
    hardware: str
    devices: int
    precision: str
    batch_size: int
    seq_len: int | None
    context: int | None
    engine: str
    published: str
    efficiency: float
    ceiling: float
    attainment: float
    source_url: str
    source_locator: str


class Percentiles(NamedTuple):
    """Percentiles of a quantity over ``n`` rows from ``sources`` sources, each source weighing the same."""

    p5: float
    p10: float
    median: float
    p90: float
    p95: float
    n: int
    sources: int


class Parameter(NamedTuple):
    """A number estimated from published measurements, with its unit, row count, source and derivation.

    ``low`` and ``high`` are the ends of the range it was seen in; those of a spread are the spread itself.
    """

    value: float
    low: float
    high: float
    unit: str
    n: int
    source: str
    derivation: str


_COUNTS = ("devices", "batch_size", "seq_len", "context")


@cache
def evidence() -> tuple[Evidence, ...]:
    """Return all packaged rows."""
    return tuple(_row(r) for r in read_table("mlsysim.efficiency", "evidence.tsv"))


@cache
def parameters() -> dict[str, Parameter]:
    """Return the packaged parameters by name."""
    rows = read_table("mlsysim.efficiency", "parameters.tsv")
    return {r["name"]: _parameter(r) for r in rows}


KIN = {"decode-small": ("decode-1", "decode-large")}
"""Regimes that nothing usable is published for, and the neighbours whose measurements stand in for them."""


@cache
def attainment_of(regime: str) -> Percentiles:
    """Return the published attainment of a regime, or of its neighbours where nothing is published."""
    rows = [e for e in evidence() if e.regime in KIN.get(regime, (regime,))]
    return percentiles([e.attainment for e in rows], [e.group for e in rows])


def percentiles(values: Sequence[float], groups: Sequence[str]) -> Percentiles:
    """Return percentiles in which every group (source) has the same total weight."""
    size = Counter(groups)
    weighted = sorted((v, 1.0 / size[g]) for v, g in zip(values, groups, strict=True))
    p5, p10, median, p90, p95 = (weighted_quantile(weighted, q) for q in (0.05, 0.1, 0.5, 0.9, 0.95))
    return Percentiles(p5, p10, median, p90, p95, len(values), len(size))


def weighted_quantile(weighted: Iterable[tuple[float, float]], q: float) -> float:
    """Return the smallest value at which the share of the weight reaches ``q``; pairs (value, weight), sorted."""
    pairs = list(weighted)
    goal, reached = q * sum(w for _, w in pairs), 0.0
    for value, weight in pairs:
        reached += weight
        if reached >= goal * (1 - 1e-12):
            return value
    return pairs[-1][0]


def _parameter(r: Row) -> Parameter:
    value, low, high = float(r["value"]), float(r["low"]), float(r["high"])
    return Parameter(value, low, high, r["unit"], int(r["n"]), r["source"], r["derivation"])


def _row(r: Row) -> Evidence:
    kinds = dict.fromkeys(("efficiency", "ceiling", "attainment"), float) | dict.fromkeys(_COUNTS, _count)
    return Evidence(**{k: kinds.get(k, str)(r[k]) for k in Evidence._fields})  # type: ignore[arg-type]


def _count(text: str) -> int | None:
    return int(text) if text else None
