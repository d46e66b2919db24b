"""What timing a loop costs: one mark of ``mlsysim.measure``, against a bare loop in the same run.

    python benchmarks/live.py

The bound is 20 µs a step.
"""

from __future__ import annotations

import timeit
from statistics import median

from mlsysim.calibration.live.run import measure

BOUND_US = 20.0
STEPS = 20_000
SERIES = 9


def step_us(statement: str, setup: str, names: dict[str, object]) -> list[float]:
    """Return what one execution of a statement takes [µs], once a series."""
    return [t / STEPS * 1e6 for t in timeit.Timer(statement, setup, globals=names).repeat(SERIES, STEPS)]


def main() -> None:
    """Print one row a way of marking a step: median and slowest series, the bound, and whether it holds."""
    bare = median(step_us("pass", "", {}))
    with measure("gpt2", "h100", phase="training") as run:
        names: dict[str, object] = {"run": run}
        rows = [("run.step(tokens=n)", "run.step(tokens=8192)"), ("run.pause('evaluation')", "run.pause('evaluation')")]
        found = [(what, step_us(statement, "", names)) for what, statement in rows]
    with measure("resnet-50", "h100", phase="training") as run:
        found.append(("run.step(samples=n)", step_us("run.step(samples=64)", "", {"run": run})))
    with measure("gpt2", "h100", phase="training", synchronize=lambda: None) as run:
        found.append(("run.step() with a synchronize", step_us("run.step()", "", {"run": run})))
    for what, series in found:
        middle, slowest = median(series) - bare, max(series) - bare
        verdict = "ok" if slowest <= BOUND_US else "ABOVE"
        print(f"{what:32} {middle:6.2f} µs  slowest series {slowest:6.2f} µs  bound {BOUND_US:g} µs  {verdict}")


if __name__ == "__main__":
    main()
