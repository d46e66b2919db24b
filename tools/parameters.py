"""How far repeats and other machines lie apart, and launch times, estimated from the curated evidence.

Every parameter is written with its unit, row count, source and derivation.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from facts import Fact, rows
from mlsysim.efficiency.evidence import weighted_quantile
from mlsysim.efficiency.regimes import regime_of

URL_SERVING = "https://github.com/ai-dynamo/aiconfigurator"


def parameters(folder: Path, kept: list[Fact]) -> Iterator[list[object]]:
    """Yield the spreads and the launch time, each with n, source and derivation."""
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
    yield spread(
        "other-memory-class",
        [moved(a, b) for a, b in pairs if a.scenario.hardware.memory_class != b.scenario.hardware.memory_class],
        "evidence.tsv, strict pairs: two devices of other memory classes, all else equal",
        "|ln| of attainment b / a",
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


def spread(name: str, values: list[float], source: str, how: str, factor: float = 1.0) -> list[object]:
    """Return a parameter row: the 90th percentile of absolute log ratios."""
    ordered = sorted((abs(v), 1.0) for v in values)
    value = f"{factor * weighted_quantile(ordered, 0.9):.3g}"
    return [name, value, value, value, "1", len(ordered), source, f"p90 of {how}"]


def moved(a: Fact, b: Fact) -> float:
    """Return ln of attainment b / a."""
    return math.log((b.efficiency / b.roof.ceiling) / (a.efficiency / a.roof.ceiling))


def repeats(path: Path) -> list[float]:
    """Return ln ratios of TPOT between repeats of one configuration and version."""
    groups: dict[tuple[str, ...], set[float]] = defaultdict(set)
    for r in rows(path):
        if r["mode"] == "agg" and r["silicon_tpot_ms"]:
            concurrency = re.findall(r"silicon_concurrency=([^;]*)", r["silicon_data_source"])
            skip = {"id", "silicon_data_source", "silicon_ttft_ms", "silicon_tpot_ms"}
            groups[(*(v for k, v in r.items() if k not in skip), *concurrency)].add(float(r["silicon_tpot_ms"]))
    return [math.log(b / min(g)) for g in groups.values() if len(g) > 1 for b in sorted(g)[1:]]
