"""Predictions: what they rest on, and that a sweep finds no step in them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim import Engine
from mlsysim.efficiency.evidence import attainment_of, parameters
from mlsysim.efficiency.published import ENOUGH, pool
from mlsysim.models import Models


def codes(result):
    return [n.code for n in result.notes]


def message(result, code):
    return next(n.message for n in result.notes if n.code == code)


def test_batch_1_decode_is_the_published_median():
    result = Engine.solve("llama-3.1-8b", "h100", phase="decode")
    seen = pool("decode-1", "NVIDIA").seen
    assert result.efficiency.attainment == pytest.approx(seen.median, rel=1e-9)
    assert result.efficiency.low == pytest.approx(seen.p10 * result.efficiency.ceiling, rel=1e-9)
    assert result.efficiency.high == pytest.approx(seen.p90 * result.efficiency.ceiling, rel=1e-9)
    assert f"{seen.n} published measurements" in message(result, "predicted-from-evidence")


def test_decode_between_1_and_32_is_interpolated_by_hand():
    # 8 = 2^3 is three fifths of the way from 1 to 32 = 2^5, in logarithms.
    one, many = (pool(r, "NVIDIA").seen.median for r in ("decode-1", "decode-large"))
    result = Engine.solve("llama-3.1-8b", "h100", phase="decode", batch_size=8)
    assert result.efficiency.attainment == pytest.approx(one**0.4 * many**0.6, rel=1e-9)


def test_a_vendor_has_its_own_pool_where_it_has_rows():
    assert pool("tinyml", "Espressif").whose == "Espressif, one device"
    assert pool("tinyml", "Espressif").seen.n >= ENOUGH
    assert pool("training", "Espressif").whose == "all vendors"
    assert pool("training", "Espressif").seen == attainment_of("training")
    assert pool("decode-1", "NVIDIA").whose == "NVIDIA, one device"
    assert pool("decode-1", "NVIDIA", several=True).most_devices == 8
    # The guide's row and the prediction for an ESP32 rest on the same measurements.
    result = Engine.solve("mobilenet-v1-0.25-96", "esp32-s3", precision="int8")
    assert result.efficiency.attainment == pytest.approx(pool("tinyml", "Espressif").seen.median)


def test_networks_on_accelerators_launch_their_operators():
    launch = parameters()["launch"]
    result = Engine.solve("ds-cnn", "b200")
    operators = Models.DS_CNN.operators
    assert result.breakdown_s["overhead"] == pytest.approx(operators * launch.value, rel=1e-6)
    assert result.time_s.high > operators * launch.high
    assert result.bound == "overhead"
    assert Engine.solve("ds-cnn", "esp32-s3", precision="int8").breakdown_s["overhead"] == 0


def test_evidence_of_other_machines_is_said_and_widens():
    result = Engine.solve("mobilenet-v2", "raspberry-pi-5", batch_size=32)
    assert "evidence-of-other-machines" in codes(result)
    seen = pool("network-batch", "Raspberry Pi").seen
    assert result.efficiency.low < seen.p10 * result.efficiency.ceiling / 2


def test_more_devices_than_any_measurement_are_said():
    many = Engine.solve("llama-3.1-70b", "h100", phase="decode", devices=1024)
    assert {"more-devices-than-evidence", "more-devices-than-batch"} <= set(codes(many))
    few = Engine.solve("llama-3.1-70b", "h100", phase="decode", devices=8)
    assert not {"more-devices-than-evidence", "more-devices-than-batch"} & set(codes(few))


def test_attainment_falls_from_one_device_to_eight_by_hand():
    one, eight = pool("decode-1", "NVIDIA").seen.median, pool("decode-1", "NVIDIA", several=True).seen.median
    for devices, share in ((1, 0), (2, 1 / 3), (4, 2 / 3), (8, 1), (64, 1)):
        result = Engine.solve("llama-3.1-70b", "h100", phase="decode", precision="fp8", devices=devices)
        assert result.efficiency.attainment == pytest.approx(one ** (1 - share) * eight**share, rel=1e-9)


@settings(deadline=None)
@given(
    model=st.sampled_from(["llama-3.1-8b", "llama-3.1-70b", "resnet-50"]),
    hardware=st.sampled_from(["h100", "l4", "mi300x", "tpu-v5e", "apple-m2-ultra"]),
    phase=st.sampled_from(["forward", "decode", "training"]),
    batch=st.sampled_from([1, 8, 64, 512]),
    devices=st.integers(1, 40),
)
def test_one_more_device_never_takes_longer(model, hardware, phase, batch, devices):
    if model == "resnet-50" and phase == "decode":
        phase = "forward"
    question = {"phase": phase, "batch_size": batch}
    one, more = (Engine.solve(model, hardware, **question, devices=n).time_s for n in (devices, devices + 1))
    assert more.value <= one.value * (1 + 1e-12)


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
    assert more.value >= one.value * (1 - 1e-12)


@settings(deadline=None)
@given(st.sampled_from(["h100", "a100", "l4", "mi300x"]), st.integers(1, 4000))
def test_one_more_token_in_a_prompt_never_takes_less_time(hardware, tokens):
    one, more = (Engine.solve("llama-3.1-8b", hardware, seq_len=n).time_s for n in (tokens, tokens + 1))
    assert more.value >= one.value * (1 - 1e-12)
