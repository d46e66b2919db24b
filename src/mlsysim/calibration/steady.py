"""Where a series of step times becomes steady, and the median of the steady part with an honest interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from mlsysim.errors import InvalidValue
from mlsysim.results import Interval

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
FEWEST_STEPS = 5
"""The least steps for a 90 % interval: the range of 5 covers a median with 1 - 2^-4 = 94 %, 4 with 87 %."""
_BATCH = 5  # the 5 of MSER-5
_RESAMPLES = 1000
_QUIET = 5  # so many insignificant correlations in a row end the memory of a series (K_n of Politis and White)
_FAR = 6.0
"""Robust standard deviations above the median from which a step is a pause and no noise, if a third longer too."""
_LONGER = 4 / 3
_MIN_JUDGED = 15
"""Steps below which a warm-up cannot be told from noise: MSER-5 needs three batches of five."""
NARROW = 0.05
"""Half-width of an interval, as a share of the value, beyond which a run is called too short."""


class Pause(NamedTuple):
    """Steps that something else was in: how many, the time beyond usual steps [s], its share of the time of the run."""

    what: str
    steps: int
    seconds: float
    share: float


class Steady(NamedTuple):
    """The steady part of a run: the median step [s] with its interval, and what was not counted.

    ``block`` is the length of the blocks that the interval was drawn from: neighbours within it are alike. ``more`` is
    how many further steps would halve the interval.
    """

    step_s: Interval
    method: str
    dropped: int
    kept: int
    block: int
    pauses: tuple[Pause, ...]
    more: int

    @property
    def half_width(self) -> float:
        """Return half of the interval, as a share of its value."""
        return (self.step_s.high - self.step_s.low) / 2 / self.step_s.value

    def scaled(self, factor: float) -> Steady:
        """Return the same of steps that took ``factor`` times as long: of times a token, times a step."""
        pauses = tuple(pause._replace(seconds=pause.seconds * factor) for pause in self.pauses)
        return self._replace(step_s=self.step_s * factor, pauses=pauses)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        pauses = [pause._asdict() for pause in self.pauses]
        return {**self._asdict(), "step_s": self.step_s._asdict(), "pauses": pauses}


def steady_state(times: Sequence[float], named: Mapping[int, str] | None = None) -> Steady:
    """Return the steady part of a series of step times [s].

    The warm-up is dropped by MSER-5, of fewer than 15 steps the first alone; steps that are longer than the others by
    more than noise are set apart, unless fewer than 5 would be left: under the name that a log gives them (``named``,
    by index), as regular where they come at one distance, else as irregular.

    Raises
    ------
    InvalidValue
        Fewer than 5 steps.
    """
    values = np.asarray(times, dtype=float)
    names = dict(named or {})
    long = _long(values, names)
    usual = np.array([i for i in range(len(values)) if i not in long], dtype=int)
    if len(usual) < FEWEST_STEPS:  # of so few steps none is known to be the usual one
        usual = np.arange(len(values))
    if len(usual) < _MIN_JUDGED:
        start = int(len(usual) > FEWEST_STEPS and usual[0] == 0)
        method = "the first step, too few for MSER-5" if start or usual[0] else "nothing, too few to spare one"
    else:
        method, start = "MSER-5 (White 1997)", steady_start(values[usual].tolist())
    kept = values[usual[start:]]
    middle = median_interval(kept)
    begins = int(usual[start])
    later = sorted(set(range(begins, len(values))) - set(usual.tolist()))
    pauses = _pauses(values[begins:], {i - begins: what for i, what in _called(later, names).items()}, middle.value)
    return Steady(middle, method, begins, len(kept), block_length(kept), pauses, 3 * len(kept))


def _long(values: Array, names: Mapping[int, str]) -> set[int]:
    """Return the steps that are longer than the others by more than noise, by index."""
    unnamed = np.array([value for i, value in enumerate(values) if i not in names], dtype=float)
    judged = unnamed if len(unnamed) >= FEWEST_STEPS else values  # what a log names is no measure of the usual
    later = judged[len(judged) // 2 :]
    middle = float(np.median(later))
    spread = 1.4826 * float(np.median(np.abs(later - middle)))
    limit = max(middle + _FAR * spread, _LONGER * middle)
    return {int(i) for i in np.flatnonzero(values > limit)}


def _called(pauses: Sequence[int], names: Mapping[int, str]) -> dict[int, str]:
    """Return what pauses are called: as the log has it, else by their distance where they come at one."""
    rest = [i for i in pauses if i not in names]
    gaps = set(np.diff(rest).tolist())
    other = f"every {gaps.pop()} steps" if len(rest) >= 3 and len(gaps) == 1 and gaps != {1} else "irregular"
    return {i: names.get(i, other) for i in pauses}


def _pauses(values: Array, apart: Mapping[int, str], usual: float) -> tuple[Pause, ...]:
    total = float(values.sum())
    found = []
    for what in dict.fromkeys(apart.values()):
        beyond = [float(values[i]) - usual for i, name in apart.items() if name == what]
        found.append(Pause(what, len(beyond), sum(beyond), sum(beyond) / total))
    return tuple(found)


def steady_start(times: Sequence[float]) -> int:
    """Return how many of the first ``times`` [s] are warm-up: MSER-5 truncation, a multiple of 5.

    The series is averaged in batches of 5; dropped are the d batches that minimise the squared standard error of the
    mean of the n - d left, sum((x - mean)^2) / (n - d)^2. At most half of the series is dropped, and two batches are
    kept, for one alone has no spread: a series below 15 is too short to judge, and nothing is. White 1997, "An
    Effective Truncation Heuristic for Bias Reduction in Simulation Output", Simulation 69(6),
    doi:10.1177/003754979706900601; the batches of 5 are Spratt's (1998).
    """
    count = len(times) // _BATCH
    if count < 2:
        return 0
    means = np.asarray(times[: count * _BATCH], dtype=float).reshape(count, _BATCH).mean(axis=1)
    means -= means.mean()  # the variance of what is left is a difference of sums: centred, they do not cancel
    left = count - np.arange(min(count // 2, count - 2) + 1)
    total = np.cumsum(means[::-1])[::-1][: len(left)]
    squares = np.cumsum(means[::-1] ** 2)[::-1][: len(left)]
    return _BATCH * int(np.argmin((squares - total**2 / left) / left**2))


def median_interval(times: Sequence[float], confidence: float = 0.9) -> Interval:
    """Return the median of ``times`` [s] with the ends of its ``confidence`` interval [s].

    Moving-block bootstrap (Künsch 1989, "The jackknife and the bootstrap for general stationary observations",
    Annals of Statistics 17(3)): blocks keep the autocorrelation that makes neighbouring steps worth less than
    their number. 1,000 resamples with a fixed seed, blocks of :func:`block_length`. Percentiles of few blocks are
    too narrow: they are expanded as Hesterberg 2015 ("What Teachers Should Know About the Bootstrap",
    doi:10.1080/00031305.2015.1089789) does for few observations.

    Of 800 simulated first-order series of 12 to 200 steps each, the 90 % interval held the true median in 89-93 % of
    cases when neighbours were independent, 87-89 % at a correlation of 0.3, 81-89 % at 0.5. A drift that lasts longer
    than the run is beyond any method.

    Raises
    ------
    InvalidValue
        Fewer than 5 times, a time that is not finite, or a confidence outside (0, 1).
    """
    values = np.asarray(times, dtype=float)
    if values.ndim != 1 or len(values) < FEWEST_STEPS:
        raise InvalidValue(
            "times", f"at least {FEWEST_STEPS} step times", values.size, "fewer cannot bound a median at 90 %"
        )
    if not np.isfinite(values).all():
        raise InvalidValue("times", "finite numbers", float(values[~np.isfinite(values)][0]))
    if not 0 < confidence < 1:
        raise InvalidValue("confidence", "between 0 and 1", confidence)
    length = block_length(values)
    tail = _expanded_tail((1 - confidence) / 2, len(values) / length)
    low, high = np.quantile(_resampled_medians(values, length), (tail, 1 - tail))
    middle = float(np.median(values))
    return Interval(middle, min(middle, float(low)), max(middle, float(high)))


def block_length(values: Sequence[float] | Array) -> int:
    """Return the block length for the median of a series, at least 1 and at most a quarter of it.

    The automatic choice of Politis and White 2004 ("Automatic block-length selection for the dependent bootstrap",
    Econometric Reviews 23(1); constants of Patton, Politis and White 2009), applied to the signs of the distances from
    the median: to first order the sample median is the mean of those signs. Never below n^(1/3), Künsch's order,
    unless that is more than a quarter.
    """
    series = np.asarray(values, dtype=float)
    n = len(series)
    signs: Array = np.sign(series - np.median(series))
    signs -= signs.mean()
    least, most = math.ceil(math.cbrt(n)), max(1, n // 4)
    lags = min(n - 1, math.ceil(math.sqrt(n)) + _QUIET)
    covariances = np.array([float(signs[: n - k] @ signs[k:]) / n for k in range(lags + 1)])
    half = max(1, _memory(covariances, n))
    k = np.arange(min(2 * half, lags) + 1)
    weighted = np.clip(2 - k / half, 0, 1) * covariances[k]  # flat-top: 1 up to half the width, then down to 0
    spectrum = 2 * float(weighted.sum()) - float(weighted[0])
    slope = 2 * float((k * weighted).sum())
    # All times equal, or a spectrum that sampling noise made negative: the automatic choice does not exist.
    best: float = (1.5 * n * (slope / spectrum) ** 2) ** (1 / 3) if spectrum > 0 else 0.0
    return min(max(least, math.ceil(best)), most)


def _memory(covariances: Array, n: int) -> int:
    """Return the lag after which a run of autocorrelations is insignificant (Politis and White 2004)."""
    threshold = 2 * float(covariances[0]) * math.sqrt(math.log10(n) / n)
    significant = [abs(float(covariance)) >= threshold for covariance in covariances[1:]]
    count = len(significant)
    return next((m for m in range(count) if not any(significant[m : m + _QUIET])), count)


def _expanded_tail(tail: float, blocks: float) -> float:
    """Return the tail to cut so that ``tail`` is cut in truth (Hesterberg 2015): Phi(-t sqrt(m / (m - 1))).

    t is Student's quantile for m - 1 degrees of freedom, by Abramowitz and Stegun 26.7.5; m >= 4 blocks.
    """
    normal, freedom = NormalDist(), blocks - 1
    z = normal.inv_cdf(1 - tail)
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return normal.cdf(-t * math.sqrt(blocks / freedom))


def _resampled_medians(values: Array, length: int) -> Array:
    n = len(values)
    rng = np.random.default_rng(0)
    offsets = np.arange(length)
    rows = max(1, 2**20 // n)  # resamples at a time: 8 MiB of indices
    medians = []
    for done in range(0, _RESAMPLES, rows):
        count = min(rows, _RESAMPLES - done)
        starts = rng.integers(0, n - length + 1, (count, math.ceil(n / length), 1))
        medians.append(np.median(values[(starts + offsets).reshape(count, -1)[:, :n]], axis=1))
    return np.concatenate(medians)
