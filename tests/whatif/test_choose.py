"""Choices: the best of each hardware, the front, what is left out and why, and which options can be told apart."""

import itertools
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim import Engine, calibrate
from mlsysim.costs.prices import price_range
from mlsysim.efficiency.deviations import LEAST_NOISE
from mlsysim.errors import InvalidValue, UnknownName, UsageError
from mlsysim.hardware import Hardware
from mlsysim.report.choices import front_table
from mlsysim.results import NORMAL_90, Interval
from mlsysim.whatif.apart import REPEATS, pair, ratio
from mlsysim.whatif.choose import choose
from mlsysim.whatif.option import Option, Width, option, width_of
from mlsysim.whatif.shared import APART, EXACT, SHARED, Errors, errors_of, together

STEP = {"phase": "decode", "batch_size": [1, 8, 64], "devices": [1, 2]}
DEVICES = ("h100", "b200", "l40s", "a100")
MODEL = "llama-3.1-8b"


def loop(where=bool):
    """Every answer, one by one."""
    found = []
    for device, batch, n in itertools.product(DEVICES, STEP["batch_size"], STEP["devices"]):
        r = Engine.solve(MODEL, device, phase="decode", batch_size=batch, devices=n)
        if r.fits and where(r):
            found.append(r)
    return found


def per_million(r):
    return r.cost_usd.value / r.batch_size * 1e6


def test_the_best_of_each_hardware_is_that_of_a_loop():
    def meets(r):
        return r.time_s.value < 0.02

    c = choose(MODEL, list(DEVICES), where="tpot_s < 20 ms", **STEP)
    by_hand = {}
    for r in loop(meets):
        if r.hardware not in by_hand or per_million(r) < per_million(by_hand[r.hardware]):
            by_hand[r.hardware] = r
    ranked = sorted(by_hand.values(), key=per_million)
    assert [o.device for o in c.options] == [r.hardware for r in ranked]
    for o, r in zip(c.options, ranked, strict=True):
        assert (o.result.batch_size, o.result.devices) == (r.batch_size, r.devices)
        assert o.value("usd_per_million") == pytest.approx(per_million(r), rel=1e-12)
        assert o.interval("tpot_s") == pytest.approx(r.time_s, rel=1e-12)
    assert c.points == 24


def test_the_front_is_that_of_a_loop():
    c = choose(MODEL, list(DEVICES), pareto=("time_s", "-throughput", "usd_per_million"), **STEP)
    rows = [(r.time_s.value, -r.throughput.value, per_million(r)) for r in loop()]
    best = {r for r in rows if not any(all(a <= b for a, b in zip(o, r, strict=True)) and o != r for o in rows)}
    found = {
        tuple(s * o.value(n) for n, s in (("time_s", 1), ("throughput", -1), ("usd_per_million", 1))) for o in c.front
    }
    assert len(found) == len(best)
    for a, b in zip(sorted(found), sorted(best), strict=True):
        assert a == pytest.approx(b, rel=1e-12)


def test_the_most_of_a_quantity():
    c = choose(MODEL, "h100,l40s", by="-throughput", **STEP)
    assert [o.device for o in c.options] == ["h100-sxm", "l40s"]
    assert c.best.result.batch_size == 64
    assert str(c).startswith("most throughput: 2 x h100-sxm, batch 64, ")


def test_who_is_left_out_is_told_why():
    c = choose(MODEL, "h100,a100,esp32,a30,tpu-v6e", by="tpot_s", precision="fp8", where="usd_per_million < 3 USD")
    left = {each.hardware: each for each in c.left}
    assert left["a100-sxm-80gb"].kind == "not asked"
    assert left["a100-sxm-80gb"].reason.startswith("precision 'fp8' has no peak on a100-sxm-80gb")
    assert left["a30"] == ("a30", "not known", "no on-demand price is known: state usd_per_hour", None)
    assert left["esp32"].kind == "not known"
    assert {o.device for o in c.options} | set(left) == {"h100-sxm", "a100-sxm-80gb", "esp32", "a30", "tpu-v6e"}
    fits = choose("llama-3.1-70b", "h100,l4", by="tpot_s")
    assert [(each.hardware, each.kind) for each in fits.left] == [("h100-sxm", "does not fit"), ("l4", "does not fit")]
    assert fits.best is None
    assert fits.why_none().startswith("nothing can be asked for tpot_s: h100-sxm: does not fit")


def test_what_misses_by_least_is_told_with_how_much():
    c = choose(MODEL, "h100,b200", by="tpot_s", where="tpot_s < 4 ms", batch_size=[1, 8])
    nearest = Engine.solve(MODEL, "b200", phase="decode").time_s.value
    assert c.best is None
    assert c.nearest.hardware == "b200"
    assert c.nearest.margin == pytest.approx(1 - nearest / 0.004, rel=1e-6)
    assert c.why_none().startswith("nothing meets tpot_s < 4 ms: the nearest is 1 x b200, batch 1: tpot_s = 4.5")
    words = choose(MODEL, "h100", by="tpot_s", where="precision == 'fp8'", precision=["bf16"])
    assert words.why_none() == "nothing meets precision == 'fp8': h100-sxm: h100-sxm meets precision == 'fp8' nowhere"


def test_hardware_of_a_kind_and_specs_of_ones_own():
    mine = Hardware["h100"].replace(name="mine", bandwidth=6e12)
    c = choose(MODEL, [mine, "h100", "H100-SXM"], by="tpot_s")
    assert [o.device for o in c.options] == ["mine", "h100-sxm"]
    tpus = choose(MODEL, "tpu", by="tpot_s")
    assert {*(o.device for o in tpus.options), *(each.hardware for each in tpus.left)} == {
        name for name in Hardware if Hardware[name].kind == "tpu"
    }


def test_a_price_of_each_device_or_a_kind_of_price():
    c = choose(MODEL, "h100,b200", usd_per_hour={"h100": 2, "b200": "5 USD/h"}, **STEP)
    prices = {o.device: o.solution.price for o in c.options}
    assert prices == {"h100-sxm": Interval(2, 2, 2), "b200": Interval(5, 5, 5)}
    spot = choose(MODEL, "h100,rtx-4090", rent="specialist", **STEP)
    assert spot.best.solution.price == price_range("h100", "specialist").interval
    assert spot.left[0] == ("rtx-4090", "not known", "no specialist price is known: state usd_per_hour", None)


def test_a_training_run_by_its_tokens():
    c = choose(
        MODEL,
        "h100,b200",
        by="run_usd",
        where="run_s < 60 days",
        tokens=1e12,
        devices=[64, 256],
        batch_size=1024,
        seq_len=4096,
        pareto=("run_s", "run_usd"),
    )
    best = c.best
    step = Engine.solve(
        MODEL, best.device, phase="training", batch_size=1024, seq_len=4096, devices=best.result.devices
    )
    steps = 1e12 / (1024 * 4096)
    assert best.value("run_s") == pytest.approx(step.time_s.value * steps, rel=1e-12)
    assert best.value("run_usd") == pytest.approx(step.cost_usd.value * steps, rel=1e-12)
    assert all(o.value("run_s") < 60 * 86400 for o in c.options)
    assert [o.value("run_s") for o in c.front] == sorted(o.value("run_s") for o in c.front)


def test_an_option_at_an_end_of_its_interval():
    value = Engine.solve(MODEL, "h100", phase="decode").time_s
    between = (value.value + value.high) / 2
    assert choose(MODEL, "h100", by="tpot_s", where=f"tpot_s < {between}").sure == (False,)
    assert choose(MODEL, "h100", by="tpot_s", where=f"tpot_s < {value.high * 1.01}").sure == (True,)
    assert choose(MODEL, "h100", by="tpot_s").sure == (None,)
    rate = choose(MODEL, "h100", by="tpot_s", where="throughput > 1").sure
    assert rate == (True,)


def test_it_is_plain_data():
    data = choose(MODEL, "h100,b200,esp32", where="tpot_s < 1 s", **STEP).to_dict()
    json.dumps(data, allow_nan=False)
    assert data["options"][0]["usd_per_million"].keys() == {"value", "low", "high"}
    assert data["left"][0]["hardware"] == "esp32"


@pytest.mark.parametrize(
    ("asked", "error", "sentence"),
    [
        (
            {"by": "usd_per_milion"},
            UnknownName,
            "unknown quantity in by: 'usd_per_milion': did you mean usd_per_million",
        ),
        ({"where": "tpot < 3"}, UnknownName, "unknown quantity in where: 'tpot': did you mean tpot_s"),
        ({"by": "run_s"}, InvalidValue, "tokens must be stated where run_s is asked"),
        ({"pareto": ("time_s",)}, InvalidValue, "pareto must be two objectives or more"),
        ({"rent": "spott"}, UnknownName, "unknown rent 'spott': did you mean spot"),
        ({"usd_per_hour": {"l4": 2}}, InvalidValue, "usd_per_hour must be of devices that are asked, got 'l4'"),
        ({"phase": "forward", "by": "tpot_s"}, InvalidValue, "phase must be decode, which alone has tpot_s, got 'forw"),
        (
            {"by": "tpot_s", "where": "ttft_s < 1"},
            InvalidValue,
            "phase must be forward, which alone has ttft_s, got 'd",
        ),
        ({"batch_size": 0}, InvalidValue, "batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": "1..1e12+1"}, InvalidValue, "points must be fewer than 1e+10 in a choice, got '1e+12'"),
        ({"precision": "fp7"}, UnknownName, "unknown precision 'fp7'"),
    ],
)
def test_slips_are_answered_with_a_sentence(asked, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        choose(MODEL, "h100", **asked)


def test_no_hardware_and_unknown_hardware():
    with pytest.raises(InvalidValue, match="hardware must be all, a kind of device, or at least one device, got ''"):
        choose(MODEL, "")
    with pytest.raises(UnknownName, match="unknown hardware 'h1000': did you mean"):
        choose(MODEL, "h1000")


def test_carbon_where_it_runs():
    c = choose(MODEL, "h100,b200", region=["virginia", "france"], by="carbon_kg", where="carbon_kg < 1", phase="decode")
    assert {o.fields["region"] for o in c.options} != {"virginia"}
    r = Engine.solve(MODEL, c.best.device, phase="decode", region="france")
    assert c.best.interval("carbon_kg") == pytest.approx(r.carbon_kg, rel=1e-12)
    assert "region france" in c.best.label
    run = choose(MODEL, "b200", region="virginia", tokens=1e12, by="run_usd", where="run_kg < 100", batch_size=64)
    step = Engine.solve(MODEL, "b200", phase="training", batch_size=64, region="virginia")
    assert run.nearest.reason.split("run_kg = ")[1].startswith(f"{step.carbon_kg.value * 1e12 / (64 * 2048):.4g}"[:4])


# Told apart or not


def at(device, **fields):
    return option(MODEL, device, **{"phase": "decode", "batch_size": 32, **fields})


def test_stated_eta_and_price_are_exact():
    a, b = (at(d, efficiency=0.01, usd_per_hour=3) for d in ("h100", "b200"))
    found = ratio(a, b, "usd_per_million")
    peaks = [Hardware[d].peak("bf16").value for d in ("h100", "b200")]
    assert found.interval == Interval(*[pytest.approx(peaks[0] / peaks[1])] * 3)
    assert found.errors.kind == EXACT
    assert found.distinguishable


def test_independent_ranges_of_price_add_in_squares():
    a, b = (at(d, efficiency=0.01, rent="specialist") for d in ("h100", "b200"))
    (value, low, high) = ratio(a, b, "usd_per_million").interval
    first, second = (price_range(d, "specialist") for d in ("h100", "b200"))
    up = math.hypot(math.log(second.high / second.value), math.log(first.value / first.low))
    down = math.hypot(math.log(second.value / second.low), math.log(first.high / first.value))
    assert math.log(high / value) == pytest.approx(up)
    assert math.log(value / low) == pytest.approx(down)


def test_the_price_of_one_device_is_one_price():
    a, b = at("h100", efficiency=0.001, batch_size=1), at("h100", efficiency=0.001, batch_size=2)
    assert ratio(a, b, "usd_per_million").interval == Interval(*[pytest.approx(1.0)] * 3)
    both = ratio(at("h100"), at("h100", rent="specialist"), "usd_per_million")
    assert both.interval.low < both.interval.high


def test_shared_errors_of_times_narrow_the_ratio():
    a, b = at("h100"), at("h200")
    errors = errors_of(a, b)
    assert errors.kind == SHARED
    # Two of a family: most of what one is off, the other is off too.
    assert errors.correlation > 0.5
    wide = [width_of(o.solution.time_s) for o in (a, b)]
    apart = math.hypot(wide[0].down, wide[1].up)
    found = ratio(a, b, "time_s").interval
    assert math.log(found.high / found.value) < apart
    assert errors.after_first < apart
    assert errors.after_second < apart


def test_the_width_of_a_ratio_by_hand():
    # Of two that share nothing squares add; of two that share all, what is left is the difference.
    a, b = Width(0.3, 0.4), Width(0.6, 1.2)
    assert together(a, b, Errors(APART)) == pytest.approx((math.hypot(0.6, 0.4), math.hypot(1.2, 0.3)))
    assert together(a, a, Errors(SHARED, 1.0)) == Width(0.0, 0.0)
    assert together(a, b, Errors(SHARED, 1.0)) == pytest.approx((0.3, 0.8))
    half = math.sqrt(0.5 * 0.3**2 + 0.5 * (0.6**2 + 0.4**2))
    assert together(a, b, Errors(SHARED, 0.5)).down == pytest.approx(half)
    alike = together(Width(0.3, 0.3), Width(0.5, 0.5), Errors(SHARED, 0.8))
    assert alike == pytest.approx([math.sqrt(0.3**2 + 0.5**2 - 2 * 0.8 * 0.3 * 0.5)] * 2)
    # Moves of heavy tails ask for more, but never for more than two that share nothing.
    assert together(a, b, Errors(SHARED, 0.5, 0.7)).down == pytest.approx(0.7)
    assert together(a, b, Errors(SHARED, 0.5, 9.0)).down == pytest.approx(math.hypot(0.6, 0.4))


def test_the_correlation_is_that_of_the_deviations():
    from mlsysim.efficiency.deviations import covariance
    from mlsysim.whatif.shared import _point

    a, b = (_point(at(d)) for d in ("h100", "h200"))
    expected = covariance(a, b) / math.sqrt(covariance(a, a) * covariance(b, b))
    assert errors_of(at("h100"), at("h200")).correlation == pytest.approx(expected)
    assert errors_of(at("h100"), at("h100", usd_per_hour=3)).correlation == pytest.approx(1.0)
    assert errors_of(at("h100"), at("h200")).at_least == 0
    assert errors_of(at("h100"), at("h100", precision="fp8")).at_least > 0


def test_what_no_equation_was_fitted_to_is_taken_as_independent():
    a, b = (option("resnet-50", d, batch_size=8) for d in ("epyc-9654", "graviton4"))
    assert errors_of(a, b).kind == APART
    found = ratio(a, b, "time_s").interval
    wide = [width_of(o.solution.time_s) for o in (a, b)]
    assert math.log(found.high / found.value) == pytest.approx(math.hypot(wide[1].up, wide[0].down))


def test_a_measured_run_tells_more_of_its_neighbours():
    c = calibrate(model=MODEL, hardware="h100", phase="decode", batch_size=32, throughput=2500)
    before = ratio(at("h100"), at("h200"), "time_s").interval
    after = ratio(at("h100", efficiency=c), at("h200", efficiency=c), "time_s").interval
    assert after.high / after.low < before.high / before.low
    # One rests on a measurement, the other on none: nothing is known of what they share.
    assert errors_of(at("h100", efficiency=c), at("h200")).kind == APART


def test_what_would_settle_it():
    a, b = (
        at("h100", usd_per_hour=3),
        at("b200", usd_per_hour=3 * at("b200").value("throughput") / at("h100").value("throughput")),
    )
    even = pair(a, b, "usd_per_million")
    assert not even.distinguishable
    assert "which no measurement would settle" in even.settle
    near = pair(at("h100", usd_per_hour=3), at("b200", usd_per_hour=4), "usd_per_million")
    assert not near.distinguishable
    assert near.settle.endswith("would settle it, if the values stay")
    assert "run" in near.settle
    price = pair(at("h100", efficiency=0.01), at("b200", efficiency=0.01), "usd_per_million")
    assert not price.distinguishable
    assert price.settle == "a quote for each price would settle it, if the values stay"


def test_two_measured_times_differ_by_what_runs_repeat_to():
    assert pytest.approx(NORMAL_90 * LEAST_NOISE * math.sqrt(2)) == REPEATS


def test_a_pair_in_a_sentence():
    found = pair(at("h100", efficiency=0.01, usd_per_hour=2), at("b200", efficiency=0.01, usd_per_hour=2), "time_s")
    first = "1 x h100-sxm, batch 32, rent of 2 USD/h"
    second = first.replace("h100-sxm", "b200")
    assert str(found) == f"{second} is told apart from {first}: 0.44 (0.44 to 0.44) times its time_s"


NAMES = st.sampled_from(["h100", "b200", "l40s", "a100", "mi300x", "tpu-v6e", "rtx-4090"])
OF = st.sampled_from(["time_s", "throughput", "usd_per_million", "tpot_s"])


@settings(max_examples=25, deadline=None)
@given(first=NAMES, second=NAMES, of=OF, batch=st.sampled_from([1, 4, 64]))
def test_a_ratio_turned_round_is_its_reciprocal_and_never_wider_than_independent(first, second, of, batch):
    a, b = at(first, batch_size=batch), at(second, batch_size=batch)
    there, back = ratio(a, b, of).interval, ratio(b, a, of).interval
    for end, other in (("value", "value"), ("low", "high"), ("high", "low")):
        assert getattr(there, end) * getattr(back, other) == pytest.approx(1)
    assert there.low <= there.value <= there.high
    widths = [width_of(o.interval(of)) for o in (a, b)]
    assert math.log(there.high / there.value) <= math.hypot(widths[1].up, widths[0].down) * (1 + 1e-9)
    if first == second:
        assert there.value == 1


@settings(max_examples=15, deadline=None)
@given(device=NAMES, of=OF)
def test_the_parts_of_an_interval_are_those_of_the_quantity(device, of):
    o = at(device)
    whole = width_of(o.interval(of))
    parts = o.widths(of).values()
    assert np.hypot.reduce([p.up for p in parts]) == pytest.approx(whole.up, rel=1e-6)
    assert np.hypot.reduce([p.down for p in parts]) == pytest.approx(whole.down, rel=1e-6)


def test_an_option_refuses_what_contradicts_itself():
    with pytest.raises(
        InvalidValue, match="usd must be left out where devices are rented, got 20000; own=True buys th"
    ):
        at("h100", usd=20_000)
    with pytest.raises(InvalidValue, match="own must be left out where a rent is stated, got True"):
        at("h100", own=True, rent="spot")
    with pytest.raises(InvalidValue, match=r"utilisation must be in \(0, 1\], got 70"):
        at("h100", utilisation=70)
    assert isinstance(at("h100", own=True, region="virginia", utilisation=0.5), Option)


def test_owned_devices_cost_what_an_hour_of_owning_costs():
    from mlsysim.costs.ownership import Ownership

    found = choose("llama-3.1-8b", "h100,h200,esp32", phase="decode", own=True, utilisation="70%", region="virginia")
    for o in found.options:
        hour = Ownership().usd_per_device_hour(o.device, "virginia", utilisation=0.7).total
        assert o.solution.price == pytest.approx(hour)
        assert o.value("cost_usd") == pytest.approx(hour.value * o.value("time_s") / 3600)
    (left,) = found.left
    assert (left.hardware, left.kind) == ("esp32", "not known")
    assert left.reason == "usd must be given: no purchase price of esp32 is known"


def test_what_is_stated_of_owned_devices():
    stated = {"h100": 30_000, "h200": 36_000}
    found = choose("llama-3.1-8b", "h100,h200", phase="decode", own=True, usd=stated, usd_per_kwh=0.1)
    assert {o.device: o.pay.costs["usd"] for o in found.options} == {"h100-sxm": 30_000, "h200-sxm": 36_000}
    assert all(o.to_dict()["paid"] == "owned (price stated)" for o in found.options)
    for wrong, said in (
        ({"own": True}, "region must be given where devices are owned, or usd_per_kwh"),
        ({"own": True, "region": ["france", "germany"]}, "region must be one, where devices are owned"),
        ({"own": True, "usd_per_hour": 3, "region": "france"}, "own must be left out where a rent is stated, got True"),
        ({"usd": 30_000}, "usd must be left out where devices are rented"),
        ({"own": True, "usd": {"b200": 3}, "region": "france"}, "usd must be of devices that are asked"),
    ):
        with pytest.raises(UsageError, match=said):
            choose("llama-3.1-8b", "h100,h200", **wrong)


def test_hours_that_are_rented_and_not_used_are_paid_by_those_that_are():
    whole, half = (choose("llama-3.1-8b", "h100", usd_per_hour=3, utilisation=use).best for use in (None, 0.5))
    assert half.value("cost_usd") == pytest.approx(2 * whole.value("cost_usd"))


def test_money_is_told_in_full():
    from mlsysim.whatif.asked import shown

    told = {0.00123: "0.00123 USD", 12.3456: "12.3 USD", 153_224.4: "153,224 USD", 1_691_234.0: "1,690,000 USD"}
    assert {value: shown(value, "USD") for value in told} == told


def test_the_run_that_emits_least_is_found_with_the_hosts_in_it():
    found = choose(MODEL, "h100,b200,l40s", by="run_kg", tokens=1e12, region="virginia", devices=64, batch_size=1024)
    tokens = 1024 * 2048
    by_hand = {}
    for o in found.options:
        step = Engine.solve(MODEL, o.device, phase="training", batch_size=1024, devices=64, region="virginia")
        by_hand[o.device] = step.carbon_kg.value * 1e12 / tokens
        assert o.value("run_kg") == pytest.approx(by_hand[o.device])
        assert o.interval("kg_per_million").high == pytest.approx(step.carbon_kg.high * 1e6 / tokens)
    assert [o.device for o in found.options] == sorted(by_hand, key=by_hand.get)
    nowhere = choose(MODEL, "h100", by="run_kg", tokens=1e12, devices=64)
    assert nowhere.why_none().endswith("run_kg: it follows from a region: state region")


def test_purchase_prices_of_different_days_are_told():
    asked = {"phase": "decode", "batch_size": [1, 32], "own": True, "region": "virginia"}
    both = choose(MODEL, "h100,h200", **asked)
    assert both.cautions() == [
        "purchase prices are of different days, which no interval holds: 2026 (h200-sxm); 2024-08 (h100-sxm)"
    ]
    assert both.cautions()[0] in str(both)
    assert choose(MODEL, "h100", **asked).cautions() == []
    assert choose(MODEL, "h100,h200", phase="decode").cautions() == []
    front = front_table(both)
    assert front.columns[-1] == "bought (price of)"
    assert {row[-1] for row in front.rows} == {o.bought for o in both.front}
