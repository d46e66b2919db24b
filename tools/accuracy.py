"""Write the accuracy of the predictions into the documentation: docs/accuracy.md.

    python tools/accuracy.py FOLDER

FOLDER holds training.csv, inference.csv and serving_e2e.csv. Every number is what ``mlsysim validate`` gives for one
table and one split.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from mlsysim.registry import read_table
from mlsysim.validation.score import Score
from mlsysim.validation.validate import validate

PAGE = Path(__file__).parent.parent / "docs/accuracy.md"
FILES = ("training.csv", "inference.csv", "serving_e2e.csv")
SPLITS = ("source", "hardware", "model", "engine", "locked")
FEW = 10
"""Rows below which a median says little, and is left out."""

Key = tuple[str, str]


def main(folder: Path, workers: int = 2) -> None:
    """Validate every table in every way, and write the tables of the page."""
    jobs = [(folder / name, split) for split in SPLITS for name in FILES]
    found: dict[Key, Score] = {}
    with ProcessPoolExecutor(workers) as pool:
        for (path, split), scores in zip(jobs, pool.map(scored, jobs), strict=True):
            print(f"{path.name} {split}", flush=True)
            found |= {(s.name, split): s for s in scores}
    text = PAGE.read_text(encoding="utf-8")
    blocks = {"accuracy": accuracy(found), "coverage": coverage(found), "specific": specific()}
    for name, lines in blocks.items():
        shown = "\n".join(lines)
        text = re.sub(rf"(<!-- measured: {name} -->\n).*?(<!-- end -->)", rf"\g<1>{shown}\n\g<2>", text, flags=re.S)
    PAGE.write_text(text.rstrip() + "\n", encoding="utf-8")


def scored(job: tuple[Path, str]) -> list[Score]:
    """Return the scores of one table under one split, by regime."""
    return validate(*job).regimes


def regimes(found: dict[Key, Score]) -> list[str]:
    """Return the names of all regimes."""
    return sorted({name for name, _ in found})


def accuracy(found: dict[Key, Score]) -> Iterator[str]:
    """Yield the table of errors: median, mean and p90 by what was held out."""
    yield "| regime | rows | " + " | ".join(f"{split} out" for split in SPLITS) + " |"
    yield "| --- | ---: |" + " ---: |" * len(SPLITS)
    for name in regimes(found):
        rows = max(found[k].answered for k in found if k[0] == name)
        yield f"| {name} | {rows:,} | " + " | ".join(errors(found.get((name, split))) for split in SPLITS) + " |"


def errors(s: Score | None) -> str:
    """Return median / mean / p90 of the errors in percent."""
    if s is None or s.median_ape is None or s.mean_ape is None or s.p90_ape is None or s.answered < FEW:
        return ""
    return f"**{100 * s.median_ape:.1f}** / {100 * s.mean_ape:.0f} / {100 * s.p90_ape:.0f}"


def coverage(found: dict[Key, Score]) -> Iterator[str]:
    """Yield the table of intervals: share of measurements inside, and width."""
    yield "| regime | " + " | ".join(f"{split} out" for split in SPLITS) + " |"
    yield "| --- |" + " ---: |" * len(SPLITS)
    for name in regimes(found):
        yield f"| {name} | " + " | ".join(inside(found.get((name, split))) for split in SPLITS) + " |"


def specific() -> Iterator[str]:
    """Yield the table of parameters that differ by regime, and what the regime that needs it most loses without."""
    yield "| parameter | loses in the fit | with sources held out |"
    yield "| --- | --- | --- |"
    for r in read_table("mlsysim.efficiency", "specific.tsv"):
        lost = f"{r['loses']} points, {r['regime']}", f"{r['loses_held_out']} points, {r['regime_held_out']}"
        yield f"| `{r['name']}` | {' | '.join(lost)} |"


def inside(s: Score | None) -> str:
    """Return the share of measurements within their interval, and how much its upper end is above the lower."""
    if s is None or s.coverage90 is None or s.width90 is None or s.answered < FEW:
        return ""
    return f"{100 * s.coverage90:.0f} % in × {1 + s.width90:.2f}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
