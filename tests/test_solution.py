"""What follows from a question and an eta: by hand, for arrays as for each of their values, and laws of the answer."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim.results import NORMAL_90, Interval
from mlsysim.scenario import Scenario
from mlsysim.solution import BOUNDS, EFFICIENCY, POWER, PRICE, Solution
from mlsysim.sweep.quantities import QUANTITIES

COMPARED = [name for name, quantity in QUANTITIES.items() if not quantity.words]


def decode(**asked):
    return Scenario.of("llama-3.1-8b", "h100", **{"phase": "decode", "batch_size": 8, "context": 1024, **asked})


def test_a_stated_eta_by_hand():
    found = Solution(decode(phase="forward", context=None, seq_len=512), 0.4, usd_per_hour=3.0)
    # FLOPs / (peak x eta): 989 TFLOP/s are the dense 16-bit peak of an H100 SXM.
    assert found.time_s.value == pytest.approx(found.roof.flops / (989e12 * 0.4), rel=1e-3)
    assert found.throughput.value == pytest.approx(8 * 512 / found.time_s.value, rel=1e-12)
    assert found.cost_usd.value == pytest.approx(3.0 * found.time_s.value / 3600, rel=1e-12)
    assert found.energy_j.value == pytest.approx(found.power_w.value * found.time_s.value, rel=1e-12)
    assert BOUNDS[found.bound] == "compute"
    assert found.time_s == (found.time_s.value,) * 3
    assert found.footprint is None


def test_an_eta_above_the_ceiling_is_the_floor():
    scenario = decode()
    found = Solution(scenario, 0.9)
    assert found.efficiency.asked == 0.9
    assert found.time_s.value == pytest.approx(found.roof.floor_s, rel=1e-12)
    assert found.efficiency.attainment == pytest.approx(1.0, rel=1e-12)
    # Decode reads the weights once a step: 8.03e9 of 2 bytes at 3.35 TB/s are 4.8 ms, and the cache comes on top.
    assert 4.7e-3 < found.roof.floor_s < 5.6e-3
    assert BOUNDS[found.bound] == "memory"


def test_prices_by_hand_and_as_intervals():
    one = Solution(decode(devices=2), 0.001, usd_per_hour=Interval(3.0, 2.0, 5.0))
    hours = one.time_s.value / 3600
    assert one.cost_usd == pytest.approx((6.0 * hours, 4.0 * hours, 10.0 * hours), rel=1e-12)
    drawn = Solution(decode(devices=2), 0.001, Interval(3.0, 2.0, 5.0), draws={PRICE: NORMAL_90})
    assert drawn.cost_usd == pytest.approx((10.0 * hours,) * 3, rel=1e-12)


def test_draws_are_the_value_in_the_middle_and_the_ends_at_the_ends():
    scenario = decode()
    carried = Solution(scenario, None)
    middle = Solution(scenario, None, draws={EFFICIENCY: 0.0, POWER: 0.0, PRICE: 0.0})
    assert middle.time_s == pytest.approx((carried.time_s.value,) * 3, rel=1e-12)
    assert middle.cost_usd.value == pytest.approx(carried.cost_usd.value, rel=1e-12)
    assert middle.energy_j.value == pytest.approx(carried.energy_j.value, rel=1e-12)
    for z, end in ((NORMAL_90, "low"), (-NORMAL_90, "high")):
        drawn = Solution(scenario, None, draws={EFFICIENCY: z})
        assert drawn.time_s.value == pytest.approx(getattr(carried.time_s, end), rel=1e-9)


def test_what_is_asked_twice_is_worked_out_once():
    found = Solution(decode(), None)
    assert found.time_s is found.time_s
    assert found.work is found.work
    assert found.roof is found.roof


def test_where_nothing_fits_masked_answers_are_not_known():
    big = Scenario.of("llama-3.1-70b", "l4", phase="decode")
    for eta in (None, 0.001):
        masked, plain = Solution(big, eta, masked=True), Solution(big, eta)
        assert not masked.memory.fits
        assert math.isnan(masked.time_s.value)
        assert math.isnan(masked.throughput.value)
        assert math.isnan(masked.cost_usd.value)
        assert plain.time_s.value > 0
        assert masked.roof == plain.roof


def parts(found):
    return [found.breakdown_s[name] for name in ("compute", "memory", "overhead", "software")]


@given(
    model=st.sampled_from(["llama-3.1-8b", "gpt2", "resnet-50", "mixtral-8x7b", "bert-large"]),
    hardware=st.sampled_from(["h100", "tpu-v5e", "graviton4", "l4"]),
    batch_size=st.integers(1, 4096),
    eta=st.none() | st.floats(1e-6, 1.0),
)
def test_parts_of_the_time_sum_to_it_in_any_order(model, hardware, batch_size, eta):
    found = Solution(Scenario.of(model, hardware, batch_size=batch_size), eta)
    total = found.time_s.value
    assert all(part >= 0 for part in parts(found))
    for order in itertools.permutations(parts(found)):
        assert sum(order) == total


@given(batch_size=st.integers(1, 1024), context=st.integers(1, 32768), eta=st.floats(1e-6, 1.0))
def test_half_the_eta_takes_twice_as_long_up_to_the_ceiling(batch_size, context, eta):
    scenario = decode(batch_size=batch_size, context=context)
    one, half = Solution(scenario, eta), Solution(scenario, eta / 2)
    if eta <= one.roof.ceiling:
        assert half.time_s.value == pytest.approx(2 * one.time_s.value, rel=1e-12)
        assert half.cost_usd.value == pytest.approx(2 * one.cost_usd.value, rel=1e-12)
    assert one.time_s.value >= one.roof.floor_s * (1 - 1e-12)
    assert one.efficiency.achieved <= one.roof.ceiling


@given(batch_size=st.integers(1, 1024), context=st.integers(1, 32768), devices=st.integers(1, 16))
def test_predictions_lie_within_their_intervals_and_below_the_ceiling(batch_size, context, devices):
    found = Solution(decode(batch_size=batch_size, context=context, devices=devices), None)
    for low, value, high in ((i.low, i.value, i.high) for i in (found.time_s, found.throughput, found.energy_j)):
        assert 0 < low <= value <= high
    assert found.efficiency.low <= found.efficiency.achieved <= found.efficiency.high <= found.efficiency.ceiling
    assert found.time_s.value >= found.roof.floor_s


@settings(deadline=None)
@given(
    batch=st.lists(st.integers(2, 2048), min_size=1, max_size=4),
    context=st.lists(st.integers(1, 65536), min_size=1, max_size=4),
    eta=st.none() | st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=3),
    hardware=st.sampled_from(["h100", "tpu-v5e", "graviton4", "l4"]),
)
def test_arrays_are_each_of_their_values(batch, context, eta, hardware):
    one = Scenario.of("llama-3.1-8b", hardware, phase="decode", batch_size=2)
    shaped = {
        "batch_size": np.array(batch, dtype=float).reshape(-1, 1, 1),
        "context": np.array(context, dtype=float).reshape(1, -1, 1),
    }
    etas = None if eta is None else np.array(eta).reshape(1, 1, -1)
    whole = Solution(replace(one, **shaped), etas, np.float64(2.0))
    for i, b in enumerate(batch):
        for j, c in enumerate(context):
            for k, e in enumerate([None] if eta is None else eta):
                alone = Solution(replace(one, batch_size=b, context=c), e, 2.0)
                for name in COMPARED:
                    many, single = (QUANTITIES[name].of(s) for s in (whole, alone))
                    if single is None:
                        assert many is None
                        continue
                    value = np.broadcast_to(many, (len(batch), len(context), 1 if eta is None else len(eta)))[i, j, k]
                    assert value == pytest.approx(single, rel=1e-12), name
