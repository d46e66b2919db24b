"""What the ideal value of each parameter of a prediction alone would save."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from mlsysim.efficiency.case import Case
from mlsysim.efficiency.equations import EQUATIONS
from mlsysim.efficiency.fitted import parameters_of
from mlsysim.efficiency.structure import structure

WORTH_SAYING = 0.01
"""Share of the time below which a saving is left out."""


class Saving(NamedTuple):
    """One parameter of a prediction: its value, and the share of the time that its ideal value would save."""

    name: str
    meaning: str
    value: float
    unit: str
    share: float


def savings(parts: Sequence[tuple[Case, float]]) -> list[Saving]:
    """Return what costs time beyond the ideal, most first, of the cases that a prediction is between.

    The ideal of a share of a peak or of a bandwidth is 1, that of a fixed time 0; each is tried alone, so that the
    shares of those that hide behind each other do not add up.
    """
    of_cases = [(dict(parameters_of(case)), case, weight) for case, weight in parts]
    equation, quantities = EQUATIONS[parts[0][0].equation], structure()
    found = []
    for name in equation.NAMES:
        q = quantities[name]
        ideal = 0.0 if q.unit == "s" else 1.0 if q.most < math.inf else None
        if ideal is None:
            continue
        left = value = 1.0
        for p, case, weight in of_cases:
            here, there = (float(equation.seconds(case.x, one)) for one in (p, {**p, name: ideal}))
            left *= (there / here) ** weight
            value *= p[name] ** weight
        if 1.0 - left >= WORTH_SAYING:
            found.append(Saving(name, q.meaning, value, q.unit, 1.0 - left))
    return sorted(found, key=lambda s: -s.share)
