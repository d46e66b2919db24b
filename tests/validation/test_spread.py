"""Intervals of groups that were never measured: how far groups lie apart, and rows within one."""

import math

import numpy as np
import pytest

from mlsysim.validation.held_out import quantiles_of, spread_of

MANY = 20_000


def groups(*middles, noise=0.0):
    rng = np.random.default_rng(0)
    values = np.concatenate([m + noise * rng.standard_normal(MANY) for m in middles])
    return values, np.repeat([f"g{i}" for i in range(len(middles))], MANY)


def test_three_groups_by_hand():
    # Middles -.1, 0 and .1: standard deviation .1, t of two degrees of freedom 2.92, and sqrt(1 + 1/3) for a new one;
    # 96.5 % of a normal distribution lie below 1.81 standard deviations.
    found = spread_of(*groups(-0.1, 0.0, 0.1, noise=0.4))
    apart = 0.1 * 2.92 * math.sqrt(4 / 3)
    assert found.high == pytest.approx(math.hypot(apart, 1.81 * 0.4), rel=0.02)
    assert found.low == pytest.approx(-found.high, rel=0.02)


def test_groups_are_not_taken_further_apart_than_rows_are_off():
    assert spread_of(*groups(-0.1, 0.1)).high == pytest.approx(0.1)


def test_groups_that_agree_leave_the_spread_within():
    found = spread_of(*groups(0.0, 0.0, 0.0, 0.0, noise=0.2))
    assert found.high == pytest.approx(0.2 * 1.81, rel=0.05)  # 96.5 % of a normal distribution


def test_a_group_is_not_judged_by_itself():
    values, names = groups(0.0, 0.0, 5.0)
    assert spread_of(values, names, without="g2").high < 1.0


def test_one_group_says_nothing_about_others_but_the_size_of_its_errors():
    found = spread_of(*groups(0.2))
    assert (found.low, found.high) == pytest.approx((-0.3, 0.3))


def test_new_groups_fall_inside_nine_times_in_ten():
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(300):
        middles = 0.3 * rng.standard_normal(9)
        values = (middles[:, None] + 0.2 * rng.standard_normal((9, 40))).ravel()
        found = spread_of(values[:-40], np.repeat([f"g{i}" for i in range(8)], 40))
        inside.append(((values[-40:] > found.low) & (values[-40:] < found.high)).mean())
    assert 0.88 < np.mean(inside) < 0.96


def test_quantiles_of_rows_alone():
    found = quantiles_of(np.append(np.linspace(-1.0, 1.0, 201), np.nan))
    assert (found.low, found.high, found.rows) == (pytest.approx(-0.9), pytest.approx(0.9), 201)
