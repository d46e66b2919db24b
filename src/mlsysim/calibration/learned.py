"""What measured runs say of the parameters of the equations: by which factor each moves, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from mlsysim.calibration.calibration import Calibration
from mlsysim.calibration.transfer import known_of
from mlsysim.efficiency.conditioning import parameters_after
from mlsysim.results import NORMAL_90

SCALE = "scale of all times"
NOTHING = 0.02
"""Factor less 1 below which a parameter has not moved [ln]."""


class Learned(NamedTuple):
    """A parameter, and the factor that one's own runs move it by, with a 90 % interval [1]."""

    name: str
    factor: float
    low: float
    high: float


def learned(calibrations: Sequence[Calibration], count: int = 5) -> list[Learned]:
    """Return the scale, and the parameters that move most, those most surely moved first.

    Parameters are those of :mod:`mlsysim.efficiency.structure`; the first calibration's equation is the one asked.
    """
    known = known_of(calibrations)
    found = parameters_after([k.point for k in known], [k.residual for k in known], [k.noise for k in known])
    rows = [
        Learned(name or SCALE, *(math.exp(mean + sign * NORMAL_90 * sd) for sign in (0, -1, 1)))
        for name, (mean, sd) in found.items()
    ]
    scale, *others = rows
    moved = [row for row in others if abs(math.log(row.factor)) > NOTHING]
    moved.sort(key=lambda row: -abs(math.log(row.factor)) / math.log(row.high / row.low))
    return [scale, *moved[:count]]
