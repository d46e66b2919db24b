"""The four fallacies: each is guarded by a note with a stable code, and each is shown to be one."""

import math

import pytest

from mlsysim import Engine, calibrate
from mlsysim.efficiency.evidence import attainment_of

DECODE = {"model": "llama-3.1-8b", "phase": "decode", "precision": "bf16"}


def codes(result):
    return [n.code for n in result.notes]


def message(result, code):
    return next(n.message for n in result.notes if n.code == code)


def test_one_half_everywhere():
    decode = Engine.solve(**DECODE, hardware="h100", efficiency=0.5)
    assert "efficiency-above-ceiling" in codes(decode)
    assert "efficiency-outside-evidence" in codes(decode)
    assert "published measurements" in message(decode, "efficiency-outside-evidence")
    training = Engine.solve("llama-3.1-8b", "h100", phase="training", devices=8, batch_size=64, efficiency=0.45)
    assert not {"efficiency-above-ceiling", "efficiency-outside-evidence"} & set(codes(training))
    timid = Engine.solve("llama-3.1-8b", "h100", phase="training", devices=8, batch_size=64, efficiency=0.01)
    text = message(timid, "efficiency-outside-evidence")
    assert "below what is published" in text
    assert f"median {attainment_of('training').median:.3g}" in text  # the ceiling is 1


def test_higher_is_not_better():
    home = calibrate(**DECODE, hardware="h100", batch_size=1, throughput="140 tok/s")
    larger = Engine.solve(**DECODE, hardware="h100", batch_size=64, efficiency=home)
    assert larger.efficiency.achieved > home.efficiency.value
    assert larger.time_s.value > home.time_s.value  # and every request waits longer
    text = message(larger, "efficiency-is-not-speed")
    assert "(a larger batch makes each request wait longer)" in text
    assert "latency" in text
    assert "throughput" in text
    narrower = Engine.solve(**{**DECODE, "precision": "fp8"}, hardware="h100", batch_size=1, efficiency=home)
    assert "a narrower format has a higher peak and other answers" in message(narrower, "efficiency-is-not-speed")


def test_eta_does_not_transfer_but_how_far_it_is_from_a_prediction_does_in_part():
    home = calibrate(**DECODE, hardware="h100", batch_size=1, throughput="140 tok/s")
    there = Engine.solve(**DECODE, hardware="h200", batch_size=1, efficiency=home)
    assert "efficiency-moved" in codes(there)
    assert there.efficiency.achieved != pytest.approx(home.efficiency.value, rel=0.05)
    assert there.efficiency.high / there.efficiency.low > home.efficiency.high / home.efficiency.low
    off = math.log(home.time_s.value / Engine.solve(**DECODE, hardware="h100", batch_size=1).time_s.value)
    carried = math.log(there.time_s.value / Engine.solve(**DECODE, hardware="h200", batch_size=1).time_s.value)
    assert 0 < carried / off < 1


def test_the_interval_widens_with_the_distance():
    home = calibrate(**DECODE, hardware="h100", batch_size=1, throughput="140 tok/s")

    def low(hardware, **changes):
        r = Engine.solve(**{**DECODE, **changes}, hardware=hardware, batch_size=1, efficiency=home)
        return r.efficiency.low / r.efficiency.achieved

    assert low("h100") > low("h200") >= low("tpu-v5e") - 1e-9
    moved = Engine.solve(**DECODE, hardware="rtx-4090", batch_size=1, efficiency=home)
    assert "(memory class hbm to gddr)" in message(moved, "efficiency-moved")
    assert low("h100") > low("h100", precision="fp8") >= low("h200", precision="fp8") - 1e-9


@pytest.mark.parametrize(("hardware", "kinds"), [("tpu-v5p", "gpu to tpu"), ("raspberry-pi-5", "gpu to cpu")])
def test_little_carries_over_between_kinds_of_machine(hardware, kinds):
    home = calibrate(**{**DECODE, "precision": None}, hardware="h100", batch_size=1, throughput="140 tok/s")
    there = Engine.solve("llama-3.1-8b", hardware, phase="decode", efficiency=home)
    assert kinds in message(there, "little-carries-over")


def test_little_carries_over_from_dense_to_sparse():
    home = calibrate(**{**DECODE, "precision": "fp16"}, hardware="h100", batch_size=1, throughput="140 tok/s")
    sparse = Engine.solve(**{**DECODE, "precision": "fp16-sparse"}, hardware="h100", efficiency=home)
    assert "dense to sparse" in message(sparse, "little-carries-over")
    assert "sparse-peak" in codes(sparse)
    assert sparse.peak_flops == 1979e12
    # Half of the values and two 2-bit indices for four: 9/16 of the bytes of a weight.
    dense = Engine.solve(**{**DECODE, "precision": "fp16"}, hardware="h100", efficiency=home)
    assert sparse.memory.needed["weights"] == dense.memory.needed["weights"] * 9 / 16
    # Sparse peaks are used only by name.
    assert dense.peak_flops == 989e12


def test_faster_hardware_lowers_eta_where_overhead_is_fixed():
    question = {"model": "resnet-50", "batch_size": 1, "precision": "fp16"}
    home = calibrate(**question, hardware="t4", time_s="2 ms", overhead_s=0.001)
    faster = Engine.solve(**question, hardware="h100", efficiency=home)
    assert faster.time_s.value < 0.002
    assert faster.efficiency.achieved < home.efficiency.value
    text = message(faster, "overhead-lowers-efficiency")
    assert "1 ms a step is fixed overhead that faster hardware does not remove" in text
    assert "attainment goes from" in text
    assert faster.bound == "overhead"
    # Where bandwidth rises more than arithmetic, eta may rise: then nothing is said of it.
    decode = calibrate(**DECODE, hardware="h100", batch_size=1, throughput="140 tok/s", overhead_s="0.1 ms")
    slower = Engine.solve(**DECODE, hardware="a100", efficiency=decode)
    assert "overhead-lowers-efficiency" not in codes(slower)
