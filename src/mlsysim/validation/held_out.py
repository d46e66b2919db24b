"""Fits without a group, and how far the group then lies from what is predicted for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from mlsysim.efficiency.equations import case_of
from mlsysim.efficiency.fit import Array, Model, Sample
from mlsysim.efficiency.fitted import NEW, Spread
from mlsysim.errors import UsageError
from mlsysim.evidence.measurement import Measurement, Refused
from mlsysim.evidence.tables import Refusal

Mask = npt.NDArray[np.bool_]
Names = npt.NDArray[np.str_]
KINDS = ("source", "hardware", "model", "engine")
"""What a split holds out one by one."""
FEW_ROWS = 3.0
"""Rows of a group from which its middle counts half as much as that of a large one."""
WITHIN = 0.035
"""Share of a group's rows beyond each end: less than a twentieth, because a group's own middle is taken from them."""
STUDENT = (
    np.array([0.0, 0.05, 0.1, 0.125, 1 / 6, 0.2, 0.25, 1 / 3, 0.5, 1.0]),
    np.array([1.645, 1.725, 1.812, 1.860, 1.943, 2.015, 2.132, 2.353, 2.920, 6.314]),
)
"""One over degrees of freedom, and the 95 % quantile of Student's t."""


def samples_of(measurements: Sequence[Measurement]) -> tuple[list[Measurement], list[Sample], list[Refusal]]:
    """Return the measurements that an equation answers, as samples for a fit, and those that none does."""
    kept, samples, refused = [], [], []
    for m in measurements:
        try:
            case = case_of(m.question, m.setup)
            if not all(math.isfinite(v) for v in case.x.values()):
                raise Refused("a figure of the hardware is not known")
        except (Refused, UsageError) as problem:
            refused.append(Refusal(0, m.id, str(problem), m.group))
            continue
        kept.append(m)
        measurer = f"{m.source}/{m.hardware}" if m.regime == "edge" else m.source  # each board has its own contributor
        samples.append(Sample(case, m.seconds, m.regime, measurer))
    return kept, samples, refused


def configuration(m: Measurement) -> tuple[object, ...]:
    """Return what makes two measurements siblings: the same question on the same setup, but for the release."""
    return m.question, m.setup._replace(version=""), m.regime


def groups_of(measurements: Sequence[Measurement], kind: str) -> Names:
    """Return the name of the group of each measurement."""
    return np.array([getattr(m, kind) for m in measurements])


def residuals_without(
    model: Model,
    groups: Names,
    scored: Mask,
    start: Array,
    spreads: dict[tuple[str, str], float],
    progress: Callable[[str], None] = lambda _: None,
) -> Array:
    """Return ln(measured / predicted) of the scored rows, each predicted by a fit without its group; others are nan."""
    out = np.full(len(model.samples), np.nan)
    anchor = model.anchor(start, spreads)
    for name, held in _held(groups, scored):
        progress(name)
        theta = model.without(anchor, held)
        predicted, _ = model.predict(theta)
        out[held] = (model.y - predicted)[held]
    out[~scored] = np.nan
    return out


def _held(groups: Names, scored: Mask) -> Iterator[tuple[str, Mask]]:
    for name in sorted(set(groups[scored])):
        yield name, groups == name


def spread_of(residuals: Array, groups: Names, without: str | None = None) -> Spread:
    """Return the ends that 90 % of the residuals of a new group lie between, from those of all groups but one.

    A group is off as a whole, and its rows about that: how far groups lie apart is told by so few of them that
    Student's t stands for the quantile, but no more than 19 of 20 rows are off; the two parts add as variances do. Of
    one group nothing is known about others, and half as much again as its largest errors (19 of 20 are smaller)
    stands for it.
    """
    here = ~np.isnan(residuals)
    if without is not None:
        here &= groups != without
    values, names = residuals[here], groups[here]
    if not len(values):
        return Spread(-1.0, 1.0, 0)
    each, index = np.unique(names, return_inverse=True)
    largest = float(np.quantile(np.abs(values), 0.95))
    if len(each) == 1:
        return Spread(-1.5 * largest, 1.5 * largest, len(values))
    middle = np.array([np.median(values[index == i]) for i in range(len(each))])
    center, between = _between(middle, np.bincount(index).astype(float))
    between = min(between, largest)
    low, high = np.quantile(values - middle[index], [WITHIN, 1.0 - WITHIN])
    ends = center - np.hypot(between, low), center + np.hypot(between, high)
    return Spread(min(float(ends[0]), -0.01), max(float(ends[1]), 0.01), len(values))


def _between(middle: Array, rows: Array) -> tuple[float, float]:
    """Return the mean of groups, and how far from it 19 of 20 new ones lie to either side."""
    weight = rows / (rows + FEW_ROWS)
    center = float((weight * middle).sum() / weight.sum())
    count = float(weight.sum() ** 2 / (weight**2).sum())
    variance = float((weight * (middle - center) ** 2).sum() / weight.sum()) * count / max(count - 1.0, 0.5)
    freedom = max(count - 1.0, 1.0)
    return center, float(np.interp(1.0 / freedom, *STUDENT)) * math.sqrt(variance * (1.0 + 1.0 / count))


def quantiles_of(residuals: Array) -> Spread:
    """Return the quantiles that 90 % of residuals lie between."""
    values = residuals[~np.isnan(residuals)]
    low, high = np.quantile(values, [0.05, 0.95]) if len(values) else (-1.0, 1.0)
    return Spread(min(float(low), -0.01), max(float(high), 0.01), len(values))


def new_names(measurement: Measurement, seen: dict[str, set[str]]) -> tuple[str, ...]:
    """Return which of source, model and hardware no other measurement has."""
    return tuple(kind for kind in NEW if getattr(measurement, kind) not in seen[kind])
