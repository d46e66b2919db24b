"""Forms that the power of a device may have, fitted to measurements and held against those left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from mlsysim.costs.measured_power import MeasuredPower, measured_power
from mlsysim.hardware import Hardware
from mlsysim.physics import power

COVERED = 0.9
SOFT = 0.1
"""Error beyond which a row counts less than its square."""
Array: TypeAlias = npt.NDArray[np.float64]


class Data(NamedTuple):
    """The measurements of devices alone, as arrays: one entry a row, shares of the rating [1]."""

    device: npt.NDArray[np.str_]
    group: npt.NDArray[np.str_]
    share: Array
    compute: Array
    memory: Array
    flops_per_j: Array
    bytes_per_j: Array
    idle: Array
    stacked: npt.NDArray[np.bool_]
    weight: Array

    def where(self, mask: npt.NDArray[np.bool_]) -> Data:
        """Return the rows of a mask."""
        return Data(*(column[mask] for column in self))  # type: ignore[arg-type]


Form: TypeAlias = Callable[[Array, Data], Array]


def constant(p: Array, d: Data) -> Array:
    """Return the same share of the rating for all."""
    return np.full_like(d.share, p[0])


def linear(p: Array, d: Data) -> Array:
    """Return a part that is always drawn and one for each utilisation."""
    return np.asarray(p[0] + p[1] * d.compute + p[2] * d.memory)


def powers(p: Array, d: Data) -> Array:
    """Return the same with powers of the utilisations."""
    return np.asarray(p[0] + p[1] * d.compute ** p[3] + p[2] * d.memory ** p[4])


def energies(p: Array, d: Data) -> Array:
    """Return a part that is always drawn, and an energy for each operation and byte."""
    return np.asarray(p[0] + p[1] * d.flops_per_j / 1e12 * d.compute + p[2] * d.bytes_per_j / 5e9 * d.memory)


def bent(p: Array, d: Data) -> Array:
    """Return idle power and a rise that bends towards the rating."""
    return np.asarray(power.device_power(1.0, d.idle, power.activity(d.compute, d.memory, p[0], p[1])))


def bent_by_generation(p: Array, d: Data) -> Array:
    """Return the same, arithmetic weighing more on devices with more peak a watt."""
    weight = power.compute_weight(p[0], d.flops_per_j)
    return np.asarray(power.device_power(1.0, d.idle, power.activity(d.compute, d.memory, weight, p[1])))


def bent_by_class(p: Array, d: Data) -> Array:
    """Return the same, bytes weighing otherwise where memory is not stacked, and by the bandwidth a watt."""
    per_byte = np.where(d.stacked, p[1], p[1] * p[2]) * np.sqrt(d.bytes_per_j / 5e9)
    weight = power.compute_weight(p[0], d.flops_per_j)
    return np.asarray(power.device_power(1.0, d.idle, power.activity(d.compute, d.memory, weight, per_byte)))


FORMS: dict[str, tuple[Form, tuple[float, ...]]] = {
    "a constant share of the rating": (constant, (0.8,)),
    "linear, capped": (linear, (0.3, 1.5, 0.6)),
    "linear in powers, capped": (powers, (0.2, 1.2, 0.6, 0.8, 0.8)),
    "energy an operation and a byte, capped": (energies, (0.3, 1.0, 0.5)),
    "bent": (bent, (6.0, 2.0)),
    "bent, arithmetic by generation": (bent_by_generation, (5.0, 2.0)),
    "bent, bytes by class of memory too": (bent_by_class, (5.0, 2.0, 1.5)),
}
CHOSEN = "bent, arithmetic by generation"


def idle_shares() -> dict[str, tuple[float, int]]:
    """Return the median of idle over rated power by class of memory, and of how many devices."""
    found = defaultdict(list)
    for device in map(Hardware.__getitem__, Hardware):
        if device.idle_w and device.tdp_w and device.kind == "gpu":
            found["hbm" if device.memory_class == "hbm" else "other"].append(device.idle_w.value / device.tdp_w.value)
    return {kind: (median(shares), len(shares)) for kind, shares in sorted(found.items())}


def table() -> Data:
    """Return the measurements that the fit is made of: devices alone, of a known rating."""
    rows = [r for r in measured_power() if r.scope == "devices" and r.device.tdp_w]
    shares = idle_shares()
    names, groups = [r.device.name for r in rows], [r.source for r in rows]
    count = Counter(zip(names, groups, strict=True))
    weight = np.array([count[n, g] ** -0.5 for n, g in zip(names, groups, strict=True)])
    rated = np.array([_rated(r) for r in rows])
    return Data(
        np.array(names),
        np.array(groups),
        np.array([r.power_w for r in rows]) / rated,
        np.array([r.compute_utilisation for r in rows]),
        np.array([r.memory_utilisation for r in rows]),
        np.array([(r.device.peaks.get("bf16") or r.device.peaks["fp16"]).value for r in rows]) / rated,
        np.array([r.device.bandwidth.value if r.device.bandwidth else 0.0 for r in rows]) / rated,
        np.array([_idle_share(r, shares) for r in rows]),
        np.array([r.device.memory_class == "hbm" for r in rows]),
        weight / weight.mean(),
    )


def _rated(row: MeasuredPower) -> float:
    assert row.device.tdp_w is not None
    return row.device.tdp_w.value


def _idle_share(row: MeasuredPower, shares: dict[str, tuple[float, int]]) -> float:
    if row.device.idle_w is not None:
        return row.device.idle_w.value / _rated(row)
    return shares["hbm" if row.device.memory_class == "hbm" else "other"][0]


def predicted(form: Form, p: Array, d: Data) -> Array:
    """Return the share of the rating that a form gives, never above it."""
    return np.clip(form(p, d), 0.01, 1.0)


def errors(form: Form, p: Array, d: Data) -> Array:
    """Return ln(measured / predicted)."""
    return np.log(d.share / predicted(form, p, d))


def fit(form: Form, start: Sequence[float], d: Data) -> Array:
    """Return the parameters of least softened squares (Levenberg-Marquardt on reweighted rows)."""
    p, damping = np.array(start), 1e-2
    loss = _loss(form, p, d)
    for _ in range(200):
        e = errors(form, p, d)
        slope = np.array([(errors(form, p + h, d) - e) / 1e-6 for h in np.eye(len(p)) * 1e-6]).T
        soft = d.weight**2 / np.sqrt(1.0 + (d.weight * e / SOFT) ** 2)
        normal = slope.T @ (soft[:, None] * slope)
        step = -np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), slope.T @ (soft * e))
        trial = _loss(form, p + step, d)
        if trial < loss:
            p, done, loss, damping = p + step, loss - trial < 1e-12 * loss, trial, damping / 3
            if done:
                break
        else:
            damping *= 4
    return p


def _loss(form: Form, p: Array, d: Data) -> float:
    with np.errstate(invalid="ignore"):
        total = np.sum(np.sqrt(1.0 + (d.weight * errors(form, p, d) / SOFT) ** 2) - 1.0)
    return float(total) if np.isfinite(total) else float("inf")


def held_out(form: Form, start: Sequence[float], d: Data, groups: npt.NDArray[np.str_]) -> Array:
    """Return the errors of every row, predicted by a fit without its group."""
    found = np.zeros_like(d.share)
    for name in np.unique(groups):
        out = groups == name
        found[out] = errors(form, fit(form, start, d.where(~out)), d.where(out))
    return found


def ends(e: Array, weight: Array) -> tuple[float, float]:
    """Return the weighted quantiles of errors that :data:`COVERED` lie between."""
    order = np.argsort(e)
    at = np.cumsum(weight[order]) / weight.sum()
    return tuple(float(e[order][np.searchsorted(at, q)]) for q in ((1 - COVERED) / 2, (1 + COVERED) / 2))  # type: ignore[return-value]


def inside(e: Array, d: Data, groups: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """Return which rows lie in an interval made of the errors of the other groups."""
    found = np.zeros(len(e), bool)
    for name in np.unique(groups):
        out = groups == name
        low, high = ends(e[~out], d.weight[~out])
        found[out] = (e[out] >= low) & (e[out] <= high)
    return found
