"""Logs with timers of Megatron-LM, DeepSpeed and vLLM, in the lines that these programs write."""

from __future__ import annotations

from pathlib import Path

import pytest
from timelines import codes

from mlsysim.errors import InvalidValue
from mlsysim.timeline.explain import explain

MEGATRON = """\
 [2023-05-01 10:00:00] iteration       10/ 1000 | elapsed time per iteration (ms): 5600.0 | global batch size: 192 |
(min, max) time across ranks (ms):
    forward-backward ...............................: (5164.84, 5177.15)
    forward-compute ................................: (2584.92, 2735.66)
    backward-compute ...............................: (2323.13, 2386.40)
    batch-generator ................................: (408.98, 817.78)
    grads-all-reduce ...............................: (193.33, 223.63)
    optimizer-inner-step ...........................: (17.63, 17.73)
    optimizer ......................................: (72.92, 73.13)
 [2023-05-01 10:00:56] iteration       20/ 1000 | elapsed time per iteration (ms): 5600.0 | global batch size: 192 |
(min, max) time across ranks (ms):
    forward-compute ................................: (2584.92, 2735.66)
    backward-compute ...............................: (2323.13, 2386.40)
    batch-generator ................................: (408.98, 817.78)
    grads-all-reduce ...............................: (193.33, 223.63)
    optimizer ......................................: (72.92, 73.13)
"""
OLD_MEGATRON = """\
 iteration       30/ 1000000 | consumed samples: 120 | elapsed time per iteration (ms): 200.0 | lm loss: 1.0 |
time (ms) | forward-compute: 58.16 | backward-compute: 42.66 | backward-params-all-reduce: 21.43 |\
 backward-reduce-model-grads: 21.52 | optimizer-inner-step: 46.00 | optimizer: 57.50 | batch-generator: 5.24
"""
DEEPSPEED = """\
[2023-06-21 07:39:09] [INFO] [Rank 0] rank=0 time (ms) | forward_microstep: 27.48 |\
 backward_microstep: 73.59 | backward_inner_microstep: 51.05 |\
 backward_allreduce_microstep: 22.49 | step_microstep: 72.59
[2023-06-21 07:39:09] [INFO] [Rank 0] rank=0 time (ms) | forward: 27.41 | backward: 73.44 |\
 backward_inner: 50.99 | backward_allreduce: 22.40 | step: 72.82
"""
VLLM = (
    "(EngineCore_DP0 pid=1) INFO 12-22 21:44:40 [core.py:349] Iteration({n}): 0 context requests, 0 context tokens,"
    " 20 generation requests, 20 generation tokens, iteration elapsed time: {ms} ms\n"
)


def parts(text: str, folder: Path) -> dict[str, float]:
    found = explain(write(text, folder))
    return {f"{c.name}/{p.name}": round(p.seconds * 1e3, 3) for c in found.causes for p in c.parts}


def write(text: str, folder: Path) -> Path:
    path = folder / "train.log"
    path.write_text(text)
    return path


def test_timers_of_megatron_are_laid_side_by_side(tmp_path: Path) -> None:
    """The data come within the forward pass; what gradients take beyond the fastest rank is waiting."""
    passes = 2735.66 + 2386.40 - 817.78
    assert parts(MEGATRON, tmp_path) == {
        "data_loader/loading": 817.78,
        "communication/transfer": 193.33,
        "communication/skew": pytest.approx(223.63 - 193.33),
        "memory_bound/optimizer": 73.13,
        "unattributed/forward and backward passes": pytest.approx(passes),
        "unattributed/outside the timers": pytest.approx(5600 - 817.78 - 223.63 - 73.13 - passes),
    }
    found = explain(write(MEGATRON, tmp_path))
    assert [step.index for step in found.steps] == [10, 20]
    assert "steps-missing" not in codes(found)  # each tenth is told
    assert found.purpose == "training"


def test_the_older_line_of_megatron(tmp_path: Path) -> None:
    assert parts(OLD_MEGATRON, tmp_path) == {
        "data_loader/loading": 5.24,
        "communication/transfer": 21.43,
        "memory_bound/optimizer": 57.5,
        "unattributed/forward and backward passes": pytest.approx(58.16 + 42.66 - 5.24),
        "unattributed/outside the timers": pytest.approx(200 - 58.16 - 42.66 - 21.43 - 57.5),
    }


def test_deepspeed_tells_no_time_of_a_step_but_that_of_its_parts(tmp_path: Path) -> None:
    found = explain(write(DEEPSPEED, tmp_path))
    assert found.measured_s == pytest.approx((27.41 + 50.99 + 22.40 + 72.82) * 1e-3)
    assert found.seconds("communication") == pytest.approx(22.40e-3)


def test_iterations_of_vllm_against_a_model(tmp_path: Path) -> None:
    log = write("".join(VLLM.format(n=n, ms=ms) for n, ms in ((515, 10.99), (516, 10.95))), tmp_path)
    question = {"phase": "decode", "batch_size": 20, "context": 1000}
    found = explain(log, model="llama-3.1-8b", hardware="h100-sxm", **question)
    assert found.measured_s == pytest.approx(10.97e-3)
    assert found.ideal_s == pytest.approx(found.facts["flops"] / 989e12, rel=1e-3)
    assert {c.name for c in found.causes} == {"compute", "unattributed"}
    assert "device-not-recorded" not in codes(found)


def test_timers_that_take_longer_than_the_step_are_told(tmp_path: Path) -> None:
    found = explain(write(MEGATRON.replace("5600.0", "4000.0"), tmp_path))
    assert "timers-overlap" in codes(found)
    assert sum(c.seconds for c in found.causes) == pytest.approx(4.0)


def test_a_log_without_timers_is_no_trace(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="mlsysim calibrate"):
        explain(write(MEGATRON.split("(min", maxsplit=1)[0], tmp_path))
