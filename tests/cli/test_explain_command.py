"""``mlsysim explain``: what is on standard output, what beside it, and which code it ends with."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

FILES = Path(__file__).parents[1] / "timeline/files"
LOADER, PLAIN = FILES / "data_loader.json.gz", FILES / "plain.json.gz"
NAMES = {
    "compute", "memory_bound", "kernel_launch", "occupancy", "coalescing", "instruction_parallelism", "pipeline_bubble",
    "communication", "framework", "attention", "quantization", "data_loader", "garbage_collection", "os_driver",
    "synchronisation", "unattributed",
}  # fmt: skip


def answered(run: Any, *arguments: object) -> dict[str, Any]:
    done = run("explain", *map(str, arguments), "-o", "json")
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_json_is_the_contract(run: Any) -> None:
    found = answered(run, LOADER, "--hardware", "xeon-8480")
    assert found["ideal_s"] <= found["measured_s"]
    assert found["efficiency"] == pytest.approx(found["ideal_s"] / found["measured_s"])
    assert sum(cause["seconds"] for cause in found["causes"]) == pytest.approx(found["measured_s"], abs=1e-9)
    for cause in found["causes"]:
        assert {"name", "seconds", "share", "kind", "advice"} <= set(cause)
        assert cause["name"] in NAMES
        assert cause["kind"] in {"derived", "observed", "unattributed"}
        assert sum(part["seconds"] for part in cause["parts"]) == pytest.approx(cause["seconds"], abs=1e-12)
    for step in found["steps"]:
        assert set(step) == {"index", "seconds", "causes"}
        assert sum(step["causes"].values()) == pytest.approx(step["seconds"], abs=1e-9)
    assert {hidden["name"] for hidden in found["not_visible"]}.isdisjoint(c["name"] for c in found["causes"])
    assert all(w["key"] for w in found["suggestions"])


def test_text_shows_the_causes_and_notes_go_elsewhere(run: Any) -> None:
    done = run("explain", str(LOADER))
    assert done.code == 0
    for words in ("data_loader", "measured", "What to try", "Not visible", "--try loader-workers"):
        assert words in done.out
    assert "[profiled]" in done.err
    assert "[profiled]" not in done.out


def test_csv_has_a_row_a_part(run: Any) -> None:
    done = run("explain", str(LOADER), "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    whole = answered(run, LOADER)["measured_s"]
    assert sum(float(row["seconds"]) for row in rows) == pytest.approx(whole)


def test_two_runs_are_compared(run: Any) -> None:
    found = answered(run, PLAIN, LOADER)
    assert found["changes"][0]["name"] == "data_loader"
    assert sum(c["change_s"] for c in found["changes"]) == pytest.approx(found["change_s"], abs=1e-9)
    assert "data_loader.json.gz" in run("explain", str(PLAIN), str(LOADER)).out


def test_what_if(run: Any) -> None:
    found = answered(run, LOADER, "--without", "data_loader", "--try", "loader-workers")
    gone, tried = found["what_if"]
    assert gone["time_s"]["value"] == pytest.approx(found["measured_s"] - gone["saves_s"]["value"])
    assert tried["key"] == "loader-workers"
    assert tried["saves_s"]["high"] <= gone["saves_s"]["value"] * (1 + 1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.json"], "nowhere.json"),
        ([str(LOADER), "--without", "data_laoder"], "did you mean data_loader"),
        ([str(LOADER), "--try", "loader-worker"], "did you mean loader-workers"),
        ([str(LOADER), "--skip", "6"], "skip must be less than the steps that there are (6)"),
        ([str(LOADER), "--skip", "-1"], "at least 0"),
        ([str(LOADER), "--plot", "w.doc"], ".png, .svg, .pdf or .html"),
        ([str(LOADER), "--precision", "bf16"], "left out where no model is given"),
    ],
)
def test_a_mistake_ends_with_two_and_a_sentence(run: Any, arguments: list[str], words: str) -> None:
    done = run("explain", *arguments)
    assert done.code == 2
    assert words in done.err
    assert done.out == ""


@pytest.mark.parametrize("ending", ["png", "svg", "pdf", "html"])
def test_the_waterfall_is_written(run: Any, tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"waterfall.{ending}"
    assert run("explain", str(LOADER), "--plot", str(path)).code == 0
    assert path.stat().st_size > 1000


def test_the_guide_of_one_factor_and_solve_with_its_breakdown(run: Any) -> None:
    assert "CUDA graphs" in run("guide", "kernel_launch").out
    done = run("solve", "llama-3.1-8b", "h100", "--phase", "decode", "--explain", "-o", "json")
    found = json.loads(done.out)
    assert sum(c["seconds"] for c in found["explain"]["causes"]) == pytest.approx(found["time_s"]["value"], rel=1e-12)
