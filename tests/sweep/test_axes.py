"""What a field may hold: ranges by hand, the laws they keep, every form of a list, and what is refused."""

import math
import os
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsysim import Engine, Interval
from mlsysim.errors import InvalidValue, UnknownName, UsageError
from mlsysim.setup import Setup
from mlsysim.sweep.axes import axis_of, geometric, linear


def values(given, field="context"):
    axis = axis_of(given, field)
    return list(axis.values(0, len(axis)))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1..256*2", [1, 2, 4, 8, 16, 32, 64, 128, 256]),
        ("1..255*2", [1, 2, 4, 8, 16, 32, 64, 128]),
        ("1..8x2", [1, 2, 4, 8]),
        ("1..1000*10", [1, 10, 100, 1000]),
        ("1024..4096+1024", [1024, 2048, 3072, 4096]),
        (" 1 .. 7 + 3 ", [1, 4, 7]),
        ("1..6+3", [1, 4]),
        ("-4..4+4", [-4, 0, 4]),
        ("1_000..3_000+1_000", [1000, 2000, 3000]),
        ("1e3..3e3+1e3", [1000, 2000, 3000]),
        ("5..5+1", [5]),
        ("5..5*2", [5]),
        ("0.3..0.3/1", [0.3]),
        ("0.25..0.75/3", [0.25, 0.5, 0.75]),
        ({"from": 1, "to": 8, "factor": 2}, [1, 2, 4, 8]),
        ({"from": "1", "to": "3", "step": "1"}, [1, 2, 3]),
        ({"from": 1, "to": 2, "count": 3.0}, [1, 1.5, 2]),
        (range(1, 9, 3), [1, 4, 7]),
        ("1,2, 8", [1, 2, 8]),
        ("0.5, 1,", [0.5, 1]),
        ("a100, h100", ["a100", "h100"]),
        ([3, 1, 2], [3, 1, 2]),
        ((1, None), [1, None]),
        ({8, 1, 4}, [1, 4, 8]),
        (frozenset({"b", "a", "c"}), ["a", "b", "c"]),
        (np.array([1.5, 2.5]), [1.5, 2.5]),
        (np.arange(3), [0, 1, 2]),
    ],
)
def test_what_is_written(written, expected):
    assert values(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        # 0.1 + 2 x 0.1 is 0.30000000000000004 in floats, and (0.3 - 0.1) / 0.1 is 1.9999999999999998.
        ("0.1..0.3+0.1", [0.1, 0.2, 0.3]),
        ("0.7..1+0.1", [0.7, 0.8, 0.9, 1.0]),
        ("0.1..0.7+0.1", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
        ("0.01..0.09*3", [0.01, 0.03, 0.09]),
    ],
)
def test_rounding_neither_loses_the_last_value_nor_passes_it(written, expected):
    found = values(written)
    assert found == pytest.approx(expected, rel=1e-15)
    assert found[-1] == expected[-1]


def test_arrays_of_other_libraries():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for given_ in (pandas.Series([1, 2, 8]), pandas.Index([1, 2, 8]), polars.Series([1, 2, 8])):
        assert values(given_) == [1, 2, 8]


@pytest.mark.parametrize("one", [5, 0.5, None, "fp16", "../models/llama..v2.json", "a/../b", np.int64(5), np.array(5)])
def test_one_value_is_no_axis(one):
    assert axis_of(one, "context") is None


def test_an_interval_and_a_plan_are_one_value_although_they_are_tuples():
    assert axis_of(Interval(3.0, 2.0, 5.0), "usd_per_hour") is None
    assert axis_of(Setup(tp=8), "plan") is None
    columns = sweep(plan=Setup(tp=8), phase="training", devices=8)
    assert (columns.points, columns.coordinates[-1]) == (1, "plan")


def test_a_plan_with_commas_is_one_plan():
    assert axis_of("tp8,pp4", "plan") is None
    assert values(["tp8,pp4", "tp4,pp8"], "plan") == ["tp8,pp4", "tp4,pp8"]


FORMS = "'1..256*2' (a factor), '1..256+16' (a step) or '0.3..0.5/101' (a count)"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ([], "context must be one value or more, got []"),
        (np.array([]), "context must be one value or more, got []"),
        (set(), "context must be one value or more, got []"),
        (", ,", "context must be one value or more, got ', ,'"),
        ("1,024", "context must be numbers without leading zeros, a comma between each two, got '1,024'"),
        ([1.0, math.nan], "context must be finite numbers, got nan"),
        (np.array([math.inf]), "context must be finite numbers, got inf"),
        ("0.1..0.2", f"context must be a range such as {FORMS}, got '0.1..0.2'"),
        ("..2", f"context must be a range such as {FORMS}, got '..2'"),
        ("1..2+", f"context must be a range such as {FORMS}, got '1..2+'"),
        ("a..b+1", "context.from must be a finite number, got 'a'; in a..b+1"),
        ("1..nan+1", "context.to must be a finite number, got 'nan'; in 1..nan+1"),
        ("-inf..1+1", "context.from must be a finite number, got '-inf'; in -inf..1+1"),
        ("1..2+inf", "context.step must be a finite number, got 'inf'; in 1..2+inf"),
        ("9..1+1", "context must be a range that goes up, got '9..1+1'; 1 to 9 is the same, upwards"),
        ("9..1/3", "context must be a range that goes up, got '9..1/3'; 1 to 9 is the same, upwards"),
        (range(9, 1, -1), "context must be a range that goes up, got range(9, 1, -1)"),
        (range(0), "context must be a range that goes up, got range(0, 0)"),
        ("1..9+0", "context.step must be greater than 0, got '0'"),
        ("1..9+-1", "context.step must be greater than 0, got '-1'"),
        ("1..9*1", "context.factor must be greater than 1, got '1'"),
        ("1..9*0.5", "context.factor must be greater than 1, got '0.5'"),
        ("0..9*2", "context.factor must be that of a range that starts above 0, got '0..9*2'"),
        ("1..9/1", "context.count must be a whole number of at least 2 for two ends, got '1'"),
        ("1..9/0", "context.count must be a whole number of at least 2 for two ends, got '0'"),
        ("1..9/2.5", "context.count must be a whole number of at least 2 for two ends, got '2.5'"),
        ("1..1e18+1", "context must be a range of at most 9.0e+15 values, got '1..1e18+1'"),
        ("1..2+1e-320", "context must be a range of at most 9.0e+15 values, got '1..2+1e-320'"),
        ("-1e308..1e308+1", "context must be a range of numbers that are not that far apart, got '-1e308..1e308+1'"),
        ("1e-300..1e300*2", "context must be a range of numbers that are not that far apart, got '1e-300..1e300*2'"),
        ({}, "context must be a range with from, to and one of step, factor and count, got {}"),
        ({"from": None, "to": 1, "count": 2}, "context.from must be a finite number, got None; in"),
        ({"from": 1, "to": 2, "count": True}, "context.count must be a finite number, got True; in"),
    ],
)
def test_what_is_refused(written, said):
    with pytest.raises(InvalidValue) as refused:
        axis_of(written, "context")
    assert str(refused.value).startswith(said)


def test_a_whole_number_too_large_for_a_float_is_refused():
    with pytest.raises(InvalidValue, match=r"context\.to must be a finite number"):
        axis_of({"from": 1, "to": 10**400, "step": 1}, "context")


def test_a_wrong_key_names_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown key of context 'form': did you mean from or factor\?"):
        axis_of({"form": 1, "to": 4, "step": 1}, "context")


def test_ranges_in_python():
    assert list(linear(0, 1, 5).values(0, 5)) == [0, 0.25, 0.5, 0.75, 1]
    assert list(geometric(1, 100, 10).values(0, 3)) == [1, 10, 100]
    with pytest.raises(InvalidValue, match="range must be a range that goes up"):
        linear(1, 0, 5)


# 10^12 steps of 1 from 1 to 10^12: neither one more nor one less, although floats round.
@pytest.mark.parametrize("written", ["1..1e12+1", "1..1e12/1000000000000", range(1, 10**12 + 1)])
def test_a_range_of_a_million_million_values_takes_no_room(written):
    tracemalloc.start()
    begun = time.perf_counter()
    axis = axis_of(written, "context")
    assert len(axis) == 10**12
    assert list(axis.values(10**12 - 2, 10**12)) == [10**12 - 1, 10**12]
    assert tracemalloc.get_traced_memory()[1] < 1e6
    assert time.perf_counter() - begun < 1
    tracemalloc.stop()


ends = st.floats(1e-6, 1e9) | st.integers(1, 10**9).map(float)


@given(low=ends, high=ends, count=st.integers(2, 50))
def test_evenly_spaced_values_begin_and_end_where_they_should(low, high, count):
    low, high = sorted((low, high))
    axis = linear(low, high, count)
    found = axis.values(0, count)
    assert (found[0], found[-1], len(axis)) == (low, high, count)
    # Of ends that are close, differences round to a spacing of floats at the ends.
    assert np.allclose(np.diff(found), (high - low) / (count - 1), rtol=1e-9, atol=4 * math.ulp(high))


@given(low=st.integers(-1000, 1000), step=st.integers(1, 1000), count=st.integers(1, 60), more=st.floats(0, 0.99))
def test_steps_of_decimals_are_as_many_as_they_are_by_hand(low, step, count, more):
    # Written with three decimals, exactly as many steps fit as with whole numbers.
    text = f"{low / 1000}..{(low + (count - 1) * step) / 1000}+{step / 1000}"
    found = values(text)
    assert len(found) == count
    assert found == pytest.approx([(low + n * step) / 1000 for n in range(count)], rel=1e-12, abs=1e-12)
    assert found[-1] <= (low + (count - 1) * step) / 1000
    beyond = values({"from": low, "to": low + (count - 1 + more) * step, "step": step})
    assert beyond == [low + n * step for n in range(count)]


@given(low=st.floats(1e-6, 1e6), factor=st.floats(1.001, 100), count=st.integers(1, 60), more=st.floats(0.01, 0.99))
def test_factors_reach_the_last_value_that_is_not_past_the_end(low, factor, count, more):
    found = values({"from": low, "to": low * factor ** (count - 1 + more), "factor": factor})
    assert found == pytest.approx([low * factor**n for n in range(count)], rel=1e-12)
    exact = values({"from": low, "to": low * factor ** (count - 1), "factor": factor})
    assert (len(exact), exact[-1]) == (count, pytest.approx(low * factor ** (count - 1), rel=1e-12))


@given(st.data(), st.sampled_from(["1..1000+1", "0.3..0.9/97", "1..1e9*1.5", range(3, 500, 7)]))
def test_a_part_of_a_range_is_what_it_is_in_the_whole(data, written):
    axis = axis_of(written, "context")
    start = data.draw(st.integers(0, len(axis) - 1))
    stop = data.draw(st.integers(start + 1, len(axis)))
    assert list(axis.values(start, stop)) == values(written)[start:stop]


def sweep(**fields):
    return Engine.sweep("gpt2", "a100", keep=["time_s"], **fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"batch_size": [1.5]}, "batch_size must be a whole number of at least 1, got 1.5; the nearest is 2"),
        ({"batch_size": [0, 1]}, "batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": "-4..4+2"}, "batch_size must be a whole number of at least 1, got -4.0"),
        ({"batch_size": "1..2/5"}, "batch_size must be a range of whole numbers, got '1, 1.25, ...'"),
        ({"batch_size": [True]}, "batch_size must be a whole number of at least 1, got True"),
        ({"batch_size": np.array([[1, 2], [3, 4]])}, "batch_size must be a whole number of at least 1, got [1, 2]"),
        ({"batch_size": ["8"]}, "batch_size must be a whole number of at least 1, got '8'; that is text"),
        ({"efficiency": "0.5..1.5/3"}, "efficiency must be in (0, 1], got 1.5; achieved / peak cannot exceed 1"),
        ({"efficiency": "0..1/3"}, "efficiency must be greater than 0, got 0.0"),
        ({"context": [128]}, "context must be left out in phase forward, got 128; use seq_len"),
        ({"bach_size": [1, 2]}, "unknown field 'bach_size': did you mean batch_size?"),
        ({"precision": ["fp16", "fp17"]}, "unknown precision 'fp17': did you mean fp16?"),
    ],
)
def test_what_a_sweep_says_of_a_field(fields, said):
    with pytest.raises(UsageError) as refused:
        sweep(**fields)
    assert str(refused.value).startswith(said)


def test_all_problems_are_told_at_once():
    with pytest.raises(UsageError) as refused:
        Engine.sweep(["gtp2"], ["h10"], phase=["decod"], batch_size=[0])
    told = str(refused.value)
    assert all(word in told for word in ("'gtp2'", "'h10'", "'decod'", "batch_size must be"))


@pytest.mark.parametrize("given_", [[8, 1, 8.0, 1], np.array([8.0, 1.0]), (8, 1)])
def test_values_keep_their_order_and_come_once(given_):
    assert list(sweep(batch_size=given_)["batch_size"]) == [8, 1]


def test_a_set_has_the_same_order_each_time_python_starts():
    code = "from mlsysim.sweep.axes import axis_of; print(axis_of({'h100', 'a100', 'b200', 'l4'}, 'hardware').given)"
    runs = [
        subprocess.check_output([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, text=True)
        for seed in ("1", "2")
    ]
    assert set(runs) == {"('a100', 'b200', 'h100', 'l4')\n"}
