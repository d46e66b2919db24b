"""Predictions: what they rest on, when their interval widens, and that a sweep finds no step in them."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim import Engine, Hardware
from mlsysim.efficiency.equations import EQUATIONS
from mlsysim.efficiency.explain import savings
from mlsysim.efficiency.fitted import Spread, combined, known_parameters, spreads
from mlsysim.efficiency.predict import prediction, served
from mlsysim.scenario import Scenario


def codes(result):
    return [n.code for n in result.notes]


def message(result, code):
    return next(n.message for n in result.notes if n.code == code)


def test_a_predicted_time_is_that_of_the_equation_within_its_interval():
    result = Engine.solve("llama-3.1-8b", "h100", phase="decode")
    p = prediction(Scenario.of("llama-3.1-8b", "h100", phase="decode"))
    assert result.time_s.value == pytest.approx(p.seconds, rel=1e-9)
    low, high = p.ends
    assert result.time_s.low == pytest.approx(p.seconds * low, rel=1e-9)
    assert result.time_s.high == pytest.approx(p.seconds * high, rel=1e-9)
    rows = spreads()["decode_b1", ""].rows
    assert f"{rows:,} published measurements" in message(result, "predicted-from-evidence")


def test_a_decode_step_by_hand():
    # Llama 3.1 8B in bf16 on one H100, from the fitted parameters and the ledger: weights of 7.50 G parameters in
    # matrices and head, read at a share of 3.35 TB/s, and the layers' fixed time, which together are most of it.
    case = prediction(Scenario.of("llama-3.1-8b", "h100", phase="decode")).case
    p = known_parameters(case.equation, tuple(case.levels.items()))
    assert case.x["weights_s"] == pytest.approx(2 * 7.504e9 / 3.35e12, rel=1e-3)
    assert case.x["layers"] == 32
    parts = case.x["weights_s"] / p["memory.fraction"] + 32 * p["overhead.layer"] + p["overhead.step"]
    seconds = EQUATIONS["step"].seconds(case.x, p)
    assert parts < seconds < 1.25 * parts


def test_decode_between_1_and_32_goes_from_alone_to_served_by_hand():
    # 8 = 2^3 is three fifths of the way from 1 to 32 = 2^5, in logarithms.
    found = prediction(Scenario.of("llama-3.1-8b", "h100", phase="decode", batch_size=8))
    alone, many = (
        EQUATIONS["step"].seconds(found.case.x, known_parameters("step", tuple(levels.items())))
        for levels in (found.case.levels, served(found.case.levels))
    )
    assert found.seconds == pytest.approx(alone**0.4 * many**0.6, rel=1e-9)


def test_what_was_never_measured_widens_the_interval():
    known = Engine.solve("llama-3-8b", "rtx-4090", phase="decode", precision="fp16").time_s
    other = Engine.solve("llama-3-8b", "rtx-5080", phase="decode", precision="fp16")
    assert other.time_s.high / other.time_s.low > known.high / known.low
    assert "no rtx-5080 is" in message(other, "predicted-from-evidence")


def test_intervals_of_two_things_that_are_new_add_in_squares():
    table = {
        ("r", ""): Spread(-0.3, 0.4, 9),
        ("r", "model"): Spread(-0.5, 0.5, 9),
        ("r", "hardware"): Spread(-0.3, 0.5, 9),
    }
    assert combined("r", (), table) == pytest.approx((-0.3, 0.4))
    assert combined("r", ("model",), table) == pytest.approx((-0.5, 0.5))
    low, high = combined("r", ("model", "hardware"), table)
    assert (low, high) == pytest.approx((-0.5, math.sqrt(0.16 + 0.09 + 0.09)))


def test_where_no_equation_answers_published_percentiles_do():
    result = Engine.solve("resnet-50", "epyc-9654")
    assert "no fitted equation answers for epyc-9654" in message(result, "predicted-from-evidence")


def test_an_explanation_names_ceiling_and_causes():
    text = " ".join(str(Engine.solve("llama-3.1-8b", "h100", phase="decode").explain()).split())
    assert "ceiling" in text
    assert "traffic sets the floor" in text
    assert "overhead.layer" in text
    stated = Engine.solve("llama-3.1-8b", "h100", phase="decode", efficiency=0.002).explain()
    assert "overhead.layer" not in str(stated)


def test_what_ideal_parameters_would_save_is_of_the_plan_that_was_asked():
    text = str(Engine.solve("llama-3.1-70b", "h100", phase="decode", devices=8, plan="tp1").explain())
    assert "link.latency" not in text
    assert "link.latency" in str(Engine.solve("llama-3.1-70b", "h100", phase="decode", devices=8).explain())


def test_what_an_ideal_parameter_saves_between_two_cases_by_hand():
    # 8 sequences are three fifths of the way from one alone to many served; so is the time without layers' fixed time.
    found = prediction(Scenario.of("llama-3.1-8b", "h100", phase="decode", batch_size=8))
    left = 1.0
    for case, weight in found.parts:
        p = known_parameters("step", tuple(case.levels.items()))
        whole = EQUATIONS["step"].seconds(case.x, p)
        left *= ((whole - 32 * p["overhead.layer"]) / whole) ** weight
    (layer,) = (s for s in savings(found.parts) if s.name == "overhead.layer")
    assert layer.share == pytest.approx(1 - left, rel=1e-9)


def test_the_evidence_of_an_answer_is_the_nearest():
    rows = Engine.solve("llama-3-8b", "rtx-4090", phase="decode", precision="fp16").evidence
    assert rows[0].hardware == "rtx-4090"
    assert rows[0].model == "llama-3-8b"
    assert rows[0].source_url.startswith("https://")


@settings(deadline=None)
@given(
    model=st.sampled_from(["llama-3.1-8b", "llama-3.1-70b", "mixtral-8x7b", "deepseek-v3", "gpt2", "resnet-50"]),
    hardware=st.sampled_from(["h100", "l4", "mi300x", "tpu-v5e", "apple-m2-ultra", "rtx-4090", "v100"]),
    phase=st.sampled_from(["forward", "decode", "training"]),
    batch=st.sampled_from([1, 3, 8, 64, 512]),
    devices=st.sampled_from([1, 2, 8, 64]),
)
def test_nothing_is_predicted_above_its_ceiling(model, hardware, phase, batch, devices):
    if model == "resnet-50" and phase == "decode":
        phase = "forward"
    result = Engine.solve(model, hardware, phase=phase, batch_size=batch, devices=devices)
    eta = result.efficiency
    assert 0 < eta.low <= eta.achieved <= eta.high <= eta.ceiling <= 1
    assert result.time_s.low <= result.time_s.value <= result.time_s.high < math.inf
    assert math.fsum(result.breakdown_s.values()) == result.time_s.value


@settings(deadline=None)
@given(
    model=st.sampled_from(["llama-3.1-8b", "gpt2", "resnet-50", "ds-cnn"]),
    hardware=st.sampled_from(["h100", "a100", "l4", "mi300x", "tpu-v5e", "apple-m2-ultra"]),
    phase=st.sampled_from(["forward", "decode", "training"]),
    batch=st.integers(1, 300),
)
def test_one_more_in_the_batch_never_takes_less_time(model, hardware, phase, batch):
    if model in {"resnet-50", "ds-cnn"} and phase == "decode":
        phase = "forward"
    one, more = (Engine.solve(model, hardware, phase=phase, batch_size=b).time_s for b in (batch, batch + 1))
    assert more.value >= one.value * (1 - 1e-9)


@settings(deadline=None)
@given(st.sampled_from(["h100", "a100", "l4", "mi300x"]), st.integers(1, 4000))
def test_one_more_token_in_a_prompt_never_takes_less_time(hardware, tokens):
    one, more = (Engine.solve("llama-3.1-8b", hardware, seq_len=n).time_s for n in (tokens, tokens + 1))
    assert more.value >= one.value * (1 - 1e-9)


@pytest.mark.parametrize("name", [n for n in Hardware if Hardware.row(n)["kind"] == "gpu"][::4])
def test_every_gpu_has_an_answer(name):
    spec = Hardware[name]
    result = Engine.solve("llama-3.1-8b", spec, phase="decode", precision=spec.default_precision)
    assert result.time_s.value > 0
