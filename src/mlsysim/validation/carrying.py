"""Estimating what a few measured runs say of others: standard deviations by regime, and shares by kind of move.

Both are the best of a grid, judged by how well some runs then predict others of the same source: of a deployment (all
but batch and lengths alike), or of a pair that differs in one thing. What each group adds to the sum is kept apart, so
that the best without a group costs nothing more.
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
from mlsysim.efficiency.deviations import LEAST_NOISE, NORMAL_90, Place, Point, Prior, Share, covariance, distance, near
from mlsysim.efficiency.fit import Array
from mlsysim.evidence.measurement import Measurement
from mlsysim.validation.held_out import STUDENT, Mask
from mlsysim.validation.places import place_of

SCALES = (0.1, 0.15, 0.2, 0.3, 0.45, 0.7)
SHAPES = (0.0, 0.1, 0.2, 0.3, 0.45, 0.7)
LOCALS = (0.03, 0.06, 0.1, 0.15)
GRID = tuple(Prior(*values, 1.0) for values in product(SCALES, SHAPES, LOCALS))
SHARES = (*(i / 10 for i in range(10)), 0.95)
"""Never all: no two machines have everything in common, and no interval would be left."""
GIVEN = (1, 3)
"""How many runs of a deployment are given, when priors are judged by the others."""
ROWS = 40
"""Runs of a deployment that are used at most: large tables do not outvote small ones."""
FREEDOM = 4.0
"""Degrees of freedom of the noise that the judge allows for: some published figures are off by a factor."""
ENOUGH = 20
"""Runs or pairs below which a regime takes what all have."""
NOT_OF_ALL = "ttft"
"""Times to first token depend on what no row records: they say nothing of other regimes."""
ENOUGH_GROUPS = 3
"""Second devices from which a memory class has a share of its own."""
FARTHEST = 0.5
"""Error of a pair that counts as this much and no more [ln]."""


MACHINE = "machine"
"""The field of a place that differs where runs are on two devices."""


class Judged(NamedTuple):
    """What one group says of a grid: ``worth`` of each of its points (larger is better), from ``rows`` runs."""

    regime: str
    names: tuple[str, ...]
    worth: Array
    rows: int


class Pair(NamedTuple):
    """Two runs of one source that differ in one thing, and the residuals of both [ln]."""

    move: str
    a: Point
    b: Point
    residual_a: float
    residual_b: float
    source: str


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


def pairs_of(
    measurements: Sequence[Measurement], points: Sequence[Point], residuals: Array, move: str
) -> Iterable[Pair]:
    """Yield the pairs of one source that differ in the ``machine`` or one of ``ALONE`` alone, in both orders."""
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for i, m in enumerate(measurements):
        if np.isfinite(residuals[i]):
            groups[_all_but(m, points[i].place, move)].append(i)
    for rows in groups.values():
        for i in rows[:ROWS]:
            for j in rows[:ROWS]:
                if getattr(points[i].place, move) != getattr(points[j].place, move):
                    yield pair_of(measurements, points, residuals, i, j, move)


def pair_of(
    measurements: Sequence[Measurement], points: Sequence[Point], residuals: Array, i: int, j: int, move: str
) -> Pair:
    """Return two runs as a pair; a move between machines is told by how far they are apart."""
    a, b = points[i], points[j]
    kind = distance(a.place.machine, b.place.machine) if move == MACHINE else move
    return Pair(kind, a, b, float(residuals[i]), float(residuals[j]), measurements[i].source)


def _all_but(m: Measurement, place: Place, move: str) -> tuple[Any, ...]:
    """Return what two runs of a pair have in common; with other devices, the plan differs too."""
    s = m.setup
    stack = (s.engine, s.version) if move == "devices" else s
    return (m.source, stack, *(value for name, value in place._asdict().items() if name != move))


def worth_of_shares(pairs: Sequence[Pair], priors: Mapping[str, Prior]) -> Array:
    """Return minus the error of each pair under each share [ln]: pairs x shares."""
    errors = np.empty((len(pairs), len(SHARES)))
    for i, pair in enumerate(pairs):
        common, own = parts(pair, priors)
        weights = np.array(SHARES) * common / own
        errors[i] = np.minimum(np.abs(pair.residual_b - weights * pair.residual_a), FARTHEST)
    return -errors


def parts(pair: Pair, priors: Mapping[str, Prior]) -> tuple[float, float]:
    """Return the covariance of a pair if all were carried, and the variance of its first run."""
    together = Point(pair.a.place, pair.b.slopes)
    return covariance(pair.a, together, priors), covariance(pair.a, pair.a, priors) + LEAST_NOISE**2


def weights_of(pairs: Sequence[Pair]) -> Array:
    """Return the weight of each pair: the many of one source and one device count as the root of their number."""
    count: dict[tuple[str, str], int] = defaultdict(int)
    for p in pairs:
        count[p.source, p.b.place.machine.name] += 1
    return np.array([count[p.source, p.b.place.machine.name] ** -0.5 for p in pairs])


def best_share(worth: Array, weights: Array, keep: Any = slice(None)) -> float:
    """Return the share that predicts the kept pairs best."""
    return SHARES[int(np.argmax((worth[keep] * weights[keep, None]).sum(axis=0)))]


def tail_of_pairs(pairs: Sequence[Pair], priors: Mapping[str, Prior], share: float, source_known: bool) -> float:
    """Return the 90 % quantile of the errors of pairs, over that of a normal distribution of the expected width.

    Few second devices tell little of another one, and few sources little of another, unless the fit has seen it:
    Student's t stands for the quantile then.
    """
    sizes = []
    for pair in pairs:
        common, own = parts(pair, priors)
        variance = covariance(pair.b, pair.b, priors) - (share * common) ** 2 / own
        error = pair.residual_b - share * common / own * pair.residual_a
        sizes.append(abs(error) / np.sqrt(max(variance, LEAST_NOISE**2)))
    order = np.argsort(sizes)
    total = np.cumsum(weights_of(pairs)[order])
    quantile = float(np.array(sizes)[order][np.searchsorted(total, 0.9 * total[-1])])
    few = 1.0 / max(_groups(pairs, source_known) - 1, 1)
    return quantile / NORMAL_90 * float(np.interp(few, *STUDENT)) / NORMAL_90


def _groups(pairs: Sequence[Pair], source_known: bool) -> int:
    """Return how many groups pairs are from of those that make one new: second devices, sources."""
    sources = len({p.source for p in pairs})
    if all(p.a.place.machine == p.b.place.machine for p in pairs):
        return sources
    devices = len({p.b.place.machine.name for p in pairs})
    return devices if source_known else min(devices, sources)


def keys_of(pair: Pair) -> tuple[tuple[str, str], ...]:
    """Return under which names a pair counts: of its regime and memory class, of its regime, and of all regimes."""
    regime, wider = pair.b.place.regime, pair.move.partition("/")[0]
    return tuple(dict.fromkeys([(regime, pair.move), (regime, wider), ("", wider)]))


def shares_of(
    pairs: Sequence[Pair],
    priors: Mapping[str, Prior],
    worth: Array,
    weights: Array,
    free: Mask,
    source_known: bool = False,
) -> dict[tuple[str, str], Share]:
    """Return the share of each kind of move in each regime with enough free pairs, and in all regimes together."""
    found = {}
    for key, here in _by_key(pairs, free):
        few = "/" in key[1] and _groups([pairs[i] for i in here], True) < ENOUGH_GROUPS
        if not key[0] or (len(here) >= ENOUGH and not few):
            share = best_share(worth, weights, here)
            found[key] = Share(share, tail_of_pairs([pairs[i] for i in here], priors, share, source_known), len(here))
    return found


def _by_key(pairs: Sequence[Pair], free: Mask) -> list[tuple[tuple[str, str], list[int]]]:
    """Return the free pairs, by index, under each name that they count under."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, pair in enumerate(pairs):
        if free[i]:
            for key in keys_of(pair):
                groups[key].append(i)
    return sorted(groups.items())


class Held(NamedTuple):
    """Median errors of the second runs of pairs, their source held out: nothing carried, and a share of the first's."""

    alone: float
    carried: float


def errors_of_sources_held_out(
    pairs: Sequence[Pair], priors: Mapping[str, Prior], worth: Array, weights: Array
) -> dict[tuple[str, str], Held]:
    """Return the errors of each kind of move in each regime, and in all.

    The share for a source is that which other sources choose, in all regimes together where no other has such pairs.
    """
    ratios = np.array([common / own for common, own in (parts(pair, priors) for pair in pairs)])
    first, second = (np.array([getattr(p, name) for p in pairs]) for name in ("residual_a", "residual_b"))
    sources = np.array([p.source for p in pairs])
    groups = dict(_by_key(pairs, np.ones(len(pairs), bool)))
    found = {}
    for (regime, move), here in groups.items():
        every = groups["", move.partition("/")[0]]
        errors: list[float] = []
        for source in sorted(set(sources[here])):
            own = [i for i in here if sources[i] == source]
            others = [i for i in here if sources[i] != source] or [i for i in every if sources[i] != source]
            share = best_share(worth, weights, others) if others else 0.0
            errors += np.abs(np.exp(share * ratios[own] * first[own] - second[own]) - 1.0).tolist()
        alone = np.abs(np.exp(-second[here]) - 1.0)
        found[regime, move] = Held(float(np.median(alone)), float(np.median(errors)))
    return found


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
