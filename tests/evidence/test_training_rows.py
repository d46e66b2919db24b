"""Rows of training of sequence models, and the equation of an optimizer step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlsysim.efficiency.equations import training
from mlsysim.efficiency.equations.plan import plan_of
from mlsysim.evidence.measurement import Refused
from mlsysim.evidence.training_rows import counted_flops, engine_of, training_measurement
from mlsysim.scenario import Scenario
from mlsysim.setup import Setup

FIELDS = """
id source_url source_locator published model family params_b active_params_b layers hidden heads kv_heads ffn vocab
seq_len global_batch micro_batch hardware num_devices precision tp pp dp cp ep zero recompute framework metric value
reported_mfu flops_convention notes task reported_tflops provenance
"""
LLAMA = {
    "id": "example-1",
    "model": "Llama 2 7B",
    "family": "llama2-7b",
    "params_b": "6.738",
    "active_params_b": "6.738",
    "layers": "32",
    "hidden": "4096",
    "heads": "32",
    "kv_heads": "32",
    "ffn": "11008",
    "vocab": "32000",
    "seq_len": "4096",
    "global_batch": "64",
    "micro_batch": "1",
    "hardware": "a100-sxm-80gb",
    "num_devices": "8",
    "precision": "bf16",
    "framework": "Megatron-LM",
    "metric": "tokens_per_s_per_device",
    "value": "3000",
    "task": "pretrain",
}
MATRICES = 32 * (4 * 4096**2 + 3 * 4096 * 11008)
HEAD = 32000 * 4096
TOKENS = 64 * 4096


def row(**changes: str) -> dict[str, str]:
    return {**dict.fromkeys(FIELDS.split(), ""), **LLAMA, **changes}


def test_seconds_of_rates() -> None:
    assert training_measurement(row()).seconds == pytest.approx(TOKENS / (8 * 3000))
    samples = row(metric="samples_per_s_per_device", value="0.5")
    assert training_measurement(samples).seconds == pytest.approx(64 / (8 * 0.5))
    step = training_measurement(row(metric="step_time_s", value="12"))
    assert (step.seconds, step.rate) == (12, False)


@pytest.mark.parametrize(("identifier", "pairs"), [("megatron-llama-9", 4096**2), ("mbridge-9", 4096 * 4097 / 2)])
def test_model_flops_with_attention(identifier: str, pairs: float) -> None:
    found = training_measurement(row(id=identifier, metric="tflops_per_device", value="150"))
    flops = 6 * TOKENS * (MATRICES + HEAD) + 12 * 64 * 32 * 4096 * pairs
    assert found.seconds == pytest.approx(flops / (8 * 150e12), rel=1e-6)


def test_mfu_is_over_the_peak_of_the_precision() -> None:
    rate = training_measurement(row(metric="tflops_per_device", value="156"))
    share = training_measurement(row(metric="mfu", value="0.5"))
    assert share.seconds == pytest.approx(rate.seconds)


def test_hardware_flops_count_the_forward_pass_again_but_not_the_head() -> None:
    plain = row(metric="tflops_per_device", value="150", recompute="full")
    question = training_measurement(plain).question
    model = counted_flops(plain, question)
    head = 6 * TOKENS * HEAD
    hardware = counted_flops({**plain, "flops_convention": "hfu"}, question)
    assert hardware == pytest.approx((model - head) * 4 / 3 + head)


def test_plan_and_names() -> None:
    found = training_measurement(row(tp="2", pp="2", notes="container 26.02.01; VP=4; FSDP=0"))
    assert found.setup == Setup("megatron", "26.02.01", tp=2, pp=2, dp=2, vpp=4, micro_batch=1)
    assert (found.regime, found.model, found.hardware) == ("training-dense", "llama2-7b", "a100-sxm-80gb")
    assert found.repair == ""
    assumed = training_measurement(row(global_batch="", seq_len=""))
    assert "batch not published" in assumed.repair
    assert "length not published" in assumed.repair


@pytest.mark.parametrize(
    ("framework", "engine"),
    [
        ("llm-foundry (PyTorch FSDP/Composer)", "fsdp"),
        ("Megatron-Bridge (NeMo)", "nemo"),
        ("Megatron-DeepSpeed", "deepspeed"),
        ("MLPerf v4.1 Google", "maxtext"),
        ("MLPerf v4.1 Dell", "mlperf"),
        ("Intel Gaudi Megatron-DeepSpeed/Megatron-LM", "gaudi"),
    ],
)
def test_engines(framework: str, engine: str) -> None:
    assert engine_of(framework) == engine


def test_regimes() -> None:
    assert training_measurement(row(task="lora")).question.modifiers.trained.lora_rank == 16
    mixture = row(family="qwen3-30b-a3b", layers="48", params_b="30.532", active_params_b="3.353", value="2000")
    assert training_measurement(mixture).regime == "training-moe"
    encoder = training_measurement(row(family="bert-large", layers="24", seq_len="512", value="20000"))
    assert encoder.regime == "training-encoder"
    assert not encoder.question.model.causal
    assert encoder.question.model.outputs == 30522


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"family": "resnet50"}, "a network"),
        ({"family": "mlperf-bert"}, "without padding"),
        ({"family": "t5"}, "an encoder and a decoder"),
        ({"notes": "SUSPECT"}, "suspect"),
        ({"value": "100000"}, "faster than the peak"),
        ({"hardware": "abacus"}, "hardware not in the registry"),
        ({"metric": "step_time_s", "global_batch": ""}, "step time without batch"),
        ({"family": "x", "model": "x", "active_params_b": "1"}, "mixture of experts of unknown"),
        ({"family": "x", "layers": "", "params_b": "", "active_params_b": "", "model": "x"}, "neither an architecture"),
    ],
)
def test_refused(changes: dict[str, str], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        training_measurement(row(**changes))


def scenario(**changes: Any) -> Scenario:
    asked = {"phase": "training", "precision": "bf16", "devices": 8, "batch_size": 64, "seq_len": 4096}
    return Scenario.of("llama-2-7b", "a100-sxm-80gb", **{**asked, "recompute": "selective", **changes})


SETUP = Setup("megatron", tp=2, pp=2, dp=2, micro_batch=1)
PLAIN = {
    **dict.fromkeys(training.NAMES, 0.0),
    "gemm.eta": 0.5,
    "attention.eta": 0.25,
    "memory.fraction": 1.0,
    "link.fraction": 1.0,
    "training.network": 1.0,
    "training.experts": 1.0,
    "training.bubble": 1.0,
}


def test_a_step_by_hand() -> None:
    x = training.case(scenario(), SETUP).x
    gemm = 6 * TOKENS * (MATRICES + HEAD) / (8 * 312e12)
    attention = 3.5 / 3 * 12 * 64 * 32 * 4096 * (4096 * 4097 / 2) / (8 * 312e12)  # 2 products forward, 5 backward
    logits = 14.5 * 32000 * TOKENS / 8 / 2039e9
    work = (gemm / 0.5 + attention / 0.25 + logits) * (1 + 1 / 32)  # 2 stages, 32 micro-batches
    shard = 6738415616 / 4
    sent = 4 * shard / 2 / 300e9  # half of gradients and weights, 2 B each, to one other device of the node
    step = work + sent**2 / (sent + work) + 26 * shard / 2 / 2039e9
    assert training.seconds(x, PLAIN) == pytest.approx(step, rel=1e-4)


def test_floats_and_arrays_agree() -> None:
    cases = [training.case(scenario(batch_size=n), SETUP).x for n in (64, 128)]
    columns = {k: np.array([c[k] for c in cases]) for k in cases[0]}
    assert training.seconds(columns, PLAIN) == pytest.approx([training.seconds(c, PLAIN) for c in cases])


def test_more_work_takes_longer() -> None:
    everything = {**PLAIN, **{n: 1e-5 if n.startswith("overhead") else PLAIN[n] or 0.1 for n in training.NAMES}}

    def step(**changes: Any) -> float:
        return float(training.seconds(training.case(scenario(**changes), SETUP).x, everything))

    batches = [step(batch_size=n) for n in (8, 64, 128, 1024)]
    lengths = [step(seq_len=n) for n in (512, 2048, 4096, 32768)]
    assert batches == sorted(batches)
    assert lengths == sorted(lengths)
    assert step(recompute="full") > step()
    assert step(lora_rank=16) < step()
    assert step(devices=16) < step()


def test_unknown_plans_fit_in_memory_and_use_no_more_replicas_than_sequences() -> None:
    small = plan_of(scenario(), Setup("fsdp"))
    assert (small.tp, small.pp, small.dp, small.zero) == (1, 1, 8, 3)
    large = Scenario.of("llama-3.1-405b", "h100-sxm", phase="training", devices=1024, batch_size=512, seq_len=8192)
    plan = plan_of(large, Setup("megatron"))
    assert plan.tp == 8
    assert plan.tp * plan.pp * plan.dp == 1024
    assert 405e9 * 4 / (plan.tp * plan.pp) < 80e9
    few = Scenario.of("llama-2-7b", "h100-sxm", phase="training", devices=1024, batch_size=4, seq_len=4096)
    assert plan_of(few, Setup("megatron")).dp <= 4
