"""What of the time of a kernel is at the ceiling, what its bytes take beyond that, and what its launch leaves empty.

All of it is worked out from how the kernel was launched and from the operator that it runs; what remains is booked
under what the kernel is. The parts of a kernel are whole nanoseconds and sum to its time.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from mlsysim.errors import ImpossibleMeasurement
from mlsysim.physics.occupancy import resident_blocks, tile_loss, warp_loss, wave_loss
from mlsysim.timeline.activity import BOOKED, MATH, Activity, Booking
from mlsysim.timeline.operators import NOTHING, Cost, cost
from mlsysim.timeline.paint import summed
from mlsysim.timeline.spans import Integers, Spans
from mlsysim.timeline.trace import Accelerator, Launch, Operator, Trace

if TYPE_CHECKING:
    from mlsysim.timeline.account import Question

_TILE = re.compile(r"(?<![0-9])(\d{2,3})x(\d{2,3})(?:x\d{1,3})?(?![0-9])")
_TF32 = re.compile("tf32|s1688gemm", re.IGNORECASE)
_TILES = (16, 512)
"""Sizes that a tile of a matrix product may have."""


class Losses(NamedTuple):
    """Shares of a kernel's time, each in [0, 1): padding of tiles, the last wave, too few warps."""

    tiles: float
    waves: float
    warps: float


@cache
def losses(name: str, launch: Launch | None, activity: int, cost: Cost, on: Accelerator, bandwidth: float) -> Losses:
    """Return what a kernel loses by its shape: tiles of a product, waves, and warps of what streams through memory.

    A matrix product hides latency by its tiles, with few warps: too few warps are told of other kernels only.
    ``bandwidth`` in B/s, 0 where it is not known.
    """
    tile = _TILE.search(name) if cost.rows and activity in MATH else None
    sizes = (int(tile[1]), int(tile[2])) if tile else (0, 0)
    tiles = 0.0
    if all(_TILES[0] <= size <= _TILES[1] for size in sizes):
        tiles = min(tile_loss(cost.rows, cost.columns, *side) for side in (sizes, sizes[::-1]))
    if launch is None or not launch.blocks or not on.multiprocessors:
        return Losses(tiles, 0.0, 0.0)
    resident = launch.resident or resident_blocks(
        launch.threads,
        launch.registers,
        launch.shared_bytes,
        of_threads=on.threads,
        of_registers=on.registers,
        of_shared=on.shared_bytes,
    )
    waves = wave_loss(launch.blocks, on.multiprocessors, resident)
    here = min(resident, max(1.0, launch.blocks / on.multiprocessors))
    warps = warp_loss(here * launch.threads / on.warp, on.multiprocessors, bandwidth, on.warp)
    return Losses(tiles, waves, 0.0 if activity in MATH else warps)


def precision_of(cost: Cost, name: str) -> str:
    """Return the precision that a kernel computes in: that of its operands, or tf32 where its name says so."""
    return "tf32" if cost.precision == "fp32" and _TF32.search(name) else cost.precision


AT_CEILING = Booking("compute", "at the ceiling", "derived")
UNKNOWN_CEILING = Booking("compute", "matrix products, ceiling not known")
UNKNOWN_SIZE = Booking("unattributed", "matrix products of unknown size", "unattributed")
OPERANDS = Booking("memory_bound", "operands of products", "derived")
TILES, WAVES, WARPS = (Booking("occupancy", part, "derived") for part in ("tiles", "waves", "warps"))


class Kernels(NamedTuple):
    """The time that spans have of their own, by step: the step, the place among the spans, and ns, in columns."""

    step: npt.NDArray[np.int64]
    which: npt.NDArray[np.int64]
    own: Integers


class Split(NamedTuple):
    """What is known of the FLOPs of kernels.

    ``flops`` are those of each step, ``counted`` those that sizes of operands tell; ``told`` is the share of the time
    of products of which they tell it, ``beyond`` by which share of that time they exceed what the peak allows;
    ``without_peak`` holds the precisions of operands in which the device has none.
    """

    flops: list[float]
    counted: float
    told: float
    beyond: float
    without_peak: frozenset[str]


class _Known(NamedTuple):
    """What is known of each of some kernels, in columns: least times [ns], FLOPs, and shares lost."""

    compute: npt.NDArray[np.float64]
    memory: npt.NDArray[np.float64]
    flops: npt.NDArray[np.float64]
    tiles: npt.NDArray[np.float64]
    waves: npt.NDArray[np.float64]
    warps: npt.NDArray[np.float64]


def split(kernels: Kernels, spans: Spans, times: list[Counter[Booking]], question: Question, trace: Trace) -> Split:
    """Book the time of kernels; return what is known of their FLOPs.

    Raises
    ------
    ImpossibleMeasurement
        The FLOPs that are given take longer at the peak than anything was computed, in all steps together.
    """
    known, without_peak = _known(kernels, spans, question, trace)
    kinds = spans.activity[kernels.which].astype(np.int64)
    math = np.isin(kinds, [*map(int, MATH)])
    whole = _given(kernels, question, len(times))
    ideal = whole is not None or bool((known.compute[math] > 0).any())
    flops = []
    bounds = np.searchsorted(kernels.step, np.arange(len(times) + 1))
    for at, booked in enumerate(times):
        here = slice(bounds[at], bounds[at + 1])
        own, products = kernels.own[here], math[here]
        columns = _Known(*(column[here] for column in known))
        if whole is None:
            ceiling = np.minimum(own, columns.compute).astype(np.int64)
            flops.append(float(columns.flops.sum()))
            sized = products & (columns.compute > 0)
        else:
            ceiling = _shared(min(whole, int(own.sum())), own, products, columns.compute)
            flops.append(question.flops or 0.0)
            sized = products
        rest = _book(booked, own, ceiling, columns, sized)
        unsized = (kinds[here] == Activity.MATRIX) & ~(sized & ideal)
        booked[UNKNOWN_SIZE if ideal else UNKNOWN_CEILING] += int(rest[unsized].sum())
        for kind, ns in zip(*summed(kinds[here][~unsized], rest[~unsized]), strict=True):
            booked[BOOKED[Activity(int(kind))]] += int(ns)
    return Split(
        flops, float(known.flops.sum()) / len(times), *_shares(kernels, known, math, whole is not None), without_peak
    )


def _given(kernels: Kernels, question: Question, steps: int) -> int | None:
    """Return how long the FLOPs of a step that are given take at the peak [ns]; None where none are."""
    if question.flops is None or question.hardware is None:
        return None
    whole = round(question.flops / question.hardware.peak(question.precision).value * 1e9)
    computed = int(kernels.own.sum())
    if whole * steps > computed:
        raise ImpossibleMeasurement(whole * steps / max(computed, 1), 1.0, ())
    return whole


def _shares(kernels: Kernels, known: _Known, math: npt.NDArray[np.bool_], given: bool) -> tuple[float, float]:
    """Return of the time of products the share whose FLOPs are known, and by how much these exceed the peak."""
    own = kernels.own[math]
    time = max(int(own.sum()), 1)
    told = int(own[known.flops[math] > 0].sum())
    return told / time, 0.0 if given else float(np.maximum(known.compute[math] - own, 0.0).sum()) / time


def _book(
    booked: Counter[Booking], own: Integers, ceiling: Integers, known: _Known, sized: npt.NDArray[np.bool_]
) -> Integers:
    """Book what kernels take at the ceiling, for their bytes and for their shape; return what is left of each [ns]."""
    rest = own - ceiling
    booked[AT_CEILING] += int(ceiling.sum())
    for booking, wanted in (
        (OPERANDS, np.where(sized, known.memory - ceiling, 0.0)),
        (TILES, known.tiles * own),
        (WAVES, known.waves * own),
        (WARPS, known.warps * own),
    ):
        part = np.clip(wanted, 0, rest).astype(np.int64)
        booked[booking] += int(part.sum())
        rest = rest - part
    return rest


def _known(kernels: Kernels, spans: Spans, question: Question, trace: Trace) -> tuple[_Known, frozenset[str]]:
    """Return what is known of kernels, and the precisions without a peak.

    Each combination of name, launch and operator is looked at once.
    """
    which = kernels.which
    columns = np.stack([spans.name[which], spans.shape[which], spans.work[which], spans.activity[which]])
    different, at = np.unique(columns, axis=1, return_inverse=True)
    device = question.hardware
    bandwidth = device.bandwidth.value if device and device.bandwidth else 0.0
    rows, without_peak = [], set()
    for name, shape, work, kind in different.T:
        operator = spans.works[work]
        done = cost(operator) if isinstance(operator, Operator) else NOTHING
        lost = losses(spans.names[name], spans.shapes[shape], int(kind), done, trace.accelerator, bandwidth)
        precision = precision_of(done, spans.names[name]) or question.precision
        peak = device.peak(precision).value if device and precision and device.supports(precision) else 0.0
        if done.flops and device and not peak:
            without_peak.add(precision or "an unknown precision")
        compute = done.flops / peak * 1e9 if peak else 0.0
        memory = done.traffic_bytes / bandwidth * 1e9 if bandwidth else 0.0
        rows.append((compute, memory, done.flops, *lost))
    table = np.array(rows, float).reshape(-1, 6)[at.ravel()]
    return _Known(*table.T), frozenset(without_peak)


def _shared(whole: int, own: Integers, products: npt.NDArray[np.bool_], compute: npt.NDArray[np.float64]) -> Integers:
    """Return what of each kernel is at the ceiling where that of the step is given [ns], at most all of them.

    It is shared out by what the operators say, where they say it of all products, else by time; what does not fit goes
    to products that have room, then to all that computes.
    """
    told = bool((compute[products] > 0).all())
    found = np.zeros(len(own), np.int64)
    for wanted in (np.where(products, compute if told else own, 0.0), np.where(products, own - found, 0), own - found):
        left = whole - int(found.sum())
        room = np.minimum(wanted * left / wanted.sum(), own - found) if left and wanted.sum() > 0 else 0.0
        found = found + np.floor(room).astype(np.int64)
    some = np.flatnonzero(own - found > 0)[: whole - int(found.sum())]
    found[some] += 1
    return found
