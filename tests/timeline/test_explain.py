"""What `explain` answers from files: several ranks, two runs, what if, and traces that are not as they should be."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from timelines import ADD, ALL_REDUCE, GEMM, US, Timeline, causes, codes, gpu_line

from mlsysim.efficiency.comparison import compared
from mlsysim.efficiency.told import steps_told
from mlsysim.errors import ImpossibleMeasurement, InvalidValue, UnknownName
from mlsysim.hardware import Hardware
from mlsysim.timeline.explain import explain
from mlsysim.timeline.runs import apart


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return gpu_line().write(tmp_path / "trace.json")


def test_the_causes_of_the_mean_step_sum_to_it_and_shares_are_eta(trace: Path) -> None:
    h100 = Hardware["h100-sxm"]
    found = explain(trace, model="llama-3.1-8b", hardware="h100-sxm", seq_len=8, batch_size=1)
    assert found.ideal_s is not None
    assert causes(found)["data_loader"] == 100.0
    assert causes(found)["communication"] == 200.0
    assert sum(causes(found).values()) == pytest.approx(1_000.0)
    assert found.eta == pytest.approx(found.causes[0].share)
    assert found.causes[0].name == "compute"
    work = found.facts["flops"]
    assert found.ideal_s == pytest.approx(work / h100.peak("bf16").value, abs=1e-9)
    assert found.purpose == "training"
    assert len(found.steps) == 4


def test_the_device_is_the_one_that_the_trace_names(trace: Path) -> None:
    found = explain(trace)
    assert found.facts["hardware"] == "h100-sxm"
    assert "device-of-trace" in codes(found)
    assert found.ideal_s is None  # no FLOPs are known: shapes were not recorded, and no model is given


def test_waiting_of_ranks_is_told_from_the_transfer(tmp_path: Path) -> None:
    for rank in (0, 1):
        gpu_line(rank=rank, world=2, late=rank * 150 * US).write(tmp_path / f"rank{rank}.json")
    found = explain(tmp_path)
    assert found.seconds("communication", "skew") == pytest.approx(150e-6 / 2)
    assert found.seconds("communication", "transfer") == pytest.approx(50e-6)
    first, second = found.ranks
    assert first.causes["communication"] == pytest.approx(200e-6)
    assert second.causes["communication"] == pytest.approx(50e-6)
    assert found.devices == 2


def test_clocks_that_are_apart_are_told_and_change_no_cause(tmp_path: Path) -> None:
    for folder, shift in (("together", 0), ("apart", 7_300 * US)):
        (tmp_path / folder).mkdir()
        for rank in (0, 1):
            line = gpu_line(rank=rank, world=2, late=rank * 150 * US, shift=rank * shift)
            line.write(tmp_path / folder / f"rank{rank}.json.gz")
    plain, apart = (explain(tmp_path / folder) for folder in ("together", "apart"))
    assert "clocks-apart" not in codes(plain)
    said = next(note.message for note in apart.notes if note.code == "clocks-apart")
    assert "rank 1 is 7.3 ms ahead" in said
    assert causes(plain) == causes(apart)


def test_two_files_are_two_runs_and_two_ranks_are_one(tmp_path: Path) -> None:
    before = gpu_line().write(tmp_path / "a.json")
    after = gpu_line(late=50 * US).write(tmp_path / "b.json")
    one, other = (explain(run) for run in apart([before, after]))
    change = compared(one, other)
    assert sum(c.change_s for c in change.changes) == pytest.approx(change.change_s, abs=1e-12)
    assert {c.name: round(c.change_s * 1e6) for c in change.changes if c.change_s}["communication"] == -50
    ranks = [gpu_line(rank=r, world=2).write(tmp_path / f"r{r}.json") for r in (0, 1)]
    assert len(apart(ranks)) == 1
    with pytest.raises(InvalidValue, match="these are of rank 0"):
        explain([ranks[0], gpu_line(rank=0, world=2).write(tmp_path / "again.json")])


def test_what_if_a_cause_vanished(trace: Path) -> None:
    found = explain(trace, model="llama-3.1-8b", seq_len=8)
    less = found.without("data_loader")
    assert less.saves_s.value == pytest.approx(100e-6)
    assert less.time_s.value == pytest.approx(900e-6)
    assert less.eta is not None
    assert found.ideal_s is not None
    assert less.eta.value == pytest.approx(found.ideal_s / 900e-6)
    assert less.eta.low <= less.eta.value <= less.eta.high <= 1.0
    with pytest.raises(UnknownName, match="data_loader"):
        found.without("data_laoder")
    with pytest.raises(InvalidValue, match="the work itself"):
        found.without("compute")
    with pytest.raises(InvalidValue, match=r"skew|transfer"):
        found.without("communication/skw")
    with pytest.raises(InvalidValue, match="cuda-graphs"):
        found.tried("cuda-graph")


def test_suggestions_are_the_cheapest_that_buy_something(trace: Path) -> None:
    found = explain(trace)
    tried = found.suggestions()
    assert 1 <= len(tried) <= 3
    assert [w.effort for w in tried] == sorted(w.effort for w in tried)
    for w in tried:
        assert 0 <= w.saves_s.low <= w.saves_s.value <= w.saves_s.high <= found.seconds(w.cause) + 1e-12
        assert w.time_s.value == pytest.approx(found.measured_s - w.saves_s.value)


def test_work_that_takes_longer_than_the_time_is_refused_with_likely_mistakes(trace: Path) -> None:
    with pytest.raises(ImpossibleMeasurement, match="Likely causes"):
        explain(trace, model="llama-3.1-8b", seq_len=64, batch_size=1)


def test_an_unusual_step_is_told_with_what_it_is_of(tmp_path: Path) -> None:
    line = gpu_line(steps=6)
    at = 16_000 * US
    line.step(6, at, at + 3_000 * US)
    line.event("user_annotation", "gc.collect", at, at + 2_900 * US)
    line.kernel(GEMM, at + 2_950 * US, at + 3_000 * US, called=at + 2_950 * US)
    said = " ".join(steps_told(explain(line.write(tmp_path / "t.json"))))
    assert "Step 6 is the slowest" in said
    assert "garbage_collection by 2.9 ms" in said


# Traces that are not as they should be: what is wrong is said, and what can still be concluded


def test_a_packed_file_that_breaks_off_is_used_up_to_there(tmp_path: Path, trace: Path) -> None:
    whole = gzip.compress(gpu_line(steps=200).write(tmp_path / "w.json").read_bytes())
    cut = tmp_path / "cut.json.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    found = explain(cut)
    assert 10 < len(found.steps) < 200
    assert any("breaks off" in n.message for n in found.notes if n.code == "events-left-out")
    assert causes(found)["data_loader"] == pytest.approx(100.0, abs=15)


def _broken(line: Timeline, change: dict[str, Any] | None = None, drop: str = "", name: str = ADD) -> None:
    line.kernel(name, 10_300 * US, 10_301 * US)
    event = line.events[-1]
    event.update(change or {})
    event.pop(drop, None)


@pytest.mark.parametrize(
    ("change", "drop", "words"),
    [
        (None, "dur", "1 event without a duration"),
        (None, "ts", "1 event without a time stamp"),
        ({"ts": -5.0}, "", "1 event with a negative time stamp"),
        ({"dur": -1.0}, "", "1 event with a negative duration"),
        ({"ts": "soon"}, "", "1 event without a time stamp"),
    ],
)
def test_an_event_that_cannot_be_is_left_out_and_counted(
    tmp_path: Path, trace: Path, change: dict[str, Any] | None, drop: str, words: str
) -> None:
    line = gpu_line()
    _broken(line, change, drop)
    found = explain(line.write(tmp_path / "t.json"))
    assert causes(found) == causes(explain(trace))
    assert any(words in n.message for n in found.notes if n.code == "events-left-out")


def test_text_in_the_middle_that_is_no_event_is_left_out(tmp_path: Path, trace: Path) -> None:
    text = trace.read_text()
    middle = text.index('{"ph"', len(text) // 2)
    broken = tmp_path / "b.json"
    broken.write_text(text[:middle] + '{"ph": "X", "name": oops, "ts": }, ' + text[middle:])
    found = explain(broken)
    assert causes(found) == causes(explain(trace))
    assert any("break off" in n.message for n in found.notes if n.code == "events-left-out")


def test_a_trace_without_marks_of_steps_is_one_step(tmp_path: Path) -> None:
    line = gpu_line()
    line.events = [e for e in line.events if "ProfilerStep" not in e["name"]]
    found = explain(line.write(tmp_path / "t.json"))
    assert "no-steps" in codes(found)
    assert len(found.steps) == 1
    assert found.measured_s == pytest.approx(3.9e-3)  # from the first kernel to the end of the last


def test_ranges_that_count_up_are_steps_where_the_profiler_marks_none(tmp_path: Path, trace: Path) -> None:
    line = gpu_line()
    for event in line.events:
        event["name"] = event["name"].replace("ProfilerStep#", "iteration ")
    found = explain(line.write(tmp_path / "t.json"))
    assert "no-steps" not in codes(found)
    assert causes(found) == causes(explain(trace))


def test_updates_of_an_optimizer_part_steps_where_nothing_else_does(tmp_path: Path) -> None:
    line = gpu_line()
    for event in line.events:
        if "ProfilerStep" in event["name"]:
            event["name"] = "Optimizer.step#AdamW.step"
    found = explain(line.write(tmp_path / "t.json"))
    assert [step.index for step in found.steps] == [1, 2, 3]
    assert found.measured_s == pytest.approx(1e-3)


def test_a_missing_mark_is_told(tmp_path: Path) -> None:
    line = gpu_line(steps=6)
    line.events = [e for e in line.events if e["name"] != "ProfilerStep#3"]
    found = explain(line.write(tmp_path / "t.json"))
    assert any("3" in n.message for n in found.notes if n.code == "steps-missing")
    assert [s.index for s in found.steps] == [0, 1, 2, 4, 5]


def test_a_trace_of_the_host_alone_for_a_question_about_a_device(tmp_path: Path) -> None:
    line = gpu_line()
    line.events = [e for e in line.events if e["cat"] not in {"kernel", "cuda_runtime"}]
    found = explain(line.write(tmp_path / "t.json"), model="llama-3.1-8b", hardware="h100-sxm", seq_len=8)
    said = next(n.message for n in found.notes if n.code == "device-not-recorded")
    assert "ProfilerActivity.CUDA" in said
    assert {c.name for c in found.causes} == {"compute", "data_loader", "unattributed"}
    assert causes(found)["data_loader"] == 100.0
    assert sum(causes(found).values()) == pytest.approx(1_000.0)


def test_ranks_without_steps_or_collectives_in_common(tmp_path: Path) -> None:
    gpu_line(rank=0, world=2).write(tmp_path / "0.json")
    line = gpu_line(rank=1, world=2)
    line.events = [e for e in line.events if e["name"] != ALL_REDUCE]
    line.write(tmp_path / "1.json")
    assert "ranks-not-matched" in codes(explain(tmp_path))
    for event in line.events:
        event["name"] = event["name"].replace("ProfilerStep#", "ProfilerStep#9")
    line.write(tmp_path / "1.json")
    with pytest.raises(InvalidValue, match="no step is in the traces of all"):
        explain(tmp_path)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"skip": 4}, "skip must be less than the steps that there are"),
        ({"batch_size": 4}, "batch_size must be left out where no model is given"),
        ({"hardware": "h100-sxn"}, "h100-sxm"),
        ({"model": "lama-3.1-8b"}, "llama-3.1-8b"),
    ],
)
def test_a_mistake_in_the_question_is_told(trace: Path, question: dict[str, Any], words: str) -> None:
    with pytest.raises((InvalidValue, UnknownName), match=words):
        explain(trace, **question)


def test_what_else_lies_in_a_folder_is_told(tmp_path: Path) -> None:
    gpu_line().write(tmp_path / "trace.json")
    (tmp_path / "config.json").write_text('{"hidden_size": 4096}')
    assert any("config.json" in n.message for n in explain(tmp_path).notes if n.code == "files-left-out")
    (tmp_path / "trace.json").unlink()
    with pytest.raises(InvalidValue, match="of its 1 files that end so none is one"):
        explain(tmp_path)


def test_a_trace_that_holds_nothing_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "t.json"
    empty.write_text(json.dumps({"schemaVersion": 1, "traceEvents": []}))
    with pytest.raises(InvalidValue, match="was the profiler active"):
        explain(empty)
    with pytest.raises(InvalidValue, match="No such file"):
        explain(tmp_path / "none.json")


def test_products_beyond_the_peak_are_told(tmp_path: Path) -> None:
    """2 x 8192^3 FLOPs take 1.1 ms in bf16, and the kernel 0.5."""
    line = gpu_line()
    for number, event in enumerate(e for e in line.events if e["name"] == GEMM):
        sizes = {"Input Dims": [[8192, 8192], [8192, 8192]], "Input type": ["c10::BFloat16", "c10::BFloat16"]}
        line.event("cpu_op", "aten::mm", 10_100 * US, 10_101 * US, **{"External id": number + 1, **sizes})
        event["args"]["External id"] = number + 1
    found = explain(line.write(tmp_path / "t.json"))
    assert "beyond-peak" in codes(found)
    assert causes(found)["compute"] == 500.0


def test_a_step_with_little_work_does_not_refuse_the_others(tmp_path: Path) -> None:
    line = gpu_line(steps=5)
    line.step(5, 15_000 * US, 15_100 * US)
    line.kernel(GEMM, 15_000 * US, 15_010 * US, called=15_000 * US)
    found = explain(line.write(tmp_path / "t.json"), model="llama-3.1-8b", seq_len=8)
    last = found.steps[-1]
    assert last.causes["compute"] == pytest.approx(10e-6)
    assert sum(last.causes.values()) == pytest.approx(last.seconds)
