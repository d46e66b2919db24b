"""Engine.solve: answers by hand, the contract of Result, laws, and bad input."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim import Engine, Hardware, Models
from mlsysim.errors import Infeasible, InvalidValue, Problems, UnknownName, UnsupportedPrecision, UsageError

LANGUAGE = ["llama-3.1-8b", "llama-3.1-70b", "gpt2", "mistral-7b", "opt-1.3b"]
DEVICES = ["a100", "h100", "b200", "l4", "tpu-v5p", "mi300x"]
PHASES = ["forward", "decode", "training"]

questions = st.fixed_dictionaries(
    {
        "model": st.sampled_from(LANGUAGE),
        "hardware": st.sampled_from(DEVICES),
        "phase": st.sampled_from(PHASES),
        "batch_size": st.integers(1, 2048),
        "devices": st.integers(1, 64),
        "efficiency": st.one_of(st.none(), st.floats(min_value=1e-5, max_value=1.0)),
    }
)


def documented():
    return Engine.solve(
        model=Models.LLAMA_3_1_70B, hardware=Hardware.H100, batch_size=32, precision="fp16", efficiency=0.45
    )


def test_the_documented_question_by_hand():
    result = documented()
    m = Models.LLAMA_3_1_70B
    # 32 prompts of 2,048 tokens: 2 FLOPs a layer weight and token, the head once a prompt, causal attention.
    tokens = 32 * 2048
    flops = 2 * tokens * 80 * (8192 * 10240 + 8192 * 8192 + 3 * 8192 * 28672)
    flops += 2 * 32 * 8192 * 128256 + 4 * 32 * (2048 * 2049 / 2) * 64 * 128 * 80
    assert result.flops == flops
    assert result.time_s.value == pytest.approx(flops / (989e12 * 0.45), rel=1e-12)
    assert result.throughput.value == pytest.approx(tokens / result.time_s.value, rel=1e-12)
    assert result.efficiency.kind == "assumed"
    assert result.efficiency.achieved == pytest.approx(0.45, rel=1e-12)
    assert result.efficiency.ceiling == 1.0
    assert result.bound == "compute"
    assert result.memory.needed["weights"] == 2 * m.parameters
    assert result.memory.needed["kv_cache"] == tokens * 320 * 1024
    assert not result.fits


@pytest.mark.parametrize("model", ["llama-3.1-70b", "LLAMA_3_1_70B", "Llama 3.1 70B"])
@pytest.mark.parametrize("hardware", ["h100", "H100-SXM", "h100_sxm"])
def test_names_do_as_well_as_objects(model, hardware):
    assert (
        Engine.solve(model, hardware, batch_size=32, precision="FP16", efficiency=0.45).to_dict()
        == documented().to_dict()
    )


def test_json_contract():
    data = json.loads(json.dumps(documented().to_dict(), allow_nan=False))
    assert set(data["time_s"]) == {"value", "low", "high"}
    assert set(data["throughput"]) == {"value", "low", "high", "unit"}
    assert set(data["efficiency"]) == {"kind", "asked", "ceiling", "achieved", "attainment", "low", "high"}
    assert data["bound"] in {"compute", "memory", "network", "overhead"}
    assert {"weights", "kv_cache", "activations"} <= set(data["memory_bytes"])
    assert data["fits"] is False
    assert all(set(n) == {"code", "message"} for n in data["notes"])
    assert {"breakdown_s", "flops", "peak_flops", "defaults", "remedies", "energy_j", "cost_usd"} <= set(data)


def test_what_does_not_fit_says_what_would():
    result = documented()
    note = next(n for n in result.notes if n.code == "does-not-fit")
    assert "needs 172 GB and there are 80 GB: 92.2 GB missing" in note.message
    assert "devices: 3 x h100-sxm (240 GB in all)" in result.remedies
    assert "hardware: b200 (180 GB)" in result.remedies


def test_every_remedy_fits_and_a_smaller_change_does_not():
    question = {
        "model": "llama-3.1-8b",
        "hardware": "rtx-4090",
        "phase": "decode",
        "batch_size": 32,
        "precision": "fp16",
    }
    remedies = dict(r.split(": ", 1) for r in Engine.solve(**question).remedies)
    assert Engine.solve(**{**question, "batch_size": int(remedies["batch_size"])}).fits
    assert not Engine.solve(**{**question, "batch_size": int(remedies["batch_size"]) + 1}).fits
    assert Engine.solve(**{**question, "context": int(remedies["context"])}).fits
    assert not Engine.solve(**{**question, "context": int(remedies["context"]) + 1}).fits
    assert Engine.solve(**{**question, "precision": remedies["precision"]}).fits
    devices = int(remedies["devices"].split(" x ")[0])
    assert Engine.solve(**question, devices=devices).fits
    assert not Engine.solve(**question, devices=devices - 1).fits
    assert Engine.solve(**{**question, "hardware": remedies["hardware"].split(" (")[0]}).fits


@pytest.mark.parametrize(
    ("model", "hardware", "precision", "batch_size"),
    [("mobilenet-v1-0.25-96", "nrf52840", "int8", 7), ("llama-3.1-70b", "h100", "bf16", 1)],
)
def test_the_device_that_would_fit_is_the_smallest_that_does(model, hardware, precision, batch_size):
    question = {"model": model, "precision": precision, "batch_size": batch_size}
    remedies = dict(r.split(": ", 1) for r in Engine.solve(hardware=hardware, **question).remedies)
    kind = Hardware[hardware].kind
    able = [Hardware[n] for n in Hardware if Hardware[n].kind == kind and Hardware[n].supports(precision)]
    sizes = {d.name: d.memory.value for d in able if d.memory and Engine.solve(hardware=d, **question).fits}
    assert sizes[remedies["hardware"].split(" (")[0]] == min(sizes.values())


def test_an_eta_above_the_ceiling_is_answered_with_the_floor():
    result = Engine.solve("llama-3.1-8b", "h100", phase="decode", efficiency=0.5)
    # 7.5 G weights of the matrices, and norms, and the cache of 2,049 tokens; the 50 MB cache keeps its share.
    m = Models["llama-3.1-8b"]
    traffic = 2 * (m.matmul_parameters + m.vector_parameters) + 2049 * m.kv_elements * 2 - Hardware.H100.cache.value
    assert result.time_s.value == pytest.approx(traffic / Hardware.H100.bandwidth.value, rel=1e-9)
    assert result.efficiency.achieved == pytest.approx(result.efficiency.ceiling)
    note = next(n for n in result.notes if n.code == "efficiency-above-ceiling")
    assert "times the roofline ceiling 0.003577" in note.message
    assert result.bound == "memory"
    with pytest.raises(Infeasible, match="times the roofline ceiling"):
        Engine.solve("llama-3.1-8b", "h100", phase="decode", efficiency=0.5, strict=True)


@settings(deadline=None)
@given(questions)
def test_parts_sum_exactly_and_nothing_exceeds_the_ceiling(question):
    result = Engine.solve(**question)
    parts = list(result.breakdown_s.values())
    assert sum(parts) == sum(reversed(parts)) == math.fsum(parts) == result.time_s.value
    assert all(part >= 0 for part in parts)
    eta = result.efficiency
    assert 0 < eta.low <= eta.achieved <= eta.high <= eta.ceiling <= 1
    assert result.time_s.low <= result.time_s.value <= result.time_s.high
    assert result.throughput.low <= result.throughput.value <= result.throughput.high
    assert result.time_s.value >= result.flops / result.peak_flops * (1 - 1e-12)
    assert result.achieved_flops <= result.peak_flops * (1 + 1e-12)


@settings(deadline=None)
@given(questions, st.floats(min_value=1.01, max_value=10.0))
def test_a_higher_stated_eta_is_never_slower(question, factor):
    eta = (question.pop("efficiency") or 0.1) / factor
    slow, fast = (Engine.solve(**question, efficiency=e).time_s.value for e in (eta, min(1.0, eta * factor)))
    assert fast <= slow


@settings(deadline=None)
@given(questions)
def test_a_larger_batch_takes_longer_and_yields_no_less_work(question):
    question["efficiency"] = 1.0  # at the floor: what physics says, without regimes
    one = Engine.solve(**question)
    two = Engine.solve(**{**question, "batch_size": question["batch_size"] + 1})
    assert two.time_s.value >= one.time_s.value
    assert two.flops > one.flops


@settings(deadline=None)
@given(questions)
def test_more_devices_never_raise_the_time(question):
    question["efficiency"] = 1.0
    more = Engine.solve(**{**question, "devices": question["devices"] + 1})
    assert more.time_s.value <= Engine.solve(**question).time_s.value


def test_defaults_are_named():
    result = Engine.solve("llama-3.1-8b", "h100")
    assert result.defaults == {"phase": "forward", "batch_size": 1, "devices": 1, "seq_len": 2048, "precision": "bf16"}
    assert any(n.code == "defaults-used" and "seq_len = 2048" in n.message for n in result.notes)
    decode = Engine.solve("llama-3.1-8b", "h100", phase="decode")
    assert (decode.seq_len, decode.context) == (None, 2048)


def test_a_prediction_names_its_evidence():
    result = Engine.solve("llama-3.1-8b", "h100", phase="decode")
    assert result.efficiency.kind == "predicted"
    assert result.efficiency.asked is None
    assert result.efficiency.low < result.efficiency.achieved < result.efficiency.high
    note = next(n for n in result.notes if n.code == "predicted-from-evidence")
    assert "published measurements" in note.message
    assert "90 % of runs of others lie between" in note.message


def test_networks_answer_in_their_own_unit():
    result = Engine.solve("resnet-50", "l4", batch_size=8, efficiency=0.3)
    assert result.throughput_unit == "images/s"
    assert result.seq_len is None
    assert result.time_s.value == pytest.approx(
        2 * 8 * 4_089_184_256 / (Hardware.L4.peak("bf16").value * 0.3), rel=1e-9
    )


def test_microcontrollers_run_weights_from_flash():
    # MobileNet v2 in int8 has 3.5 MB of weights: more than the 512 KiB of RAM, less than 8 MB of flash.
    small = Engine.solve("mobilenet-v1-0.25-96", "esp32-s3", precision="int8")
    assert small.fits
    large = Engine.solve("mobilenet-v2", "esp32-s3", precision="int8")
    assert large.memory.needed["weights"] < large.memory.flash
    assert large.memory.missing == large.memory.needed["activations"] - large.memory.capacity > 0
    note = next(n for n in large.notes if n.code == "does-not-fit")
    assert "of flash for weights" in note.message


def test_microcontrollers_answer_too():
    result = Engine.solve("mobilenet-v1-0.25-96", "esp32-s3", precision="int8")
    assert result.efficiency.kind == "predicted"
    assert result.time_s.value > 0


BAD = [
    ({"batch_size": 1.5}, InvalidValue, "batch_size must be a whole number of at least 1, got 1.5; the nearest is 2"),
    ({"batch_size": 0}, InvalidValue, "batch_size must be a whole number of at least 1, got 0"),
    ({"batch_size": -4}, InvalidValue, "batch_size must be a whole number of at least 1, got -4"),
    ({"batch_size": float("nan")}, InvalidValue, "batch_size must be a finite number, got nan"),
    ({"batch_size": float("inf")}, InvalidValue, "batch_size must be a finite number, got inf"),
    ({"batch_size": "many"}, InvalidValue, "batch_size must be a whole number of at least 1, got 'many'; that is text"),
    ({"batch_size": True}, InvalidValue, "batch_size must be a whole number of at least 1, got True"),
    ({"efficiency": 0}, InvalidValue, "efficiency must be greater than 0, got 0"),
    ({"efficiency": -0.1}, InvalidValue, "efficiency must be greater than 0, got -0.1"),
    ({"efficiency": 1.5}, InvalidValue, "efficiency must be in (0, 1], got 1.5; achieved / peak cannot exceed 1"),
    ({"efficiency": 45}, InvalidValue, "efficiency must be in (0, 1], got 45; 45 % is 0.45"),
    ({"efficiency": float("nan")}, InvalidValue, "efficiency must be a finite number, got nan"),
    ({"efficiency": "high"}, InvalidValue, "efficiency must be a number in (0, 1], got 'high'"),
    ({"efficiency": "45"}, InvalidValue, "efficiency must be in (0, 1], got '45'; 45 % is 0.45"),
    ({"efficiency": "0 %"}, InvalidValue, "efficiency must be greater than 0, got '0 %'"),
    (
        {"efficiency": "0.4 x"},
        InvalidValue,
        "efficiency must be a number in (0, 1], got '0.4 x'; unknown unit 'x'; try '0.38', '38 %'",
    ),
    ({"precision": "fp7"}, UnknownName, "unknown precision 'fp7': did you mean fp8, fp6 or fp4?"),
    ({"precision": 16}, InvalidValue, "precision must be the name of a number format such as 'bf16', got 16"),
    ({"precision": "fp4"}, UnsupportedPrecision, "precision 'fp4' has no peak on h100-sxm: choose"),
    ({"phase": "decod"}, UnknownName, "unknown phase 'decod': did you mean decode?"),
    (
        {"seq_len": 128, "phase": "decode"},
        InvalidValue,
        "seq_len must be left out in phase decode, got 128; use context",
    ),
    ({"context": 128}, InvalidValue, "context must be left out in phase forward, got 128; use seq_len"),
    ({"devices": 0}, InvalidValue, "devices must be a whole number of at least 1, got 0"),
]


@pytest.mark.parametrize(("fields", "kind", "sentence"), BAD)
def test_bad_fields_are_named(fields, kind, sentence):
    with pytest.raises(kind) as caught:
        Engine.solve("llama-3.1-8b", "h100", **fields)
    assert sentence in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("model", "hardware", "sentence"),
    [
        ("lama-3.1-8b", "h100", "unknown model 'lama-3.1-8b': did you mean llama-3.1-8b"),
        ("llama-3.1-8b", "h1000", "unknown hardware 'h1000': did you mean h100"),
        (None, "h100", "model must be a name or a spec, got None"),
        ("llama-3.1-8b", 100, "hardware must be a name or a spec, got 100"),
    ],
)
def test_bad_names_are_answered_with_the_nearest(model, hardware, sentence):
    with pytest.raises(UsageError, match=sentence.replace(".", r"\.").split(" (")[0]):
        Engine.solve(model, hardware)


def test_all_problems_are_told_at_once():
    with pytest.raises(Problems) as caught:
        Engine.solve("lama", "h10", batch_size=1.5, precision="fp7", phase="decod", devices=-1, efficiency=1.5)
    text = str(caught.value)
    for fragment in (
        "unknown model 'lama'",
        "unknown hardware 'h10'",
        "batch_size must be a whole number of at least 1",
        "'fp7'",
        "'decod'",
        "devices",
    ):
        assert fragment in text


def test_networks_have_no_tokens():
    with pytest.raises(UsageError, match="seq_len must be left out for resnet-50"):
        Engine.solve("resnet-50", "h100", seq_len=128)
    with pytest.raises(
        UsageError, match="phase must be forward or training for resnet-50, got 'decode'; only language models decode"
    ):
        Engine.solve("resnet-50", "h100", phase="decode")


def test_what_a_question_passes_over_is_said():
    codes = [n.code for n in Engine.solve("gpt2", "h100", seq_len=5000).notes]
    assert "beyond-max-context" in codes
    codes = [n.code for n in Engine.solve("ds-cnn", "esp32-s3", precision="int8").notes]
    assert "bandwidth-unknown" in codes
    codes = [n.code for n in Engine.solve("llama-3.1-8b", "h100", phase="training", precision="fp8", devices=8).notes]
    assert "training-keeps-16-bits" in codes


def test_weights_do_not_stay_on_the_chips_of_many_devices():
    # A thousand 50 MB caches would hold an 8B model; the floor is still that of reading it from memory.
    m, h100 = Models["llama-3.1-8b"], Hardware.H100
    result = Engine.solve(m, h100, phase="decode", devices=1000, efficiency=1.0)
    read = 2 * (m.matmul_parameters + m.vector_parameters) - h100.cache.value
    assert result.time_s.value > read / (1000 * h100.bandwidth.value)


def test_print_is_a_summary():
    text = str(Engine.solve("llama-3.1-8b", "h100", phase="decode"))
    assert text.startswith("llama-3.1-8b decode on 1 x h100-sxm, bf16, batch 1\n")
    assert "attainment 0." in text
    assert "[predicted-from-evidence]" in text


@pytest.mark.parametrize(
    ("model", "hardware", "precision"), [("resnet-50", "l4", "fp16"), ("mobilenet-v2", "a100", "bf16")]
)
def test_a_large_batch_is_no_more_than_many_small_ones(model, hardware, precision):
    question = {"model": model, "hardware": hardware, "precision": precision, "efficiency": 1.0}
    small, large = (Engine.solve(**question, batch_size=b).time_s.value for b in (32, 1024))
    assert large <= 32 * small * (1 + 1e-12)


@pytest.mark.parametrize("stated", [0.38, "0.38", "38%", "38 %"])
def test_an_efficiency_may_be_written_in_percent(stated):
    assert Engine.solve("llama-3.1-8b", "h100", efficiency=stated).efficiency.achieved == pytest.approx(0.38)
