"""How a grid of blocks fills the multiprocessors of a GPU, and what of the time that leaves empty."""

from __future__ import annotations

from math import ceil

LATENCY_S = 600e-9
"""Time from a load to its data under load on data-centre GPUs [s], recalled: 500 to 800 ns are measured."""
BYTES_A_THREAD = 16
"""Bytes that a thread of a streaming kernel has under way: one vector load of four floats."""


def resident_blocks(
    threads: int, registers: int, shared_bytes: float, *, of_threads: int, of_registers: int, of_shared: float
) -> int:
    """Return how many blocks a multiprocessor holds at once: what runs out first of threads, registers and memory.

    ``threads`` in a block, ``registers`` of a thread, ``shared_bytes`` of a block; ``of_`` what a multiprocessor has,
    0 where that is not known. Registers are given out to a warp of 32 threads in units of 256, as since Kepler (CUDA
    C++ Programming Guide, compute capabilities, recalled). At least 1, since the kernel ran.
    """
    limits = []
    if of_threads and threads:
        limits.append(of_threads // threads)
    if of_registers and registers and threads:
        warps = ceil(threads / 32)
        limits.append(of_registers // (warps * ceil(registers * 32 / 256) * 256))
    if of_shared and shared_bytes:
        limits.append(int(of_shared // shared_bytes))
    return max(1, min(limits)) if limits else 1


def wave_loss(blocks: int, multiprocessors: int, resident: int) -> float:
    """Return the share of a kernel's time that its last wave leaves empty, in [0, 1).

    Blocks take as long as each other. A grid smaller than the device leaves multiprocessors idle; one that fits into a
    single wave is as slow as the multiprocessor with most blocks; a larger one takes whole waves.
    """
    if blocks <= 0 or multiprocessors <= 0:
        return 0.0
    at_once = multiprocessors * max(resident, 1)
    unit = multiprocessors if blocks <= at_once else at_once
    waves = blocks / unit
    return 1.0 - waves / ceil(waves)


def tile_loss(rows: int, columns: int, tile_rows: int, tile_columns: int) -> float:
    """Return the share of a matrix product's work that falls on the padding of its outermost tiles, in [0, 1)."""
    whole = ceil(rows / tile_rows) * tile_rows * ceil(columns / tile_columns) * tile_columns
    return 1.0 - rows * columns / whole


def warp_loss(warps: float, multiprocessors: int, bandwidth: float, warp: int = 32) -> float:
    """Return the share of a streaming kernel's time lost because too few warps are resident, in [0, 1).

    By Little's law, bandwidth x latency bytes must be under way; ``warps`` resident on a multiprocessor have
    :data:`BYTES_A_THREAD` each thread. ``bandwidth`` in B/s.
    """
    if warps <= 0 or multiprocessors <= 0 or bandwidth <= 0:
        return 0.0
    needed = bandwidth * LATENCY_S / (multiprocessors * warp * BYTES_A_THREAD)
    return max(0.0, 1.0 - warps / needed)
