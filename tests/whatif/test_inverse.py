"""What a goal needs: hand-computed answers, round trips, ranges, and goals that nothing reaches."""

import json
import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlsysim import Engine, Hardware, calibrate
from mlsysim.errors import Infeasible, InvalidValue, UnknownName, UsageError
from mlsysim.hardware import HardwareSpec
from mlsysim.whatif.feasible import ranges, real_points, whole_points
from mlsysim.whatif.inverse import Need, need

LLAMA = "llama-3.1-8b"
H100 = Hardware.H100


def changed(**figures: Any) -> HardwareSpec:
    """Return an H100 with another figure, whose software is the same."""
    return H100.replace(name=H100.name, **figures)


def test_the_bandwidth_of_a_step_at_its_floor_is_bytes_over_time() -> None:
    # An eta of 1 is above the ceiling of decode: the answer is the floor, and the need bytes / limit.
    question = {"phase": "decode", "batch_size": 4, "efficiency": 1.0}
    traffic = Engine.solve(LLAMA, "h100", **question).traffic_bytes
    n = need("bandwidth", LLAMA, "h100", reach="tpot_s <= 3 ms", **question)
    assert n.value == pytest.approx(traffic / 3e-3, rel=1e-12)
    assert (n.side, n.has, n.elasticity) == ("at least", 3.35e12, pytest.approx(-1, abs=1e-6))


def test_the_eta_that_a_time_takes_is_the_equation_turned_round() -> None:
    home = Engine.solve(LLAMA, "h100", seq_len=8192)
    n = need("eta", LLAMA, "h100", reach="ttft_s <= 0.3", seq_len=8192)
    assert n.value == pytest.approx(home.flops / (home.peak_flops * 0.3), rel=1e-12)
    assert n.there.efficiency.kind == "assumed"
    assert n.interval == (n.value, n.value)  # an eta that is stated has no interval


def test_the_peak_at_a_stated_eta_is_flops_over_time() -> None:
    flops = Engine.solve(LLAMA, "h100", seq_len=8192).flops
    n = need("peak", LLAMA, "h100", reach="ttft_s <= 0.1", seq_len=8192, efficiency=0.5)
    assert n.value == pytest.approx(flops / (0.5 * 0.1), rel=1e-12)


def test_the_price_is_what_the_cost_leaves_for_an_hour() -> None:
    rate = Engine.solve(LLAMA, "h100", phase="decode", batch_size=64).throughput.value
    n = need("price", LLAMA, "h100", reach="usd_per_million <= 0.25 USD", phase="decode", batch_size=64)
    assert n.value == pytest.approx(0.25e-6 * rate * 3600, rel=1e-12)
    assert n.side == "at most"
    slow, fast = sorted(end for end in n.interval if end is not None)
    assert slow < n.value < fast


def test_a_price_may_be_asked_where_none_is_known() -> None:
    n = need("price", LLAMA, "mi100", reach="usd_per_million <= 5", phase="decode")
    assert n.has is None
    assert n.there.cost_usd is not None


def test_days_of_training_are_devices() -> None:
    question = {"batch_size": 2048, "seq_len": 4096}
    n = need("devices", LLAMA, "h100", reach="run_s <= 30 days", tokens=15e12, **question)
    steps = 15e12 / (2048 * 4096)

    def days(count: int) -> float:
        step = Engine.solve(LLAMA, "h100", phase="training", devices=count, **question)
        return steps * step.time_s.value / 86400

    assert days(int(n.value)) <= 30 < days(int(n.value) - 1)
    assert n.whole
    assert n.found[0][1] == pytest.approx(days(int(n.value)) * 86400)


def test_a_batch_between_what_pays_and_what_fits() -> None:
    n = need("batch", LLAMA, "h100", reach="usd_per_million <= 1", phase="decode", usd_per_hour=6.88)
    low, high = int(n.range.low), int(n.range.high)

    def cost(batch: int) -> float:
        found = Engine.solve(LLAMA, "h100", phase="decode", batch_size=batch, usd_per_hour=6.88)
        assert found.cost_usd is not None
        return found.cost_usd.value / batch * 1e6

    assert cost(low) <= 1 < cost(low - 1)
    assert Engine.solve(LLAMA, "h100", phase="decode", batch_size=high).fits
    assert not Engine.solve(LLAMA, "h100", phase="decode", batch_size=high + 1).fits
    assert (n.value, n.side) == (low, "at least")
    assert f"and holds up to {high}" in str(n)


def test_two_limits_hold_together() -> None:
    n = need("batch", LLAMA, "h100", reach="tpot_s <= 20 ms and throughput >= 1000", phase="decode")
    for batch in (n.range.low, n.range.high):
        there = Engine.solve(LLAMA, "h100", phase="decode", batch_size=int(batch))
        assert there.time_s.value <= 20e-3
        assert there.throughput.value >= 1000
    assert [name for name, _, _ in n.found] == ["throughput", "tpot_s"]


def test_a_goal_that_holds_anyway_holds_whatever_the_value() -> None:
    n = need("bandwidth", LLAMA, "h100", reach="ttft_s <= 10 s", efficiency=0.4)
    assert n.side in {"any", "at least"}
    n = need("price", LLAMA, "h100", reach="tpot_s <= 10 s")
    assert n.side == "any"
    assert str(n).startswith("tpot_s <= 10 s holds whatever the price")


def test_memory_is_needed_for_a_batch_to_fit() -> None:
    n = need("memory", LLAMA, "h100", reach="throughput >= 2000", phase="decode", batch_size=400)
    held = Engine.solve(LLAMA, "h100", phase="decode", batch_size=400).memory.total
    assert n.value == pytest.approx(held, rel=1e-12)


def step_less(value: float, whole: bool) -> float:
    """Return the next number below."""
    return value - 1 if whole else math.nextafter(value, 0.0)


def step_more(value: float, whole: bool) -> float:
    """Return the next number above."""
    return value + 1 if whole else math.nextafter(value, math.inf)


def solved(what: str, value: float, question: dict[str, Any]) -> Any:
    """Return the answer with a value in place, through the front door."""
    asked = dict(question)
    if what in {"bandwidth", "memory"}:
        return Engine.solve(LLAMA, changed(**{what: value}), **asked)
    field = {"batch": "batch_size", "context": "context", "eta": "efficiency"}[what]
    return Engine.solve(LLAMA, "h100", **{**asked, field: int(value) if what != "eta" else value})


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["bandwidth", "batch", "context", "eta"]),
    st.integers(1, 64),
    st.integers(16, 8192),
    st.floats(1.05, 3.0),
)
def test_round_trip_the_value_needed_reaches_the_goal_and_the_next_one_does_not(
    what: str, batch: int, context: int, factor: float
) -> None:
    question: dict[str, Any] = {"phase": "decode", "batch_size": batch, "context": context}
    home = Engine.solve(LLAMA, "h100", **question).time_s.value
    limit = home * factor if what in {"batch", "context"} else home / factor
    try:
        n = need(what, LLAMA, "h100", reach=f"tpot_s <= {limit!r}", **question)
    except Infeasible:
        assume(False)
    there = solved(what, n.value, question)
    assert there.time_s.value == n.there.time_s.value
    assert there.time_s.value <= limit
    assert there.fits
    if not n.whole:
        assert there.time_s.value == pytest.approx(limit, rel=1e-9)
    step = step_less if n.side == "at least" else step_more
    beyond = solved(what, step(n.value, n.whole), question)
    assert beyond.time_s.value > limit or not beyond.fits
    assert Engine.solve(**n.question).time_s == n.there.time_s


def test_with_a_calibration_the_need_is_answered_by_what_is_moved() -> None:
    measured = calibrate(model=LLAMA, hardware="h100", phase="decode", batch_size=8, throughput=700.0)
    n = need("batch", LLAMA, "h100", reach="throughput >= 2000", phase="decode", efficiency=measured)
    there = Engine.solve(LLAMA, "h100", phase="decode", batch_size=int(n.value), efficiency=measured)
    less = Engine.solve(LLAMA, "h100", phase="decode", batch_size=int(n.value) - 1, efficiency=measured)
    assert there.throughput.value >= 2000 > less.throughput.value


def test_attainment_may_be_held_where_eta_is_stated() -> None:
    question = {"phase": "decode", "efficiency": 0.002}
    with pytest.raises(Infeasible, match="no memory bandwidth reaches"):
        need("bandwidth", LLAMA, "h100", reach="tpot_s <= 5 ms", **question)
    n = need("bandwidth", LLAMA, "h100", reach="tpot_s <= 5 ms", hold="attainment", **question)
    home = Engine.solve(LLAMA, "h100", **question).time_s.value
    assert n.value == pytest.approx(3.35e12 * home / 5e-3, rel=1e-9)
    assert Engine.solve(**n.question).time_s.value == pytest.approx(5e-3, rel=1e-9)


@pytest.mark.parametrize(
    ("what", "reach", "question", "said"),
    [
        ("bandwidth", "tpot_s <= 2 ms", {"batch_size": 16}, r"overhead takes \d+ % of the step"),
        ("bandwidth", "ttft_s <= 10 ms", {"efficiency": 1.0}, "where compute takes 100 % of the step"),
        (
            "eta",
            "tpot_s <= 2 ms",
            {"batch_size": 16},
            r"memory takes \d+ % of the step; the roofline allows no eta above",
        ),
        ("batch", "usd_per_million <= 0.01", {"phase": "decode"}, r"it fits into memory from batch 1 to \d+$"),
        ("eta", "run_s <= 30 days", {"tokens": 1e12}, "llama-3.1-8b does not fit, 130 GB where there are 80 GB"),
    ],
)
def test_where_no_value_does_the_best_is_told_and_what_binds(
    what: str, reach: str, question: dict[str, Any], said: str
) -> None:
    with pytest.raises(Infeasible, match=said) as caught:
        need(what, LLAMA, "h100", reach=reach, **question)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("what", "reach", "question", "kind", "said"),
    [
        ("bandwith", "tpot_s <= 2 ms", {}, UnknownName, "unknown input 'bandwith': did you mean bandwidth"),
        ("batch", "tpott_s <= 2 ms", {}, UnknownName, "did you mean tpot_s"),
        ("batch", "tpot_s == 2 ms", {}, InvalidValue, "reach must be limits with <, <=, > or >="),
        ("batch", "tpot_s <= 2 GB", {}, UsageError, "one side is in s, the other in B"),
        ("batch", "tpot_s", {}, UsageError, "compared"),
        ("link", "tpot_s <= 2 ms", {}, InvalidValue, "it has one device"),
        ("seq_len", "tpot_s <= 2 ms", {}, InvalidValue, "what must be an input of this question: "),
        ("batch", "tpot_s <= 2 ms", {"phase": "training"}, InvalidValue, "tpot_s is one of phase decode"),
        ("batch", "run_s <= 2 days", {}, InvalidValue, "tokens must be stated where run_s is asked"),
    ],
)
def test_questions_that_cannot_be_asked(
    what: str, reach: str, question: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        need(what, LLAMA, "h100", reach=reach, **question)


def test_a_need_goes_into_json_and_into_words() -> None:
    n: Need = need("batch", LLAMA, "h100", reach="tpot_s <= 20 ms")
    data = json.loads(json.dumps(n.to_dict(), allow_nan=False))
    assert isinstance(data["value"], int)
    assert data["interval"]["slow"] < data["value"] < data["interval"]["fast"]
    assert repr(n) == f"<Need of batch: at most {data['value']} for tpot_s <= 20 ms>"


def test_ranges_are_found_to_the_last_number() -> None:
    points = whole_points(1000)
    assert points[0] == 1
    assert points[-1] == 1000
    assert ranges(lambda n: 37 <= n <= 611, points, whole=True) == [(37, 611, False, False)]
    assert ranges(lambda n: n <= 20 or n > 400, points, whole=True) == [(1, 20, True, False), (401, 1000, False, True)]
    assert ranges(lambda _: False, points, whole=True) == []
    assert ranges(lambda _: True, points, whole=True) == [(1, 1000, True, True)]


def test_edges_of_real_ranges_are_neighbouring_floats() -> None:
    found = ranges(lambda v: v * v >= 2.0, real_points(1e-3, 1e3), whole=False)
    (low, high, first, last) = found[0]
    assert low * low >= 2.0 > math.nextafter(low, 0) ** 2
    assert (high, first, last) == (1e3, False, True)
