"""Traces of real profilers with causes of known size in them: what `mlsysim explain` is tested on.

    python benchmarks/planted.py tests/timeline/files [NAME ...]

Each scenario plants one cause in the steps of a small model (a data loader that sleeps, a collection of garbage, a rank
that is late, ...), measures what it planted with a clock of its own, and writes what the profiler wrote, as it wrote
it, paths and names of machines apart. What was planted goes to `planted.json`, a dictionary of scenarios:

- ``files``, ``plain``: the traces with the cause, and those of the same without it; one a rank where there are ranks
- ``cause``, ``part``, ``how``, ``where``: what was planted, as which part of it, in words, and on which rank it shows
- ``steps``, ``step_ns``, ``planted_ns``: the marks in the trace, how long each step took, and how much was planted
- ``at_ns``: when the planted interval began, in the clock of the trace (``baseTimeNanoseconds`` + 1000 ``ts``)
- ``torch`` (or ``jax``, ``onnxruntime``) and ``date``: by what and when it was recorded

Needs torch, jax, onnx, onnxruntime and, for what is compiled, a C++ compiler. Every scenario has a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._C._profiler import _ExperimentalConfig
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile, schedule
from torch.utils.data import DataLoader, Dataset

WARM, STEPS = 2, 6  # steps that the profiler lets pass, and steps in the trace
BATCH, LENGTH, WIDTH, HEADS = 2, 128, 256, 4

Truth = dict[str, Any]


class Planted(NamedTuple):
    """What one step planted: when it began (time since the epoch) [ns], and how long it took [ns]."""

    at_ns: int
    ns: int


@contextmanager
def planting() -> Iterator[list[int]]:
    """Measure the body: the list holds when it began [ns since the epoch] and, in the end, how long it took [ns]."""
    measured = [time.time_ns()]
    start = time.perf_counter_ns()
    yield measured
    measured.append(time.perf_counter_ns() - start)


class Block(nn.Module):
    """A layer of a transformer; attention is what is passed."""

    def __init__(self, attention: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.attention = attention
        self.norm = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """Return what comes out of the layer [batch, length, width]."""
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4).unbind()
        return x + self.mlp(self.attention(q, k, v).transpose(1, 2).flatten(2))


def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return causal attention in one operator."""
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return causal attention with its matrix of scores written out."""
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v


def trainer(model: nn.Module | None = None) -> Callable[[Tensor], None]:
    """Return a function that trains a model (one layer unless told) on one batch."""
    model = model or Block(fused)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def train(x: Tensor) -> None:
        model(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return train


def batch() -> Tensor:
    return torch.randn(BATCH, LENGTH, WIDTH)


# -- the recorder


def neutral(text: str) -> str:
    """Return a trace without this machine in it."""
    here = {
        str(Path(torch.__file__).parents[1]): "/site-packages",
        str(Path(os.__file__).parent): "/python",
        sys.prefix: "/venv",
        sys.base_prefix: "/python",
        str(Path(__file__).resolve().parent): "/train",
        str(Path.cwd()): "/train",
    }
    for path in sorted(here, key=len, reverse=True):
        text = text.replace(path, here[path])
    text = re.sub(re.escape(tempfile.gettempdir()) + r"/tmp\w+", "/scratch", text)
    text = re.sub(r'("host_name": )"[^"]*"', r'\1"host"', text)
    for word in ("/tmp", "/root", "/home", "/work", f'"{socket.gethostname()}"', os.environ.get("USER") or "/root"):
        if (at := text.find(word)) >= 0:
            raise SystemExit(f"the trace tells of this machine: {text[max(at - 80, 0) : at + 80]}")
    return text


def save(folder: Path, name: str, text: str) -> None:
    with (folder / name).open("wb") as file, gzip.GzipFile("", "wb", 9, file, 0) as packed:
        packed.write(neutral(text).encode())


def record(
    folder: Path,
    name: str,
    step: Callable[[], Planted | None],
    *,
    stack: bool = False,
    marks: bool = False,
    steps: int = STEPS,
) -> Truth:
    """Write the trace of some steps; return its file and what each step took and planted.

    ``stack`` asks the profiler for the functions of Python, ``marks`` for the collections of garbage.
    """
    found: list[tuple[int, Planted | None]] = []
    with tempfile.TemporaryDirectory() as scratch:
        with profile(
            activities=[ProfilerActivity.CPU],
            schedule=schedule(wait=0, warmup=WARM, active=steps, repeat=1),
            record_shapes=True,
            with_stack=stack,
            experimental_config=_ExperimentalConfig(record_python_gc_info=marks),
        ) as profiler:
            for _ in range(WARM + steps):
                start = time.perf_counter_ns()
                planted = step()
                found.append((time.perf_counter_ns() - start, planted))
                profiler.step()
        path = Path(scratch) / "trace.json"
        profiler.export_chrome_trace(str(path))
        save(folder, f"{name}.json.gz", path.read_text())
    found = found[WARM:]
    return {
        "files": [f"{name}.json.gz"],
        "steps": [f"ProfilerStep#{i}" for i in range(WARM, WARM + steps)],
        "step_ns": [ns for ns, _ in found],
        "planted_ns": [p.ns if p else 0 for _, p in found],
        "at_ns": [p.at_ns if p else None for _, p in found],
        "torch": torch.__version__.partition("+")[0],
    }


def plain(folder: Path) -> dict[str, Truth]:
    """Nothing planted: what the others are held against."""
    train, x = trainer(), batch()
    return {
        "plain": {"cause": None, "how": "one layer trained on one batch"} | record(folder, "plain", lambda: train(x))
    }


# -- scenarios


class Slow(Dataset[Tensor]):
    """Samples that take their time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __len__(self) -> int:
        return BATCH * 64

    def __getitem__(self, index: int) -> Tensor:
        time.sleep(self.seconds)
        return torch.randn(LENGTH, WIDTH)


def data_loader(folder: Path) -> dict[str, Truth]:
    truths: dict[str, Truth] = {}
    for name, workers, ms, part in (
        ("data_loader", 0, 30, "loading"),
        ("data_loader_worker", 1, 80, "waiting for a worker"),
    ):
        train, batches = trainer(), iter(DataLoader(Slow(ms / 1e3 / BATCH), batch_size=BATCH, num_workers=workers))

        def step(train: Callable[[Tensor], None] = train, batches: Iterator[Tensor] = batches) -> Planted:
            with planting() as measured:
                x = next(batches)
            train(x)
            return Planted(*measured)

        for _ in range(4):  # until what the workers fetched ahead is used up
            step()
        how = f"every batch sleeps {ms} ms in {BATCH} calls of __getitem__, num_workers={workers}; the time in next()"
        truths[name] = {"cause": "data_loader", "part": part, "plain": ["plain.json.gz"], "how": how}
        truths[name] |= record(folder, name, step)
    return truths


def garbage_collection(folder: Path) -> dict[str, Truth]:
    train, x, number = trainer(), batch(), 0
    gc.collect()
    gc.freeze()  # what torch keeps alive is not gone through
    kept = [{i: [i]} for i in range(150_000)]
    gc.disable()  # so that those planted are the only ones

    def step() -> Planted | None:
        nonlocal number
        number += 1
        train(x)
        if number % 2:
            return None
        with planting() as measured:
            gc.collect()
        return Planted(*measured)

    how = f"gc.collect() after every second step, {len(kept)} dictionaries and lists alive"
    about = {"cause": "garbage_collection", "plain": ["plain.json.gz"]}
    return {
        "garbage_collection": about
        | {"part": "not marked", "how": how + "; no stack"}
        | record(folder, "garbage_collection", step),
        "garbage_collection_marked": about
        | {"part": "marked", "how": how + "; with_stack and record_python_gc_info"}
        | record(folder, "garbage_collection_marked", step, stack=True, marks=True),
        "garbage_collection_stack": about
        | {"part": "call of gc.collect", "how": how + "; with_stack alone"}
        | record(folder, "garbage_collection_stack", step, stack=True),
    }


def kernel_launch(folder: Path) -> dict[str, Truth]:
    model, x, one = Block(fused), batch(), torch.zeros(1)

    def step_of(tiny: int) -> Callable[[], Planted]:
        def step() -> Planted:
            with torch.no_grad():
                model(x)
            with planting() as measured:
                for _ in range(tiny):
                    one.add_(1)
            return Planted(*measured)

        return step

    tiny = 400
    bare = sorted(step_of(tiny)().ns for _ in range(11))[5]
    how = (
        f"{tiny} times add_(1) on one element after every forward pass; the time of the loop, the profiler's own in it"
    )
    truth = {"cause": "kernel_launch", "part": "tiny operators", "plain": ["kernel_launch_plain.json.gz"], "how": how}
    truth |= {"operators_a_step": tiny, "planted_ns_unprofiled": bare}
    return {
        "kernel_launch": truth | record(folder, "kernel_launch", step_of(tiny), steps=4),
        "kernel_launch_plain": {"cause": None, "how": "forward passes of one layer"}
        | record(folder, "kernel_launch_plain", step_of(0), steps=4),
    }


def rank_main(folder: Path, run: tuple[str, int, int, int, int]) -> None:
    """Train as one of two ranks; rank 1 comes late to the reduction by some milliseconds."""
    from torch.nn.parallel import DistributedDataParallel

    name, rank, late_ms, wrapped, port = run
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.manual_seed(0)
    model: nn.Module = Block(fused)
    parameters = list(model.parameters())
    if wrapped:
        model = DistributedDataParallel(model)
    optimizer, x = torch.optim.SGD(model.parameters(), lr=1e-3), batch()[:, : LENGTH // 2]

    def late() -> Planted | None:
        with planting() as measured:
            time.sleep(late_ms / 1e3)
        return Planted(*measured)

    def step() -> Planted | None:
        planted = None
        loss = model(x).square().mean()
        if wrapped and late_ms and rank:
            planted = late()
        loss.backward()
        if not wrapped:
            if late_ms and rank:
                planted = late()
            gradients = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
            with planting() as measured:
                torch.distributed.all_reduce(gradients)
            reduced.append(measured)
        optimizer.step()
        optimizer.zero_grad()
        return planted

    reduced: list[list[int]] = []
    for _ in range(3):
        step()
    truth = record(folder, f"{name}.{rank}", step)
    truth["all_reduce"] = reduced[-STEPS:]
    print(json.dumps(truth))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def straggler(folder: Path) -> dict[str, Truth]:
    found: dict[str, list[Truth]] = {}
    kinds = {"straggler": (40, 0), "straggler_plain": (0, 0), "straggler_ddp": (40, 1), "straggler_ddp_plain": (0, 1)}
    for name, (late_ms, wrapped) in kinds.items():
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        runs = []
        for rank in (0, 1):
            call = f"import planted as p; p.rank_main(p.Path({str(folder)!r}), {(name, rank, late_ms, wrapped, port)})"
            here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
            runs.append(subprocess.Popen([sys.executable, "-c", call], env=here, stdout=subprocess.PIPE, text=True))
        found[name] = [json.loads(run.communicate()[0].splitlines()[-1]) for run in runs]
    truths = {}
    for name, (late_ms, wrapped) in kinds.items():
        first, second = found[name]
        reductions = first.pop("all_reduce"), second.pop("all_reduce")
        by = (
            "DistributedDataParallel, late before backward()"
            if wrapped
            else "one all_reduce of all gradients, late before it"
        )
        truths[name] = first | {
            "cause": "communication" if late_ms else None,
            "part": "skew" if late_ms else None,
            "files": first["files"] + second["files"],
            "where": "planted on rank 1, in the host; waited for on rank 0, in communication",
            "how": f"two ranks, gloo; {by}: rank 1 sleeps {late_ms} ms a step",
            "planted_ns": second["planted_ns"],
            "at_ns": second["at_ns"],
            "step_ns_of_rank_1": second["step_ns"],
        }
        if late_ms:
            truths[name]["plain"] = [f"{name}_plain.{rank}.json.gz" for rank in (0, 1)]
        if not wrapped:
            truths[name]["all_reduce_ns"], truths[name]["all_reduce_ns_of_rank_1"] = (
                [n for _, n in r] for r in reductions
            )
            truths[name]["skew_ns"] = [late - early for (early, _), (late, _) in zip(*reductions, strict=True)]
    return truths


SCENARIOS = {f.__name__: f for f in (plain, data_loader, garbage_collection, kernel_launch, straggler)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Record traces with planted causes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SCENARIOS)}; all unless told")
    arguments = parser.parse_args()
    names = arguments.names or list(SCENARIOS)
    if len(names) > 1:
        for name in names:
            subprocess.run([sys.executable, __file__, str(arguments.folder), name], check=True)
        return
    torch.set_num_threads(1)
    torch.manual_seed(0)
    truths = SCENARIOS[names[0]](arguments.folder)
    path = arguments.folder / "planted.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    for name, truth in truths.items():
        known[name] = truth | {"date": date.today().isoformat()}
        size = sum((arguments.folder / file).stat().st_size for file in truth["files"])
        print(f"{name:28} {size / 1e3:7.1f} kB  planted {[round(ns / 1e6, 2) for ns in truth['planted_ns']]} ms")
        print(f"{'':28} steps {[round(ns / 1e6, 2) for ns in truth['step_ns']]} ms")
    path.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
