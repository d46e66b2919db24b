"""What was measured, as an SI value with an interval, and a word on where the interval comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from mlsysim.efficiency.evidence import parameters
from mlsysim.results import NORMAL_90, Interval, Note
from mlsysim.units import parse, positive

Measured: TypeAlias = float | str | Sequence[float | str] | Interval
_T95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812)
"""95 % quantiles of Student's t for 1 to 10 degrees of freedom (NIST/SEMATECH e-Handbook 1.3.6.7.2)."""
_FARTHEST = 700.0
"""Logarithm beyond which no float has a value."""


def measured(value: Any, dimension: str, field: str) -> tuple[Interval, tuple[Note, ...]]:
    """Return the measured value in SI units with its 90 % interval, and notes on it.

    Repeats give Student's t interval of the mean of their logarithms, since rates and times scatter by factors; a
    single number takes the published spread of repeated runs; an :class:`Interval` is taken as it is.

    Raises
    ------
    InvalidValue
        Not a positive finite quantity of this dimension.
    """
    if isinstance(value, Interval):
        return Interval(*(positive(end, field) for end in value)), ()
    repeats = [parse(v, dimension, field) for v in value] if isinstance(value, (list, tuple)) else []
    if len(set(repeats)) > 1:
        return _of_repeats(repeats), ()
    number = repeats[0] if repeats else parse(value, dimension, field)
    spread = parameters()["repeat"]
    again = " again and again" if len(repeats) > 1 else ""
    message = (
        f"one number{again} has no spread of its own: the interval is that of repeated published runs, a factor of"
        f" {math.exp(spread.value):.3g} either way (n = {spread.n}); give several runs for your own"
    )
    widened = Interval(number, number * math.exp(-spread.value), number * math.exp(spread.value))
    return widened, (Note("interval-assumed", message),)


def _of_repeats(numbers: list[float]) -> Interval:
    logs = [math.log(x) for x in numbers]
    n = len(logs)
    mean = sum(logs) / n
    error = math.sqrt(sum((x - mean) ** 2 for x in logs) / (n - 1) / n)
    # Beyond ten degrees of freedom the quantile is the normal one and a term in 1 / df, to three digits.
    quantile = _T95[n - 2] if n - 2 < len(_T95) else NORMAL_90 + 1.7 / (n - 1)
    low, high = (
        math.exp(min(max(end, -_FARTHEST), _FARTHEST)) for end in (mean - quantile * error, mean + quantile * error)
    )
    return Interval(math.exp(mean), low, high)
