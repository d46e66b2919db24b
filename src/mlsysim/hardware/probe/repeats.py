"""The best of several repeats, and how much they differ."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

CONTENDED = 0.15
"""Spread over repeats above which other work on the machine is suspected [1]."""
SLOWED = 0.10
"""Share by which the later half of the repeats may be slower before throttling is suspected [1]."""


def repeat(run: Callable[[], object], seconds: float) -> tuple[float, float, float]:
    """Return the best time [s], the spread, and how much slower the later half was [1], of at least 2 repeats.

    They take about ``seconds`` [s], after one warm-up. The spread is (p90 - p10) / median; the slowing compares the
    medians of the halves, 0 where there are fewer than 10 repeats.
    """
    end = time.perf_counter() + seconds
    run()
    times: list[float] = []
    while len(times) < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    low, middle, high = np.percentile(times, (10, 50, 90))
    half = len(times) // 2
    slowing = float(np.median(times[half:]) / np.median(times[:half])) - 1 if half >= 5 else 0.0
    return min(times), float((high - low) / middle), slowing
