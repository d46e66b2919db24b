"""How many points a second a sweep answers, against bare numpy, a loop, Dask, and another tool.

    python benchmarks/sweep.py [--points 1e6] [--dask 1e8] [--memory 1e9] [--reference PYTHON]

All ratios are of one run. The question is decode of a transformer with grouped-query attention on one device: batch,
context and eta each along an axis, or batch and context with eta predicted.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlsysim import Engine, Hardware, Models
from mlsysim.sweep.reduce import Summary

MODEL, DEVICE = Models.LLAMA_3_1_8B, Hardware.H100
REDUCED = 20
"""Times as many points where they are reduced: what is kept of them is small."""
THREE = ("time_s", "cost_usd", "energy_j")


def grid(points: float) -> dict[str, Any]:
    """Return fields with about so many points, all of which fit: 16 batches, and as many contexts as values of eta."""
    side = max(2, round((points / 16) ** 0.5))
    return {
        "phase": "decode",
        "precision": "fp16",
        "batch_size": range(1, 17),
        "context": range(1, side + 1),
        "efficiency": f"0.0005..0.02/{side}",
    }


def seconds(function: Callable[[], Any], runs: int = 7) -> float:
    """Return the least wall time of several runs [s]."""
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found)


def bare(fields: dict[str, Any]) -> np.ndarray:
    """Return the time of every point as one would write it by hand: roofline and eta, on the whole grid."""
    b, c = np.array(fields["batch_size"], float), np.array(fields["context"], float)
    low, rest = fields["efficiency"].split("..")
    high, count = rest.split("/")
    b, c, eta = np.meshgrid(b, c, np.linspace(float(low), float(high), int(count)), indexing="ij")
    layers, heads, kv_heads, width, weights = 32, 32, 8, 128, 7_504_924_672.0
    flops = 2.0 * b * weights + 4.0 * b * (c + 1.0) * layers * heads * width
    traffic = 2.0 * weights + 4.0 * b * (c + 1.0) * layers * kv_heads * width
    compute, memory = flops / 989e12, traffic / 3.35e12
    ceiling = np.minimum(1.0, compute / np.maximum(compute, memory))
    return flops / (989e12 * np.minimum(eta, ceiling))


def full(fields: dict[str, Any], **how: Any) -> Any:
    """Return all quantities of every point, each column made."""
    found = Engine.sweep(MODEL, DEVICE, **fields, **how)
    return [found[name] for name in found]


def three(fields: dict[str, Any], **how: Any) -> Any:
    """Return number, least, mean and most of three quantities."""
    return Engine.sweep(MODEL, DEVICE, **fields, reduce=Summary(THREE), confirm=True, **how)


def peak_bytes(points: float) -> float:
    """Return the largest resident size of a process that reduces so many points [B], not of its parent."""
    code = (
        f"import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}]; import sweep; sweep.three(sweep.grid({points}))"
    )
    code += "; print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    return 1024.0 * float(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    )


REFERENCE = """
import time, warnings
warnings.simplefilter("ignore")
from mlsysim import Engine, Hardware, Models
devices = [Hardware.Cloud.H100, Hardware.Cloud.A100]
ask = lambda sizes: Engine.sweep(Models.Language.Llama3_8B, devices, batch_sizes=sizes, precisions=["fp16"])
ask([1])
start = time.perf_counter()
print(len(ask(list(range(1, 201)))) / (time.perf_counter() - start))
"""
"""Points a second of mlsysim 0.3.0 of the Machine Learning Systems book (PyPI), by its own interpreter."""


def reference(python: str) -> float:
    """Return the points a second of the tool that another interpreter has under this name."""
    ran = subprocess.run([python, "-c", REFERENCE], check=True, capture_output=True, text=True, cwd="/")
    return float(ran.stdout)


def with_dask(points: float) -> tuple[float, float]:
    """Return the wall time of one process and of two Dask workers of one thread [s]."""
    from distributed import LocalCluster

    fields = grid(points)
    one = seconds(lambda: three(fields, workers=1), 1)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        three(grid(1e6), dask=cluster.scheduler_address)  # imports
        two = seconds(lambda: three(fields, dask=cluster.scheduler_address), 1)
    return one, two


def main() -> None:
    """Print one row a figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=float, default=1e6)
    parser.add_argument("--dask", type=float, default=0.0, help="points for one process against two Dask workers")
    parser.add_argument("--memory", type=float, default=0.0, help="points up to which memory is looked at")
    parser.add_argument("--reference", default="", help="an interpreter that has mlsysim 0.3.0 of PyPI")
    args = parser.parse_args()
    fields = grid(args.points)
    points = 16 * len(fields["context"]) ** 2
    by_hand = seconds(lambda: bare(fields))
    rows: list[tuple[str, float, str]] = [("bare numpy, time alone", points / by_hand / 1e6, "M points/s")]
    small = grid(1e5)
    answered = Engine.sweep(MODEL, DEVICE, **small, keep=["time_s"])["time_s"]
    assert np.allclose(np.sort(answered), np.sort(bare(small).reshape(-1)), rtol=5e-3), "the two count the same work"
    all_of_it = seconds(lambda: full(fields))
    rows.append(("all quantities as columns", points / all_of_it / 1e6, "M points/s"))
    rows.append(("  times bare numpy's time", all_of_it / by_hand, "x"))
    larger = grid(REDUCED * args.points)
    factor = 16 * len(larger["context"]) ** 2 / 1e6
    reduced = seconds(lambda: three(larger), 3)
    alone = seconds(lambda: three(larger, workers=1), 3)
    rows.append(("three quantities reduced, threads", factor / reduced, "M points/s"))
    rows.append(("three quantities reduced, one process", factor / alone, "M points/s"))
    predicted = {**grid(args.points), "efficiency": None, "context": range(1, round(args.points / 16) + 1)}
    many = 16 * len(predicted["context"]) / 1e6
    rows.append(("predicted: all quantities as columns", many / seconds(lambda: full(predicted)), "M points/s"))
    rows.append(("predicted: three quantities reduced", many / seconds(lambda: three(predicted)), "M points/s"))
    loop = (
        seconds(
            lambda: [Engine.solve(MODEL, DEVICE, phase="decode", batch_size=b, efficiency=0.002) for b in range(1, 501)]
        )
        / 500
    )
    rows.append(("Engine.solve in a loop", 1e-6 / loop, "M points/s"))
    if args.reference:
        other = reference(args.reference)
        rows.append(("the other tool", other / 1e6, "M points/s"))
        rows.append(("all quantities, over the other tool", points / all_of_it / other, "x"))
        rows.append(("three reduced, over the other tool", factor * 1e6 / reduced / other, "x"))
    if args.memory:
        small, large = peak_bytes(1e6), peak_bytes(args.memory)
        rows.append(("peak memory at 1e6 points", small / 1e6, "MB"))
        rows.append((f"peak memory at {args.memory:.0e} points", large / 1e6, "MB"))
        rows.append(("  ratio", large / small, "x"))
    if args.dask:
        one, two = with_dask(args.dask)
        rows.append((f"two Dask workers over one process at {args.dask:.0e}", one / two, "x"))
    for what, value, unit in rows:
        print(f"{what:<50}{value:12.4g} {unit}")


if __name__ == "__main__":
    main()
