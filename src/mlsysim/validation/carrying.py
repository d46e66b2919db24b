"""What is carried from one run to another: shares by kind of move, from pairs of runs that differ in one thing.

A share is the best of a grid, judged by how well the first run of each pair then predicts the second. What each pair
adds to the sum is kept apart, so that the best without a group costs nothing more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlsysim.efficiency.deviations import LEAST_NOISE, Place, Point, Prior, Share, covariance, distance
from mlsysim.efficiency.fit import Array
from mlsysim.evidence.measurement import Measurement
from mlsysim.results import NORMAL_90
from mlsysim.validation.deployments import ENOUGH, ROWS
from mlsysim.validation.held_out import STUDENT, Mask

SHARES = (*(i / 10 for i in range(10)), 0.95)
"""Never all: no two machines have everything in common, and no interval would be left."""
ENOUGH_GROUPS = 3
"""Second devices from which a memory class has a share of its own."""
FARTHEST = 0.5
"""Error of a pair that counts as this much and no more [ln]."""
MACHINE = "machine"
"""The field of a place that differs where runs are on two devices."""


class Pair(NamedTuple):
    """Two runs of one source that differ in one thing, and the residuals of both [ln]."""

    move: str
    a: Point
    b: Point
    residual_a: float
    residual_b: float
    source: str


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
