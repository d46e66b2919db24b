"""Measure this machine: attainable arithmetic by precision, and memory bandwidth.

Arithmetic is the best rate of square matrix products (2 n^3 FLOP) over sizes and libraries, with all threads.

Bandwidth is the best of the four STREAM kernels (McCalpin 1995, "Memory Bandwidth and Machine Balance in Current
High Performance Computers") and of reading alone, over arrays of 4 x the last-level cache. Bytes are counted as STREAM
counts them, each array read or written once. The line that a cache fetches before it is overwritten is not counted, so
that the four can stay below what reading alone gets; a network reads its weights: its ceiling must not lie below that.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from mlsysim.errors import MissingExtra
from mlsysim.hardware.figures import Figure
from mlsysim.hardware.spec import HardwareSpec
from mlsysim.units import positive, si

Progress: TypeAlias = Callable[[str, float], None]
SIZES = (512, 1024, 2048)
"""Sides of the matrices: the smallest shows start-up cost, the largest is past every cache of one core."""
CONTENDED = 0.15
"""Spread over repeats above which other work on the machine is suspected [1]."""
BANDWIDTH_SHARE = 0.25
"""Share of the time budget that goes to memory bandwidth."""
_UNKNOWN_CACHE = 32 * 2**20  # a common last-level cache; taken only where the system tells none
_BLOCK = 2**15  # elements: one block of three fp64 arrays (768 KiB) stays in a core's second-level cache


class GemmSample(NamedTuple):
    """One matrix product: best rate [FLOP/s] and spread over the repeats, (p90 - p10) / median [1]."""

    precision: str
    library: str
    threads: int
    size: int
    flops_per_s: float
    spread: float


class BandwidthSample(NamedTuple):
    """One memory kernel: bytes of one array [B], best rate [B/s] and spread of the repeats [1]."""

    kernel: str
    threads: int
    array_bytes: int
    bytes_per_s: float
    spread: float


@dataclass(frozen=True, slots=True)
class Probe:
    """The machine as a device, the samples behind its figures, and what to know about them."""

    hardware: HardwareSpec
    samples: tuple[GemmSample, ...]
    bandwidth_samples: tuple[BandwidthSample, ...]
    notes: tuple[str, ...]


def probe(*, seconds: float = 20, progress: Progress | None = None) -> Probe:
    """Measure this machine in about ``seconds`` [s].

    ``progress`` is called with what is measured next and the share done, 0 to 1. onnxruntime (fp32 and int8) is
    measured where it and onnx are installed; a note says so where not. A few seconds leave out the large sizes.

    Raises
    ------
    InvalidValue
        ``seconds`` is not a positive number.
    MissingExtra
        threadpoolctl is not installed: without it the threads of numpy's BLAS are unknown.
    """
    seconds = positive(seconds, "seconds")
    if not importlib.util.find_spec("threadpoolctl"):
        raise MissingExtra("threadpoolctl", "measure", "probing this machine")
    tell = progress or (lambda _label, _share: None)
    end = time.perf_counter() + seconds
    counts = tuple(sorted({1, usable_cores()}))
    streams = tuple(_bandwidth(counts, BANDWIDTH_SHARE * seconds, tell))
    samples = tuple(_products(counts, end, tell))
    tell("this machine measured", 1.0)
    return Probe(_device(samples, streams), samples, streams, tuple(_notes(samples, streams)))


def usable_cores() -> int:
    """Return the physical cores that this process may use, by affinity and container quota, at least 1.

    Two hardware threads of a core share its arithmetic, so that the second gains a matrix product nothing.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(ImportError):
        import psutil

        cores = min(cores, psutil.cpu_count(logical=False) or cores)
    with contextlib.suppress(OSError, ValueError):  # no control group, or no quota ("max")
        quota, period = map(float, Path("/sys/fs/cgroup/cpu.max").read_text().split())
        cores = min(cores, int(quota / period))
    return max(1, cores)


def _products(counts: tuple[int, ...], end: float, tell: Progress) -> Iterator[GemmSample]:
    """Yield a sample for each library, precision, thread count and size; the time left is shared evenly."""
    kinds: dict[tuple[str, str], Callable[[int, int], Any]] = {
        ("fp32", "numpy"): partial(_blas, np.float32),
        ("fp64", "numpy"): partial(_blas, np.float64),
    }
    if _has_onnxruntime():
        kinds["fp32", "onnxruntime"] = partial(_session, "MatMul")
        kinds["int8", "onnxruntime"] = partial(_session, "MatMulInteger")
    plan = [(kind, threads, size) for kind in kinds for threads in counts for size in SIZES]
    rate = 0.0
    for done, (kind, threads, size) in enumerate(plan):
        label = f"{' '.join(kind)}, {threads} threads, {size} x {size}"
        tell(label, BANDWIDTH_SHARE + (1 - BANDWIDTH_SHARE) * done / len(plan))
        share = (end - time.perf_counter()) / (len(plan) - done)
        flops = 2 * size**3
        # The smallest is always measured; of a larger one, warm-up and two repeats must fit at the rate before it.
        if size > min(SIZES) and 3 * flops / rate > share:
            continue
        with kinds[kind](size, threads) as run:
            best, spread = _repeat(run, share)
        rate = flops / best
        yield GemmSample(*kind, threads, size, rate, spread)


def _repeat(run: Callable[[], object], seconds: float) -> tuple[float, float]:
    """Return the best time [s] and the spread of 2 repeats or more in ``seconds``, after one warm-up."""
    end = time.perf_counter() + seconds
    run()
    times: list[float] = []
    while len(times) < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    low, middle, high = np.percentile(times, (10, 50, 90))
    return min(times), float((high - low) / middle)


@contextlib.contextmanager
def _blas(dtype: type, n: int, threads: int) -> Iterator[Callable[[], object]]:
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    a: Any = rng.random((n, n)).astype(dtype)
    b: Any = rng.random((n, n)).astype(dtype)
    out: Any = np.empty((n, n), dtype)
    with threadpool_limits(limits=threads, user_api="blas"):
        yield lambda: np.matmul(a, b, out=out)


def _has_onnxruntime() -> bool:
    return all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))


@contextlib.contextmanager
def _session(operator: str, n: int, threads: int) -> Iterator[Callable[[], object]]:
    """Give a product whose second matrix is constant, as in a network: it may be packed beforehand."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    integer = operator == "MatMulInteger"
    a = rng.integers(0, 256, (n, n), dtype=np.uint8) if integer else rng.random((n, n), dtype=np.float32)
    b = rng.integers(-128, 128, (n, n), dtype=np.int8) if integer else rng.random((n, n), dtype=np.float32)
    x = helper.make_tensor_value_info("x", TensorProto.UINT8 if integer else TensorProto.FLOAT, (n, n))
    y = helper.make_tensor_value_info("y", TensorProto.INT32 if integer else TensorProto.FLOAT, (n, n))
    node = helper.make_node(operator, ["x", "w"], ["y"])
    graph = helper.make_graph([node], "product", [x], [y], [numpy_helper.from_array(b, "w")])
    # Version 13 of the operators and 8 of the format are read by every onnxruntime since 2021.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    yield lambda: session.run(None, {"x": a})


def _bandwidth(counts: tuple[int, ...], seconds: float, tell: Progress) -> Iterator[BandwidthSample]:
    """Yield every memory kernel for each thread count, over arrays that no cache holds."""
    end = time.perf_counter() + seconds
    cache = _last_level_cache() or _UNKNOWN_CACHE
    length = min(4 * cache, _memory() // 16) // 8
    with ThreadPoolExecutor(max(counts)) as pool:
        arrays = [np.empty(length) for _ in range(3)]
        # Who first touches a page decides which memory node holds it: all threads do, each in its part.
        list(pool.map(lambda part: [np.add(0.0, 1.0, out=x[part]) for x in arrays], _parts(length, max(counts))))
        plan = [(kernel, threads) for threads in counts for kernel in _KERNELS]
        for done, (kernel, threads) in enumerate(plan):
            tell(f"memory {kernel}, {threads} threads", BANDWIDTH_SHARE * done / len(plan))
            work, moved = _KERNELS[kernel]
            views = [[array[part] for part in _parts(length, threads)] for array in arrays]
            share = (end - time.perf_counter()) / (len(plan) - done)
            best, spread = _repeat(lambda: list(pool.map(work, *views)), share)  # noqa: B023  # run at once
            yield BandwidthSample(kernel, threads, 8 * length, moved * 8 * length / best, spread)


def _parts(length: int, count: int) -> list[slice]:
    return [slice(length * i // count, length * (i + 1) // count) for i in range(count)]


def _triad(a: Any, b: Any, c: Any) -> None:
    """Compute a = b + 3 c in two passes, block by block: the second must find its operand in cache."""
    for low in range(0, len(a), _BLOCK):
        block = slice(low, low + _BLOCK)
        np.multiply(c[block], 3.0, out=a[block])
        np.add(a[block], b[block], out=a[block])


_KERNELS: dict[str, tuple[Callable[[Any, Any, Any], object], int]] = {
    "copy": (lambda a, _b, c: np.copyto(c, a), 2),
    "scale": (lambda _a, b, c: np.multiply(c, 3.0, out=b), 2),
    "add": (lambda a, b, c: np.add(a, b, out=c), 3),
    "triad": (_triad, 3),
    "read": (lambda a, _b, _c: np.max(a), 1),
}
"""The memory kernels, and how many arrays each reads or writes."""


def _last_level_cache() -> int:
    """Return the bytes of all last-level caches together [B], or 0 where the system does not tell."""
    found: dict[tuple[int, str], int] = {}
    with contextlib.suppress(OSError, ValueError):
        for index in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cache/index*"):
            names = ("level", "size", "shared_cpu_list")
            level, size, shared = ((index / name).read_text().strip() for name in names)
            scale = {"K": 2**10, "M": 2**20, "G": 2**30}[size[-1]]
            found[int(level), shared] = int(size[:-1]) * scale
    deepest = max((level for level, _ in found), default=0)
    return sum(size for (level, _), size in found.items() if level == deepest)


def _memory() -> int:
    """Return the memory that this process may use, by what is installed and by container limit [B]."""
    try:
        import psutil

        total = int(psutil.virtual_memory().total)
    except ImportError:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # no control group, or no limit ("max")
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total


def _title() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "this machine"


def _device(samples: tuple[GemmSample, ...], streams: tuple[BandwidthSample, ...]) -> HardwareSpec:
    today = datetime.now(tz=UTC).date().isoformat()
    system, cache = "the operating system", float(_last_level_cache())
    threads = max(s.threads for s in samples)
    peaks: dict[str, Figure] = {}
    for best in sorted((s for s in samples if s.threads == threads), key=lambda s: s.flops_per_s):
        note = f"best at {best.size} x {best.size}, {best.library}, {threads} threads; spread {best.spread:.0%}"
        source = "measured here: best of matrix products with all threads"
        peaks[best.precision] = Figure(best.flops_per_s, source, today, note)
    fast = max(streams, key=lambda s: s.bytes_per_s)
    size = si(fast.array_bytes, "B")
    note = f"best: {fast.kernel}, {fast.threads} threads, arrays of {size}; spread {fast.spread:.0%}"
    kernels = "measured here: best of " + ", ".join(dict.fromkeys(s.kernel for s in streams))
    return HardwareSpec(
        name="here",
        kind="cpu",
        peaks=peaks,
        memory=Figure(float(_memory()), system, today),
        bandwidth=Figure(fast.bytes_per_s, kernels, today, note),
        caches={"l3": Figure(cache, system, today, "last level, all together", "l3")} if cache else {},
        title=_title(),
        memory_class="ddr",
    )


def _notes(samples: tuple[GemmSample, ...], streams: tuple[BandwidthSample, ...]) -> Iterator[str]:
    spreads = [s.spread for s in samples] + [s.spread for s in streams]
    unsteady = [spread for spread in spreads if spread > CONTENDED]
    if unsteady:
        yield (
            f"{len(unsteady)} of {len(spreads)} measurements vary by more than {CONTENDED:.0%} over repeats, up to"
            f" {max(unsteady):.0%}: other work shares this machine, and a figure may be too low"
        )
    if not _has_onnxruntime():
        extra = "pip install 'mlsysim[models,measure]'"
        yield f"onnxruntime or onnx is not installed: no int8 peak, and fp32 from numpy alone; {extra}"
