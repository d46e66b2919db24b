import numpy as np
import pytest

from mlsysim.calibration.steady import block_length, median_interval, steady_start
from mlsysim.errors import InvalidValue


def test_steady_start_drops_whole_batches_of_a_slow_start():
    # Batch means 3, 1, 1, 1: dropping one leaves no variance at all.
    assert steady_start([3.0] * 5 + [1.0] * 15) == 5


def test_steady_start_minimises_the_squared_standard_error():
    # Batch means 4, 2, 1, 2, 1, 2, 1, 2 give, for d = 0, 1, 2, ...: 6.875 / 64, 1.714 / 49, 1.5 / 36, 1.2 / 25, 1 / 16.
    series = np.repeat([4.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0], 5)
    assert steady_start(series) == 5


def test_steady_start_keeps_a_steady_series_and_a_short_one():
    assert steady_start([1.0] * 40) == 0
    assert steady_start([9.0] * 5 + [1.0] * 5 + [2.0] * 4) == 0


def test_steady_start_never_drops_more_than_half():
    falling = np.linspace(10.0, 1.0, 100)
    assert steady_start(falling) == 50


def test_median_interval_of_equal_times_is_a_point():
    assert median_interval([2.0] * 20) == (2.0, 2.0, 2.0)


def test_median_interval_of_five_steps_is_nearly_their_range():
    # Blocks of 1. The range of 5 independent steps holds the median in 94 % of cases, the next narrower pair in 62 %.
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0]) == (3.0, 1.0, 5.0)


def test_median_interval_is_the_same_on_every_call_and_scales():
    times = np.random.default_rng(3).gamma(9.0, 0.01, 200)
    once, again, doubled = median_interval(times), median_interval(times), median_interval(2 * times)
    assert once == again
    assert doubled == pytest.approx(once * 2)


def test_median_interval_covers_as_often_as_it_says():
    # 200 series of 100 independent steps: the standard error of a coverage of 0.9 is 0.021: 0.85 and 0.97 are far out.
    rng = np.random.default_rng(0)
    intervals = [median_interval(rng.lognormal(0.0, 0.1, 100)) for _ in range(200)]
    assert 0.85 <= np.mean([low <= 1.0 <= high for _, low, high in intervals]) <= 0.97


def correlated(phi, n=400):
    noise = np.random.default_rng(1).standard_normal(n)
    series = [0.0]
    for value in noise:
        series.append(phi * series[-1] + value)
    return 10 + np.array(series[1:])


def test_autocorrelation_lengthens_blocks_and_widens_the_interval():
    free, bound = correlated(0.0), correlated(0.9)
    assert block_length(free) == 8  # ceil(400^(1/3)), the floor
    assert block_length(bound) > 16
    width = [(i.high - i.low) / np.std(s) for s in (free, bound) for i in [median_interval(s)]]
    assert width[1] > 2 * width[0]  # the mean of an AR(1) with 0.9 has (1.9 / 0.1)^0.5 = 4.4 x the standard error


@pytest.mark.parametrize(
    ("times", "confidence", "message"),
    [
        ([1.0] * 4, 0.9, "times must be at least 5 step times, got 4; fewer cannot bound a median at 90 %"),
        ([1.0] * 5 + [float("nan")], 0.9, "times must be finite numbers, got nan"),
        ([1.0] * 5, 1.0, "confidence must be between 0 and 1, got 1.0"),
    ],
)
def test_what_cannot_be_bounded_is_refused(times, confidence, message):
    with pytest.raises(InvalidValue) as caught:
        median_interval(times, confidence)
    assert str(caught.value) == message
