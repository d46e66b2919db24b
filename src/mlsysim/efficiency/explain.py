"""Where the time of a prediction goes: what each parameter costs against its ideal."""

from __future__ import annotations

import math
from typing import NamedTuple

from mlsysim.efficiency.case import Case
from mlsysim.efficiency.equations import EQUATIONS
from mlsysim.efficiency.fitted import parameters_of
from mlsysim.efficiency.structure import structure

WORTH_SAYING = 0.01
"""Share of the time below which a cause is left out."""


class Cause(NamedTuple):
    """One parameter of a prediction: its value, and the share of the time that its ideal value would save."""

    name: str
    meaning: str
    value: float
    unit: str
    share: float


def causes(case: Case) -> list[Cause]:
    """Return what costs time beyond the ideal, most first.

    The ideal of a share of a peak or of a bandwidth is 1, that of a fixed time 0; each is tried alone, so that the
    shares of causes that hide behind each other do not add up.
    """
    equation, quantities = EQUATIONS[case.equation], structure()
    p = dict(parameters_of(case))
    whole = float(equation.seconds(case.x, p))
    found = []
    for name in equation.NAMES:
        q = quantities[name]
        ideal = 0.0 if q.unit == "s" else 1.0 if q.most < math.inf else None
        if ideal is None or p[name] == ideal:
            continue
        saved = 1.0 - float(equation.seconds(case.x, {**p, name: ideal})) / whole
        if saved >= WORTH_SAYING:
            found.append(Cause(name, q.meaning, p[name], q.unit, saved))
    return sorted(found, key=lambda c: -c.share)
