"""Attainable memory bandwidth: of the main memory by the STREAM kernels, of each cache by a dot product.

Main memory is the best of the four STREAM kernels (McCalpin 1995, "Memory Bandwidth and Machine Balance in Current
High Performance Computers") and of reading alone, over arrays of 4 x the last-level cache. Bytes are counted as STREAM
counts them, each array read or written once. The line that a cache fetches before it is overwritten is not counted, so
that the four can stay below what reading alone gets; a network reads its weights: its ceiling must not lie below that.

A cache is read by dot products of two vectors that fill half of it, repeated within one call (the vectors are stacked
with stride 0, so that nothing else is touched).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from mlsysim.hardware.probe import machine
from mlsysim.hardware.probe.products import Progress
from mlsysim.hardware.probe.repeats import repeat

_UNKNOWN_CACHE = 32 * 2**20  # a common last-level cache; taken only where the system tells none
_BLOCK = 2**15  # elements: one block of three fp64 arrays (768 KiB) stays in a core's second-level cache
_CALL = 2**27  # bytes read in one call of a cache's dot products: some milliseconds
_PIECE = 2**16  # bytes of a vector in one product


class BandwidthSample(NamedTuple):
    """One memory kernel: bytes of one array [B], best rate [B/s], spread and slowing of the repeats [1]."""

    kernel: str
    threads: int
    array_bytes: int
    bytes_per_s: float
    spread: float
    slowing: float = 0.0
    level: str = "memory"


def bandwidths(counts: tuple[int, ...], seconds: float, tell: Progress) -> Iterator[BandwidthSample]:
    """Yield every kernel for each thread count, over main memory and then over each cache."""
    end = time.perf_counter() + seconds
    levels = machine.caches()
    last = levels[-1].bytes_each * levels[-1].number if levels else _UNKNOWN_CACHE
    length = min(4 * last, machine.memory() // 16) // 8
    total = len(counts) * (len(_KERNELS) + len(levels))
    done = 0

    def share(label: str) -> float:
        tell(label, done / total)
        return (end - time.perf_counter()) / (total - done)

    with ThreadPoolExecutor(max(counts)) as pool:
        arrays = [np.empty(length) for _ in range(3)]
        # Who first touches a page decides which memory node holds it: all threads do, each in its part.
        list(pool.map(lambda part: [np.add(0.0, 1.0, out=x[part]) for x in arrays], _parts(length, max(counts))))
        for threads in counts:
            for kernel, (work, moved) in _KERNELS.items():
                views = [[array[part] for part in _parts(length, threads)] for array in arrays]
                run = partial(_all, pool, work, *views)
                best, spread, slowing = repeat(run, share(f"memory {kernel}, {threads} threads"))
                yield BandwidthSample(kernel, threads, 8 * length, moved * 8 * length / best, spread, slowing)
                done += 1
        arrays.clear()
        with _one_thread():
            for threads in counts:
                for cache in levels:
                    each = cache.bytes_each // (4 if cache.shared_by == 1 else 4 * threads)
                    calls = [_dots(each) for _ in range(threads)]
                    run = partial(_all, pool, _call, [call for call, _ in calls])
                    best, spread, slowing = repeat(run, share(f"cache {cache.level}, {threads} threads"))
                    rate = sum(moved for _, moved in calls) / best
                    yield BandwidthSample("dot", threads, each, rate, spread, slowing, cache.level)
                    done += 1


def _all(pool: ThreadPoolExecutor, work: Callable[..., object], *parts: Any) -> None:
    """Do the work on every part at once, and wait for all."""
    list(pool.map(work, *parts))


def _call(work: Callable[[], object]) -> object:
    return work()


def _dots(each: int) -> tuple[Callable[[], object], int]:
    """Return a call that reads two vectors of ``each`` bytes over and over, and the bytes that it reads.

    numpy lets other threads run only in calls of more than 500 products, so that long vectors are cut.
    """
    from numpy.lib.stride_tricks import as_strided

    n = min(each, _PIECE) // 4
    pieces = max(1, each // (4 * n))
    times = max(1, _CALL // (8 * n * pieces))
    x, y = np.ones(n * pieces, np.float32), np.ones(n * pieces, np.float32)
    rows = as_strided(x, (times, pieces, 1, n), (0, 4 * n, 4 * n, 4))
    columns = as_strided(y, (times, pieces, n, 1), (0, 4 * n, 4, 4))
    out = np.empty((times, pieces, 1, 1), np.float32)
    return lambda: np.matmul(rows, columns, out=out), times * pieces * 8 * n


def _one_thread() -> Any:
    """Let each of our own threads do its dot products alone."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    return threadpool_limits(limits=1, user_api="blas")


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
