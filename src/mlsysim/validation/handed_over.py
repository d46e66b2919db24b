"""A few runs of each deployment handed over as measurements: the predictions of the others after them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from mlsysim.efficiency.deviations import Point, Prior, expected, left_unknown, most_telling
from mlsysim.validation.carrying import by_id, deployment
from mlsysim.validation.score import Predicted

ARBITRARY, SUGGESTED = "arbitrary", "suggested"
CHOICES = (ARBITRARY, SUGGESTED)
"""How the runs that are handed over are chosen: in an order that their ids decide, or by how much they would tell."""


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
        groups[deployment(p.measurement)].append(p)
    out: list[Predicted] = []
    for group in groups.values():
        ordered = sorted(group, key=lambda p: by_id(p.measurement))
        m = ordered[0].measurement
        known = next((priors[n] for n in ("", m.model, m.source, m.hardware, m.engine) if n in priors), None)
        here = [points[p.measurement.id] for p in ordered]
        first = (
            most_telling(left_unknown([], [], here, known), count)
            if choice == SUGGESTED
            else list(range(min(count, len(here))))
        )
        out += _after(ordered, here, first, known)
    return out


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
