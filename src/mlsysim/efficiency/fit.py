"""Estimating the parameters from measurements: penalised robust regression in logarithms, with partial pooling.

The logarithm of a measured time is that of an equation plus noise with heavy tails (Student's t). Every offset has a
normal prior around 0; the spread of the offsets of one factor is estimated too (empirical Bayes, by the EM rule
``spread^2 = mean(offset^2 + variance)``), so that a factor that explains nothing vanishes and one level with few
measurements stays near the others. See Gelman and Hill, Data Analysis Using Regression and Multilevel/Hierarchical
Models (2006), chapter 12, and Lange, Little, Taylor, JASA 84 (1989) for the weights of t noise.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mlsysim.efficiency.case import Case
from mlsysim.efficiency.equations import EQUATIONS
from mlsysim.efficiency.structure import Quantity, keys, structure

Array = npt.NDArray[np.float64]
Key = tuple[str, str, str]
FREEDOM = 3.0
"""Degrees of freedom of the noise: some published figures are off by a factor, and must not bend the others."""
PRIOR_LEVELS = 3.0
"""How many levels the stated spread of a factor counts as, beside those that are measured."""
MANY = 0.02
"""Share of the rows above which taking them away is no small step."""
LITTLE = 0.05
"""Weight of times to first token, which depend on what no row records: they must not bend what they share."""
STEP = 1e-4
"""Step of a logarithm in numerical derivatives."""


class Sample(NamedTuple):
    """A measured case: its time [s], and the group whose noise and weight it shares (regime, source)."""

    case: Case
    seconds: float
    regime: str
    source: str


class Anchor(NamedTuple):
    """A fit to many rows, from which fits without some of them start: offsets, slopes and weights at the optimum."""

    theta: Array
    spreads: dict[tuple[str, str], float]
    used: npt.NDArray[np.bool_]
    derivative: Array
    weight: Array
    residual: Array
    hessian: Array
    gradient: Array


class _Block(NamedTuple):
    """All samples of one equation, as arrays."""

    equation: str
    rows: npt.NDArray[np.intp]
    x: dict[str, Array]
    names: tuple[str, ...]
    columns: list[npt.NDArray[np.intp]]  # for each name, (rows, 1 + factors) indices of offsets; the last one is none


class Model:
    """The samples laid out for fitting; ``keep`` masks in the methods say which of them are used."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples
        self.quantities: dict[str, Quantity] = structure()
        used = {n for s in samples for n in EQUATIONS[s.case.equation].NAMES}
        self.keys: list[Key] = sorted(
            {
                k
                for s in samples
                for n in EQUATIONS[s.case.equation].NAMES
                for k in keys(self.quantities[n], s.case.levels)
            }
        )
        index = {k: i for i, k in enumerate(self.keys)}
        self.none = len(self.keys)
        self.blocks = [self._block(name, index) for name in sorted({s.case.equation for s in samples})]
        self.y = np.log([s.seconds for s in samples])
        self.regimes = np.array([s.regime for s in samples])
        count = Counter((s.regime, s.source) for s in samples)
        self.share = np.array([count[s.regime, s.source] ** -0.5 * _trust(s.regime) for s in samples])
        self.prior_spread = {
            (n, f): (self.quantities[n].effects[f] if f else self.quantities[n].spread)
            for n in used
            for f in ("", *self.quantities[n].effects)
        }

    def keys_of(self, sample: Sample) -> list[Key]:
        """Return the offsets that a sample takes."""
        names = EQUATIONS[sample.case.equation].NAMES
        return [k for n in names for k in keys(self.quantities[n], sample.case.levels)]

    def _block(self, equation: str, index: Mapping[Key, int]) -> _Block:
        rows = np.array([i for i, s in enumerate(self.samples) if s.case.equation == equation])
        cases = [self.samples[i].case for i in rows]
        names = EQUATIONS[equation].NAMES
        x = {k: np.array([c.x[k] for c in cases], float) for k in cases[0].x}
        columns = []
        for name in names:
            q = self.quantities[name]
            wide = [
                [
                    index.get((name, f, c.levels.get(f, "")), self.none) if f else index[name, "", ""]
                    for f in ("", *q.effects)
                ]
                for c in cases
            ]
            columns.append(np.array(wide))
        return _Block(equation, rows, x, names, columns)

    def predict(self, theta: Array, jacobian: bool = False) -> tuple[Array, Array | None]:
        """Return ln of the predicted times, and their derivatives by every offset."""
        padded = np.append(theta, 0.0)
        out = np.empty(len(self.samples))
        derivative = np.zeros((len(self.samples), self.none + 1)) if jacobian else None
        for block in self.blocks:
            seconds = EQUATIONS[block.equation].seconds
            logs = [
                math.log(self.quantities[n].prior) + padded[c].sum(axis=1)
                for n, c in zip(block.names, block.columns, strict=True)
            ]
            tops = [
                math.log(self.quantities[n].most) if self.quantities[n].most < math.inf else math.inf
                for n in block.names
            ]
            p = {n: np.exp(np.minimum(v, top)) for n, v, top in zip(block.names, logs, tops, strict=True)}
            here = np.log(seconds(block.x, p))
            out[block.rows] = here
            if derivative is None:
                continue
            for n, c, v, top in zip(block.names, block.columns, logs, tops, strict=True):
                moved = np.log(seconds(block.x, {**p, n: np.exp(np.minimum(v, top) + STEP)}))
                slope = np.where(v > top + 0.1, 0.0, (moved - here) / STEP)
                for column in c.T:
                    derivative[block.rows, column] += slope
        return out, None if derivative is None else derivative[:, :-1]

    def fit(
        self,
        keep: npt.NDArray[np.bool_] | None = None,
        start: Array | None = None,
        spreads: Mapping[tuple[str, str], float] | None = None,
        rounds: int = 8,
        steps: int = 6,
    ) -> tuple[Array, dict[tuple[str, str], float], dict[str, float], Array]:
        """Return offsets, spreads, noise by regime and the variances of the offsets.

        With ``spreads`` given they are not estimated again: that is what held-out fits do.
        """
        mask = np.ones(len(self.samples), bool) if keep is None else keep
        theta = np.zeros(self.none) if start is None else start.copy()
        known = dict(spreads) if spreads is not None else dict(self.prior_spread)
        noise = dict.fromkeys(self.regimes, 0.3)
        variances = np.zeros(self.none)
        for _ in range(1 if spreads is not None else rounds):
            precision = np.array([known[k[0], k[1]] ** -2 for k in self.keys])
            for _ in range(steps):
                theta, noise, variances, moved = self._step(theta, precision, noise, mask)
                if moved < 1e-3:
                    break
            if spreads is None:
                known = self._spreads(theta, variances)
        return theta, known, noise, variances

    def anchor(
        self, theta: Array, spreads: dict[tuple[str, str], float], used: npt.NDArray[np.bool_] | None = None
    ) -> Anchor:
        """Return what fits without some of the ``used`` rows start from; ``theta`` is the fit to all of them."""
        mask = np.ones(len(self.samples), bool) if used is None else used
        predicted, derivative = self.predict(theta, jacobian=True)
        assert derivative is not None
        residual = self.y - predicted
        precision = np.array([spreads[k[0], k[1]] ** -2 for k in self.keys])
        weight = self._weight(residual, self._noise(residual, mask), mask)
        hessian = (derivative.T * weight) @ derivative + np.diag(precision)
        gradient = derivative.T @ (weight * residual) - precision * theta
        return Anchor(theta, spreads, mask, derivative, weight, residual, hessian, gradient)

    def without(self, anchor: Anchor, held: npt.NDArray[np.bool_]) -> Array:
        """Return the fit to all used rows but the ``held`` ones.

        Taking rows away is one Gauss-Newton step from the fit with them (their slopes and weights are known); where
        they are many, further steps follow.
        """
        gone = held & anchor.used
        slopes, weight = anchor.derivative[gone], anchor.weight[gone]
        hessian = anchor.hessian - (slopes.T * weight) @ slopes
        gradient = anchor.gradient - slopes.T @ (weight * anchor.residual[gone])
        theta: Array = anchor.theta + np.clip(np.linalg.solve(hessian, gradient), -1.0, 1.0)
        if gone.sum() > MANY * anchor.used.sum():
            return self.fit(anchor.used & ~gone, start=theta, spreads=anchor.spreads, steps=2)[0]
        return theta

    def _weight(self, residual: Array, noise: Mapping[str, float], mask: npt.NDArray[np.bool_]) -> Array:
        """Return the weights of t noise."""
        scale = np.array([noise[r] for r in self.regimes])
        each: Array = self.share * (FREEDOM + 1) / (FREEDOM + (residual / scale) ** 2) / scale**2
        return np.where(mask, each, 0.0)

    def _step(
        self, theta: Array, precision: Array, noise: Mapping[str, float], mask: npt.NDArray[np.bool_]
    ) -> tuple[Array, dict[str, float], Array, float]:
        """Take one damped Gauss-Newton step with the weights of t noise."""
        predicted, derivative = self.predict(theta, jacobian=True)
        assert derivative is not None
        residual = self.y - predicted
        noise = self._noise(residual, mask)
        scale = np.array([noise[r] for r in self.regimes])

        def loss(t: Array, r: Array) -> float:
            each = (FREEDOM + 1) / 2 * np.log1p((r / scale) ** 2 / FREEDOM)
            return float((self.share * each)[mask].sum() + 0.5 * (precision * t * t).sum())

        weight = self._weight(residual, noise, mask)
        hessian = (derivative.T * weight) @ derivative + np.diag(precision)
        gradient = derivative.T @ (weight * residual) - precision * theta
        full = np.linalg.solve(hessian, gradient)
        before, size = loss(theta, residual), 1.0
        step = np.clip(full, -1.0, 1.0)
        while size > 1e-3 and loss(theta + size * step, self.y - self.predict(theta + size * step)[0]) > before:
            size /= 2
        if size <= 1e-3:
            size = 0.0
        return (
            theta + size * step,
            dict(noise),
            np.diag(np.linalg.inv(hessian)),
            float(np.abs(size * step).max(initial=0.0)),
        )

    def _noise(self, residual: Array, mask: npt.NDArray[np.bool_]) -> dict[str, float]:
        """Return the scale of t noise by regime: the weighted median of absolute residuals, over that of t."""
        out = {}
        for regime in sorted(set(self.regimes)):
            here = mask & (self.regimes == regime)
            size = np.abs(residual[here])
            if not len(size):
                out[regime] = 0.3
                continue
            order = np.argsort(size, kind="stable")
            total = np.cumsum(self.share[here][order])
            middle = size[order][np.searchsorted(total, total[-1] / 2)]
            out[regime] = max(float(middle) / 0.765, 0.02)  # 0.765: median of |t| with 3 degrees of freedom
        return out

    def _spreads(self, theta: Array, variances: Array) -> dict[tuple[str, str], float]:
        found: dict[tuple[str, str], list[int]] = defaultdict(list)
        for i, (name, factor, _) in enumerate(self.keys):
            if factor:
                found[name, factor].append(i)
        out = dict(self.prior_spread)
        for key, where in found.items():
            squares = float((theta[where] ** 2 + variances[where]).sum())
            out[key] = max(math.sqrt((squares + PRIOR_LEVELS * out[key] ** 2) / (len(where) + PRIOR_LEVELS)), 0.005)
        return out


def _trust(regime: str) -> float:
    return LITTLE if regime.startswith("ttft") else 1.0


def components(samples: Sequence[Sample]) -> list[list[int]]:
    """Return the samples, by index, whose equations share parameters: each set is fitted by itself."""
    joined: list[set[str]] = []
    for name in sorted({s.case.equation for s in samples}):
        names = set(EQUATIONS[name].NAMES)
        touching = [j for j in joined if j & names]
        joined = [j for j in joined if j not in touching] + [names.union(*touching)]
    of = {
        e: next(i for i, j in enumerate(joined) if j & set(EQUATIONS[e].NAMES))
        for e in {s.case.equation for s in samples}
    }
    found: list[list[int]] = [[] for _ in joined]
    for i, sample in enumerate(samples):
        found[of[sample.case.equation]].append(i)
    return found
