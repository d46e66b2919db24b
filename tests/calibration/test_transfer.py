"""Measured runs under other conditions: laws that hold for any measurement, and posteriors worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlsysim import Engine, calibrate
from mlsysim.calibration import Profile
from mlsysim.calibration.compared import moved_between, verified
from mlsysim.calibration.question import question_of
from mlsysim.calibration.suggest import suggestions
from mlsysim.calibration.transfer import changed, pooled, to
from mlsysim.efficiency.conditioning import expected
from mlsysim.efficiency.deviations import Machine, Place, Point, Prior, Share, covariances
from mlsysim.errors import InvalidValue
from mlsysim.hardware import Hardware
from mlsysim.results import Interval
from mlsysim.whatif import compare_calibrated
from mlsysim.whatif.changed import what_if

QUESTIONS = {
    "decode": {"model": "llama-3.1-8b", "hardware": "h100", "phase": "decode", "batch_size": 32},
    "decode-1": {"model": "llama-3.1-8b", "hardware": "h100", "phase": "decode"},
    "prefill": {"model": "llama-3.1-8b", "hardware": "h100", "phase": "forward", "batch_size": 4},
    "training": {"model": "llama-3.1-8b", "hardware": "h100", "phase": "training", "batch_size": 64, "devices": 8},
    "network": {"model": "resnet-50", "hardware": "l4", "phase": "forward", "batch_size": 16},
    "processor": {"model": "resnet-50", "hardware": "raspberry-pi-5", "precision": "fp32"},
}


def run(times_predicted=1.1, **question):
    """Return a run that took so many times what is predicted for it, as well known as any can be."""
    time = Engine.solve(**question).time_s.value * times_predicted
    return calibrate(time_s=Interval(time, time, time), **question)


def half(interval):
    """Return the half-width of an interval towards its farther end [ln]."""
    return max(math.log(interval.high / interval.value), math.log(interval.value / interval.low))


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_under_its_own_conditions_a_run_answers_itself(question):
    c = run(1.3, **question)
    found = c.to(question["hardware"])
    assert found.time_s == pytest.approx(c.time_s, rel=1e-12)
    assert found.efficiency == pytest.approx(c.efficiency, rel=1e-12)
    assert Engine.solve(efficiency=c, **question).time_s == pytest.approx(c.time_s, rel=1e-12)


def test_of_several_points_each_answers_itself():
    points = [run(r, **{**QUESTIONS["decode"], "batch_size": b}) for r, b in ((1.2, 4), (0.9, 16), (1.4, 64))]
    profile = Profile(tuple(points))
    for c in points:
        found = Engine.solve(efficiency=profile, **{**QUESTIONS["decode"], "batch_size": c.scenario.batch_size})
        assert found.time_s == pytest.approx(c.time_s, rel=1e-12)


@pytest.mark.parametrize(("hardware", "changes"), [("h100", {"phase": "training"}), ("xeon-8480", {})])
def test_where_nothing_is_carried_the_answer_is_the_prediction(hardware, changes):
    # No published pair says anything of another phase or another kind of machine.
    question = {**QUESTIONS["decode"], "context": 1024}
    found = run(1.25, **question).to(hardware, **changes)
    asked = {**question_of(found.scenario), "model": found.scenario.model, "hardware": hardware}
    assert found.time_s.value == pytest.approx(Engine.solve(**asked).time_s.value, rel=1e-9)
    assert "little-carries-over" in [n.code for n in found.estimate.notes()]


def test_as_predicted_at_home_is_as_predicted_elsewhere():
    found = run(1.0, **QUESTIONS["decode"]).to("h200")
    predicted = Engine.solve(**{**QUESTIONS["decode"], "hardware": "h200"})
    assert found.time_s.value == pytest.approx(predicted.time_s.value, rel=1e-9)


@pytest.mark.parametrize("slower", [0.8, 1.3])
def test_a_deviation_is_carried_in_part_and_in_its_direction(slower):
    found = run(slower, **QUESTIONS["decode"]).to("h200").time_s.value
    predicted = Engine.solve(**{**QUESTIONS["decode"], "hardware": "h200"}).time_s.value
    assert 0 < math.log(found / predicted) / math.log(slower) < 1


@pytest.mark.parametrize("phase", ["decode", "training"])
def test_the_answer_is_continuous_in_the_batch(phase):
    question = QUESTIONS[phase]
    c = run(1.3, **{**question, "batch_size": 64})

    def deviation(batch):
        asked = {**question, "batch_size": batch}
        return math.log(Engine.solve(efficiency=c, **asked).time_s.value / Engine.solve(**asked).time_s.value)

    apart = [deviation(b) for b in (48, 56, 60, 62, 63, 64, 65, 66, 68, 72, 80)]
    assert apart[5] == pytest.approx(math.log(1.3))
    assert max(abs(np.diff(apart[2:9]))) < 0.02
    assert max(abs(np.diff(apart))) < 0.05


def test_a_second_point_draws_its_neighbours_to_it():
    first = run(1.0, **{**QUESTIONS["decode"], "batch_size": 4})
    second = run(1.4, **{**QUESTIONS["decode"], "batch_size": 128})

    def at(batch, *known):
        asked = {**QUESTIONS["decode"], "batch_size": batch}
        found = Engine.solve(efficiency=Profile(known), **asked).time_s
        return math.log(found.value / Engine.solve(**asked).time_s.value), half(found)

    both = [at(b, first, second) for b in (8, 32, 96)]
    alone = [at(b, first) for b in (8, 32, 96)]
    assert all(b[0] > a[0] for a, b in zip(alone, both, strict=True))
    assert both[0][0] < both[1][0] < both[2][0] < math.log(1.4)
    assert all(b[1] <= a[1] for a, b in zip(alone, both, strict=True))


@pytest.mark.parametrize("hardware", ["h100", "h200", "b200", "a100", "mi300x", "l4", "l40s"])
@pytest.mark.parametrize("name", ["decode", "decode-1", "prefill", "training"])
def test_no_interval_is_wider_than_that_of_the_prediction(name, hardware):
    c = run(1.2, **QUESTIONS[name])
    for change in ({}, {"batch_size": 8}, {"model": "mistral-7b"}):
        asked = {**QUESTIONS[name], "hardware": hardware, **change}
        found = Engine.solve(efficiency=c, **asked).time_s
        assert half(found) <= half(Engine.solve(**asked).time_s) * (1 + 1e-9)


def test_a_measurement_says_less_of_another_memory_class_than_of_its_own_family():
    # Predictions alone are surer for some devices than for others: what counts is how much a measurement adds to them.
    question = {**QUESTIONS["decode"], "precision": "fp16"}
    c = run(1.2, **question)

    def left(hardware):
        return half(c.to(hardware).time_s) / half(Engine.solve(**{**question, "hardware": hardware}).time_s)

    assert left("l40s") >= left("h200")


def test_an_interval_that_was_measured_widens_what_is_carried():
    time = Engine.solve(**QUESTIONS["decode"]).time_s.value
    sharp, blunt = (calibrate(time_s=Interval(time, time / f, time * f), **QUESTIONS["decode"]) for f in (1.0, 1.3))
    assert half(blunt.to("h200").time_s) > half(sharp.to("h200").time_s)


HERE = Machine("one", "gpu", "maker", "first", "hbm")
PRIORS = {"": Prior(0.3, 0.2, 0.1, 1.5)}
TABLE = {("", "model"): Share(0.5, 1.2, 10), ("", "same-family"): Share(0.8, 2.0, 10)}


def place(model="a", batch=8.0, machine=HERE):
    return Place("any", machine, model, "bf16", 1, "", (batch, 0.0, 1024.0))


def test_one_run_by_hand():
    # The same place asked: k = .09 + .04 (.6^2 + .4^2) + .01 = .1208; noise .02^2. Mean k r / (k + .0004).
    point = Point(place(), {"w": 0.6, "o": 0.4})
    (found,) = expected([point], [0.2], [0.02], [point], PRIORS, TABLE)
    k = 0.09 + 0.04 * 0.52 + 0.01
    assert found.mean == pytest.approx(0.2 * k / (k + 0.0004), rel=1e-12)
    assert found.half == pytest.approx(1.645 * 1.5 * math.sqrt(k - k * k / (k + 0.0004)), rel=1e-9)


def test_two_runs_by_hand():
    # Runs at batches 8 and 32 (two doublings: near = 1/4) with slopes (1, 0) and (0, 1); asked: another model on the
    # same machine at batch 16 (near 1/2 to each) with slopes (.5, .5), so that half of all is carried.
    first, second = Point(place(batch=8.0), {"w": 1.0}), Point(place(batch=32.0), {"o": 1.0})
    asked = Point(place("b", 16.0), {"w": 0.5, "o": 0.5})
    a = 0.09 + 0.04 + 0.01 + 0.03**2  # of the first with itself, and noise
    d = 0.09 + 0.04 + 0.01 + 0.01**2  # of the second: noise is never below .01
    b = 0.09 + 0.0 + 0.01 / 4
    k = 0.5 * (0.09 + 0.04 * 0.5 + 0.01 / 2)  # of the asked one with each
    determinant = a * d - b * b
    weights = ((d - b) * k / determinant, (a - b) * k / determinant)
    (found,) = expected([first, second], [0.2, -0.1], [0.03, 0.001], [asked], PRIORS, TABLE)
    assert found.mean == pytest.approx(0.2 * weights[0] - 0.1 * weights[1], rel=1e-12)
    own = 0.09 + 0.04 * 0.5 + 0.01
    left = own - k * (weights[0] + weights[1])
    assert found.half == pytest.approx(1.645 * 1.2 * math.sqrt(left), rel=1e-12)  # the tail of the move of the model


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.5), st.floats(0, 0.3))
def test_the_less_is_carried_the_wider_the_interval(one, other, scale, noise):
    known, (low, high) = {"": Prior(scale, 0.2, 0.1, 1.5)}, sorted((one, other))
    point, asked = Point(place(), {"w": 1.0}), Point(place("b"), {"w": 1.0})
    much, little = (
        expected([point], [0.2], [noise], [asked], known, {("", "model"): Share(s, 1.2, 10)})[0] for s in (high, low)
    )
    assert little.half >= much.half * (1 - 1e-12)
    assert little.mean <= much.mean * (1 + 1e-12)


def test_two_moves_at_once_multiply_their_shares():
    there = Machine("two", "gpu", "maker", "first", "hbm")
    point, asked = Point(place(), {}), Point(place("b", 8.0, there), {})
    k = 0.5 * 0.8 * (0.09 + 0.01)
    (found,) = expected([point], [0.2], [0.0], [asked], PRIORS, TABLE)
    assert found.mean == pytest.approx(0.2 * k / (0.09 + 0.01 + 0.0001), rel=1e-12)
    assert found.half == pytest.approx(1.645 * 2.0 * math.sqrt(0.1 - k * k / 0.1001), rel=1e-12)


_MACHINES = [
    Machine(h.name, h.kind, h.vendor, h.generation, h.memory_class)
    for h in map(Hardware.__getitem__, ["h100", "h200", "a100", "b200", "mi300x", "l4", "l40s", "a10", "t4", "m2-max"])
]
_POINT = st.tuples(
    st.sampled_from(_MACHINES),
    st.sampled_from(["llama", "qwen", "gpt"]),
    st.sampled_from(["bf16", "fp8", "fp8-sparse"]),
    st.sampled_from([1, 2, 8]),
    st.sampled_from(["", "vllm"]),
    st.sampled_from([1.0, 4.0, 7.0, 64.0]),
    st.dictionaries(st.sampled_from("abcd"), st.floats(0, 1)),
)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["decode_b1", "serving_throughput", "prefill", "training-dense", "vision-batch", ""]),
    st.lists(_POINT, min_size=2, max_size=12),
)
def test_runs_of_a_regime_never_contradict_each_other(regime, drawn):
    # A covariance is positive semi-definite: no weighted sum of deviations has a negative variance.
    points = [Point(Place(regime, m, *alone, (batch, 0.0, 512.0)), slopes) for m, *alone, batch, slopes in drawn]
    found = covariances(points, points)
    assert found == pytest.approx(found.T)
    assert np.linalg.eigvalsh(found)[0] >= -1e-9 * np.trace(found)
    some = expected(points, [0.1] * len(points), [0.05] * len(points), points)
    assert all(d.half > 0 and math.isfinite(d.mean) for d in some)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(sorted(QUESTIONS)),
    st.floats(0.7, 2.0),
    st.sampled_from(["h200", "a100", "mi300x", "l40s"]),
    st.integers(1, 64),
)
def test_a_calibration_moved_is_an_engine_solved_with_it(name, slower, hardware, batch):
    question = QUESTIONS[name]
    assume(name != "processor")
    floor = Engine.solve(efficiency=1.0, **question).time_s.value
    assume(Engine.solve(**question).time_s.value * slower > floor)
    c = run(slower, **question)
    found = c.to(hardware, batch_size=batch)
    asked = {**question, "hardware": hardware, "batch_size": batch}
    solved = Engine.solve(efficiency=c, **asked)
    assert found.time_s == pytest.approx(solved.time_s, rel=1e-12)
    assert found.efficiency.value == pytest.approx(solved.efficiency.achieved, rel=1e-12)
    assert found.attainment.value == pytest.approx(solved.efficiency.attainment, rel=1e-12)
    assert found.time_s.low <= found.time_s.value <= found.time_s.high
    assert found.efficiency.high <= found.roof.ceiling
    (compared,) = compare_calibrated(Profile((c,)), hardware, batch_size=batch)
    assert compared.time_s == pytest.approx(solved.time_s, rel=1e-12)


@pytest.mark.parametrize("name", ["decode", "training", "network"])
def test_the_suggested_run_narrows_the_intervals_more_than_any_other(name):
    c = run(1.2, **QUESTIONS[name])
    best, *others = suggestions([c], count=99)
    assert best.after < best.before

    def width_after(change):
        scenario = changed(c, **change)
        time = scenario.roofline(scenario.work()).floor_s * 3
        asked = {**QUESTIONS[name], **change}
        return suggestions([c, calibrate(time_s=Interval(time, time, time), **asked)], count=1)[0].before

    assert width_after(best.change) == pytest.approx(best.after, rel=1e-9)
    widths = [width_after(other.change) for other in others]
    assert min(widths) >= best.after * (1 - 1e-9)
    assert max(widths) > best.after


def test_suggestions_go_on_from_each_other_and_fit():
    found = suggestions([run(1.2, **QUESTIONS["decode"])], count=4)
    assert [s.after for s in found[:-1]] == [s.before for s in found[1:]]
    assert all(s.after <= s.before for s in found)
    assert len({tuple(s.change.items()) for s in found}) == 4
    assert all(changed(run(1.2, **QUESTIONS["decode"]), **s.change).memory().fits for s in found)


def test_fixed_overhead_that_was_measured_stays_where_hardware_gets_faster():
    question = {"model": "resnet-50", "hardware": "l4", "batch_size": 1}
    c = calibrate(time_s=Interval(2e-3, 2e-3, 2e-3), overhead_s=1.5e-3, **question)
    found = c.to("h100")
    assert found.estimate.overhead == (1.5e-3, 1.5e-3, 1.5e-3)
    assert 1.5e-3 < found.time_s.value < 2e-3
    assert found.attainment.value < c.attainment.value
    assert "1.5 ms a step is fixed overhead that faster hardware does not remove" in found.why


def test_stated_flops_go_nowhere():
    c = calibrate(throughput=100, flops_per_token=1e12, peak_flops=989e12)
    with pytest.raises(
        InvalidValue, match="calibration must be made from a model to be used elsewhere, got 'FLOPs per"
    ):
        c.to("h200")
    with pytest.raises(InvalidValue, match="calibrations must be made from models where there are several"):
        Profile((c, run(**QUESTIONS["decode"])))


def test_the_length_of_a_prompt_is_that_of_the_cache_in_another_phase():
    c = run(1.1, **{**QUESTIONS["prefill"], "seq_len": 777})
    assert changed(c, phase="decode").context == 777
    assert changed(run(1.1, **QUESTIONS["decode"]), phase="prefill").seq_len == 2048


def test_what_if_nothing_changed():
    c = run(1.2, **QUESTIONS["decode"])
    same = what_if(Profile((c,)))
    assert same.speedup == pytest.approx(1.0, rel=1e-12)
    doubled = what_if(Profile((c,)), batch_size=64)
    assert doubled.home.time_s == pytest.approx(c.time_s, rel=1e-12)
    assert 1 < doubled.speedup < 2  # a larger batch shares the weights' reads, and adds its cache's


def test_eta_that_moved_is_told_from_noise():
    def known(time, factor=1.02, **more):
        return Profile((calibrate(time_s=Interval(time, time / factor, time * factor), **QUESTIONS["decode"], **more),))

    (moved,) = moved_between(known(0.02), known(0.021))
    # Each interval is a factor of 1.02, so that of the ratio is 1.02^sqrt(2).
    assert moved.ratio == pytest.approx((1 / 1.05, 1.02 ** -(2**0.5) / 1.05, 1.02 ** (2**0.5) / 1.05), rel=1e-9)
    assert moved.moved
    assert not moved_between(known(0.02, 1.05), known(0.021, 1.05))[0].moved
    assert moved_between(known(0.021), known(0.02))[0].ratio.value == pytest.approx(1.05)
    with pytest.raises(InvalidValue, match="calibrations must be of at least one common point to be compared"):
        moved_between(known(0.02), known(0.02, context=64))


def test_a_batch_that_was_rounded_another_way_is_held_against_the_nearest():
    def at(time, batch, factor=1.02):
        asked = {**QUESTIONS["decode"], "batch_size": batch}
        return calibrate(time_s=Interval(time, time / factor, time * factor), **asked)

    before = at(0.02, 27)
    expected = before.to("h100", batch_size=28).efficiency
    (moved,) = moved_between(Profile((at(0.02, 8), before)), Profile((at(0.022, 28),)))
    assert moved.earlier == expected
    assert moved.ratio.value == pytest.approx(at(0.022, 28).efficiency.value / expected.value)
    assert moved.ratio.value == pytest.approx(1 / 1.1, rel=0.02)  # a step takes a tenth longer, for one sequence more
    assert moved.moved
    with pytest.raises(InvalidValue, match="at least one common point"):
        moved_between(Profile((before,)), Profile((at(0.02, 32),)))


def test_runs_with_other_adapters_are_no_common_point():
    training = {**QUESTIONS["training"], "time_s": 5.0}
    with pytest.raises(InvalidValue, match="lora_rank 8"):
        moved_between(Profile((calibrate(**training),)), Profile((calibrate(lora_rank=8, **training),)))


def test_a_prediction_holds_or_does_not():
    c = run(1.2, **QUESTIONS["decode"])
    other = {**QUESTIONS["decode"], "batch_size": 64}
    expected_s = c.to("h100", batch_size=64).time_s
    (held,) = verified(Profile((c,)), [calibrate(time_s=expected_s.value, **other)])
    assert held.held
    assert held.error == pytest.approx(0, abs=1e-9)
    late = expected_s.high * 1.5
    (failed,) = verified(Profile((c,)), [calibrate(time_s=Interval(late, late, late), **other)])
    assert not failed.held
    assert failed.error == pytest.approx(expected_s.value / late - 1)


def test_a_profile_answers_for_the_point_that_rests_on_most():
    few, many = (run(1.1, **{**QUESTIONS["decode"], "batch_size": b}) for b in (8, 16))
    assert to((few, many), hardware="h200").scenario.batch_size == 8
    assert Profile((few, many)).to("h200").scenario.batch_size == 8


def test_two_measurements_of_one_point_are_pooled_by_hand():
    # Standard deviations of .02 and .04: weights 4 to 1. Of ln 1 and ln 1.05 the mean is ln(1.05) / 5.
    a, b = (Interval(v, v * math.exp(-1.645 * sd), v * math.exp(1.645 * sd)) for v, sd in ((0.5, 0.02), (0.525, 0.04)))
    found = pooled([a, b])
    assert found.value == pytest.approx(0.5 * 1.05**0.2, rel=1e-9)
    half = math.exp(1.645 / math.sqrt(0.02**-2 + 0.04**-2))
    assert found.low == pytest.approx(found.value / half, rel=1e-9)  # below both values
    assert found.high == pytest.approx(0.525, rel=1e-9)  # the farther value, for it lies beyond
    assert pooled([a]) == a


def test_a_point_that_was_measured_twice_is_not_the_first_measurement_alone():
    question = QUESTIONS["decode"]
    first, second = run(1.2, **question), run(1.4, **question)
    both = Engine.solve(efficiency=Profile((first, second)), **question).time_s.value
    assert first.time_s.value < both < second.time_s.value
