"""What measured runs say of others: deviations conditioned on those that were measured.

Of a Gaussian process, mean and variance where nothing was measured follow from the covariances alone: Rasmussen and
Williams, Gaussian Processes for Machine Learning (2006), section 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mlsysim.efficiency.deviations import (
    LEAST_NOISE,
    Array,
    Point,
    Prior,
    Share,
    carried,
    covariance,
    covariances,
    moves,
    prior_of,
    share_of,
)
from mlsysim.results import NORMAL_90


class Deviation(NamedTuple):
    """What is expected of ln(time / predicted time), with the half-width of its 90 % interval."""

    mean: float
    half: float


def tail_of(
    asked: Point,
    points: Sequence[Point],
    known: Mapping[str, Prior] | None = None,
    table: Mapping[tuple[str, str], Share] | None = None,
) -> float:
    """Return by what an interval is wider than a normal one: the most that moves from the nearest run have shown."""
    regime = asked.place.regime
    nearest = min((moves(p.place, asked.place) for p in points), key=len, default=[])
    return max((share_of(regime, move, table).tail for move in nearest), default=prior_of(regime, known).tail)


def expected(
    points: Sequence[Point],
    residuals: Sequence[float],
    noise: Sequence[float],
    asked: Sequence[Point],
    known: Mapping[str, Prior] | None = None,
    table: Mapping[tuple[str, str], Share] | None = None,
) -> list[Deviation]:
    """Return what measured runs say of others.

    Parameters
    ----------
    points, residuals, noise
        The measured runs, their ln(measured / predicted), and the standard deviations of these [ln].
    asked
        The runs that are asked about.
    known, table
        Priors and shares in place of the packaged ones.
    """
    import numpy as np

    among = covariances(points, points, known, table)
    among += np.diag(np.maximum(np.asarray(noise, float), LEAST_NOISE) ** 2)
    across = covariances(points, asked, known, table)
    solved = np.linalg.solve(among, np.column_stack([np.asarray(residuals, float), across]))
    means = across.T @ solved[:, 0]
    own = np.array([covariance(q, q, known, table) for q in asked])
    left = np.maximum(own - np.einsum("ij,ij->j", across, solved[:, 1:]), LEAST_NOISE**2)
    return [
        Deviation(float(m), NORMAL_90 * tail_of(q, points, known, table) * math.sqrt(v))
        for q, m, v in zip(asked, means, left, strict=True)
    ]


def parameters_after(
    points: Sequence[Point], residuals: Sequence[float], noise: Sequence[float]
) -> dict[str, tuple[float, float]]:
    """Return what measured runs say of the scale (under an empty name) and of each parameter of the first's equation.

    A mean and a standard deviation each, of ln of the factor that it moves by, at the place of the first run.
    """
    import numpy as np

    home = points[0].place
    prior = prior_of(home.regime)
    among = covariances(points, points) + np.diag(np.maximum(np.asarray(noise, float), LEAST_NOISE) ** 2)
    shares = np.array([1.0 if p.place[:-1] == home[:-1] else carried(p.place, home) for p in points])
    found = {}
    for name in ("", *sorted(points[0].slopes)):
        own = prior.shape if name else prior.scale
        slopes = np.array([p.slopes.get(name, 0.0) if name else 1.0 for p in points])
        spreads = np.array([prior_of(p.place.regime).shape if name else prior_of(p.place.regime).scale for p in points])
        across = shares * own * spreads * slopes
        solved = np.linalg.solve(among, np.column_stack([np.asarray(residuals, float), across]))
        variance = max(own**2 - float(across @ solved[:, 1]), LEAST_NOISE**2)
        found[name] = float(across @ solved[:, 0]), math.sqrt(variance)
    return found


def left_unknown(
    measured: Sequence[Point],
    noise: Sequence[float],
    others: Sequence[Point],
    known: Mapping[str, Prior] | None = None,
    table: Mapping[tuple[str, str], Share] | None = None,
) -> Array:
    """Return the covariance of the deviations of runs that is left after others were measured."""
    import numpy as np

    left = covariances(others, others, known, table)
    if not measured:
        return left
    among = covariances(measured, measured, known, table)
    among += np.diag(np.maximum(np.asarray(noise, float), LEAST_NOISE) ** 2)
    across = covariances(measured, others, known, table)
    return np.asarray(left - across.T @ np.linalg.solve(among, across))


def most_telling(left: Array, count: int, weights: Sequence[float] | None = None) -> list[int]:
    """Return which runs to measure, one after the other, so that the sum of what is left unknown of all is least.

    ``left`` is the covariance of their deviations, ``weights`` how much the variance of each counts; a run is measured
    with no more noise than any has.
    """
    import numpy as np

    counts = np.ones(len(left)) if weights is None else np.asarray(weights, float)
    chosen: list[int] = []
    for _ in range(min(count, len(left))):
        gain = counts @ left**2 / (np.diag(left) + LEAST_NOISE**2)
        gain[chosen] = -1.0
        best = int(np.argmax(gain))
        chosen.append(best)
        left = left - np.outer(left[:, best], left[:, best]) / (left[best, best] + LEAST_NOISE**2)
    return chosen
