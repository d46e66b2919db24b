"""The performance equation, its inverse, and the ceiling that the roofline puts on efficiency.

The equation has the shape of the processor performance equation (Hennessy and Patterson, Computer Architecture: A
Quantitative Approach, chapter 1): work x clock period x CPI. Efficiency is its CPI, upside down.

All arguments are SI floats or arrays that broadcast; nothing is validated here (the shell above does that).
"""

from __future__ import annotations

from typing import Any

from mlsysim.physics.elementwise import Real, maximum, minimum


def step_time(flops: Real, peak: Real, efficiency: Real) -> Any:
    """Time = FLOPs / (Peak x eta).

    Parameters
    ----------
    flops
        Work [FLOP], >= 0.
    peak
        Peak rate of the hardware at the precision used [FLOP/s], > 0.
    efficiency
        eta, achieved / peak [1], in (0, 1].

    Returns
    -------
    Time [s].
    """
    return flops / (peak * efficiency)


def fit_efficiency(flops: Real, peak: Real, time_s: Real) -> Any:
    """Return the eta [1] that makes :func:`step_time` give ``time_s`` [s]; its inverse in ``efficiency``."""
    return flops / (peak * time_s)


def fit_overhead(floor_1: Real, time_1: Real, floor_2: Real, time_2: Real) -> tuple[Any, Any]:
    """Return the attainment [1] and fixed overhead [s] that two steps of the same software share.

    Solves time = floor / attainment + overhead for two step sizes, floors and times in s. Where the larger step is
    more than proportionally slower there is no fixed part: the overhead is 0 and the attainment that of the first.
    Where it is hardly slower at all, the attainment is 1: nothing is faster than its floor.
    Validity: ``floor_2`` > ``floor_1``, ``time_1`` >= ``floor_1``.
    """
    slope = maximum((time_2 - time_1) / (floor_2 - floor_1), 1.0)
    overhead = maximum(time_1 - slope * floor_1, 0.0)
    return floor_1 / (time_1 - overhead), overhead


def arithmetic_intensity(flops: Real, traffic: Real) -> Any:
    """Return FLOPs per byte moved [FLOP/B] (Williams, Waterman, Patterson, CACM 52(4), 2009)."""
    return flops / traffic


def ridge_point(peak: Real, bandwidth: Real) -> Any:
    """Return the intensity [FLOP/B] at which a device turns from memory-bound to compute-bound (ibid.)."""
    return peak / bandwidth


def compute_time(flops: Real, peak: Real) -> Any:
    """Return the least time [s] that arithmetic alone needs."""
    return flops / peak


def memory_time(traffic: Real, bandwidth: Real) -> Any:
    """Return the least time [s] that moving ``traffic`` [B] at ``bandwidth`` [B/s] needs."""
    return traffic / bandwidth


def time_bounds(compute_s: Real, memory_s: Real) -> tuple[Any, Any]:
    """Return the least and the most time [s] of a kernel that overlaps arithmetic and memory fully, or not at all.

    max(compute, memory) <= t <= compute + memory for perfect kernels; software only adds to it.
    """
    return maximum(compute_s, memory_s), compute_s + memory_s


def efficiency_ceiling(compute_s: Real, memory_s: Real) -> Any:
    """Return the highest eta that physics allows [1]: min(1, intensity x bandwidth / peak).

    Written in times, with which it is the same: compute / max(compute, memory), in (0, 1].
    Validity: ``compute_s`` > 0.
    """
    return minimum(1.0, compute_s / maximum(compute_s, memory_s))


def attainment(efficiency: Real, ceiling: Real) -> Any:
    """Return the share of the ceiling that software achieves, eta / eta_ceiling [1]."""
    return efficiency / ceiling


def compulsory_traffic(resident: Real, streamed: Real, cache: Real) -> Any:
    """Return the bytes that must cross the memory bus in one step [B].

    Parameters
    ----------
    resident
        Bytes that every step reads again, weights and KV cache [B]: what fits in the last-level cache may stay there.
    streamed
        Bytes of activations that no cache of this size can hold [B]; see :func:`spilled`.
    cache
        Last-level cache [B]; 0 where unknown.
    """
    return maximum(resident - cache, 0.0) + streamed


def spilled(working_set: Real, cache: Real) -> Any:
    """Return the part of one operator's inputs and outputs [B] that exceeds the cache [B] and must reach memory."""
    return maximum(working_set - cache, 0.0)
