"""Write the accuracy of the predictions into the documentation: docs/accuracy.md.

    python tools/accuracy.py FOLDER [BLOCK ...]

FOLDER holds training.csv, inference.csv, serving_e2e.csv and transfer_pairs.csv. Every number is what ``mlsysim
validate`` gives for one table and one split. BLOCK is accuracy (with coverage), specific, moves, transfer or given; all
if none is named.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from mlsysim.registry import read_table
from mlsysim.validation.score import Score
from mlsysim.validation.transferred import ALONE_WORDS, BACKWARDS
from mlsysim.validation.validate import validate

PAGE = Path(__file__).parent.parent / "docs/accuracy.md"
FILES = ("training.csv", "inference.csv", "serving_e2e.csv")
SPLITS = ("source", "hardware", "model", "engine", "locked")
GIVEN = (1, 3, 5)
"""Runs of a deployment that are given."""
FEW_AFTER = 20
"""Rows below which a cell of what was predicted after some is left empty."""
FEW_PAIRS = 60
"""Pairs below which a line is left out."""
FEW = 10
"""Rows below which a median says little, and is left out."""

Key = tuple[str, str]


def main(folder: Path, wanted: Sequence[str]) -> None:
    """Validate every table in every way, and write the tables of the page."""
    blocks: dict[str, Iterable[str]] = {}
    if not wanted or "accuracy" in wanted:
        found = validated(folder)
        blocks |= {"accuracy": accuracy(found), "coverage": coverage(found)}
    for name, lines in (("specific", specific), ("moves", moves), ("transfer", transfer), ("given", given)):
        if not wanted or name in wanted:
            blocks[name] = lines(folder)
    text = PAGE.read_text(encoding="utf-8")
    for name, block in blocks.items():
        shown = "\n".join(block)
        text = re.sub(rf"(<!-- measured: {name} -->\n).*?(<!-- end -->)", rf"\g<1>{shown}\n\g<2>", text, flags=re.S)
    PAGE.write_text(text.rstrip() + "\n", encoding="utf-8")


def validated(folder: Path, workers: int = 2) -> dict[Key, Score]:
    """Return the score of each regime under each split."""
    jobs = [(folder / name, split) for split in SPLITS for name in FILES]
    found: dict[Key, Score] = {}
    with ProcessPoolExecutor(workers) as pool:
        for (path, split), scores in zip(jobs, pool.map(scored, jobs), strict=True):
            print(f"{path.name} {split}", flush=True)
            found |= {(s.name, split): s for s in scores}
    return found


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


def specific(_: Path) -> Iterator[str]:
    """Yield the table of parameters that differ by regime, and what the regime that needs it most loses without."""
    yield "| parameter | loses in the fit | with sources held out |"
    yield "| --- | --- | --- |"
    for r in read_table("mlsysim.efficiency", "specific.tsv"):
        lost = f"{r['loses']} points, {r['regime']}", f"{r['loses_held_out']} points, {r['regime_held_out']}"
        yield f"| `{r['name']}` | {' | '.join(lost)} |"


def moves(_: Path) -> Iterator[str]:
    """Yield the table of what is carried over each kind of move, and of the errors with sources held out."""
    yield "| regime | move | pairs | share carried | nothing carried | carried |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for r in read_table("mlsysim.efficiency", "carried.tsv"):
        if "/" not in r["move"] and not r["regime"].startswith("ttft"):
            errors = f"{100 * float(r['error_alone']):.1f} | **{100 * float(r['error_carried']):.1f}**"
            move = f"{r['move']} | {int(r['pairs']):,} | {100 * float(r['share']):.0f} %"
            yield f"| {r['regime'] or 'all'} | {move} | {errors} |"


def transfer(folder: Path) -> Iterator[str]:
    """Yield the table of runs carried to a device that the fit never saw, in the order in which pairs are listed."""
    report = validate(folder / "transfer_pairs.csv")
    known = {
        s.name: s for s in (*report.groups, *report.regimes) if s.answered >= FEW_PAIRS and BACKWARDS not in s.name
    }
    yield "| pairs of | pairs | nothing carried | carried | inside the interval |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for name, s in sorted(known.items()):
        alone = known.get(name + ALONE_WORDS)
        if alone and alone.median_ape is not None and s.median_ape is not None and s.coverage90 is not None:
            medians = f"{100 * alone.median_ape:.1f} | **{100 * s.median_ape:.1f}**"
            yield f"| {name.replace('->', 'to')} | {s.answered:,} | {medians} | {100 * s.coverage90:.0f} % |"


def given(folder: Path) -> Iterator[str]:
    """Yield the table of errors after a few runs of each deployment were given."""
    yield "| regime | held out | none given | " + " | ".join(f"{k} given" for k in GIVEN) + " | 1 suggested |"
    yield "| --- | --- | ---: |" + " ---: |" * (len(GIVEN) + 1)
    for name, split in (("serving_e2e.csv", "model"), ("training.csv", "source"), ("inference.csv", "source")):
        path = folder / name
        columns = [validate(path, split), *(validate(path, split, k) for k in GIVEN)]
        columns.append(validate(path, split, 1, choose="suggested"))
        by_regime = [{s.name: s for s in report.regimes} for report in columns]
        for regime in by_regime[0]:
            cells = " | ".join(after(found.get(regime)) for found in by_regime)
            yield f"| {regime} | {split} | {cells} |"


def after(s: Score | None) -> str:
    """Return the median error in percent, and the share of measurements within their interval."""
    if s is None or s.median_ape is None or s.coverage90 is None or s.scored < FEW_AFTER:
        return ""
    return f"**{100 * s.median_ape:.1f}** ({100 * s.coverage90:.0f} % in)"


def inside(s: Score | None) -> str:
    """Return the share of measurements within their interval, and how much its upper end is above the lower."""
    if s is None or s.coverage90 is None or s.width90 is None or s.answered < FEW:
        return ""
    return f"{100 * s.coverage90:.0f} % in × {1 + s.width90:.2f}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
