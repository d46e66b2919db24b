"""Measure this machine: attainable arithmetic by precision, and memory bandwidth.

Arithmetic is the best rate of square matrix products (2 n^3 FLOP) over sizes and libraries, with all threads.

Bandwidth is the best of the four STREAM kernels (McCalpin 1995, "Memory Bandwidth and Machine Balance in
Current High Performance Computers") and of two that STREAM lacks, over arrays of 4 x the last-level cache.
Bytes are counted as STREAM counts them, each array read or written once: the line that a cache fetches
before it is overwritten is not counted, so where caches do that the four stay below what reading alone gets.
A figure that serves as a ceiling must not be below what a network that reads its weights can reach: hence
``read`` (a maximum) and ``update`` (b = a + b, which overwrites what it has read).
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from mlsysim.errors import MissingExtra
from mlsysim.hardware.spec import Figure, HardwareSpec
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
_SYS = Path("/sys/devices/system/cpu")


class GemmSample(NamedTuple):
    """One size of matrix product: best rate [FLOP/s] and spread of the repeats, (p90 - p10) / median [1]."""

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

    ``progress`` is called with what is measured next and the share done, 0 to 1. onnxruntime (fp32 and int8)
    is measured where it and onnx are installed; a note says so where they are not. A budget below 2 s leaves
    out sizes.

    Raises
    ------
    InvalidValue
        ``seconds`` is not a positive number.
    MissingExtra
        threadpoolctl is not installed: without it the threads of numpy's BLAS are unknown.
    """
    seconds = positive(seconds, "seconds")
    try:
        import threadpoolctl  # noqa: F401
    except ImportError:
        raise MissingExtra("threadpoolctl", "measure", "probing this machine") from None
    tell = progress or (lambda _label, _share: None)
    end = time.perf_counter() + seconds
    cores = usable_cores()
    counts = (1, cores) if cores > 1 else (1,)
    streams = tuple(_bandwidth(counts, BANDWIDTH_SHARE * seconds, tell))
    samples = tuple(_products(counts, end, tell))
    tell("done", 1.0)
    return Probe(_device(samples, streams), samples, streams, tuple(_notes(samples, streams)))


def usable_cores() -> int:
    """Return the physical cores that this process may use, by affinity and container quota, at least 1.

    Two hardware threads of a core share its arithmetic: more threads than cores gain nothing in a matrix
    product.
    """
    logical = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = logical
    with contextlib.suppress(ImportError):
        import psutil

        cores = min(logical, psutil.cpu_count(logical=False) or logical)
    with contextlib.suppress(OSError, ValueError):  # no control group, or no quota ("max")
        quota, period = map(float, Path("/sys/fs/cgroup/cpu.max").read_text().split())
        cores = min(cores, int(quota / period))
    return max(1, cores)


def _products(counts: tuple[int, ...], end: float, tell: Progress) -> Iterator[GemmSample]:
    """Yield a sample for each library, precision, thread count and size; the time left is shared evenly."""
    kinds: list[tuple[str, str, Callable[[int, int], Any]]] = [
        ("fp32", "numpy", lambda n, threads: _blas(np.float32, n, threads)),
        ("fp64", "numpy", lambda n, threads: _blas(np.float64, n, threads)),
    ]
    if _has_onnxruntime():
        kinds += [
            ("fp32", "onnxruntime", lambda n, threads: _session("MatMul", n, threads)),
            ("int8", "onnxruntime", lambda n, threads: _session("MatMulInteger", n, threads)),
        ]
    plan = [(kind, threads, size) for kind in kinds for threads in counts for size in SIZES]
    last_rate: dict[tuple[str, str, int], float] = {}
    for done, ((precision, library, product), threads, size) in enumerate(plan):
        label = f"{precision} {library}, {threads} threads, {size} x {size}"
        tell(label, BANDWIDTH_SHARE + (1 - BANDWIDTH_SHARE) * done / len(plan))
        share = (end - time.perf_counter()) / (len(plan) - done)
        rate = last_rate.get((precision, library, threads))
        # Warm-up and two repeats must fit; the first size of each kind is always measured.
        if rate and 3 * 2 * size**3 / rate > share:
            continue
        with product(size, threads) as run:
            best, spread = _repeat(run, share)
        last_rate[precision, library, threads] = 2 * size**3 / best
        yield GemmSample(precision, library, threads, size, 2 * size**3 / best, spread)


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
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError:
        return False
    return True


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
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    yield lambda: session.run(None, {"x": a})


def _bandwidth(counts: tuple[int, ...], seconds: float, tell: Progress) -> Iterator[BandwidthSample]:
    """Yield every memory kernel for each thread count, over arrays that no cache holds."""
    end = time.perf_counter() + seconds
    cache = _last_level_cache() or _UNKNOWN_CACHE
    length = min(4 * cache, _memory() // 16) // 8
    with ThreadPoolExecutor(max(counts)) as pool:
        a, b, c = (np.empty(length) for _ in range(3))
        # Who first touches a page decides which memory node holds it: all threads do, each in its part.
        list(pool.map(lambda part: _fill(a[part], b[part], c[part]), _parts(length, max(counts))))
        plan = [(kernel, threads) for threads in counts for kernel in _KERNELS]
        for done, (kernel, threads) in enumerate(plan):
            tell(f"memory {kernel}, {threads} threads", BANDWIDTH_SHARE * done / len(plan))
            work, arrays = _KERNELS[kernel]
            parts = _parts(length, threads)
            views = [a[part] for part in parts], [b[part] for part in parts], [c[part] for part in parts]
            share = (end - time.perf_counter()) / (len(plan) - done)
            best, spread = _repeat(lambda: list(pool.map(work, *views)), share)  # noqa: B023  # run at once
            yield BandwidthSample(kernel, threads, 8 * length, arrays * 8 * length / best, spread)


def _parts(length: int, count: int) -> list[slice]:
    return [slice(length * i // count, length * (i + 1) // count) for i in range(count)]


def _fill(a: Any, b: Any, c: Any) -> None:
    for array, value in ((a, 1.0), (b, 2.0), (c, 0.5)):
        array.fill(value)


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
    "update": (lambda a, _b, c: np.add(a, c, out=c), 3),
}
"""The memory kernels and how many arrays each reads or writes, one that is updated twice."""


def _last_level_cache() -> int:
    """Return the bytes of all last-level caches together [B], or 0 where the system does not tell."""
    found: dict[tuple[int, str], int] = {}
    with contextlib.suppress(OSError, ValueError):
        for index in _SYS.glob("cpu[0-9]*/cache/index*"):
            names = ("level", "size", "shared_cpu_list")
            level, size, shared = ((index / name).read_text().strip() for name in names)
            scale = {"K": 2**10, "M": 2**20, "G": 2**30}[size[-1]]
            found[int(level), shared] = int(size[:-1]) * scale
    deepest = max((level for level, _ in found), default=0)
    return sum(size for (level, _), size in found.items() if level == deepest)


def _memory() -> int:
    try:
        import psutil

        return int(psutil.virtual_memory().total)
    except ImportError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _title() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "this machine"


def _device(samples: tuple[GemmSample, ...], streams: tuple[BandwidthSample, ...]) -> HardwareSpec:
    today = datetime.now(tz=UTC).date().isoformat()
    threads = max(s.threads for s in samples)
    source = "measured here: best of matrix products with all threads"
    peaks: dict[str, Figure] = {}
    for precision in dict.fromkeys(s.precision for s in samples):
        candidates = [s for s in samples if s.precision == precision and s.threads == threads]
        best = max(candidates, key=lambda s: s.flops_per_s)
        note = (
            f"best at {best.size} x {best.size}, {best.library}, {threads} threads; spread {best.spread:.0%}"
        )
        peaks[precision] = Figure(best.flops_per_s, source, today, note)
    fast = max(streams, key=lambda s: s.bytes_per_s)
    size = si(fast.array_bytes, "B")
    note = f"best: {fast.kernel}, {fast.threads} threads, arrays of {size}; spread {fast.spread:.0%}"
    kernels = "measured here: best of " + ", ".join(dict.fromkeys(s.kernel for s in streams))
    cache, told = float(_last_level_cache()), "the operating system: last-level caches together"
    return HardwareSpec(
        name="here",
        kind="cpu",
        peaks=peaks,
        memory=Figure(float(_memory()), "the operating system", today),
        bandwidth=Figure(fast.bytes_per_s, kernels, today, note),
        cache=Figure(cache, told, today) if cache else None,
        title=_title(),
    )


def _notes(samples: tuple[GemmSample, ...], streams: tuple[BandwidthSample, ...]) -> Iterator[str]:
    spreads = [s.spread for s in samples] + [s.spread for s in streams]
    unsteady = [spread for spread in spreads if spread > CONTENDED]
    if unsteady:
        yield (
            f"{len(unsteady)} of {len(spreads)} measurements vary by more than {CONTENDED:.0%} over their repeats,"
            f" up to {max(unsteady):.0%}: other work shares this machine, and a figure may be too low"
        )
    if not _has_onnxruntime():
        yield (
            "onnxruntime or onnx is not installed: no int8 peak, and fp32 from numpy alone;"
            " pip install 'mlsysim[models,measure]'"
        )
