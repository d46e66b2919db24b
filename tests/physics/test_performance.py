"""The performance equation by hand-computed values, and as laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsysim.physics import performance as p

POSITIVE = st.floats(min_value=1e-6, max_value=1e24)
ETA = st.floats(min_value=1e-6, max_value=1.0)


def test_time_by_hand():
    # 1e15 FLOP at half of 1e15 FLOP/s take two seconds.
    assert p.step_time(1e15, 1e15, 0.5) == 2.0


def test_efficiency_by_hand():
    # PaLM 540B (Chowdhery et al. 2022, table 3): 238.3 ktok/s on 6,144 TPU v4 at 46.2 % MFU, peak 275 TFLOP/s each.
    # Its FLOPs a token: 6N + 12 L H Q T = 6 x 540.35e9 + 12 x 118 x 48 x 256 x 2048.
    flops = 6 * 540.35e9 + 12 * 118 * 48 * 256 * 2048
    mfu = p.fit_efficiency(flops, 6144 * 275e12, 1 / 238.3e3)
    assert mfu == pytest.approx(0.462, abs=0.0006)  # the paper rounds to three digits, the throughput to four


def test_ridge_and_intensity_by_hand():
    assert p.ridge_point(989e12, 3.35e12) == pytest.approx(295.22, abs=0.01)
    assert p.arithmetic_intensity(200.0, 100.0) == 2.0


def test_ceiling_of_batch_1_decode_by_hand():
    # 16-bit weights are read once for 2 FLOPs each: intensity 1, so the ceiling is bandwidth / peak = 3.35 / 989.
    n = 8e9
    ceiling = p.efficiency_ceiling(p.compute_time(2 * n, 989e12), p.memory_time(2 * n, 3.35e12))
    assert ceiling == pytest.approx(3.35 / 989, rel=1e-12)


@given(flops=POSITIVE, peak=POSITIVE, eta=ETA)
def test_fit_inverts_time(flops, peak, eta):
    time_s = p.step_time(flops, peak, eta)
    assert p.fit_efficiency(flops, peak, time_s) == pytest.approx(eta, rel=1e-12)


@given(compute=POSITIVE, memory=POSITIVE)
def test_bounds_hold_ceiling(compute, memory):
    low, high = p.time_bounds(compute, memory)
    ceiling = p.efficiency_ceiling(compute, memory)
    assert max(compute, memory) == low <= high == compute + memory
    assert 0 < ceiling <= 1
    assert compute / low == pytest.approx(ceiling, rel=1e-12)


@given(compute=POSITIVE, memory=POSITIVE, factor=st.floats(min_value=1.0, max_value=100.0))
def test_more_bandwidth_never_lowers_the_ceiling(compute, memory, factor):
    assert p.efficiency_ceiling(compute, memory / factor) >= p.efficiency_ceiling(compute, memory)


def test_cache_keeps_what_fits():
    # 100 B of weights with 40 B of cache: 60 B cross the bus, and 7 B of activations that no cache holds.
    assert p.compulsory_traffic(100.0, 7.0, 40.0) == 67.0
    assert p.compulsory_traffic(30.0, 0.0, 40.0) == 0.0
    assert p.spilled(100.0, 40.0) == 60.0
    assert p.spilled(30.0, 40.0) == 0.0


@pytest.mark.parametrize("function", [p.step_time, p.compulsory_traffic])
def test_arrays_take_the_same_path_as_floats(function):
    a, b, c = (np.array(v) for v in ([1.0, 5e3, 1e9], [2.0, 7.0, 1e8], [0.5, 1.0, 0.01]))
    assert list(function(a, b, c)) == [function(float(x), float(y), float(z)) for x, y, z in zip(a, b, c, strict=True)]


def test_attainment_is_the_share_of_the_ceiling():
    assert p.attainment(0.0017, 0.0034) == 0.5
    assert math.isclose(p.attainment(0.45, 1.0), 0.45)


def test_overhead_by_hand():
    # 1 ms and 2 ms of floor at attainment 1/2, and 3 ms fixed: 5 ms and 7 ms.
    reached, overhead = p.fit_overhead(0.001, 0.005, 0.002, 0.007)
    assert reached == pytest.approx(0.5)
    assert overhead == pytest.approx(0.003)
    # Twice the work in more than twice the time leaves nothing fixed.
    assert p.fit_overhead(0.001, 0.005, 0.002, 0.011) == (0.2, 0.0)
    # Twice the work in less time is noise: what remains beside a perfect step is fixed.
    assert p.fit_overhead(0.001, 0.005, 0.002, 0.004) == (pytest.approx(1.0), pytest.approx(0.004))


@given(floor=st.floats(1e-6, 1.0), factor=st.floats(1.1, 100.0), eta=st.floats(0.01, 1.0), overhead=st.floats(0.0, 1.0))
def test_fit_overhead_inverts_the_time_of_two_steps(floor, factor, eta, overhead):
    times = [f / eta + overhead for f in (floor, factor * floor)]
    reached, fixed = p.fit_overhead(floor, times[0], factor * floor, times[1])
    assert fixed == pytest.approx(overhead, rel=1e-6, abs=1e-9 * max(times))
    assert floor / reached + fixed == pytest.approx(times[0], rel=1e-12)
