"""The Pareto front, by hand and against every pair of points."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlsysim.sweep.front import on_front


def by_pairs(values):
    return [n for n, row in enumerate(values) if not ((values <= row).all(axis=1) & (values < row).any(axis=1)).any()]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[1, 5], [2, 4], [3, 4], [4, 1], [5, 2]], [0, 1, 3]),
        ([[1, 1], [1, 1], [1, 2]], [0, 1]),  # equals are all kept; as small in one and larger in the other is beaten
        ([[0, 0]], [0]),
        ([[2, 1, 3], [1, 2, 3], [3, 3, 3], [2, 2, 2], [1, 2, 3]], [0, 1, 3, 4]),
        ([[1, 2, 3, 4], [4, 3, 2, 1], [4, 3, 2, 2], [1, 2, 3, 4]], [0, 1, 3]),
    ],
)
def test_fronts_by_hand(values, expected):
    assert list(on_front(np.array(values, dtype=float))) == expected


@given(
    st.integers(2, 5).flatmap(
        lambda d: arrays(float, st.tuples(st.integers(1, 60), st.just(d)), elements=st.integers(0, 6).map(float))
    )
)
def test_no_pair_says_otherwise_where_many_are_equal(values):
    assert list(on_front(values)) == by_pairs(values)


@pytest.mark.parametrize("objectives", [2, 3, 4, 5])
def test_no_pair_says_otherwise_where_halves_are_divided_again(objectives):
    rng = np.random.default_rng(objectives)
    free = rng.random((1000, objectives - 1))
    near = np.column_stack((free, 1 - free.mean(axis=1) + 0.05 * rng.random(1000)))  # most of them on the front
    for values in (rng.random((1000, objectives)), near, np.round(near, 1)):
        assert list(on_front(values)) == by_pairs(values)


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_a_front_of_all_points_is_found_as_fast(objectives):
    # Pair by pair, 20,000 of them in four objectives took 36 s; so 10 s are far from both.
    x = np.random.default_rng(0).random((20_000, objectives - 1))
    begun = time.perf_counter()
    assert len(on_front(np.column_stack((x, -x.sum(axis=1))))) == 20_000
    assert time.perf_counter() - begun < 10
