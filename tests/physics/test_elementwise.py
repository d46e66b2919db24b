"""Floats and arrays take the same path: element by element the same, NaN and infinity among them."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlsysim.physics.elementwise import all_finite, at_least, binade, exp, log, maximum, minimum, where

anything = st.floats(allow_nan=True, allow_infinity=True)
numbers = arrays(float, 5, elements=anything)
positive = st.floats(min_value=5e-324, max_value=sys.float_info.max, allow_subnormal=False)


def same(found, expected):
    return np.array_equal(np.asarray(found, dtype=float), np.asarray(expected, dtype=float), equal_nan=True)


def test_values_by_hand():
    assert (maximum(1, 2.5), minimum(1, 2.5), where(True, 1, 2), where(0.0, 1, 2)) == (2.5, 1, 1, 2)
    assert list(maximum(np.array([1.0, 3.0]), 2)) == [2, 3]
    assert list(minimum(2.0, np.array([1.0, 3.0]))) == [1, 2]
    assert list(where(np.array([True, False]), 1.0, np.array([5.0, 6.0]))) == [1, 6]
    assert [binade(x) for x in (1, 1.5, 2, 3, 1023, 1024, 0.3)] == [1, 1, 2, 2, 512, 1024, 0.25]
    assert (exp(0), log(1), log(math.e)) == (1, 0, 1)


@given(numbers, numbers)
def test_the_larger_and_the_smaller_are_the_same_one_by_one(a, b):
    for function in (maximum, minimum):
        one_by_one = [function(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
        assert same(function(a, b), one_by_one)
        assert same(function(a, b.tolist()[0]), [function(x, b.tolist()[0]) for x in a.tolist()])
        assert same(function(a.tolist()[0], b), [function(a.tolist()[0], y) for y in b.tolist()])


@given(anything, anything)
def test_what_is_not_known_stays_so_on_either_side(a, b):
    if math.isnan(a) or math.isnan(b):
        assert math.isnan(maximum(a, b))
        assert math.isnan(minimum(a, b))
    else:
        assert (maximum(a, b), minimum(a, b)) == (max(a, b), min(a, b))


@given(numbers, numbers, st.lists(st.booleans(), min_size=5, max_size=5))
def test_a_choice_is_the_same_one_by_one(a, b, chosen):
    expected = [where(c, x, y) for c, x, y in zip(chosen, a.tolist(), b.tolist(), strict=True)]
    assert same(where(np.array(chosen), a, b), expected)


@given(st.lists(positive, min_size=1, max_size=5))
def test_a_power_of_two_is_at_or_below_and_its_double_above(values):
    found = binade(np.array(values))
    assert same(found, [binade(x) for x in values])
    for low, x in zip(found.tolist(), values, strict=True):
        assert low <= x
        assert x / 2 < low
        assert math.frexp(low)[0] == 0.5


def test_a_power_of_two_of_arrays_of_any_layout():
    table = np.arange(1.0, 25.0).reshape(4, 6)
    for part in (table[::2, 1::3], table.T, np.broadcast_to(3.0, (2, 2)), table[:1, :1]):
        assert same(binade(part), np.exp2(np.floor(np.log2(part))))
    assert math.isnan(binade(math.nan))
    assert binade(math.inf) == math.inf


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=5))
def test_logarithms_are_those_of_python(values):
    # The two libraries' logarithms and powers may differ in the last bit.
    assert log(np.array(values)) == pytest.approx([math.log(x) for x in values], rel=1e-15, abs=1e-15)
    small = [math.log(x) for x in values]
    assert exp(np.array(small)) == pytest.approx([exp(x) for x in small], rel=1e-15)


@given(numbers, st.floats(-10, 10))
def test_a_question_to_all_is_one_to_each(values, limit):
    assert all_finite(values) == all(all_finite(x) for x in values.tolist())
    assert at_least(values, limit) == all(at_least(x, limit) for x in values.tolist())


def test_plain_numbers_do_not_load_numpy():
    code = (
        "import sys; from mlsysim.physics.elementwise import *\n"
        "from mlsysim.physics import elementwise as e\n"
        "e.maximum(1, 2.0), e.minimum(1, 2), e.where(True, 1, 2), e.log(2), e.exp(1), e.binade(3), e.at_least(1, 2)\n"
        "print('numpy' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
