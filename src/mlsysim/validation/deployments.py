"""Deployments: runs that differ in batch and lengths alone, and what they say of how far runs deviate.

Standard deviations of deviations are the best of a grid, judged by how well some runs of a deployment predict the
others. What each deployment adds to the sum is kept apart, so that the best without a group costs nothing more.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from mlsysim.efficiency.conditioning import expected
from mlsysim.efficiency.deviations import LEAST_NOISE, Point, Prior, Share, near
from mlsysim.efficiency.fit import Array
from mlsysim.evidence.measurement import Measurement
from mlsysim.results import NORMAL_90
from mlsysim.validation.places import place_of

SCALES = (0.1, 0.15, 0.2, 0.3, 0.45, 0.7)
SHAPES = (0.0, 0.1, 0.2, 0.3, 0.45, 0.7)
LOCALS = (0.03, 0.06, 0.1, 0.15)
GRID = tuple(Prior(*values, 1.0) for values in product(SCALES, SHAPES, LOCALS))
GIVEN = (1, 3)
"""How many runs of a deployment are given, when priors are judged by the others."""
ROWS = 40
"""Runs of a deployment, or of a group of pairs, that are used at most: large tables do not outvote small ones."""
FREEDOM = 4.0
"""Degrees of freedom of the noise that the judge allows for: some published figures are off by a factor."""
ENOUGH = 20
"""Runs or pairs below which a regime takes what all have."""
NOT_OF_ALL = "ttft"
"""Times to first token depend on what no row records: they say nothing of other regimes."""


class Judged(NamedTuple):
    """What one group says of a grid: ``worth`` of each of its points (larger is better), from ``rows`` runs."""

    regime: str
    names: tuple[str, ...]
    worth: Array
    rows: int


def deployments(measurements: Sequence[Measurement]) -> list[list[int]]:
    """Return the runs, by index, that differ in batch and lengths alone, each in an order that its ids decide."""
    found: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for i, m in enumerate(measurements):
        found[deployment(m)].append(i)
    return [sorted(rows, key=lambda i: by_id(measurements[i])) for rows in found.values()]


def by_id(m: Measurement, draw: int = 0) -> bytes:
    """Return what puts measurements into an order that has nothing to do with what was measured; others by draw."""
    return hashlib.sha256(f"{draw} {m.id}".encode()).digest()


def deployment(m: Measurement) -> tuple[Any, ...]:
    """Return what runs of one deployment have in common; on a board, different networks are one deployment."""
    place = place_of(m)
    one = place._replace(model="") if place.machine.kind == "board" else place
    return (m.source, m.setup._replace(micro_batch=0), *one[:-1])


def judged_deployments(
    measurements: Sequence[Measurement], points: Sequence[Point], residuals: Array
) -> Iterable[Judged]:
    """Yield what each deployment with several runs says of the grid of priors."""
    for rows in deployments(measurements):
        here = [i for i in rows if np.isfinite(residuals[i])][:ROWS]
        if len(here) > max(GIVEN[:1]):
            m = measurements[here[0]]
            worth = _worth([points[i] for i in here], residuals[here])
            yield Judged(m.regime, (m.source, m.hardware, m.model), worth, len(here))


def _worth(points: Sequence[Point], residuals: Array) -> Array:
    """Return the mean log density of the runs that were not given, for each point of the grid."""
    names = sorted({n for p in points for n in p.slopes})
    slopes = np.array([[p.slopes.get(n, 0.0) for n in names] for p in points])
    alike = slopes @ slopes.T
    neighbours = np.array([[near(a.place.sizes, b.place.sizes) for b in points] for a in points])
    out = np.zeros(len(GRID))
    for g, prior in enumerate(GRID):
        whole = prior.scale**2 + prior.shape**2 * alike + prior.local**2 * neighbours
        whole[np.diag_indices(len(points))] += LEAST_NOISE**2
        out[g] = np.mean([_density(whole, residuals, k) for k in GIVEN if k < len(points)])
    found: Array = out * len(points) ** 0.5
    return found


def _density(whole: Array, residuals: Array, given: int) -> float:
    solved = np.linalg.solve(whole[:given, :given], whole[:given, given:])
    left = np.diag(whole)[given:] - np.einsum("ij,ij->j", whole[:given, given:], solved)
    z2 = (residuals[given:] - solved.T @ residuals[:given]) ** 2 / left
    return float(np.mean(-(FREEDOM + 1) / 2 * np.log1p(z2 / FREEDOM) - 0.5 * np.log(left)))


def best_priors(judged: Sequence[Judged], without: str = "") -> dict[str, Prior]:
    """Return the priors by regime that deployments other than those of a name choose; without their tails.

    Scale and shape are the same in all regimes, so that what is measured in one says as much in another; each regime
    counts alike.
    """
    worth = {}
    for regime in sorted({j.regime for j in judged}):
        here = [j for j in judged if j.regime == regime and without not in j.names]
        if sum(j.rows for j in here) >= ENOUGH:
            worth[regime] = np.sum([j.worth for j in here], axis=0) / np.sum([math.sqrt(j.rows) for j in here])
    every = np.sum(
        [w for regime, w in worth.items() if not regime.startswith(NOT_OF_ALL)] or list(worth.values()), axis=0
    )
    best = GRID[int(np.argmax(every))]
    alike = [i for i, prior in enumerate(GRID) if prior[:2] == best[:2]]
    return {"": best, **{regime: GRID[max(alike, key=lambda i, w=w: w[i])] for regime, w in worth.items()}}  # type: ignore[misc]


def tails_of_deployments(
    parts: Sequence[tuple[Sequence[Measurement], Sequence[Point], Array]], priors: Mapping[str, Prior]
) -> dict[str, Prior]:
    """Return the priors with their tails: the 90 % quantile of the errors of runs that were not given, over normal."""
    sizes: dict[str, list[float]] = defaultdict(list)
    for measurements, points, residuals in parts:
        for rows in deployments(measurements):
            here = [i for i in rows if np.isfinite(residuals[i])][:ROWS]
            if len(here) > 1:
                regime = measurements[here[0]].regime
                found = _sizes([points[i] for i in here], residuals[here], priors)
                sizes[regime] += found
                sizes[""] += found
    return {
        regime: prior._replace(tail=float(np.quantile(sizes[regime], 0.9)) / NORMAL_90)
        for regime, prior in priors.items()
    }


def _sizes(points: Sequence[Point], residuals: Array, priors: Mapping[str, Prior]) -> list[float]:
    """Return the errors of the runs that were not given, over their expected standard deviations."""
    plain = {regime: prior._replace(tail=1.0) for regime, prior in priors.items()}
    out: list[float] = []
    for given in GIVEN:
        if given < len(points):
            nothing = [0.0] * given
            found = expected(points[:given], list(residuals[:given]), nothing, points[given:], plain, _WIDTHLESS)
            out += [abs(r - d.mean) / (d.half / NORMAL_90) for r, d in zip(residuals[given:], found, strict=True)]
    return out


_WIDTHLESS: Mapping[tuple[str, str], Share] = {}
"""No shares: runs of one deployment differ in batch and lengths alone."""
