"""The power of a device by hand-computed values, and as laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsysim.physics import power as p

SHARE = st.floats(min_value=0.0, max_value=1.0)
WATTS = st.floats(min_value=1e-3, max_value=1e5)


def test_power_by_hand():
    # Idle 100 W of 700 W; activity ln 2 is half of the way between: 100 + 600 / 2.
    assert p.device_power(700.0, 100.0, math.log(2.0)) == pytest.approx(400.0)


def test_activity_by_hand():
    assert p.activity(0.4, 0.3, 5.0, 2.0) == pytest.approx(2.6)


def test_arithmetic_weighs_by_the_root_of_the_peak_a_watt():
    # An A100 has 312 TFLOP/s at 400 W (0.78 TFLOP/J), an H100 989 at 700 (1.413): the ratio of their weights.
    ratio = p.compute_weight(5.0, 989e12 / 700) / p.compute_weight(5.0, 312e12 / 400)
    assert ratio == pytest.approx(math.sqrt(1.41286 / 0.78), rel=1e-5)
    assert p.compute_weight(5.0, 1e12) == 5.0


def test_host_by_hand():
    # Half of what 10.2 kW leave beside eight devices of 700 W.
    assert p.host_power(10_200.0, 700.0, 8, 0.5) == pytest.approx(2_300.0)


@given(rated=WATTS, idle=SHARE, active=st.floats(min_value=0.0, max_value=1e3))
def test_power_lies_between_idle_and_rating(rated, idle, active):
    drawn = p.device_power(rated, rated * idle, active)
    assert rated * idle - 1e-12 * rated <= drawn <= rated


@given(one=SHARE, other=SHARE, memory=SHARE)
def test_more_work_never_draws_less(one, other, memory):
    low, high = sorted((one, other))
    drawn = [p.device_power(700.0, 70.0, p.activity(u, memory, 6.0, 2.0)) for u in (low, high)]
    assert drawn[0] <= drawn[1]


def test_arrays_take_the_same_path():
    compute, memory = np.array([0.0, 0.1, 1.0]), np.array([0.0, 0.6, 0.2])
    many = p.device_power(700.0, 70.0, p.activity(compute, memory, 6.0, 2.0))
    one = [
        p.device_power(700.0, 70.0, p.activity(c, m, 6.0, 2.0))
        for c, m in zip(compute.tolist(), memory.tolist(), strict=True)
    ]
    assert many == pytest.approx(one, rel=1e-14)
