"""Measure what is lost where a parameter is the same in every regime, and write it beside the parameters.

    python tools/sharing.py FOLDER

FOLDER holds training.csv, inference.csv and serving_e2e.csv. Each parameter that differs by regime is made to be the
same in all, the rest is fitted again, and the regime that loses most is told, in points of its median error in the
fit and with sources held out (specific.tsv). Rows of the locked tenth are fitted but not judged.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fit import SRC, TABLES, Line, newest, table
from mlsysim.efficiency.fit import Array, Model, components
from mlsysim.evidence.lock import locked
from mlsysim.evidence.tables import read_measurements
from mlsysim.validation.held_out import Mask, Names, groups_of, residuals_without, samples_of

REGIME = ("phase", "engine_phase", "class_phase", "kind")
"""Factors that tell regimes apart."""
SHARED = 1e-4
"""Spread of an offset that is to be nothing."""
ENOUGH = 30
"""Rows below which a regime does not judge."""

Spreads = dict[tuple[str, str], float]


def main(folder: Path) -> None:
    """Fit, share one parameter after the other, write what is lost."""
    tables = [read_measurements(folder / name) for name in TABLES.values()]
    measurements, samples, _ = samples_of(newest(m for t in tables for m in t.measurements))
    lines: list[Line] = []
    for part in components(samples):
        judged = np.array([not locked(m.source, m.model, m.hardware) for m in (measurements[i] for i in part)])
        sources = groups_of([measurements[i] for i in part], "source")
        lines += losses(Model([samples[i] for i in part]), judged, sources)
    header = ["name", "factors", "loses", "regime", "loses_held_out", "regime_held_out"]
    table(SRC / "efficiency/data/specific.tsv", header, sorted(lines, key=str))


def losses(model: Model, judged: Mask, sources: Names) -> Iterable[Line]:
    """Yield what each parameter of a fit loses where it is shared."""
    theta, spreads, _, _ = model.fit()
    specific = sorted({n for n, f in spreads if f in REGIME})
    best = errors(model, theta, spreads, judged, sources) if specific else []
    for name in specific:
        gone = {k for k in spreads if k[0] == name and k[1] in REGIME}
        narrow = spreads | dict.fromkeys(gone, SHARED)
        start = np.where([k[:2] in gone for k in model.keys], 0.0, theta)
        found = errors(model, model.fit(start=start, spreads=narrow)[0], narrow, judged, sources)
        worst = [max((100 * (now[r] - was[r]), r) for r in was) for was, now in zip(best, found, strict=True)]
        factors = " ".join(sorted(f for _, f in gone))
        yield [name, factors, *(cell for points, r in worst for cell in (f"{points:.1f}", r))]


def errors(
    model: Model, theta: Array, spreads: Spreads, judged: Mask, sources: Names
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the median error of each regime with enough rows: in the fit, and with sources held out."""
    inside = model.y - model.predict(theta)[0]
    outside = residuals_without(model, sources, judged, theta, spreads)
    regimes = [r for r in sorted(set(model.regimes)) if not r.startswith("ttft")]
    rows = {r: judged & (model.regimes == r) for r in regimes}
    many = {r: here for r, here in rows.items() if here.sum() >= ENOUGH}
    first, second = (
        {r: float(np.median(np.abs(np.exp(-residuals[here]) - 1.0))) for r, here in many.items()}
        for residuals in (inside, outside)
    )
    return first, second


if __name__ == "__main__":
    main(Path(sys.argv[1]))
