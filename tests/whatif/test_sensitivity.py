"""Elasticities: hand-computed ones, the law of dimensions, kinks; what more of a figure buys; uncertain inputs."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim import Engine, Hardware, calibrate
from mlsysim.costs.prices import price_range
from mlsysim.efficiency.predict import prediction, slopes_of
from mlsysim.efficiency.structure import structure
from mlsysim.errors import InvalidValue, UnknownName, UsageError
from mlsysim.hardware import HardwareSpec
from mlsysim.whatif.asked import asked
from mlsysim.whatif.sensitivity import sensitivity
from mlsysim.whatif.slopes import elasticity
from mlsysim.whatif.worth import largest, largest_batch

LLAMA = "llama-3.1-8b"
EXACT = 1e-8
"""Central differences with steps of 1e-4 leave out terms of the order of 1e-8."""


def test_an_elasticity_of_a_power_is_its_exponent() -> None:
    assert elasticity(lambda x: 5 * x**3, 7.0) == pytest.approx((3, 3, 3), abs=EXACT)


def test_both_sides_of_a_kink_are_given_and_their_mean() -> None:
    slope = elasticity(lambda x: max(x, 2.0) ** 2, 2.0)
    assert slope.kink
    assert (slope.below, slope.above, slope.value) == pytest.approx((0.0, 2.0, 1.0), abs=EXACT)


def test_near_a_kink_smaller_steps_stay_on_one_side() -> None:
    slope = elasticity(lambda x: max(x, 2.0) ** 2, 2.0 * (1 + 2e-5))
    assert slope == pytest.approx((2, 2, 2), abs=1e-6)


def test_at_an_edge_there_is_one_side() -> None:
    slope = elasticity(lambda x: x + 1, 1.0, least=1.0)
    assert slope.below is None
    assert slope.above == pytest.approx(0.5, abs=1e-6)


def test_a_jump_has_no_elasticity() -> None:
    slope = elasticity(lambda x: 1.0 if x < 3 else 2.0, 3.0)
    assert slope.below is None
    assert slope.above == pytest.approx(0, abs=EXACT)


def test_a_memory_bound_step_at_its_floor_takes_time_as_one_over_bandwidth() -> None:
    # An eta above the ceiling gives the floor, bytes / bandwidth: -1 to bandwidth, nothing to peak or to eta.
    s = sensitivity(LLAMA, "h100", phase="decode", efficiency=0.9)
    assert s["bandwidth"].elasticity == pytest.approx(-1, abs=EXACT)
    assert [s[name].elasticity for name in ("peak", "eta", "price")] == pytest.approx([0, 0, 0], abs=EXACT)
    traffic = s.result.traffic_bytes
    cache = 50e6  # what stays in the last-level cache is not read: d ln(w - c) / d ln c
    assert s["cache"].elasticity == pytest.approx(-cache / traffic, rel=1e-6)


def test_a_stated_eta_below_the_ceiling_is_the_equation_itself() -> None:
    s = sensitivity(LLAMA, "h100", phase="forward", efficiency=0.4)
    assert [s[name].elasticity for name in ("peak", "eta", "batch")] == pytest.approx([-1, -1, 1], abs=EXACT)
    assert s["bandwidth"].elasticity == pytest.approx(0, abs=EXACT)
    assert s["peak"].high == pytest.approx(s.value.value / 1.1)
    assert s["peak"].low == pytest.approx(s.value.value / 0.9)
    assert s["eta"].high == pytest.approx(s.value.value / 1.1)


def test_cost_is_proportional_to_price_and_energy_to_nothing_of_it() -> None:
    cost = sensitivity(LLAMA, "h100", phase="decode", of="usd_per_million")
    assert cost["price"].elasticity == pytest.approx(1, abs=EXACT)
    assert sensitivity(LLAMA, "h100", phase="decode", of="energy_j")["price"].elasticity == pytest.approx(0, abs=EXACT)


def ridge() -> HardwareSpec:
    """Return an H100 whose bandwidth is such that a prefill takes equally long to compute and to move."""
    roof = Engine.solve(LLAMA, "h100", efficiency=0.9).basis.roof
    h100 = Hardware.H100
    return h100.replace(name=h100.name, bandwidth=roof.traffic_bytes / roof.compute_s)


def test_at_the_ridge_of_the_roofline_both_sides_are_given() -> None:
    s = sensitivity(LLAMA, ridge(), efficiency=1.0)
    for name in ("peak", "bandwidth"):
        assert s[name].kink
        assert (s[name].below, s[name].above) == pytest.approx((-1, 0), abs=1e-6)
    assert "-1.000 / " in str(s)


def law_of_dimensions(s: object) -> float:
    """Return what must be -1: rates k times as high and fixed times k times shorter make a step k times faster."""
    rates = {"peak", "bandwidth", "link", "network", "power"}
    return sum(
        row.elasticity * (1 if row.input in rates else -1)
        for row in s.rows  # type: ignore[attr-defined]
        if row.input in rates or ("." in row.input and structure()[row.input].unit == "s")
    )


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["llama-3.1-8b", "mixtral-8x7b", "deepseek-v3"]),
    st.sampled_from(["h100", "a100", "b200", "rtx-4090"]),
    st.sampled_from(["decode", "forward"]),
    st.integers(1, 300),
    st.integers(64, 16000),
    st.sampled_from([1, 2, 8]),
)
def test_elasticities_to_rates_and_fixed_times_sum_to_minus_one(
    model: str, hardware: str, phase: str, batch: int, tokens: int, devices: int
) -> None:
    length = {"context": tokens} if phase == "decode" else {"seq_len": tokens}
    s = sensitivity(model, hardware, phase=phase, batch_size=batch, devices=devices, **length)
    if not any(row.kink and row.kind == "hardware" for row in s.rows):
        assert law_of_dimensions(s) == pytest.approx(-1, abs=1e-5)


def test_fixed_times_of_one_sequence_sum_to_their_share_of_the_step() -> None:
    s = sensitivity(LLAMA, "h100", phase="decode")
    fixed = sum(r.elasticity or 0 for r in s.rows if "." in r.input and structure()[r.input].unit == "s")
    assert fixed == pytest.approx(s.result.breakdown_s["overhead"] / s.result.time_s.value, abs=1e-6)
    assert s["attainment"].elasticity == pytest.approx(fixed - 1, abs=1e-6)


def test_elasticities_to_parameters_are_the_slopes_of_the_prediction() -> None:
    # slopes_of takes one-sided steps of 1e-4, so that it is off by some of these.
    s = sensitivity(LLAMA, "h100", phase="decode", batch_size=8)
    found = prediction(s.result.basis.scenario)
    assert found is not None
    for name, slope in slopes_of(found.parts).items():
        assert s[name].elasticity == pytest.approx(slope, abs=2e-4), name


def test_a_batch_as_a_real_number_lies_between_whole_ones() -> None:
    s = sensitivity(LLAMA, "h100", phase="decode", batch_size=64)
    one, two = (Engine.solve(LLAMA, "h100", phase="decode", batch_size=b).time_s.value for b in (63, 65))
    assert s["batch"].elasticity == pytest.approx(math.log(two / one) / math.log(65 / 63), abs=1e-4)
    assert s["batch"].way == "real-valued"


def test_devices_are_halved_and_doubled() -> None:
    question = {"phase": "decode", "batch_size": 16}
    times = {n: Engine.solve(LLAMA, "h100", devices=n, **question).time_s.value for n in (2, 4, 8)}
    row = sensitivity(LLAMA, "h100", devices=4, **question)["devices"]
    assert row.way == "halved and doubled"
    assert (row.low, row.high) == (times[2], times[8])
    assert (row.below, row.above) == pytest.approx([math.log2(times[4] / times[2]), math.log2(times[8] / times[4])])


def test_links_count_where_devices_exchange() -> None:
    decode = sensitivity("llama-3.1-70b", "h100", phase="decode", batch_size=256, devices=8)
    assert decode["link"].value == 450e9
    assert decode["link"].elasticity < -0.01
    training = sensitivity("llama-3.1-70b", "h100", phase="training", batch_size=256, devices=64)
    assert training["network"].elasticity < -0.01
    with pytest.raises(UnknownName):
        sensitivity(LLAMA, "h100")["link"]


def test_a_stated_link_is_used_in_place_of_the_registrys() -> None:
    h100 = Hardware.H100
    question = {"phase": "decode", "batch_size": 256, "devices": 8}
    times = [
        Engine.solve("llama-3.1-70b", h100.replace(name=h100.name, scale_up_bandwidth=link), **question).time_s.value
        for link in ("450 GB/s", "900 GB/s")
    ]
    assert times[0] == Engine.solve("llama-3.1-70b", h100, **question).time_s.value
    assert times[1] < times[0]


def test_near_a_measured_run_what_it_takes_over_the_prediction_is_kept() -> None:
    measured = calibrate(model=LLAMA, hardware="h100", phase="decode", batch_size=8, throughput=500.0)
    question = {"phase": "decode", "batch_size": 8}
    s = sensitivity(LLAMA, "h100", efficiency=measured, **question)
    assert s.value.value == pytest.approx(8 / 500)
    predicted = sensitivity(LLAMA, "h100", **question)
    assert s["bandwidth"].elasticity == pytest.approx(predicted["bandwidth"].elasticity, abs=1e-6)


def test_a_stated_eta_that_is_kept_is_said_and_attainment_may_be_kept_instead() -> None:
    kept = sensitivity(LLAMA, "h100", phase="decode", efficiency=0.002)
    assert kept["bandwidth"].elasticity == pytest.approx(0, abs=EXACT)
    assert [n.code for n in kept.notes if n.code == "eta-held"]
    other = sensitivity(LLAMA, "h100", phase="decode", efficiency=0.002, hold="attainment")
    assert other.value == kept.value
    assert other["bandwidth"].elasticity == pytest.approx(-1, abs=EXACT)
    assert not [n.code for n in other.notes if n.code == "eta-held"]


def test_what_binds_comes_first_with_what_it_is_worth() -> None:
    s = sensitivity(LLAMA, "h100", phase="decode", of="tpot_s", batch_size=16, usd_per_hour=3.0)
    first = s.worth[0]
    assert (first.input, first.binds, s.bound) == ("bandwidth", True, "memory")
    more = Engine.solve(
        LLAMA, Hardware.H100.replace(name="h100-sxm", bandwidth=3.35e12 * 1.1), phase="decode", batch_size=16
    )
    faster = s.value.value / more.time_s.value - 1
    assert first.gain == pytest.approx(faster)
    assert first.usd_per_hour == pytest.approx(3.0 * faster)
    assert first.text.startswith(f"10 % more HBM bandwidth buys {100 * faster:.1f} % (")


def test_memory_is_worth_the_larger_batch_that_it_admits() -> None:
    s = sensitivity("llama-3.1-70b", "h200", phase="decode", precision="fp8", of="throughput", context=8192)
    text = next(w.text for w in s.worth if w.input == "memory")
    q, _ = asked("llama-3.1-70b", "h200", phase="decode", precision="fp8", context=8192)
    before = largest_batch(q)
    assert q.with_scenario(batch_size=before).scenario.memory().fits
    assert not q.with_scenario(batch_size=before + 1).scenario.memory().fits
    assert f"instead of {before:,}, which buys" in text
    full = sensitivity("llama-3.1-70b", "h200", phase="decode", precision="fp8", context=8192, batch_size=before)
    assert next(w.binds for w in full.worth if w.input == "memory")
    assert full["batch"].high is None  # it would not fit


def test_what_fits_nowhere_says_whether_more_memory_would_do() -> None:
    s = sensitivity("llama-3.1-70b", "h100", phase="decode")
    assert "is not enough: nothing fits" in next(w.text for w in s.worth if w.input == "memory")


def test_the_largest_number_with_a_property() -> None:
    assert [largest(lambda n, k=k: n <= k, 1000) for k in (0, 1, 2, 37, 999, 1000, 5000)] == [
        0,
        1,
        2,
        37,
        999,
        1000,
        1000,
    ]


def test_uncertain_inputs_are_taken_to_their_own_ends() -> None:
    s = sensitivity(LLAMA, "h100", phase="decode", of="usd_per_million", batch_size=16)
    found = {u.input: u for u in s.uncertain}
    known = price_range("h100")
    assert known is not None
    assert (found["price"].low, found["price"].high) == (known.low, known.high)
    assert found["price"].output_high == pytest.approx(s.value.value * known.high / found["price"].value)
    assert (found["eta"].output_low, found["eta"].output_high) == (s.value.high, s.value.low)  # a low eta costs most
    assert s.uncertain[0].spread >= s.uncertain[-1].spread
    stated = sensitivity(LLAMA, "h100", phase="decode", of="usd_per_million", usd_per_hour=3, efficiency=0.002)
    assert not stated.uncertain
    energy = sensitivity(LLAMA, "h100", of="joules_per_item", phase="decode", efficiency=0.002)
    assert [u.input for u in energy.uncertain] == ["power"]
    u = energy.uncertain[0]
    assert u.output_high / u.output_low == pytest.approx(u.high / u.low)


def test_a_training_run_is_as_many_steps_as_its_tokens_take() -> None:
    question = {"batch_size": 512, "seq_len": 4096, "devices": 256}
    s = sensitivity("llama-3.1-8b", "h100", of="run_s", tokens=1e12, **question)
    step = Engine.solve("llama-3.1-8b", "h100", phase="training", **question)
    steps = 1e12 / (512 * 4096)
    assert s.value.value == pytest.approx(steps * step.time_s.value)
    assert s["tokens"].elasticity == pytest.approx(1, abs=EXACT)
    cost = sensitivity("llama-3.1-8b", "h100", of="run_usd", tokens=1e12, **question)
    assert step.cost_usd is not None
    assert cost.value.value == pytest.approx(steps * step.cost_usd.value)


def test_rows_come_strongest_first_and_go_into_json() -> None:
    s = sensitivity(LLAMA, "h100", of="tpot_s", change="5 %")
    strengths = [row.strength for row in s.rows]
    assert strengths == sorted(strengths, reverse=True)
    data = json.loads(json.dumps(s.to_dict(), allow_nan=False))
    assert data["change"] == 0.05
    assert data["rows"][0]["input"] == s.rows[0].input
    assert "price" in s.without_effect
    assert s.result.phase == "decode"  # the phase that alone has the quantity


def test_processors_and_microcontrollers_follow_their_clock() -> None:
    # What is predicted of them is cycles over a clock, which goes up with the peak, and no memory is known.
    s = sensitivity("mobilenet-v1-0.25-96", "stm32f746")
    assert s["peak"].elasticity == pytest.approx(-1, abs=1e-3)


@pytest.mark.parametrize(
    ("question", "kind", "said"),
    [
        ({"of": "usd_per_milion"}, UnknownName, "did you mean usd_per_million"),
        ({"change": 1.0}, InvalidValue, "change must be a share below 1"),
        ({"of": "tpot_s", "phase": "forward"}, InvalidValue, "tpot_s is one of phase decode, and this is forward"),
        ({"of": "run_s"}, InvalidValue, "tokens must be stated where run_s is asked"),
        ({"tokens": 1e9, "phase": "decode"}, InvalidValue, "tokens must be left out"),
        ({"hold": "ceiling"}, UnknownName, "unknown hold 'ceiling'"),
        ({"of": "kv_cache_bytes", "phase": "training"}, InvalidValue, "of must be a quantity above 0 here"),
        ({"batch_size": 0, "hold": "etta"}, UsageError, "did you mean eta"),
    ],
)
def test_questions_that_cannot_be_asked(question: dict[str, object], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        sensitivity(LLAMA, "h100", **question)  # type: ignore[arg-type]


def test_a_cost_without_a_price_asks_for_it() -> None:
    with pytest.raises(InvalidValue, match="no price is known for mi100: state usd_per_hour"):
        sensitivity(LLAMA, "mi100", phase="decode", of="usd_per_million")


def test_the_tornado_plot_is_written(tmp_path: object) -> None:
    pytest.importorskip("matplotlib")
    from pathlib import Path

    s = sensitivity(LLAMA, "h100", of="usd_per_million", phase="decode", batch_size=16)
    for ending, begins in ((".png", b"\x89PNG"), (".svg", b"<?xml")):
        path = Path(str(tmp_path)) / f"tornado{ending}"
        s.plot(str(path))
        assert path.read_bytes().startswith(begins)
    text = path.read_text()
    assert "memory bandwidth, 3.35 TB/s" in text
    assert "usd_per_million [USD]" in text
    with pytest.raises(InvalidValue, match=r"plot must be a file that ends with .png"):
        s.plot(str(Path(str(tmp_path)) / "tornado.xls"))


def test_bars_are_sorted_and_devices_are_none_of_them() -> None:
    pytest.importorskip("matplotlib")
    from mlsysim.report.tornado import bars_of

    s = sensitivity(LLAMA, "h100", of="tpot_s", batch_size=16, devices=2)
    bars = bars_of(s.shown_rows, s.value.value)
    spans = [bar.span(s.value.value) for bar in bars]
    assert spans == sorted(spans, reverse=True)
    assert not [bar for bar in bars if bar.label.startswith("devices")]
