"""Estimate what a few measured runs say of others, and write it beside the fitted parameters.

    python tools/carried.py FOLDER

FOLDER holds training.csv, inference.csv and serving_e2e.csv. Written are the standard deviations by regime
(deviations.tsv), from deployments, and the shares that are carried over each kind of move (carried.tsv), from pairs of
runs that differ in it alone. Of all of them the source was held out of the fit, as a user's own runs are.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from fit import SRC, TABLES, Line, newest, table
from mlsysim.efficiency.deviations import ALONE, Point, Prior, Share
from mlsysim.efficiency.fit import Array, Model, components
from mlsysim.evidence.measurement import Measurement
from mlsysim.evidence.tables import read_measurements
from mlsysim.validation.carrying import (
    MACHINE,
    Held,
    Pair,
    errors_of_sources_held_out,
    pairs_of,
    shares_of,
    weights_of,
    worth_of_shares,
)
from mlsysim.validation.deployments import Judged, best_priors, judged_deployments, tails_of_deployments
from mlsysim.validation.held_out import groups_of, residuals_without, samples_of
from mlsysim.validation.places import points_of


def main(folder: Path) -> None:
    """Fit, hold out, estimate, write."""
    tables = [read_measurements(folder / name) for name in TABLES.values()]
    measurements, samples, _ = samples_of(newest(m for t in tables for m in t.measurements))
    judged: list[Judged] = []
    pairs: list[Pair] = []
    parts: list[tuple[list[Measurement], list[Point], Array]] = []
    for part in components(samples):
        these = [measurements[i] for i in part]
        model = Model([samples[i] for i in part])
        theta, spreads, _, _ = model.fit()
        _, derivative = model.predict(theta, jacobian=True)
        assert derivative is not None
        points = points_of(these, model, derivative)
        everything = np.ones(len(these), bool)
        residuals = residuals_without(model, groups_of(these, "source"), everything, theta, spreads)
        judged += judged_deployments(these, points, residuals)
        parts.append((these, points, residuals))
        for move in (MACHINE, *ALONE):
            pairs += pairs_of(these, points, residuals, move)
        print(f"{len(these)} measurements, {len(judged)} deployments, {len(pairs)} pairs", flush=True)
    priors = tails_of_deployments(parts, best_priors(judged))
    write_priors(priors, judged)
    every = np.ones(len(pairs), bool)
    worth, weights = worth_of_shares(pairs, priors), weights_of(pairs)
    shares = shares_of(pairs, priors, worth, weights, every)
    write_shares(shares, errors_of_sources_held_out(pairs, priors, worth, weights))


def write_priors(priors: dict[str, Prior], judged: list[Judged]) -> None:
    """Write the standard deviations by regime."""
    lines: list[Line] = []
    for regime, prior in sorted(priors.items()):
        rows = [j.rows for j in judged if regime in ("", j.regime)]
        lines.append([regime, *(f"{v:.3g}" for v in prior), sum(rows), len(rows)])
    table(SRC / "efficiency/data/deviations.tsv", ["regime", *Prior._fields, "runs", "deployments"], lines)


def write_shares(shares: dict[tuple[str, str], Share], errors: dict[tuple[str, str], Held]) -> None:
    """Write the shares by regime and kind of move, with the median errors of sources held out."""
    lines: list[Line] = [
        [*key, f"{s.value:.2g}", f"{s.tail:.3g}", s.pairs, *(f"{e:.3f}" for e in errors[key])]
        for key, s in sorted(shares.items())
    ]
    header = ["regime", "move", "share", "tail", "pairs", "error_alone", "error_carried"]
    table(SRC / "efficiency/data/carried.tsv", header, lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
