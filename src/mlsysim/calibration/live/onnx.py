"""Run an ONNX network on this machine and time its steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlsysim.calibration.steady import FEWEST_STEPS, median_interval, steady_start
from mlsysim.errors import InvalidValue, MissingExtra
from mlsysim.hardware.probe import Progress, usable_cores
from mlsysim.models.importers.onnx_shapes import Shape, input_shapes
from mlsysim.results import Interval
from mlsysim.units import positive, whole

MOST_STEPS = 20_000
"""More steps than this make no interval narrower that matters, only the bootstrap slower."""
_FEWEST_RUNS = 1 + FEWEST_STEPS  # the first is dropped; MSER-5 leaves at least 10 where it drops any
_FEWEST_ROUNDS = FEWEST_STEPS
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    **{f"tensor({same})": same for same in ("float16", "bool", "int64", "int32", "int16", "int8")},
    **{f"tensor({same})": same for same in ("uint64", "uint32", "uint16", "uint8")},
}


class Dropped(NamedTuple):
    """How many of the first steps are not in the measurement, and by what rule."""

    steps: int
    rule: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """A timed run: ``times_s`` are the steps after the warm-up, in order [s].

    ``step_s`` is their median [s] and ``throughput`` the batch over it [samples/s], each with its 90 %
    interval; ``shapes`` are those of the inputs as fed, ``library`` what ran them.
    """

    model: str
    batch: int
    threads: int
    shapes: Mapping[str, Shape]
    library: str
    times_s: tuple[float, ...]
    dropped: Dropped
    step_s: Interval
    throughput: Interval


def measure_onnx(
    path: str | Path,
    batch: int = 1,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    seconds: float = 5.0,
    threads: int | None = None,
    warmup: int | None = None,
    progress: Progress | None = None,
) -> Measurement:
    """Time steps of an ONNX network with onnxruntime on the CPU.

    Parameters
    ----------
    path
        The ONNX file.
    batch
        Samples a step.
    shapes
        The shape of one sample of each input with free dimensions, batch dimension 1: ``{"x": (1, 3, 640, 640)}``.
    seconds
        How long to run [s]. A network so slow that fewer than 6 steps fit runs longer; 20,000 steps end it sooner.
    threads
        Threads of the run-time; by default the physical cores that this process may use.
    warmup
        Steps to drop. By default the first (it allocates) and what MSER-5 truncation takes from the rest.
    progress
        Called with a label and the share of the time that is over, 0 to 1.

    Raises
    ------
    MissingExtra
        onnxruntime is not installed.
    InvalidValue
        An argument breaks its rule; the file is missing or onnxruntime cannot load or run it.
    """
    seconds = positive(seconds, "seconds")
    if warmup is not None and (isinstance(warmup, bool) or not isinstance(warmup, int) or warmup < 0):
        raise InvalidValue("warmup", "a whole number of steps, at least 0", warmup)
    run = _prepare(Path(path), whole(batch, "batch"), shapes, threads)
    fewest = _FEWEST_RUNS if warmup is None else warmup + FEWEST_STEPS
    times = _time_steps(run.step, seconds, fewest, progress, run.model)
    dropped = _drop(times, warmup)
    kept = times[dropped.steps :]
    return run.measurement(kept, dropped, median_interval(kept))


def measure_alternating(
    path: str | Path,
    batches: Sequence[int],
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    seconds: float = 20.0,
    rounds: int = 8,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[int, Measurement]:
    """Time several batch sizes in turn, round after round, so that what disturbs the machine disturbs all alike.

    Parameters are those of :func:`measure_onnx`; ``seconds`` is for all together, and a larger batch gets more of it.
    The first round warms up and is dropped. A machine has moods that last longer than a round: the step of each batch
    size is the median of its round medians, so that all batch sizes are those of the same rounds, and the interval
    takes in that of the rounds as well as that of the steps.

    Raises
    ------
    MissingExtra, InvalidValue
        As :func:`measure_onnx`.
    """
    seconds, rounds = positive(seconds, "seconds"), max(_FEWEST_ROUNDS, whole(rounds, "rounds"))
    runs = [_prepare(Path(path), whole(batch, "batch"), shapes, threads) for batch in batches]
    shares = [math.sqrt(run.batch) for run in runs]
    turns: dict[int, list[list[float]]] = {run.batch: [] for run in runs}
    for turn in range(rounds + 1):
        for done, (run, share) in enumerate(zip(runs, shares, strict=True)):
            slot = seconds / (rounds + 1) * share / sum(shares)
            turns[run.batch].append(_time_steps(run.step, slot, 2, None, run.model)[turn > 0 :])
            if progress:
                progress(
                    f"{run.model}, batch {', '.join(map(str, batches))} in turn",
                    (turn + (done + 1) / len(runs)) / (rounds + 1),
                )
    found = {}
    for run in runs:
        warm, *kept = turns[run.batch]
        dropped = Dropped(len(warm) + rounds, "the first round, and the first step of each")
        steps = [time for turn in kept for time in turn]
        found[run.batch] = run.measurement(steps, dropped, over_rounds(kept))
    return found


def over_rounds(turns: Sequence[Sequence[float]]) -> Interval:
    """Return the median of the medians of rounds [s], with an interval that holds for them and for all steps.

    Rounds of a fixed time hold more steps while the machine is fast, by how much depends on the size of a step: the
    median of all steps would be that of another mood for each size.
    """
    within = median_interval([time for turn in turns for time in turn])
    between = median_interval([float(np.median(turn)) for turn in turns])
    return Interval(between.value, min(within.low, between.low), max(within.high, between.high))


class _Run(NamedTuple):
    """A network ready to take steps of one batch size."""

    model: str
    batch: int
    threads: int
    shapes: Mapping[str, Shape]
    library: str
    step: Callable[[], object]

    def measurement(self, times: Sequence[float], dropped: Dropped, step_s: Interval) -> Measurement:
        """Return what its steps took as a measurement."""
        rate = step_s.reciprocal(self.batch)
        return Measurement(*self[:5], tuple(times), dropped, step_s, rate)


def _prepare(path: Path, batch: int, shapes: Mapping[str, Sequence[int]] | None, threads: int | None) -> _Run:
    """Open a network and take one step of it, so that what fails does so before anything is timed."""
    threads = usable_cores() if threads is None else whole(threads, "threads")
    session, version = _open(path, threads)
    sizes = input_shapes({value.name: value.shape for value in session.get_inputs()}, shapes, batch)
    feeds = {value.name: _random(value, sizes[value.name]) for value in session.get_inputs()}
    try:
        session.run(None, feeds)
    except Exception as problem:  # onnxruntime's errors share no base class
        told = ", ".join(f"{name} {list(shape)}" for name, shape in sizes.items())
        raise InvalidValue("path", f"a network that runs on {told}", str(path), _first_line(problem)) from None
    return _Run(path.name, batch, threads, sizes, version, lambda: session.run(None, feeds))


def _open(path: Path, threads: int) -> tuple[Any, str]:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra("onnxruntime", "measure", f"running {path.name}") from None
    if not path.is_file():
        raise InvalidValue("path", "an existing ONNX file", str(path))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only: they are raised, and told once
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # onnxruntime's errors share no base class
        hint = _first_line(problem)
        raise InvalidValue("path", "an ONNX file that onnxruntime can load", str(path), hint) from None
    return session, f"onnxruntime {onnxruntime.__version__}"


def _random(value: Any, shape: Shape) -> Any:
    """Return a random input: uniform in [0, 1), or integers 0 and 1, which are indices into any table."""
    if value.type not in _DTYPES:
        rule = "a network whose inputs are tensors of numbers"
        raise InvalidValue("path", rule, value.type, f"that is input {value.name!r}")
    dtype = np.dtype(_DTYPES[value.type])
    rng = np.random.default_rng(0)
    return rng.random(shape).astype(dtype) if dtype.kind == "f" else rng.integers(0, 2, shape).astype(dtype)


def _time_steps(
    step: Callable[[], object], seconds: float, fewest: int, progress: Progress | None, label: str
) -> list[float]:
    """Return the time of every step [s]."""
    times: list[float] = []
    start = now = time.perf_counter()
    told = 0.0
    while len(times) < fewest or (now - start < seconds and len(times) < MOST_STEPS):
        step()
        before, now = now, time.perf_counter()
        times.append(now - before)
        share = min(1.0, max((now - start) / seconds, len(times) / MOST_STEPS), len(times) / fewest)
        if progress and (share - told >= 0.01 or share == 1.0 > told):
            progress(label, share)
            now, told = time.perf_counter(), share  # what the caller does with it belongs to no step
    return times


def _drop(times: Sequence[float], warmup: int | None) -> Dropped:
    if warmup is not None:
        return Dropped(warmup, "as asked")
    return Dropped(1 + steady_start(times[1:]), "the first step, then MSER-5 (White 1997)")


def _first_line(problem: Exception) -> str:
    return str(problem).strip().partition("\n")[0]
