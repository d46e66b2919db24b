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
ENOUGH_GROUPS = 3
"""Groups from which quantiles over groups say something."""


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
    """Return the quantiles that 90 % of residuals lie between, of all groups but one.

    With few groups the next may lie outside them all: the quantiles are taken further out by one group in their
    number, and widened by two in their number; with one or two groups nothing is known of others, and half as much
    again as the largest errors (19 of 20 are smaller) stands for it.
    """
    here = ~np.isnan(residuals)
    if without is not None:
        here &= groups != without
    values = residuals[here]
    count = len(set(groups[here]))
    if not len(values):
        return Spread(-1.0, 1.0, 0)
    if count < ENOUGH_GROUPS:
        wide = 1.5 * float(np.quantile(np.abs(values), 0.95))
        return Spread(-wide, wide, len(values))
    out, more = 0.05 * (1.0 - 1.0 / count), 1.0 + 2.0 / count
    low, high = np.quantile(values, [out, 1.0 - out])
    return Spread(min(more * float(low), -0.01), max(more * float(high), 0.01), len(values))


def new_names(measurement: Measurement, seen: dict[str, set[str]]) -> tuple[str, ...]:
    """Return which of source, model and hardware no other measurement has."""
    return tuple(kind for kind in NEW if getattr(measurement, kind) not in seen[kind])
