"""Write the packaged evidence and parameters from tables of published measurements.

    python tools/curate_evidence.py FOLDER

FOLDER holds training.csv, inference.csv, transfer_pairs.csv and serving_e2e.csv. Every row is put through the same
models, work and ceiling as any answer; a row that cannot be is refused with a reason, and the reasons are counted.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from facts import Fact, Refused, group, inference_fact, rows, training_fact
from mlsysim.efficiency.evidence import Evidence
from mlsysim.efficiency.regimes import regime_of
from mlsysim.errors import UsageError
from parameters import parameters

OUT = Path(__file__).parent.parent / "src/mlsysim/efficiency/data"


def main(folder: Path) -> None:
    """Read, refuse, compute, de-duplicate, write."""
    facts, refused = [], Counter[str]()
    for name, read in (("training.csv", training_fact), ("inference.csv", inference_fact)):
        for row in rows(folder / name):
            try:
                facts.append(read(row))
            except Refused as problem:
                refused[f"{name}: {problem}"] += 1
            except UsageError as problem:
                refused[f"{name}: {re.sub(r'[(:].*', '', str(problem))}"] += 1
    kept = latest(facts, refused)
    write("evidence.tsv", ["convention", *Evidence._fields], (table_row(f) for f in kept))
    write(
        "parameters.tsv",
        ["name", "value", "low", "high", "unit", "n", "source", "derivation"],
        parameters(folder, kept),
    )
    for reason, count in refused.most_common():
        print(f"{count:6d} refused  {reason}")
    for regime, count in sorted(Counter(regime_of(f.scenario, f.roof) for f in kept).items()):
        print(f"{count:6d} kept     {regime}")


def latest(facts: Iterable[Fact], refused: Counter[str]) -> list[Fact]:
    """Keep the newest measurement of each configuration and source."""
    best: dict[tuple[object, ...], Fact] = {}
    for fact in facts:
        key = (group(fact.row), *fact.key)
        if key in best:
            refused["an older sibling of a row that was kept"] += 1
        if key not in best or fact.row["published"] > best[key].row["published"]:
            best[key] = fact
    return sorted(best.values(), key=lambda f: f.row["id"])


def table_row(f: Fact) -> list[object]:
    """Return a row of evidence.tsv."""
    r, s = f.row, f.scenario
    item = Evidence(
        r["id"],
        group(r),
        regime_of(s, f.roof),
        s.model.name,
        s.hardware.name,
        s.devices,
        s.precision,
        s.batch_size,
        s.seq_len,
        s.context,
        f.engine,
        r["published"],
        f.efficiency,
        f.roof.ceiling,
        f.efficiency / f.roof.ceiling,
        r["source_url"],
        r["source_locator"],
    )
    return [f.convention, *(f"{v:.5g}" if isinstance(v, float) else v for v in item)]


def write(name: str, header: list[str], table: Iterable[list[object]]) -> None:
    """Write a packaged table: tabs between the cells, and so none within."""
    rows: list[Iterable[object]] = [header, *table]
    lines = ["\t".join(_cell(value) for value in row) + "\n" for row in rows]
    (OUT / name).write_text("".join(lines), encoding="utf-8")


def _cell(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
