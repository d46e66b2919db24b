"""Conventions of counting FLOPs: by hand, against a published pair, and as round trips."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsysim import Models, Workload, calibrate
from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.models.conventions import CONVENTIONS, converted


def counted(name, **more):
    return Workload.of(name, phase="training", **more).flops_by_convention()


def test_each_convention_by_hand():
    # Llama 2 7B, two sequences of 4,096 tokens: 32 layers of 32 heads of 128.
    m, tokens = Models["llama-2-7b"], 2 * 4096
    found = counted(m, batch_size=2, seq_len=4096)
    matrices = 6 * m.matmul_parameters * tokens
    causal = 3 * 4 * 32 * 32 * 128 * 2 * 4096 * 4097 / 2
    assert found["6n"] == matrices
    assert found["causal"] == pytest.approx(matrices + causal, rel=1e-12)
    # PaLM appendix B: 12 L H Q T a token.
    assert found["full-attention"] == pytest.approx(matrices + 12 * 32 * 32 * 128 * 4096 * tokens, rel=1e-12)
    # Everything but the head is computed once more.
    head = 6 * 4096 * 32000 * tokens
    assert found["hardware"] == pytest.approx(found["causal"] + (found["causal"] - head) / 3, rel=1e-12)


def test_what_is_recomputed_is_what_is_asked():
    none, selective, full = (counted("gpt3-175b", recompute=r)["hardware"] for r in ("none", "selective", "full"))
    base = counted("gpt3-175b")["causal"]
    assert none == base
    assert base < selective < full < base * 4 / 3
    assert counted("gpt3-175b", recompute="none", lora_rank=8)["hardware"] < base


def test_hardware_over_model_flops_as_published():
    # Narayanan et al. 2021 (arXiv:2104.04473): 96 B s l h^2 (1 + s/6h + V/16lh) with full recomputation and all
    # full, against 72 B s l h^2 (...) of model FLOPs: 4/3 but for the head. Here attention is causal, so a little less.
    found = counted("gpt3-175b", seq_len=2048)
    assert found["hardware"] / found["causal"] == pytest.approx(4 / 3, rel=0.003)


@given(given=st.sampled_from(CONVENTIONS), wanted=st.sampled_from(CONVENTIONS), eta=st.floats(0.01, 0.6))
def test_conversion_goes_there_and_back(given, wanted, eta):
    flops = {"causal": 1.0, "full-attention": 1.1, "6n": 0.9, "hardware": 1.3}
    assert converted(converted(eta, flops, given, wanted), flops, wanted, given) == pytest.approx(eta, rel=1e-14)


def test_a_stated_mfu_of_another_convention_is_converted():
    run = {"model": "gpt3-175b", "hardware": "a100-sxm-80gb", "phase": "training", "batch_size": 1536, "devices": 1024}
    stated = calibrate(efficiency=0.5, convention="hardware", **run)
    flops = counted("gpt3-175b", batch_size=1536)
    assert stated.efficiency.value == pytest.approx(0.5 * flops["causal"] / flops["hardware"], rel=1e-12)
    assert [n.code for n in stated.notes if n.code.startswith("convention")] == ["convention-converted"]
    plain = calibrate(efficiency=0.5, **run)
    assert plain.efficiency.value == pytest.approx(0.5)
    told = next(n.message for n in plain.notes if n.code == "convention-assumed")
    assert "'hardware' times 0.75" in told


def test_a_convention_without_an_mfu_or_unknown():
    run = {"model": "gpt2", "hardware": "h100", "phase": "training"}
    with pytest.raises(InvalidValue, match="convention must be left out where no efficiency is given"):
        calibrate(throughput="1000 tok/s", convention="6n", **run)
    with pytest.raises(UnknownName, match="unknown convention 'full': did you mean full-attention"):
        calibrate(efficiency=0.3, convention="full", **run)
