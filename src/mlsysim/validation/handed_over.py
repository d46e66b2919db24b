"""A few rows of each group handed over as measurements: the predictions of the others after them."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from mlsysim.efficiency.fit import Array
from mlsysim.evidence.measurement import Measurement
from mlsysim.validation.held_out import KINDS
from mlsysim.validation.score import Predicted

ENOUGH_GROUPS = 3
"""Deployments with several rows from which variances between and within them say something."""

WILD = 2.5
"""Standard deviations beyond which a measurement is taken for this much off and no more."""
LEAST = 1e-4
"""Smallest variance: a hundredth."""
USUAL = (0.01, 0.04)
"""Variances within and between deployments where too few groups show their own: a tenth, and a fifth."""


def calibrated(predicted: list[Predicted], count: int, split: str) -> list[Predicted]:
    """Hand over ``count`` rows of each group as measurements: the others move by their mean residual, in logarithms.

    Which rows those are follows from their ids alone. How far the others move, and what interval is left, follows from
    how much residuals vary within groups and between them, as all other groups of the regime show.
    """
    by_group: dict[tuple[str, ...], list[Predicted]] = defaultdict(list)
    for p in predicted:
        by_group[_deployment(p.measurement, split)].append(p)
    residuals = {name: np.log([p.measurement.seconds / p.seconds for p in group]) for name, group in by_group.items()}
    out = []
    for name, group in by_group.items():
        within, between = variances([r for other, r in residuals.items() if other != name and other[0] == name[0]])
        ordered = sorted(group, key=lambda p: hashlib.sha256(p.measurement.id.encode()).digest())
        first, rest = ordered[:count], ordered[count:]
        farthest = WILD * math.sqrt(within + between)
        known = [np.log(p.measurement.seconds / p.seconds) for p in first]
        mean = float(np.mean(np.clip(known, -farthest, farthest)))
        share = between / (between + within / count)
        move = float(np.exp(share * mean))
        narrow = float(np.sqrt((within + between * (1.0 - share)) / (within + between)))
        out += [p._replace(given=True) for p in first]
        out += [_moved(p, move, narrow) for p in rest]
    return out


def variances(groups: Sequence[Array]) -> tuple[float, float]:
    """Return the variance within groups and that between them, both by medians of absolute deviations.

    Rows lie nearer to the middle of their own few than to that of all, and middles of few rows differ by chance
    (their variance is pi/2 times that of a mean): both are allowed for.
    """
    several = [g for g in groups if len(g) > 1]
    if len(several) < ENOUGH_GROUPS:
        return USUAL
    normal = 1.4826  # standard deviation over median absolute deviation of normal noise
    apart = [(g - np.median(g)) * math.sqrt(len(g) / (len(g) - 1)) for g in several]
    within = (normal * float(np.median(np.abs(np.concatenate(apart))))) ** 2
    middles = np.array([float(np.median(g)) for g in several])
    by_chance = math.pi / 2 * within * float(np.median([1 / len(g) for g in several]))
    between = (normal * float(np.median(np.abs(middles)))) ** 2 - by_chance
    return max(within, LEAST), max(between, LEAST)


def _moved(p: Predicted, move: float, narrow: float) -> Predicted:
    seconds = p.seconds * move
    ends = (seconds * (end / p.seconds) ** narrow for end in (p.low, p.high))
    return p._replace(seconds=seconds, low=next(ends), high=next(ends))


def _deployment(m: Measurement, split: str) -> tuple[str, ...]:
    if split in KINDS:
        return m.regime, str(getattr(m, split))
    about = (getattr(m.question, "precision", ""), getattr(m.question, "devices", 1), m.setup.tp, m.setup.engine)
    return (m.regime, m.source, m.hardware, m.model, *map(str, about))
