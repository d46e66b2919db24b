"""Spreads and launch times that calibrations are moved by, estimated from the curated evidence.

Every parameter is written with its unit, row count, source and derivation.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from facts import Fact, group, rows
from mlsysim.efficiency.evidence import weighted_quantile
from mlsysim.efficiency.regimes import TITLES, regime_of
from mlsysim.physics.performance import fit_overhead

ENOUGH = 20
"""Pairs from which a regime has a spread of its own."""
URL_SERVING = "https://github.com/ai-dynamo/aiconfigurator"


def parameters(folder: Path, kept: list[Fact]) -> Iterator[list[object]]:
    """Yield the spreads of each move and the launch time, each with n, source and derivation."""
    yield spread(
        "repeat",
        repeats(folder / "serving_e2e.csv"),
        URL_SERVING,
        "|ln| of TPOT of one configuration and version measured again, / sqrt(2)",
        math.sqrt(0.5),
    )
    by_id = {f.row["id"]: f for f in kept}
    pairs = [
        (by_id[p["row_a"]], by_id[p["row_b"]])
        for p in rows(folder / "transfer_pairs.csv")
        if p["kind"] == "strict" and p["row_a"] in by_id and p["row_b"] in by_id
    ]
    source = "evidence.tsv, strict pairs: two devices, all else equal"

    def same(a: Fact, b: Fact) -> bool:
        return bool(a.scenario.hardware.memory_class == b.scenario.hardware.memory_class)

    hardware = {
        "same-memory-class": [p for p in pairs if same(*p)],
        "other-memory-class": [p for p in pairs if not same(*p)],
    }
    for name, found in hardware.items():
        yield from by_regime(name, found, source)
    for name, field in (("batch", 6), ("precision", 5), ("model", 1), ("devices", 3)):
        yield from by_regime(name, list(siblings(kept, field)), "evidence.tsv, pairs that differ in this alone")
    how = "of batch 4 to 8 times that of two smaller ones, predicted by their common overhead and attainment"
    yield spread(
        "move.batch-overhead-known",
        list(batch_predictions(kept)),
        "evidence.tsv, series over batch",
        f"|ln| error {how}",
    )
    yield launch(kept)


def launch(kept: list[Fact]) -> list[object]:
    """Return the time of a launch: the median of compiled engines, from their p10 to the median of eager frameworks."""
    found = {
        kind: sorted(
            (f.roof.compute_s / f.efficiency / f.scenario.model.operators, 1.0)
            for f in kept
            if re.match(pattern, f.engine) and regime_of(f.scenario, f.roof) == "network-1"
        )
        for kind, pattern in (("compiled", "tensorrt"), ("eager", "pytorch|tensorflow$"))
    }
    low, middle = (weighted_quantile(found["compiled"], q) for q in (0.1, 0.5))
    high = weighted_quantile(found["eager"], 0.5)
    how = "step time / operators at batch 1: p10 and median of compiled engines, median of eager frameworks"
    n = sum(map(len, found.values()))
    return ["launch", f"{middle:.3g}", f"{low:.3g}", f"{high:.3g}", "s", n, "evidence.tsv, regime network-1", how]


def batch_predictions(facts: list[Fact]) -> Iterator[float]:
    """Yield |ln predicted / measured| of steps predicted from two smaller batches of the same series."""
    series: dict[tuple[object, ...], list[Fact]] = defaultdict(list)
    for f in facts:
        if f.scenario.phase == "forward" and f.scenario.seq_len is None:
            series[(group(f.row), *f.key[:6])].append(f)
    for found in series.values():
        found.sort(key=lambda f: f.scenario.batch_size)
        for a, b in pairwise(found):
            if a.roof.floor_s == b.roof.floor_s:
                continue
            times = [f.roof.compute_s / f.efficiency for f in (a, b)]
            reached, overhead = fit_overhead(a.roof.floor_s, times[0], b.roof.floor_s, times[1])
            for f in found:
                if 4 * a.scenario.batch_size <= f.scenario.batch_size <= 8 * a.scenario.batch_size:
                    predicted = f.roof.floor_s / reached + overhead
                    yield abs(math.log(predicted / (f.roof.compute_s / f.efficiency)))


def by_regime(name: str, pairs: list[tuple[Fact, Fact]], source: str) -> Iterator[list[object]]:
    """Yield the spread of a move over all pairs, and over each regime that has enough of them."""
    how = "|ln| of attainment b / a"
    yield spread(f"move.{name}", [moved(a, b) for a, b in pairs], source, how)
    for regime in TITLES:
        found = [moved(a, b) for a, b in pairs if {regime_of(f.scenario, f.roof) for f in (a, b)} == {regime}]
        if len(found) >= ENOUGH:
            yield spread(f"move.{name}.{regime}", found, f"{source}, regime {regime}", how)


def spread(name: str, values: list[float], source: str, how: str, factor: float = 1.0) -> list[object]:
    """Return a parameter row: the 90th percentile of absolute log ratios."""
    ordered = sorted((abs(v), 1.0) for v in values)
    value = f"{factor * weighted_quantile(ordered, 0.9):.3g}"
    return [name, value, value, value, "1", len(ordered), source, f"p90 of {how}"]


def moved(a: Fact, b: Fact) -> float:
    """Return ln of attainment b / a."""
    return math.log((b.efficiency / b.roof.ceiling) / (a.efficiency / a.roof.ceiling))


def siblings(facts: list[Fact], field: int) -> Iterator[tuple[Fact, Fact]]:
    """Yield neighbours that differ in one field of their key alone."""
    groups: dict[tuple[object, ...], list[Fact]] = defaultdict(list)
    for f in facts:
        rest = f.key[:field] + f.key[field + 1 :]
        groups[(group(f.row), *rest)].append(f)
    for found in groups.values():
        found.sort(key=lambda f: str(f.key[field]).zfill(9))
        yield from pairwise(found)


def repeats(path: Path) -> list[float]:
    """Return ln ratios of TPOT between repeats of one configuration and version."""
    groups: dict[tuple[str, ...], set[float]] = defaultdict(set)
    for r in rows(path):
        if r["mode"] == "agg" and r["silicon_tpot_ms"]:
            concurrency = re.findall(r"silicon_concurrency=([^;]*)", r["silicon_data_source"])
            skip = {"id", "silicon_data_source", "silicon_ttft_ms", "silicon_tpot_ms"}
            groups[(*(v for k, v in r.items() if k not in skip), *concurrency)].add(float(r["silicon_tpot_ms"]))
    return [math.log(b / min(g)) for g in groups.values() if len(g) > 1 for b in sorted(g)[1:]]
