"""From end to end on this machine: calibrate at two sizes, predict four others, measure those too.

    python benchmarks/measured_here.py [--repeats 3] [--seconds 20] [--network FILE --shape x=1,3,48,320]

Two workloads: an ONNX network under onnxruntime, batch sizes in turn; and the training of a transformer of 6 million
parameters under PyTorch, batch and sequence length in turn. All sizes are measured in the same rounds, so that what
disturbs the machine disturbs them alike. A prediction stands on the profile of the two calibrated sizes and on this
machine as probed; it is held against the median of the measured rounds. The bounds: a median error below 15 %, and at
least 8 of 10 measurements in the 90 % interval that was predicted.

The network is the one of ``mlsysim demo`` (``pip install --no-deps rapidocr``) unless one is named; the training needs
torch, and is left out without it.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

from mlsysim import Engine, HardwareSpec, Interval, calibrate, measure
from mlsysim.calibration import Profile
from mlsysim.calibration.live.attained import not_below
from mlsysim.calibration.live.onnx import measure_alternating, over_rounds
from mlsysim.calibration.live.run import Run
from mlsysim.cli import options
from mlsysim.cli.demo import INPUT, network_file
from mlsysim.hardware.probe import probe, usable_cores
from mlsysim.models.importers.config import spec_of
from mlsysim.models.importers.onnx_file import load_onnx

ERROR, COVERED = 0.15, 0.8
"""The bounds: median error, and share of measurements in the predicted interval."""
BUSY = 0.5
"""Load average a core above which other work shares the machine."""
ROUNDS = 8
FP32 = "fp32"
BATCHES = ((1, 4), (2, 3, 6, 8))
"""Batch sizes of the network: calibrated, predicted."""
TRAINED = (((2, 128), (8, 128)), ((4, 128), (12, 128), (2, 256), (4, 256)))
"""(batch, sequence length) of the training: calibrated, predicted."""
GPT = {"model_type": "gpt2", "n_layer": 6, "n_embd": 256, "n_head": 4, "vocab_size": 4096, "n_positions": 256}
"""6 blocks of width 256: 4.7 million weights in them, 1.0 in the embedding that the head shares."""


class Point(NamedTuple):
    """A prediction against its measurement [s]."""

    workload: str
    size: str
    predicted: Interval
    measured: Interval

    @property
    def error(self) -> float:
        """Return predicted / measured - 1 [1]."""
        return self.predicted.value / self.measured.value - 1

    @property
    def held(self) -> bool:
        """Return whether the measured median lies in the predicted interval."""
        return self.predicted.low <= self.measured.value <= self.predicted.high


class Workload(NamedTuple):
    """What is run: its spec, the phase, the questions that are calibrated and predicted, and what times them all."""

    name: str
    model: Any
    phase: str
    calibrated: Sequence[Mapping[str, int]]
    predicted: Sequence[Mapping[str, int]]
    time_all: Callable[[HardwareSpec], list[Interval]]

    def question(self, size: Mapping[str, int]) -> dict[str, Any]:
        """Return the fields of a question of this size."""
        return {"phase": self.phase, "precision": FP32, "devices": 1, **size}


def combined(work: Workload, here: HardwareSpec, times: Sequence[Interval]) -> Profile:
    """Return the profile of the calibrated sizes."""
    sizes = zip(work.calibrated, times[: len(work.calibrated)], strict=True)
    return Profile(
        tuple(calibrate(model=work.model, hardware=here, time_s=took, **work.question(size)) for size, took in sizes)
    )


def network(path: Path, shapes: Mapping[str, Sequence[int]], seconds: float) -> Workload:
    """Return an ONNX network at :data:`BATCHES`."""
    sizes = [b for group in BATCHES for b in group]

    def time_all(_: HardwareSpec) -> list[Interval]:
        runs = measure_alternating(path, sizes, shapes=shapes, seconds=seconds, rounds=ROUNDS)
        return [runs[b].step_s for b in sizes]

    calibrated, predicted = ([{"batch_size": b} for b in group] for group in BATCHES)
    return Workload(path.stem, load_onnx(path, shapes=shapes), "forward", calibrated, predicted, time_all)


def training(seconds: float) -> Workload:
    """Return the training of a small transformer at :data:`TRAINED`."""
    model = spec_of(GPT, "benchmarks/measured_here.py", "gpt-6m")
    sizes = [size for group in TRAINED for size in group]

    def time_all(here: HardwareSpec) -> list[Interval]:
        step = trainer()
        slots = [seconds / (ROUNDS + 1) * math.sqrt(b * s) / sum(math.sqrt(b * s) for b, s in sizes) for b, s in sizes]
        with ExitStack() as stack:
            asked = {"phase": "training", "precision": FP32, "recompute": "none"}
            runs = [
                stack.enter_context(measure(model, here, batch_size=b, seq_len=s, devices=1, **asked)) for b, s in sizes
            ]
            for turn in range(ROUNDS + 1):
                for (batch, length), run, slot in zip(sizes, runs, slots, strict=True):
                    end = perf_counter() + slot
                    done = 0
                    while done < 2 or perf_counter() < end:
                        if turn == 0 or done == 0:
                            run.pause("other sizes")
                        step(batch, length)
                        run.step(tokens=batch * length)
                        done += 1
        return [step_time(run) for run in runs]

    calibrated, predicted = ([{"batch_size": b, "seq_len": s} for b, s in group] for group in TRAINED)
    return Workload("gpt-6m, training", model, "training", calibrated, predicted, time_all)


def step_time(run: Run) -> Interval:
    """Return the time of a step over rounds [s]: each begins with a pause, whose step holds the other sizes too."""
    reading = run.log.readings[0]
    held = run.scenario.work().items
    turns: list[list[float]] = []
    for i, rate in enumerate(reading.values):
        if i not in reading.pauses:
            turns[-1].append(held / rate)
        elif not turns or turns[-1]:
            turns.append([])
    return over_rounds([turn for turn in turns if turn])


def trainer() -> Callable[[int, int], None]:
    """Return what takes one optimizer step of a batch and sequence length: GPT-2's architecture, AdamW, fp32."""
    import torch
    from torch import nn

    torch.set_num_threads(usable_cores())
    width, vocabulary, positions = GPT["n_embd"], GPT["vocab_size"], GPT["n_positions"]

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(positions, width)
            block = nn.TransformerEncoderLayer(
                width, GPT["n_head"], 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            self.blocks = nn.TransformerEncoder(
                block, GPT["n_layer"], norm=nn.LayerNorm(width), enable_nested_tensor=False
            )

        def forward(self, ids: Any) -> Any:
            length = ids.shape[1]
            mask = nn.Transformer.generate_square_subsequent_mask(length)
            x = self.tokens(ids) + self.places(torch.arange(length))
            return self.blocks(x, mask=mask, is_causal=True) @ self.tokens.weight.T

    net = Transformer()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)

    def step(batch: int, length: int) -> None:
        ids = torch.randint(0, vocabulary, (batch, length))
        loss = nn.functional.cross_entropy(net(ids).flatten(0, 1), ids.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def points(work: Workload, seconds: float) -> list[Point]:
    """Probe, measure all sizes, calibrate with two, and return the other four as predicted and as measured."""
    here = probe(seconds=seconds).hardware
    times = work.time_all(here)
    sizes = [*work.calibrated, *work.predicted]
    if work.phase == "forward":
        here, _ = not_below(here, work.model, {s["batch_size"]: t for s, t in zip(sizes, times, strict=True)}, FP32)
    calibration = combined(work, here, times)
    found = []
    for size, took in zip(work.predicted, times[len(work.calibrated) :], strict=True):
        result = Engine.solve(work.model, here, efficiency=calibration, **work.question(size))
        found.append(Point(work.name, " x ".join(map(str, size.values())), result.time_s, took))
    return found


def main() -> int:
    """Print one row a prediction, then the two figures and their bounds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=3, help="how often all is probed and measured anew")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="for each workload and repeat; a third more to probe"
    )
    parser.add_argument("--network", type=Path, help="an ONNX file with a free batch  [default: a text recogniser]")
    parser.add_argument("--shape", action="append", default=[], help="one sample of an input: x=1,3,48,320")
    asked = parser.parse_args()
    if hasattr(os, "getloadavg") and (load := os.getloadavg()[0]) > BUSY * usable_cores():
        told = (
            f"a load of {load:.1f} on {usable_cores()} cores: other work shares this machine, and its moods are in all"
        )
        print(f"{told} that follows", file=sys.stderr)
    shapes = dict(map(options.shape, asked.shape)) or (None if asked.network else INPUT)
    works = [network(asked.network or network_file(), shapes, asked.seconds)]
    if importlib.util.find_spec("torch"):
        works.append(training(asked.seconds))
    else:
        print("torch is not installed: no training is measured", file=sys.stderr)
    found: list[Point] = []
    print(f"{'workload':24} {'size':>8} {'predicted':>10} {'90 % interval':>20} {'measured':>10} {'error':>7}")
    for _ in range(asked.repeats):
        for work in works:
            for p in points(work, asked.seconds / 3):
                low, high = p.predicted.low * 1e3, p.predicted.high * 1e3
                print(
                    f"{p.workload:24} {p.size:>8} {p.predicted.value * 1e3:7.1f} ms {low:8.1f} to {high:6.1f} ms"
                    f" {p.measured.value * 1e3:7.1f} ms {p.error:+7.1%}{'' if p.held else '  outside'}"
                )
                found.append(p)
    holds = True
    for name in [*(w.name for w in works), "all"]:
        own = [p for p in found if name in {"all", p.workload}]
        error, covered = median(abs(p.error) for p in own), sum(p.held for p in own)
        ok = error < ERROR and covered >= COVERED * len(own)
        holds = holds and ok
        print(
            f"{name}: median error {error:.1%} (bound {ERROR:.0%}), {covered} of {len(own)} in the interval"
            f" (bound {COVERED:.0%}): {'ok' if ok else 'MISSED'}"
        )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
