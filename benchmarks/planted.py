"""Traces of real profilers with causes of known size in them: what `mlsysim explain` is tested on.

    python benchmarks/planted.py tests/timeline/files [NAME ...]

Each scenario plants one cause in the steps of a small model (a data loader that sleeps, a collection of garbage, a rank
that is late, ...), measures what it planted with a clock of its own, and writes what the profiler wrote, as it wrote
it, paths and names of machines apart. What was planted goes to `planted.json`, a dictionary of scenarios:

- ``files``, ``plain``: the traces with the cause, and those of the same without it; one a rank where there are ranks
- ``cause``, ``part``, ``how``, ``where``: what was planted, as which part of it, in words, and on which rank it shows
- ``steps``, ``step_ns``, ``planted_ns``: the marks in the trace, how long each step took, and how much was planted
- ``at_ns``: when the planted interval began, in the clock of the trace (``baseTimeNanoseconds`` + 1000 ``ts``)
- ``part_ns``: the whole part of a step that was done in two ways; planted is what is beyond the median of the plain one
- ``all_reduce_ns``, ``skew_ns``: how long rank 0 was in the reduction, and how much later rank 1 came to it
- ``torch`` (or ``jax``, ``onnxruntime``) and ``date``: by what and when it was recorded

Needs torch, jax, onnx, onnxruntime and, for what is compiled, a C++ compiler. Every scenario has a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from statistics import median
from subprocess import PIPE
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch._C._profiler import _ExperimentalConfig
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile, record_function, schedule
from torch.utils.data import DataLoader, Dataset

WARM, STEPS = 2, 6  # steps that the profiler lets pass, and steps in the trace
BATCH, LENGTH, WIDTH, HEADS = 2, 128, 256, 4

Step = Callable[[], "Planted | None"]
Truth = dict[str, Any]


class Planted:
    """What one step planted, measured as a context: when it began (time since the epoch) and how long it took [ns]."""

    at_ns: int | None = None
    ns: int = 0

    def __enter__(self) -> Self:
        self.at_ns, self.start = time.time_ns(), time.perf_counter_ns()
        return self

    def __exit__(self, *_: object) -> None:
        self.ns = time.perf_counter_ns() - self.start


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


def trainer() -> Callable[[Tensor], None]:
    """Return a function that trains one layer on one batch."""
    model = Block(fused)
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
    folder: Path, name: str, step: Step, about: Truth, *, steps: int = STEPS, **options: Any
) -> dict[str, Truth]:
    """Write the trace of some steps; return what is known of it, by its name.

    ``about`` says what was planted and how; options are the profiler's.
    """
    found: list[tuple[int, Planted]] = []
    when = schedule(wait=0, warmup=WARM, active=steps, repeat=1)
    options = {"activities": [ProfilerActivity.CPU], "schedule": when, "record_shapes": True} | options
    with tempfile.TemporaryDirectory() as scratch:
        with profile(**options) as profiler:
            for _ in range(WARM + steps):
                start = time.perf_counter_ns()
                planted = step() or Planted()
                found.append((time.perf_counter_ns() - start, planted))
                profiler.step()
        path = Path(scratch) / "trace.json"
        profiler.export_chrome_trace(str(path))
        save(folder, f"{name}.json.gz", path.read_text())
    truth = {"files": [f"{name}.json.gz"], "plain": None, "cause": None, "part": None, **about}
    truth["steps"] = [f"ProfilerStep#{i}" for i in range(WARM, WARM + steps)]
    truth["step_ns"] = [ns for ns, _ in found[WARM:]]
    truth["planted_ns"] = [planted.ns for _, planted in found[WARM:]]
    truth["at_ns"] = [planted.at_ns for _, planted in found[WARM:]]
    return {name: truth | {"torch": torch.__version__.partition("+")[0]}}


def then(work: Callable[[], Any], plant: Callable[[], Any], every: int = 1) -> Step:
    """Return a step that does its work and then, in every step or some, what is planted."""
    number = itertools.count(1)

    def step() -> Planted | None:
        work()
        if next(number) % every:
            return None
        with Planted() as planted:
            plant()
        return planted

    return step


# -- scenarios


def plain(folder: Path) -> dict[str, Truth]:
    """Nothing planted: what the others are held against."""
    train, x = trainer(), batch()
    return record(folder, "plain", lambda: train(x), {"how": "one layer trained on one batch"})


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
    """Batches that sleep: in the step's own process, and in a worker that is too slow."""

    def run(name: str, part: str, workers: int, ms: int) -> dict[str, Truth]:
        train, batches = trainer(), iter(DataLoader(Slow(ms / 1e3 / BATCH), batch_size=BATCH, num_workers=workers))

        def step() -> Planted:
            with Planted() as planted:
                x = next(batches)
            train(x)
            return planted

        for _ in range(4):  # until what the worker fetched ahead is used up
            step()
        how = f"every batch sleeps {ms} ms, in {BATCH} calls of __getitem__; num_workers={workers}; the time in next()"
        about = {"plain": ["plain.json.gz"], "cause": "data_loader", "part": part, "how": how}
        return record(folder, name, step, about)

    return run("data_loader", "loading", 0, 30) | run("data_loader_worker", "waiting for a worker", 1, 80)


def garbage_collection(folder: Path) -> dict[str, Truth]:
    """Collections by force, with what the profiler says of them by itself, with stacks, and when asked for them."""
    train, x = trainer(), batch()
    gc.collect()
    gc.freeze()  # what torch keeps alive is not gone through
    kept = [{i: [i]} for i in range(150_000)]
    gc.disable()  # so that those planted are the only ones
    how = f"gc.collect() after every second step, {len(kept)} dictionaries and lists alive"
    about = {"plain": ["plain.json.gz"], "cause": "garbage_collection", "how": how}
    marks = _ExperimentalConfig(record_python_gc_info=True)
    truths: dict[str, Truth] = {}
    for name, part, options in (
        ("garbage_collection", "no stack, not marked", {}),
        ("garbage_collection_stack", "with_stack: the call of gc.collect", {"with_stack": True}),
        ("garbage_collection_marked", "with_stack, marked", {"with_stack": True, "experimental_config": marks}),
    ):
        step = then(lambda: train(x), gc.collect, every=2)
        truths |= record(folder, name, step, about | {"part": part}, **options)
    return truths


def kernel_launch(folder: Path) -> dict[str, Truth]:
    """Operators so small that calling them is all they cost."""
    model, x, one, tiny = Block(fused), batch(), torch.zeros(1), 400

    def forward() -> None:
        with torch.no_grad():
            model(x)

    def loop() -> None:
        for _ in range(tiny):
            one.add_(1)

    step, bare = then(forward, loop), Planted()
    for _ in range(5):
        bare = step() or bare
    how = f"{tiny} times add_(1) on one element after a forward pass; the time of the loop, the profiler's own in it"
    about: Truth = {
        "plain": ["kernel_launch_plain.json.gz"],
        "cause": "kernel_launch",
        "part": "tiny operators",
        "how": how,
    }
    about |= {"operators_a_step": tiny, "planted_ns_without_profiler": bare.ns}
    known = record(folder, "kernel_launch_plain", then(forward, int), {"how": "forward passes of one layer"}, steps=4)
    return known | record(folder, "kernel_launch", step, about, steps=4)


def synchronisation(folder: Path) -> dict[str, Truth]:
    """Waits for another thread: in a function of Python, and in a mark of the user's."""
    train, x, ms = trainer(), batch(), 25

    def wait() -> None:
        answer.submit(time.sleep, ms / 1e3).result()

    def marked() -> None:
        with record_function("synchronize"):
            done = threading.Event()
            threading.Timer(ms / 1e3, done.set).start()
            done.wait()

    about = {"plain": ["plain.json.gz"], "cause": "synchronisation"}
    seen = about | {"part": "future.result()", "how": f"{ms} ms for the result of a future, every step; with_stack"}
    how = f'{ms} ms for an event, in record_function("synchronize"), every step; no stack'
    told = about | {"part": "marked by the user", "how": how}
    with ThreadPoolExecutor(1) as answer:
        known = record(folder, "synchronisation_stack", then(lambda: train(x), wait), seen, with_stack=True)
    return known | record(folder, "synchronisation", then(lambda: train(x), marked), told)


def against(folder: Path, name: str, fast: tuple[str, Step], slow: tuple[str, Step], about: Truth) -> dict[str, Truth]:
    """Record one part of a step done in two ways; what the slow one takes beyond the median of the fast is planted."""
    known = record(folder, f"{name}_plain", fast[1], {"how": fast[0]})
    known |= record(folder, name, slow[1], about | {"how": slow[0], "plain": known[f"{name}_plain"]["files"]})
    least = round(median(known[f"{name}_plain"]["planted_ns"]))
    for truth in known.values():
        truth["part_ns"] = truth["planted_ns"]
        truth["planted_ns"] = [ns - least if truth["cause"] else 0 for ns in truth["part_ns"]]
    return known


def eager(folder: Path) -> dict[str, Truth]:
    """Pointwise operators on 8 MB, in place so that nothing is allocated, one by one and compiled into one."""
    x, y, w = torch.randn(2048, WIDTH), torch.randn(8192, WIDTH), torch.randn(WIDTH, WIDTH)

    def chain(y: Tensor) -> None:
        for _ in range(6):
            y.mul_(0.9).add_(0.1).relu_().sub_(0.05)

    compiled = torch.compile(chain)
    compiled(y)
    how = f"24 pointwise operators in place on {y.numel()} numbers after a matrix product"
    fast = f"{how}, in torch.compile", then(lambda: x @ w, lambda: compiled(y))
    slow = f"{how}, eager", then(lambda: x @ w, lambda: chain(y))
    return against(folder, "eager", fast, slow, {"cause": "memory_bound", "part": "operators that could be one"})


def attention(folder: Path) -> dict[str, Truth]:
    """Attention in one operator, and with its scores written out."""
    x = torch.randn(1, 1024, WIDTH)

    def step_of(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Step:
        planted = Planted()

        def timed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            nonlocal planted
            with Planted() as planted:
                return function(q, k, v)

        block = Block(timed)

        @torch.no_grad()
        def step() -> Planted:
            block(x)
            return planted

        step()
        return step

    how = f"forward passes of one layer, {x.shape[1]} tokens, {HEADS} heads of {WIDTH // HEADS}"
    fast = f"{how}: scaled_dot_product_attention", step_of(fused)
    slow = f"{how}: matmul, mask, softmax, matmul", step_of(by_hand)
    return against(folder, "attention", fast, slow, {"cause": "attention", "part": "scores written out"})


def rank_main(folder: Path, name: str, rank: int, ms: int, wrapped: bool, store: str) -> None:
    """Train as one of two ranks and print what is known of it; rank 1 is some milliseconds late to the reduction."""
    from torch.nn.parallel import DistributedDataParallel

    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{store}", rank=rank, world_size=2)
    model: nn.Module = DistributedDataParallel(Block(fused)) if wrapped else Block(fused)
    optimizer, x = torch.optim.SGD(model.parameters(), lr=1e-3), batch()[:, : LENGTH // 2]
    reduced: list[Planted] = []

    def late() -> Planted | None:
        if not rank or not ms:
            return None
        with Planted() as planted:
            time.sleep(ms / 1e3)
        return planted

    def step() -> Planted | None:
        loss = model(x).square().mean()
        planted = late() if wrapped else None
        loss.backward()
        if not wrapped:
            planted = late()
            gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
            with Planted() as reduction:
                torch.distributed.all_reduce(gradients)
            reduced.append(reduction)
        optimizer.step()
        optimizer.zero_grad()
        return planted

    for _ in range(3):
        step()
    (truth,) = record(folder, f"{name}.{rank}", step, {}).values()
    print(json.dumps(truth | {"reduced": [(each.at_ns, each.ns) for each in reduced[-STEPS:]]}))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def straggler(folder: Path) -> dict[str, Truth]:
    """Two ranks, of which one is late: with one reduction of all gradients, and with DistributedDataParallel's own."""

    def run(name: str, ms: int, wrapped: bool) -> dict[str, Truth]:
        with tempfile.TemporaryDirectory() as scratch:
            start, here = [sys.executable, "-c"], {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
            ranks = []
            for rank in (0, 1):
                call = (
                    f"p.rank_main(p.Path({str(folder)!r}), {name!r}, {rank}, {ms}, {wrapped}, {scratch + '/store'!r})"
                )
                each = subprocess.Popen([*start, f"import planted as p; {call}"], env=here, stdout=PIPE, text=True)
                ranks.append(each)
            first, second = (json.loads(each.communicate()[0].splitlines()[-1]) for each in ranks)
        by = "DistributedDataParallel, before backward()" if wrapped else "one all_reduce of all gradients, before it"
        reduced = first.pop("reduced"), second.pop("reduced")
        truth = first | {"files": first["files"] + second["files"], "step_ns_of_rank_1": second["step_ns"]}
        truth["how"] = f"two ranks, gloo; {by} rank 1 sleeps {ms} ms a step"
        if ms:
            truth |= {"plain": [f"{name}_plain.{rank}.json.gz" for rank in (0, 1)], "cause": "communication"}
            truth |= {"part": "skew", "planted_ns": second["planted_ns"], "at_ns": second["at_ns"]}
            truth["where"] = "planted on rank 1, in the host; waited for on rank 0, in communication"
        if not wrapped:
            truth["all_reduce_ns"], truth["all_reduce_ns_of_rank_1"] = ([ns for _, ns in each] for each in reduced)
            truth["skew_ns"] = [other - at for (at, _), (other, _) in zip(*reduced, strict=True)]
        return {name: truth}

    known = run("straggler", 40, False) | run("straggler_plain", 0, False)
    return known | run("straggler_ddp", 40, True) | run("straggler_ddp_plain", 0, True)


def onnxruntime(folder: Path) -> dict[str, Truth]:
    """Two layers, ten runs."""
    import numpy as np
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    weights = {"w1": (WIDTH, 4 * WIDTH), "b1": (4 * WIDTH,), "w2": (4 * WIDTH, WIDTH)}
    nodes = "MatMul x,w1 a; Add a,b1 b; Relu b c; MatMul c,w2 d; Softmax d y"
    made = [helper.make_node(kind, i.split(","), [o], f"{kind}_{o}") for kind, i, o in map(str.split, nodes.split(";"))]
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, [LENGTH, WIDTH]) for end in "xy"]
    held = [numpy_helper.from_array(random.standard_normal(s, np.float32), name) for name, s in weights.items()]
    graph = helper.make_graph(made, "two layers", ends[:1], ends[1:], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    took, x = [], random.standard_normal((LENGTH, WIDTH), np.float32)
    with tempfile.TemporaryDirectory() as scratch:
        options = ort.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, f"{scratch}/ort"
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for _ in range(10):
            start = time.perf_counter_ns()
            session.run(None, {"x": x})
            took.append(time.perf_counter_ns() - start)
        save(folder, "onnxruntime.json.gz", Path(session.end_profiling()).read_text())
    known: Truth = {
        "files": ["onnxruntime.json.gz"],
        "plain": None,
        "cause": None,
        "part": None,
        "how": f"{nodes}; one thread",
    }
    known |= {"steps": ["model_run"] * len(took), "step_ns": took, "planted_ns": [0] * len(took)}
    return {"onnxruntime": known | {"onnxruntime": ort.__version__}}


def jax(folder: Path) -> dict[str, Truth]:
    """Steps of two layers that wait for a batch."""
    import jax as library
    from jax import numpy as jnp

    @library.jit
    def train(w: Any, x: Any) -> Any:
        return w - 1e-3 * library.grad(lambda w: jnp.square(jnp.tanh(x @ w) @ w.T).mean())(w)

    w, x, ms, found = jnp.ones((WIDTH, 4 * WIDTH)) / WIDTH, jnp.ones((BATCH * LENGTH, WIDTH)), 20, []
    train(w, x).block_until_ready()
    with tempfile.TemporaryDirectory() as scratch:
        with library.profiler.trace(scratch):
            for i in range(STEPS):
                start = time.perf_counter_ns()
                with library.profiler.StepTraceAnnotation("train", step_num=i):
                    with Planted() as planted, library.profiler.TraceAnnotation("load"):
                        time.sleep(ms / 1e3)
                    w = train(w, x).block_until_ready()
                found.append((time.perf_counter_ns() - start, planted.ns))
        (path,) = Path(scratch).glob("plugins/profile/*/*.trace.json.gz")
        save(folder, "jax.trace.json.gz", gzip.decompress(path.read_bytes()).decode())
    known: Truth = {"files": ["jax.trace.json.gz"], "plain": None, "cause": "data_loader", "part": "marked by the user"}
    known |= {"how": f'every step sleeps {ms} ms in TraceAnnotation("load")', "steps": ["train"] * STEPS}
    known |= {"step_ns": [ns for ns, _ in found], "planted_ns": [ns for _, ns in found], "jax": library.__version__}
    return {"jax": known}


TRAINING = (plain, data_loader, garbage_collection, kernel_launch, straggler, synchronisation, eager, attention)
SCENARIOS = {scenario.__name__: scenario for scenario in (*TRAINING, onnxruntime, jax)}


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
