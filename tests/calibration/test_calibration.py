"""From a measurement to eta and back: round trips, refusals with their causes, bad input."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim import Engine, calibrate
from mlsysim.efficiency.published import pool
from mlsysim.errors import ImpossibleMeasurement, InvalidValue, Problems, UnknownName, UsageError
from mlsysim.results import Interval


@settings(deadline=None)
@given(
    model=st.sampled_from(["llama-3.1-8b", "gpt2", "mistral-7b"]),
    hardware=st.sampled_from(["a100", "h100", "l4", "mi300x"]),
    phase=st.sampled_from(["forward", "decode", "training"]),
    batch=st.integers(1, 512),
    devices=st.integers(1, 16),
    share=st.floats(min_value=1e-4, max_value=0.999999),
)
def test_solving_with_a_calibration_gives_back_the_measured_time(model, hardware, phase, batch, devices, share):
    question = {"model": model, "hardware": hardware, "phase": phase, "batch_size": batch, "devices": devices}
    floor = Engine.solve(**question, efficiency=1.0).time_s.value
    measured = floor / share
    calibration = calibrate(time_s=measured, **question)
    again = Engine.solve(**question, efficiency=calibration)
    assert again.time_s.value == pytest.approx(measured, rel=1e-12)
    assert again.efficiency.kind == "measured"
    by_throughput = calibrate(throughput=again.throughput.value, **question)
    assert by_throughput.efficiency.value == pytest.approx(calibration.efficiency.value, rel=1e-12)


@pytest.mark.parametrize("phase", ["forward", "training"])
def test_networks_round_trip_too(phase):
    question = {"model": "resnet-50", "hardware": "l4", "batch_size": 8, "phase": phase}
    calibration = calibrate(throughput="300 images/s", **question)
    assert Engine.solve(**question, efficiency=calibration).throughput.value == pytest.approx(300, rel=1e-12)


def test_overhead_survives_the_round_trip():
    question = {"model": "resnet-50", "hardware": "l4", "batch_size": 1}
    calibration = calibrate(time_s="2 ms", overhead_s=0.0015, **question)
    again = Engine.solve(**question, efficiency=calibration)
    assert again.time_s.value == pytest.approx(0.002, rel=1e-12)
    assert again.breakdown_s["overhead"] == pytest.approx(0.0015, rel=1e-12)
    assert again.bound == "overhead"
    assert calibrate(time_s="2 ms", overhead_s="1.5 ms", **question).overhead_s == pytest.approx(0.0015)


def test_a_decode_measurement_by_hand():
    c = calibrate(
        model="llama-3.1-8b", hardware="h100", precision="bf16", phase="decode", batch_size=32, throughput="2100 tok/s"
    )
    flops = 2 * 7_504_658_432 + 4 * 2049 * 32 * 128 * 32
    assert c.flops_per_item == flops
    assert c.efficiency.value == pytest.approx(2100 * flops / 989e12, rel=1e-12)
    assert c.attainment.value == pytest.approx(c.efficiency.value / c.ceiling, rel=1e-12)
    data = c.to_dict()
    assert {"efficiency", "attainment", "ceiling", "convention", "peak_flops"} <= set(data)
    assert set(data["efficiency"]) == {"value", "low", "high"}
    assert data["peak_flops"] == 989e12


def test_the_well_known_example_is_impossible():
    with pytest.raises(ImpossibleMeasurement, match=r"eta = 1\.699 is impossible") as caught:
        calibrate(throughput="1200 tok/s", flops_per_token=1.4e12, peak_flops=989e12)
    error = caught.value
    assert error.efficiency == pytest.approx(1200 * 1.4e12 / 989e12)
    gives = {c.code: c.efficiency for c in error.causes}
    assert gives["training-flops"] == pytest.approx(1.699 / 3, rel=1e-3)
    assert gives["sparse"] == pytest.approx(1.699 / 2, rel=1e-3)
    assert gives["macs"] == pytest.approx(1.699 / 2, rel=1e-3)
    assert gives["precision"] == pytest.approx(1.699 / 2, rel=1e-3)
    assert gives["devices"] in [pytest.approx(1.6987 / n, rel=1e-3) for n in (2, 4, 8)]
    assert all(c.efficiency <= 1 for c in error.causes)


def test_above_the_ceiling_is_impossible_though_below_one():
    with pytest.raises(ImpossibleMeasurement, match=r"the roofline ceiling is 0\.003577") as caught:
        calibrate(
            model="llama-3.1-8b",
            hardware="h100",
            precision="bf16",
            phase="decode",
            batch_size=1,
            throughput="2100 tok/s",
        )
    assert {c.code for c in caught.value.causes} >= {"batch", "devices", "prompt-tokens"}


def test_each_cause_explains_the_number():
    with pytest.raises(ImpossibleMeasurement) as caught:
        calibrate(
            model="llama-3.1-8b", hardware="h100", precision="bf16", phase="decode", batch_size=1, throughput=2100
        )
    message = next(c.message for c in caught.value.causes if c.code == "batch")
    batch = int(message.split(", ")[1].split()[0])
    calibrate(
        model="llama-3.1-8b", hardware="h100", precision="bf16", phase="decode", batch_size=batch, throughput=2100
    )


def test_eight_gpus_over_one_peak_are_recognised():
    question = {"model": "llama-3.1-8b", "phase": "training", "batch_size": 64, "seq_len": 4096, "precision": "bf16"}
    eight = Engine.solve(hardware="h100", devices=8, efficiency=0.4, **question)
    with pytest.raises(ImpossibleMeasurement) as caught:
        calibrate(hardware="h100", throughput=eight.throughput.value, **question)
    assert caught.value.causes[0].message == "tokens of several devices, 8 for example, divided by the peak of fewer"
    assert caught.value.causes[0].efficiency == pytest.approx(0.4, rel=1e-9)


def test_repeats_give_their_own_interval():
    # Runs of 80, 100 and 125: each a factor of 1.25 apart, so the mean of the logarithms is ln 100, their standard
    # error ln 1.25 / sqrt(3), and t(0.95, 2) = 2.920.
    c = calibrate(throughput=[80.0, 100.0, 125.0], flops_per_token=1e12, peak_flops=989e12)
    half = 1.25 ** (2.920 / 3**0.5)
    assert c.throughput.value == pytest.approx(100)
    assert c.throughput.high == pytest.approx(100 * half, rel=1e-9)
    assert c.throughput.low == pytest.approx(100 / half, rel=1e-9)
    assert not any(n.code == "interval-assumed" for n in c.notes)


@pytest.mark.parametrize(("n", "quantile"), [(4, 2.353), (11, 1.812), (21, 1.725), (101, 1.660)])
def test_quantiles_of_repeats_are_students(n, quantile):
    # NIST/SEMATECH e-Handbook 1.3.6.7.2, 95 % for n - 1 degrees of freedom; half of the runs at each end.
    runs = [10.0 if i % 2 else 1000.0 for i in range(n)]
    logs = [math.log(r) for r in runs]
    mean = sum(logs) / n
    error = math.sqrt(sum((x - mean) ** 2 for x in logs) / (n - 1) / n)
    c = calibrate(throughput=runs, flops_per_token=1e9, peak_flops=989e12)
    assert math.log(c.throughput.high / c.throughput.value) / error == pytest.approx(quantile, abs=0.006)


def test_a_perfect_run_is_a_run():
    question = {"model": "llama-3.1-8b", "hardware": "h100", "phase": "training", "batch_size": 64, "devices": 8}
    assert calibrate(efficiency=1.0, **question).efficiency.value == pytest.approx(1.0)


def test_one_number_takes_the_published_spread_and_says_so():
    c = calibrate(throughput=100, flops_per_token=1e12, peak_flops=989e12)
    assert c.throughput.low < 100 < c.throughput.high
    assert any(n.code == "interval-assumed" for n in c.notes)


def test_an_interval_is_taken_as_given():
    c = calibrate(throughput=Interval(100, 90, 120), flops_per_token=1e12, peak_flops=989e12)
    assert c.efficiency.low == pytest.approx(90e12 / 989e12)
    assert c.efficiency.high == pytest.approx(120e12 / 989e12)


def test_a_stated_mfu_is_taken_by_the_same_convention():
    question = {"model": "llama-3.1-8b", "hardware": "a100", "devices": 64, "phase": "training", "batch_size": 256}
    for stated in (0.38, "0.38", "38 %"):
        assert calibrate(efficiency=stated, **question).efficiency.value == pytest.approx(0.38, rel=1e-12)
    with pytest.raises(InvalidValue, match=r"efficiency must be in \(0, 1\], got 38\.0.*; 38 % is 0\.38"):
        calibrate(efficiency=38, **question)


def test_a_stated_eta_of_a_network_is_taken_by_the_convention_of_networks():
    c = calibrate(efficiency=0.2, model="resnet-50", hardware="h100", batch_size=64)
    assert "multiply-accumulates" in c.convention
    assert c.convention in next(n.message for n in c.notes if n.code == "convention-assumed")


def test_a_measurement_is_checked_with_all_other_fields():
    with pytest.raises(Problems) as caught:
        calibrate(throughput="2 apples", model="llama-3.1-8b", hardware="h1000", devices=0, overhead_s=-1)
    assert [p.field for p in caught.value.problems if isinstance(p, InvalidValue)] == [
        "overhead_s",
        "throughput",
        "devices",
    ]
    assert "unknown hardware 'h1000'" in str(caught.value)
    with pytest.raises(UnknownName, match="unknown model 'resnet-51'"):  # alone: what it yields is not known
        calibrate(throughput="85 images/s", model="resnet-51", hardware="h100")


def test_a_run_that_does_not_fit_as_stated_is_pointed_out():
    c = calibrate(model="llama-3.1-70b", hardware="h100", phase="decode", batch_size=64, throughput=200)
    assert "it needs 184 GB and there are 80 GB" in next(n.message for n in c.notes if n.code == "does-not-fit")


def test_flops_may_stand_for_a_model_in_the_same_command():
    conditions = {"hardware": "h100", "precision": "bf16", "phase": "decode", "batch_size": 32}
    c = calibrate(throughput="100 tok/s", flops_per_token=1.4e12, **conditions)
    assert c.efficiency.value == pytest.approx(100 * 1.4e12 / 989e12)
    assert "phase, batch_size: not used" in next(n.message for n in c.notes if n.code == "fields-not-used")


def test_a_perfect_step_is_taken_as_one():
    question = {"model": "llama-3.1-8b", "hardware": "h100", "phase": "decode", "batch_size": 64}
    perfect = Engine.solve(efficiency=1.0, **question).time_s.value
    assert calibrate(time_s=perfect, **question).attainment.value == pytest.approx(1.0, rel=1e-12)


def test_no_end_of_an_interval_passes_the_ceiling():
    c = calibrate(model="llama-3.1-8b", hardware="h100", phase="decode", batch_size=32, throughput="4500 tok/s")
    assert c.efficiency.high == pytest.approx(c.ceiling)
    assert c.throughput.high == pytest.approx(4500 * c.ceiling / c.efficiency.value)


def test_the_same_number_twice_has_no_spread_of_its_own():
    c = calibrate(throughput=[100, 100], flops_per_token=1e12, peak_flops=989e12)
    assert c.throughput.low < 100 < c.throughput.high
    assert "one number again and again" in next(n.message for n in c.notes if n.code == "interval-assumed")


def test_a_convention_is_stated_where_an_mfu_was_read():
    # nanoGPT counts 6N + 12 L H Q T: 855 MFLOP a token for GPT-2 at 1,024 tokens, where causal attention makes 798.
    question = {"model": "gpt2", "hardware": "a100", "phase": "training", "batch_size": 12, "seq_len": 1024}
    c = calibrate(efficiency="37.1 %", **question)
    full = 6 * 123_653_376 + 12 * 12 * 12 * 64 * 1024
    told = next(n.message for n in c.notes if n.code == "convention-assumed")
    ratio = float(re.search(r"'full-attention' times ([0-9.]+)", told)[1])
    assert 1 / ratio == pytest.approx(full / c.flops_per_item, rel=0.005)
    stated = calibrate(efficiency="37.1 %", convention="full-attention", **question)
    assert stated.efficiency.value == pytest.approx(0.371 * c.flops_per_item / full, rel=0.005)


def test_a_forgotten_batch_is_named_first():
    with pytest.raises(ImpossibleMeasurement) as caught:
        calibrate(model="llama-3.1-8b", hardware="h100", phase="decode", throughput=2100)
    assert caught.value.causes[0].code == "batch"
    assert "(no batch size was given and 1 assumed)" in caught.value.causes[0].message


def test_a_cause_under_which_the_run_would_not_fit_comes_last():
    with pytest.raises(ImpossibleMeasurement) as caught:
        calibrate(model="llama-3.1-70b", hardware="h100", phase="decode", batch_size=32, throughput=2500)
    assert caught.value.causes[0].code == "devices"
    fitting = ["still not fit" not in c.message for c in caught.value.causes]
    assert fitting == sorted(fitting, reverse=True)


@pytest.mark.parametrize(
    ("question", "throughput", "there"),
    [
        (
            {"model": "llama-3.1-8b", "phase": "decode", "batch_size": 32, "hardware": "h100"},
            2100,
            {"hardware": "h200"},
        ),
        ({"model": "llama-3.1-8b", "phase": "decode", "batch_size": 32, "hardware": "h100"}, 2100, {"batch_size": 64}),
        ({"model": "gpt2", "phase": "decode", "hardware": "a100"}, 4000, {"hardware": "l4"}),
    ],
)
def test_to_measure_is_never_to_know_less(question, throughput, there):
    measured = calibrate(throughput=throughput, **question)
    other = {**question, **there}
    moved = Engine.solve(**other, efficiency=measured).efficiency
    published = pool("decode-large" if other.get("batch_size", 1) > 31 else "decode-1", "NVIDIA").wide
    assert moved.high / moved.low <= published.high / published.low * (1 + 1e-9)


def test_what_was_measured_beyond_the_published_is_not_pressed_into_it():
    # A board at 0.8 of its roofline, where others reach half of that: another batch stays near what was measured.
    question = {"model": "resnet-50", "hardware": "raspberry-pi-5", "precision": "fp32"}
    floor = Engine.solve(**question, efficiency=1.0).time_s.value
    measured = calibrate(time_s=floor / 0.8, **question)
    moved = Engine.solve(**question, batch_size=4, efficiency=measured).efficiency
    assert moved.achieved == pytest.approx(0.8, rel=0.1)
    assert moved.low < 0.8 < moved.high <= 1.0


def test_stated_flops_carry_eta_itself_and_say_so():
    measured = calibrate(throughput="100 tok/s", flops_per_token=1e12, peak_flops=1e15)  # eta 0.1
    result = Engine.solve("llama-3.1-70b", "h100", devices=4, efficiency=measured)
    assert result.efficiency.achieved == pytest.approx(0.1, rel=1e-9)
    assert "eta itself is used here" in next(n.message for n in result.notes if n.code == "efficiency-moved")
    decode = Engine.solve("llama-3.1-8b", "h100", phase="decode", efficiency=measured)
    assert decode.efficiency.achieved == pytest.approx(decode.efficiency.ceiling)  # 0.1 is out of reach there
    assert "efficiency-above-ceiling" in [n.code for n in decode.notes]
    half = Engine.solve("llama-3.1-8b", "h100", phase="decode", batch_size=128, efficiency=measured)
    assert half.efficiency.ceiling < 1
    assert half.efficiency.achieved == pytest.approx(0.1, rel=1e-9)


def test_a_slip_of_a_thousand_is_pointed_out():
    c = calibrate(model="llama-3.1-8b", hardware="h100", phase="decode", batch_size=32, throughput="2.1 tok/s")
    assert "below what is published" in next(n.message for n in c.notes if n.code == "efficiency-outside-evidence")
    with pytest.raises(ImpossibleMeasurement, match="the peak was meant in TFLOP/s, and written without it"):
        calibrate(throughput="500 tok/s", flops_per_token=1.4e12, peak_flops=989)


def test_a_moved_calibration_is_no_less_sure_than_a_prediction():
    question = {"model": "llama-3.1-8b", "phase": "training", "batch_size": 256, "seq_len": 4096, "devices": 64}
    measured = calibrate(efficiency=0.38, hardware="a100", **question)
    moved = Engine.solve(hardware="h100", efficiency=measured, **question)
    predicted = Engine.solve(hardware="h100", **question).efficiency
    assert moved.efficiency.high / moved.efficiency.low <= predicted.high / predicted.low


def test_a_smaller_step_is_less_of_a_move():
    question = {"model": "llama-3.1-8b", "hardware": "h100", "phase": "decode"}
    measured = calibrate(batch_size=32, throughput="2100 tok/s", **question)

    def width(batch):
        eta = Engine.solve(batch_size=batch, efficiency=measured, **question).efficiency
        return eta.high / eta.low

    assert width(33) < width(40) < width(64)
    assert width(32) == pytest.approx(width(33), rel=0.01)  # the measurement itself, and its next neighbour


BAD = [
    ({}, "throughput must be given, or time_s or efficiency in its place, got None"),
    ({"throughput": 100}, "model must be given, or flops_per_token in its place, got None"),
    ({"throughput": 100, "flops_per_token": 1e12}, "hardware must be given, or peak_flops in its place"),
    ({"throughput": 100, "model": "gpt2"}, "hardware must be given, or peak_flops in its place, got None"),
    (
        {"throughput": 100, "model": "gpt2", "peak_flops": 1},
        "peak_flops must be left out where model is given, got 1; it can",
    ),
    (
        {"throughput": 1, "model": "gpt2", "hardware": "h100", "overhead_s": "soon"},
        "overhead_s must be a positive number or",
    ),
    ({"throughput": 1, "flops_per_token": 1, "peak_flops": 1e9, "overhead_s": 2}, "overhead_s must be left out where"),
    ({"throughput": "9 images/s", "model": "gpt2", "hardware": "h100"}, "images/s is a unit of samples/s"),
    ({"throughput": "9 tok/s", "model": "resnet-50", "hardware": "h100"}, "tok/s is a unit of tokens/s"),
    (
        {"throughput": 100, "time_s": 1, "model": "gpt2", "hardware": "h100"},
        "time_s must be left out where throughput is given, got 1",
    ),
    (
        {"throughput": "0 tok/s", "model": "gpt2", "hardware": "h100"},
        "throughput must be greater than 0, got '0 tok/s'",
    ),
    ({"throughput": "nan", "model": "gpt2", "hardware": "h100"}, "throughput must be a finite number, got 'nan'"),
    (
        {"throughput": "fast", "model": "gpt2", "hardware": "h100"},
        "throughput must be a positive number or a quantity such as '1200 tok/s'",
    ),
    (
        {"throughput": "12 GB/s", "model": "gpt2", "hardware": "h100"},
        "throughput must be in tokens/s, got '12 GB/s'; GB/s is a unit of B/s",
    ),
    ({"throughput": 1, "flops_per_token": -1, "peak_flops": 1e12}, "flops_per_token must be greater than 0, got -1"),
    (
        {"throughput": 1, "model": "gpt2", "hardware": "h100", "overhead_s": 1e9},
        "overhead_s must be no more than the measured step without its floor",
    ),
    (
        {"throughput": 1, "model": "gpt2", "hardware": "h100", "overhead_s": -1},
        "overhead_s must be greater than 0, got -1",
    ),
]


@pytest.mark.parametrize(("fields", "sentence"), BAD)
def test_bad_measurements_are_named(fields, sentence):
    with pytest.raises(UsageError) as caught:
        calibrate(**fields)
    assert sentence in str(caught.value)


def test_several_problems_of_stated_flops_are_told_at_once():
    with pytest.raises(UsageError) as caught:
        calibrate(throughput="x", flops_per_token="y", hardware="h10")
    assert all(word in str(caught.value) for word in ("throughput", "flops_per_token", "h10"))


def test_a_calibration_without_a_model_has_no_step():
    with pytest.raises(InvalidValue, match="calibration must be made from a model to have a step"):
        _ = calibrate(throughput=100, flops_per_token=1e12, peak_flops=989e12).time_s
