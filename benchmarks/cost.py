"""What an answer costs: import, cold command, one solve, and memory, each against the bare interpreter.

    python benchmarks/cost.py

CPU seconds are user + system of a whole process, the median of several runs after one that is dropped.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import timeit
from pathlib import Path

RUNS = 15
COMMAND = Path(sys.executable).parent / "mlsysim"
DOCUMENTED = "model=m, hardware=Hardware.H100, batch_size=32, precision='fp16', efficiency=0.45"
SOLVE = ["solve", "llama-3.1-70b", "h100", "--batch", "32", "--precision", "fp16", "--efficiency", "0.45"]


def cpu_seconds(command: list[str]) -> float:
    """Return the median CPU time of a command [s]."""
    spent = []
    for _ in range(RUNS + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(spent[1:])


def peak_bytes(command: list[str]) -> float:
    """Return the largest resident size of a command [B]."""
    pid = os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)],
    )
    _, _, usage = os.wait4(pid, 0)
    return usage.ru_maxrss * 1024.0


def solve_seconds(question: str) -> float:
    """Return the time of one warm call of ``Engine.solve`` [s], the best of five series."""
    setup = (
        "from mlsysim import Engine, Models, Hardware; m, h, n = Models.LLAMA_3_1_70B, Hardware.B200, Models.RESNET_50"
    )
    statement = f"Engine.solve({question})"
    timer = timeit.Timer(statement, f"{setup}; {statement}")
    return min(timer.repeat(5, 1000)) / 1000


def load_seconds(names: str) -> float:
    """Return the time of building devices in a fresh interpreter, imports apart [s], the least of several runs."""
    code = (
        f"import time; from mlsysim import Hardware; t = time.perf_counter(); {names}; print(time.perf_counter() - t)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(RUNS)
    ]
    return min(float(run.stdout) for run in runs)


def main() -> None:
    """Print one row a figure: what, measured, bound, and whether it holds."""
    bare = cpu_seconds([sys.executable, "-c", "pass"])
    rows = [
        (
            "import mlsysim, CPU above the interpreter",
            (cpu_seconds([sys.executable, "-c", "import mlsysim"]) - bare) * 1e3,
            50,
            "ms",
        ),
        ("mlsysim solve, cold, CPU", cpu_seconds([str(COMMAND), *SOLVE]) * 1e3, 250, "ms"),
        (
            "mlsysim solve --output json, cold, CPU",
            cpu_seconds([str(COMMAND), *SOLVE, "--output", "json"]) * 1e3,
            250,
            "ms",
        ),
        ("mlsysim solve, peak memory", peak_bytes([str(COMMAND), *SOLVE]) / 1e6, 60, "MB"),
        ("one device, first of all", load_seconds("Hardware['h100-sxm']") * 1e3, 2, "ms"),
        ("all devices", load_seconds("[Hardware[n] for n in Hardware]") * 1e3, 10, "ms"),
        ("Engine.solve, the documented question", solve_seconds(DOCUMENTED) * 1e6, 100, "µs"),
        ("Engine.solve, eta stated", solve_seconds("m, h, batch_size=8, efficiency=0.45") * 1e6, 100, "µs"),
        ("Engine.solve, eta predicted", solve_seconds("m, h, batch_size=8, phase='decode'") * 1e6, 100, "µs"),
        ("Engine.solve, network of 72 operators", solve_seconds("n, h, batch_size=8, efficiency=0.3") * 1e6, 100, "µs"),
    ]
    print(f"bare interpreter: {bare * 1e3:.0f} ms CPU")
    for what, value, bound, unit in rows:
        verdict = "ok" if value <= bound else "ABOVE"
        print(f"{what:45} {value:8.1f} {unit:2}  bound {bound} {unit}  {value / bound:5.0%}  {verdict}")


if __name__ == "__main__":
    main()
