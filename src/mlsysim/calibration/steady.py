"""Where a series of step times becomes steady, and the median of the steady part with an honest interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlsysim.errors import InvalidValue
from mlsysim.results import Interval

FEWEST_STEPS = 5
"""The least steps for a 90 % interval: the range of 5 covers the median with 1 - 2^-4 = 94 %, that of 4 with 87 %."""
_BATCH = 5  # the 5 of MSER-5
_RESAMPLES = 1000


def steady_start(times: Sequence[float]) -> int:
    """Return how many of the first ``times`` [s] are warm-up: MSER-5 truncation, a multiple of 5.

    The series is averaged in batches of 5; dropped are the d batches that minimise the squared standard error of the
    mean of the n - d left, sum((x - mean)^2) / (n - d)^2. No more than half of the series is ever dropped; a series
    below 10 is too short to judge, and nothing is. White 1997, "An Effective Truncation Heuristic for Bias Reduction in
    Simulation Output", Simulation 69(6), doi:10.1177/003754979706900601; batches: Spratt 1998.
    """
    count = len(times) // _BATCH
    if count < 2:
        return 0
    means = np.asarray(times[: count * _BATCH], dtype=float).reshape(count, _BATCH).mean(axis=1)
    means -= means.mean()  # the variance of what is left is a difference of sums: centred, they do not cancel
    left = count - np.arange(count // 2 + 1)
    total = np.cumsum(means[::-1])[::-1][: len(left)]
    squares = np.cumsum(means[::-1] ** 2)[::-1][: len(left)]
    return _BATCH * int(np.argmin((squares - total**2 / left) / left**2))


def median_interval(times: Sequence[float], confidence: float = 0.9) -> Interval:
    """Return the median of ``times`` [s] with the ends of its ``confidence`` interval [s].

    Moving-block bootstrap (Künsch 1989, "The jackknife and the bootstrap for general stationary observations", Annals
    of Statistics 17(3)): blocks keep the autocorrelation that makes neighbouring steps worth less than their number.
    1,000 resamples, percentiles, fixed seed; the block length is that of :func:`block_length`.

    Raises
    ------
    InvalidValue
        Fewer than 5 times, a time that is not finite, or a confidence outside (0, 1).
    """
    values = np.asarray(times, dtype=float)
    if values.ndim != 1 or len(values) < FEWEST_STEPS:
        raise InvalidValue("times", f"at least {FEWEST_STEPS} step times", values.size, "fewer cannot bound a median at 90 %")
    if not np.isfinite(values).all():
        raise InvalidValue("times", "finite numbers", float(values[~np.isfinite(values)][0]))
    if not 0 < confidence < 1:
        raise InvalidValue("confidence", "between 0 and 1", confidence)
    medians = _resampled_medians(values, block_length(values))
    low, high = np.quantile(medians, ((1 - confidence) / 2, (1 + confidence) / 2))
    middle = float(np.median(values))
    return Interval(middle, min(middle, float(low)), max(middle, float(high)))


def block_length(values: Sequence[float] | np.ndarray[Any, np.dtype[np.float64]]) -> int:
    """Return the block length for the median of a series, at least 1 and at most a quarter of it.

    The automatic choice of Politis and White 2004 ("Automatic block-length selection for the dependent bootstrap",
    Econometric Reviews 23(1); constants of Patton, Politis and White 2009), applied to the signs of the distances from
    the median: to first order the sample median is the mean of those signs. Never below n^(1/3), Künsch's order.
    """
    series = np.asarray(values, dtype=float)
    n = len(series)
    signs = np.sign(series - np.median(series))
    signs -= signs.mean()
    variance = float(signs @ signs) / n
    least, most = math.ceil(n ** (1 / 3)), max(1, n // 4)
    if variance == 0:
        return min(least, most)
    quiet = max(5, math.ceil(math.sqrt(math.log10(n))))  # so many insignificant correlations in a row end the memory
    lags = min(n - 1, math.ceil(math.sqrt(n)) + quiet)
    covariances = np.array([float(signs[: n - k] @ signs[k:]) / n for k in range(lags + 1)])
    significant = np.flatnonzero(np.abs(covariances[1:]) >= 2 * variance * math.sqrt(math.log10(n) / n))
    memory = next((m for m in range(lags) if not ((significant >= m) & (significant < m + quiet)).any()), lags)
    k = np.arange(min(2 * max(memory, 1), lags) + 1)
    weights = np.clip(2 * (1 - k / (2 * max(memory, 1))), 0, 1)  # flat-top window: 1 up to half the width, then down to 0
    spectrum = covariances[0] + 2 * float((weights * covariances[k])[1:].sum())
    slope = 2 * float((weights * k * covariances[k]).sum())
    if spectrum <= 0:
        return min(least, most)
    best = (2 * slope**2 / (4 / 3 * spectrum**2) * n) ** (1 / 3)
    return min(max(least, math.ceil(best)), most)


def _resampled_medians(values: np.ndarray[Any, np.dtype[np.float64]], length: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    n = len(values)
    rng = np.random.default_rng(0)
    offsets = np.arange(length)
    medians = np.empty(_RESAMPLES)
    for i in range(_RESAMPLES):
        starts = rng.integers(0, n - length + 1, math.ceil(n / length))
        medians[i] = np.median(values[(starts[:, None] + offsets).ravel()[:n]])
    return medians
