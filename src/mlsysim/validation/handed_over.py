"""A few runs of each deployment handed over as measurements: the predictions of the others after them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from mlsysim.efficiency.conditioning import expected, left_unknown, most_telling
from mlsysim.efficiency.deviations import Point, Prior
from mlsysim.evidence.measurement import Measurement
from mlsysim.validation.deployments import by_id, deployment
from mlsysim.validation.score import Predicted

ARBITRARY, SUGGESTED = "arbitrary", "suggested"
CHOICES = (ARBITRARY, SUGGESTED)
"""How the runs that are handed over are chosen: in orders that their ids decide, or by how much they would tell."""
DRAWS = 8
"""Times that arbitrary runs are drawn, all of which are scored together: with few deployments, one draw is luck."""


def calibrated(
    predicted: Sequence[Predicted],
    points: Mapping[str, Point],
    count: int,
    priors: Mapping[str, Mapping[str, Prior]],
    choice: str = ARBITRARY,
) -> list[Predicted]:
    """Hand over ``count`` runs of each deployment as measurements, and predict the others after them.

    Parameters
    ----------
    predicted
        The predictions, each by a fit without its own group.
    points
        The measurements as points of the deviation model, by id.
    count
        How many runs are handed over.
    priors
        What deviations are expected, by held-out group (empty: any).
    choice
        ``arbitrary``, or ``suggested``: those that narrow the intervals of the others most, before any is measured.
    """
    groups: dict[tuple[object, ...], list[Predicted]] = defaultdict(list)
    for p in predicted:
        groups[together(p.measurement)].append(p)
    out: list[Predicted] = []
    for group in groups.values():
        m = group[0].measurement
        known = next((priors[n] for n in ("", m.model, m.source, m.hardware, m.engine) if n in priors), None)
        here = [points[p.measurement.id] for p in group]
        for first in _choices([p.measurement for p in group], here, count, choice, known):
            out += _after(group, here, first, known)
    return out


def together(m: Measurement) -> tuple[object, ...]:
    """Return of what a row is one: a deployment; in training, all runs of a source with one model on one device."""
    training = (m.regime, m.source, m.hardware, m.model)
    return training if m.regime.startswith("training") else deployment(m)


def _choices(
    these: Sequence[Measurement],
    points: Sequence[Point],
    count: int,
    choice: str,
    known: Mapping[str, Prior] | None,
) -> list[list[int]]:
    """Return which runs are handed over, once for each draw."""
    if choice == SUGGESTED:
        return [most_telling(left_unknown([], [], points, known), count)]
    return [sorted(range(len(these)), key=lambda i: by_id(these[i], draw))[:count] for draw in range(DRAWS)]


def _after(
    group: Sequence[Predicted], points: Sequence[Point], first: Sequence[int], known: Mapping[str, Prior] | None
) -> list[Predicted]:
    """Return the runs of a deployment, those of ``first`` as given, the others predicted after them."""
    residuals = [math.log(p.measurement.seconds / p.seconds) for p in group]
    rest = [i for i in range(len(group)) if i not in first]
    given = [group[i]._replace(given=True) for i in first]
    if not rest:
        return given
    asked = [points[i] for i in rest]
    found = expected([points[i] for i in first], [residuals[i] for i in first], [0.0] * len(first), asked, known)
    moved = []
    for i, deviation in zip(rest, found, strict=True):
        seconds, width = group[i].seconds * math.exp(deviation.mean), math.exp(deviation.half)
        moved.append(group[i]._replace(seconds=seconds, low=seconds / width, high=seconds * width))
    return given + moved
