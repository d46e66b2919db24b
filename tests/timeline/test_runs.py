"""Which files are of one run, and what makes a reader doubt an answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from timelines import GEMM, US, Timeline, causes, codes, gpu_line

from mlsysim.errors import ImpossibleMeasurement, InvalidValue
from mlsysim.timeline.explain import explain

BF16 = ["c10::BFloat16", "c10::BFloat16"]


def sized(line: Timeline, size: int, kind: list[str] = BF16) -> Timeline:
    """Give every product of a timeline the sizes of a square one."""
    for number, event in enumerate([e for e in line.events if e["name"] == GEMM], 1):
        event["args"]["External id"] = number
        operands = {"Input Dims": [[size, size], [size, size]], "Input type": kind}
        line.event("cpu_op", "aten::mm", 10_100 * US, 10_101 * US, **{"External id": number, **operands})
    return line


def said(found: object, code: str) -> str:
    return next(note.message for note in found.notes if note.code == code)  # type: ignore[attr-defined]


def test_cycles_of_one_profiler_are_one_run(tmp_path: Path) -> None:
    """As a profiler with a schedule that repeats leaves them: a file a cycle, steps that go on."""
    for cycle in range(2):
        line = gpu_line(steps=2)
        for event in line.events:
            if event["name"].startswith("ProfilerStep#"):
                event["name"] = f"ProfilerStep#{int(event['name'][-1]) + 10 * cycle}"
        line.write(tmp_path / f"cycle{cycle}.json")
    found = explain(tmp_path)
    assert [step.index for step in found.steps] == [0, 1, 10, 11]
    assert found.devices == 1
    assert not found.ranks


def test_files_that_do_not_say_their_rank_are_not_one_run(tmp_path: Path) -> None:
    paths = [gpu_line().write(tmp_path / f"{name}.json") for name in "abc"]
    with pytest.raises(InvalidValue, match="none says its rank"):
        explain(paths)


def test_ranks_whose_collectives_do_not_keep_step_are_doubted(tmp_path: Path) -> None:
    gpu_line(rank=0, world=2).write(tmp_path / "0.json")
    line = gpu_line(rank=1, world=2)
    for event in line.events:  # the same steps, of a run that is half as fast
        event["ts"], event["dur"] = event["ts"] * 2, event["dur"] * 2
    line.write(tmp_path / "1.json")
    found = explain(tmp_path)
    assert "Are these ranks of one run?" in said(found, "ranks-not-matched")
    assert found.seconds("communication", "skew") == 0.0


def test_one_rank_of_several_cannot_tell_waiting_from_transfer(tmp_path: Path) -> None:
    found = explain(gpu_line(rank=0, world=8).write(tmp_path / "0.json"))
    assert "1 of 8 ranks" in said(found, "ranks-missing")
    assert found.seconds("communication", "transfer and waiting") == pytest.approx(200e-6)
    assert not any(w.cause == "communication" for w in found.suggestions())


def test_steps_of_two_optimizers_are_those_of_one(tmp_path: Path) -> None:
    line = gpu_line(steps=5)
    for event in line.events:
        if "ProfilerStep" in event["name"]:
            event["name"] = "Optimizer.step#Adam.step"
    for number in range(5):
        at = 10_000 * US + number * 1_000 * US
        line.event("user_annotation", "Optimizer.step#SGD.step", at + 300 * US, at + 500 * US)
    found = explain(line.write(tmp_path / "t.json"))
    assert found.measured_s == pytest.approx(1e-3)
    assert len(found.steps) == 4
    assert "between two ends of `Optimizer.step#" in said(found, "steps-by-update")


def test_what_lies_outside_the_steps_is_told(tmp_path: Path) -> None:
    line = gpu_line()
    line.kernel(GEMM, 0, 10 * US, called=0)
    assert "14 ms" in said(explain(line.write(tmp_path / "t.json")), "outside-steps")


def test_products_faster_than_the_peak_give_no_ideal_and_the_reason(tmp_path: Path) -> None:
    """2 x 8192^3 FLOPs take 1.1 ms in bf16 on an H100, and each kernel 0.5."""
    found = explain(sized(gpu_line(), 8192).write(tmp_path / "t.json"))
    assert found.ideal_s is None
    assert "faster" in said(found, "beyond-peak")
    assert "faster than h100-sxm can" in found.no_ideal
    assert causes(found)["compute"] == 500.0


def test_a_precision_without_a_peak_is_named(tmp_path: Path) -> None:
    found = explain(sized(gpu_line(), 2048).write(tmp_path / "t.json"), hardware="v100-sxm-32gb")
    assert found.ideal_s is None
    assert "no published peak in bf16" in found.no_ideal
    assert "v100-sxm-32gb" in said(found, "stated-over-log")


def test_a_model_that_the_sizes_contradict_is_doubted(tmp_path: Path) -> None:
    """A product of 2048 is 17 GFLOP a step, a step of llama-3.1-8b on 8 tokens 360."""
    trace = sized(gpu_line(), 2048).write(tmp_path / "t.json")
    assert "17.2 GFLOP a step" in said(explain(trace, model="llama-3.1-8b", seq_len=8), "model-differs")
    with pytest.raises(ImpossibleMeasurement, match="another model, batch or length ran"):
        explain(trace, model="llama-3.1-8b", seq_len=64)


def test_some_products_without_size_leave_eta_a_lower_bound(tmp_path: Path) -> None:
    line = sized(gpu_line(steps=2), 2048)
    line.events[-1]["args"].pop("Input Dims")
    found = explain(line.write(tmp_path / "t.json"))
    assert "at least" in said(found, "operators-unsized")
    assert found.eta == pytest.approx(found.causes[0].share)
    assert found.seconds("unattributed", "matrix products of unknown size") == pytest.approx(250e-6)


def test_steps_behind_the_end_of_a_cut_file_are_left_out(tmp_path: Path) -> None:
    text = gpu_line(steps=8).write(tmp_path / "whole.json").read_text()
    cut = tmp_path / "cut.json"
    cut.write_text(text[: text.index("ProfilerStep#5")])
    found = explain(cut)
    assert [step.index for step in found.steps] == [0, 1, 2, 3, 4]
    assert causes(found)["data_loader"] == 100.0
    cut.write_text(text[: text.index("ProfilerStep#0") + 200])
    with pytest.raises(InvalidValue, match="trace"):
        explain(cut)


def test_durations_that_are_no_numbers_lose_no_others(tmp_path: Path) -> None:
    line = sized(gpu_line(), 2048)
    plain = explain(line.write(tmp_path / "plain.json"))
    line.kernel(GEMM, 20_000 * US, 20_001 * US)
    text = (
        line.write(tmp_path / "t.json")
        .read_text()
        .replace('"dur": 1.0, "args": {"device"', '"dur": NaN, "args": {"device"')
    )
    assert "NaN" in text
    (tmp_path / "t.json").write_text(text)
    found = explain(tmp_path / "t.json")
    assert causes(found) == causes(plain)
    assert "1 event without a duration" in said(found, "events-left-out")
    assert codes(plain) <= codes(found)
