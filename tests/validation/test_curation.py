"""The packaged evidence is what its command makes of the published tables."""

import csv
import importlib.util
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLES = Path(os.environ.get("MLSYSIM_PUBLISHED_TABLES", ROOT.parent / "shared" / "evidence"))
PACKAGED = ROOT / "src/mlsysim/efficiency/data"


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.skipif(not (TABLES / "inference.csv").is_file(), reason="the published tables are not beside the checkout")
def test_curating_again_gives_the_same_files(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    spec = importlib.util.spec_from_file_location("curate_evidence", ROOT / "tools/curate_evidence.py")
    curate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(curate)
    monkeypatch.setattr(curate, "OUT", tmp_path)
    curate.main(TABLES)
    for name in ("evidence.tsv", "parameters.tsv"):
        again, packaged = ((p / name).read_text(encoding="utf-8").splitlines() for p in (tmp_path, PACKAGED))
        assert again == packaged
    # No row is dropped silently: all are kept or refused with a reason.
    counts = [line.split() for line in capsys.readouterr().out.splitlines()]
    total = sum(int(c[0]) for c in counts if c[1] in {"kept", "refused"})
    assert total == sum(len(rows(TABLES / name)) for name in ("training.csv", "inference.csv"))
