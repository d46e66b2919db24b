"""Traces of the real PyTorch profiler with causes planted on purpose: each is found at its size, by its name.

``benchmarks/planted.py`` records them and times what it plants. What else a step does varies from run to run by some
milliseconds, so that other causes are held against the plain run with that room.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from mlsysim.efficiency.breakdown import Breakdown
from mlsysim.efficiency.comparison import compared
from mlsysim.timeline.explain import explain

FILES = Path(__file__).parent / "files"
PLANTED: dict[str, Any] = json.loads((FILES / "planted.json").read_text())
WITHIN = 0.10
"""Share of a planted time by which what is found may be off: the bar that the traces are for."""


@cache
def broken(name: str) -> Breakdown:
    return explain([FILES / file for file in PLANTED[name]["files"]])


def planted_ms(name: str) -> float:
    return mean(ns or 0 for ns in PLANTED[name]["planted_ns"]) / 1e6


def found_ms(name: str, cause: str, part: str = "") -> float:
    return broken(name).seconds(cause, part) * 1e3


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("data_loader", "data_loader"),
        ("data_loader_worker", "data_loader"),
        ("garbage_collection_stack", "garbage_collection"),
        ("garbage_collection_marked", "garbage_collection"),
        ("kernel_launch", "kernel_launch"),
        ("synchronisation", "synchronisation"),
        ("synchronisation_stack", "synchronisation"),
    ],
)
def test_a_planted_cause_is_found_at_its_size_in_every_step(name: str, cause: str) -> None:
    found = [step.causes.get(cause, 0.0) * 1e9 for step in broken(name).steps]
    for seen, planted in zip(found, PLANTED[name]["planted_ns"], strict=True):
        assert seen == pytest.approx(planted or 0, rel=WITHIN, abs=0.2e6)


@pytest.mark.parametrize(
    "name",
    [
        "data_loader",
        "data_loader_worker",
        "synchronisation",
        "synchronisation_stack",
        "kernel_launch",
        "garbage_collection_marked",
        "garbage_collection_stack",
    ],
)
def test_no_other_cause_takes_what_was_planted(name: str) -> None:
    """Every other cause is what it is in the plain run, within a tenth of the planted time and the noise of a step."""
    plain = (PLANTED[name].get("plain") or ["plain.json.gz"])[0].removesuffix(".json.gz")
    noise = 4.0 if plain == "plain" else 1.0  # the plain run has matrix products of 20 ms on a busy machine
    for change in compared(broken(plain), broken(name)).changes:
        if change.name not in {PLANTED[name]["cause"], "compute"}:  # matrix products vary with the machine
            assert abs(change.change_s) * 1e3 <= WITHIN * planted_ms(name) + noise, change


def test_a_collection_that_nothing_marks_is_said_not_to_be_visible_and_not_guessed() -> None:
    found = broken("garbage_collection")
    assert found.seconds("garbage_collection") == 0.0
    assert "garbage_collection" in {n.name for n in found.not_visible}
    idle = [step.causes.get("unattributed", 0.0) for step in found.steps]
    planted = [(ns or 0) * 1e-9 for ns in PLANTED["garbage_collection"]["planted_ns"]]
    assert mean(idle) >= mean(planted)


def test_a_late_rank_makes_the_other_wait() -> None:
    found = broken("straggler")
    waited, late = found.ranks
    assert (waited.index, late.index) == (0, 1)
    skews = [ns / 1e6 for ns in PLANTED["straggler"]["skew_ns"]]
    assert found_ms("straggler", "communication", "skew") == pytest.approx(mean(skews) / 2, rel=WITHIN)
    assert found_ms("straggler", "communication", "skew") == pytest.approx(planted_ms("straggler") / 2, rel=WITHIN)
    assert waited.causes["communication"] - late.causes["communication"] == pytest.approx(mean(skews) / 1e3, rel=WITHIN)
    assert late.causes["unattributed"] - waited.causes.get("unattributed", 0.0) == pytest.approx(0.0402, rel=WITHIN)


def test_a_late_rank_is_found_beside_gradients_that_are_reduced_in_buckets() -> None:
    """Held against how much later the second rank began its last bucket: both have the clock of one machine."""
    first, second = (_starts(file) for file in PLANTED["straggler_ddp"]["files"])
    later = mean(b - a for a, b in zip(first[1::2], second[1::2], strict=True)) / 1e3
    assert later == pytest.approx(planted_ms("straggler_ddp"), rel=0.15)  # the ranks differ by themselves, too
    waited, late = (rank.causes["communication"] for rank in broken("straggler_ddp").ranks)
    assert (waited - late) * 1e3 == pytest.approx(later, rel=WITHIN)


def _starts(file: str) -> list[float]:
    events = json.loads(gzip.decompress((FILES / file).read_bytes()))["traceEvents"]
    return sorted(event["ts"] for event in events if event["name"] == "gloo:all_reduce")


def test_fused_operators_are_told_from_eager_ones() -> None:
    change = compared(broken("eager"), broken("eager_plain"))
    fused = next(c for c in change.changes if c.name == "memory_bound")
    assert -fused.change_s * 1e3 == pytest.approx(planted_ms("eager"), rel=WITHIN)
    assert sum(c.change_s for c in change.changes) == pytest.approx(change.change_s, abs=1e-9)


def test_attention_that_writes_its_scores_is_told_from_a_fused_one() -> None:
    change = compared(broken("attention"), broken("attention_plain"))
    assert change.changes[0].name == "attention"
    assert -change.changes[0].change_s * 1e3 == pytest.approx(planted_ms("attention"), rel=WITHIN)


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_every_real_trace_is_accounted_for_to_the_nanosecond(name: str) -> None:
    found = broken(name)
    assert sum(cause.seconds for cause in found.causes) == pytest.approx(found.measured_s, abs=1e-9)
    for step in (*found.steps, *found.ranks):
        assert sum(step.causes.values()) == pytest.approx(step.seconds, abs=1e-9)
    assert [step.index for step in found.steps] == list(range(found.steps[0].index, found.steps[-1].index + 1))
