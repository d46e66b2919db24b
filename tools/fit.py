"""Fit the parameters of the efficiency model to tables of published measurements.

    python tools/fit.py FOLDER

FOLDER holds training.csv, inference.csv and serving_e2e.csv. Written are the parameters (fitted.tsv), the quantiles of
what is left (intervals.tsv), the names that were seen (seen.tsv) and the packaged measurements; twice the same files.
"""

from __future__ import annotations

import csv
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mlsysim.efficiency.fit import Array, Model, components
from mlsysim.efficiency.fitted import NEW
from mlsysim.evidence.measurement import Measurement
from mlsysim.evidence.tables import COLUMNS, Readings, read_measurements
from mlsysim.validation.held_out import configuration, samples_of
from mlsysim.validation.validate import groups_by_kind, nested

SRC = Path(__file__).parent.parent / "src/mlsysim"
Line = list[object]
TABLES = {"training": "training.csv", "inference": "inference.csv", "serving": "serving_e2e.csv"}


def main(folder: Path) -> None:
    """Read, fit, hold out, write."""
    began = time.monotonic()
    tables = {kind: read_measurements(folder / name) for kind, name in TABLES.items()}
    for readings in tables.values():
        tell(readings)
    measurements, samples, unanswered = samples_of(newest(m for t in tables.values() for m in t.measurements))
    print(f"{len(measurements)} measurements, {len(unanswered)} without an answer")
    parameters: list[Line] = []
    intervals: list[Line] = []
    for part in components(samples):
        model = Model([samples[i] for i in part])
        theta, spreads, _, variances = model.fit()
        print(f"{len(part)} measurements, {model.none} offsets, {time.monotonic() - began:.0f} s")
        parameters += fitted_lines(model, theta, variances)
        intervals += interval_lines(model, [measurements[i] for i in part], theta, spreads)
        print(f"held out one by one, {time.monotonic() - began:.0f} s")
    header = ["name", "factor", "level", "value", "sd", "n", "sources"]
    table(
        SRC / "efficiency/data/fitted.tsv",
        header,
        sorted(parameters, key=lambda line: [str(cell) for cell in line[:3]]),
    )
    table(SRC / "efficiency/data/intervals.tsv", ["regime", "new", "low", "high", "n"], intervals)
    write_seen(measurements)
    used = {m.id for m in measurements}
    for kind in ("training", "inference"):
        write_rows(folder / TABLES[kind], kind, used)
    print(f"{time.monotonic() - began:.0f} s")


def tell(table: Readings) -> None:
    """Print what a table holds and what was refused or repaired, by reason."""
    print(f"{table.kind}: {table.rows} rows")
    for reason, count in Counter(r.reason for r in table.refused).most_common():
        print(f"{count:6d} refused   {reason}")
    for repair, count in Counter(m.repair for m in table.measurements if m.repair).most_common():
        print(f"{count:6d} repaired  {repair}")


def newest(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Keep the newest measurement of each configuration and source."""
    best: dict[tuple[object, ...], Measurement] = {}
    for m in measurements:
        key = (m.source, repr(configuration(m)))
        if key not in best or m.published > best[key].published:
            best[key] = m
    return sorted(best.values(), key=lambda m: m.id)


def fitted_lines(model: Model, theta: Array, variances: Array) -> list[Line]:
    """Return every offset with its standard deviation, and the rows and sources that have its level."""
    rows: Counter[tuple[str, str, str]] = Counter()
    sources: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for sample in model.samples:
        for key in model.keys_of(sample):
            rows[key] += 1
            sources[key].add(sample.source)
    return [
        [*key, f"{theta[i]:.4f}", f"{np.sqrt(variances[i]):.3f}", rows[key], len(sources[key])]
        for i, key in enumerate(model.keys)
    ]


def interval_lines(
    model: Model, measurements: Sequence[Measurement], theta: Array, spreads: dict[tuple[str, str], float]
) -> list[Line]:
    """Return the quantiles of ln(measured / predicted) by regime and by what was held out."""
    everything = np.ones(len(model.samples), bool)
    found = nested(model, groups_by_kind(measurements), everything, theta, spreads)
    return [[regime, new, f"{s.low:.4f}", f"{s.high:.4f}", s.rows] for (regime, new), s in found.items()]


def write_seen(measurements: Sequence[Measurement]) -> None:
    """Write the sources, models and devices of the measurements, under the names of tables and of registries."""
    found = {(kind, getattr(m, kind)) for m in measurements for kind in NEW}
    for m in measurements:
        model, hardware = (getattr(m.question, field, None) for field in ("model", "hardware"))
        model = model or getattr(m.question, "network", None)
        found |= {(kind, spec.name) for kind, spec in (("model", model), ("hardware", hardware)) if spec}
    lines = [list(pair) for pair in sorted(found)]
    table(SRC / "efficiency/data/seen.tsv", ["kind", "name"], lines)


def write_rows(path: Path, kind: str, used: set[str]) -> None:
    """Write the rows of a table that were used, in its own columns."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = [[row[c] for c in COLUMNS[kind]] for row in csv.DictReader(file) if row["id"] in used]
    table(SRC / f"evidence/data/{kind}.tsv", COLUMNS[kind], lines)


def table(path: Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Write a packaged table: tabs between the cells, and so none within."""
    cells = [header, *lines]
    text = "".join("\t".join(" ".join(str(v).split()) for v in line) + "\n" for line in cells)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
