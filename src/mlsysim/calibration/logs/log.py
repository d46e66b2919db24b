"""What a log holds, in whatever format it was written: readings of one run at one or several operating points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from mlsysim.results import Note
from mlsysim.setup import UNKNOWN, Setup

NOTHING: Mapping[Any, Any] = MappingProxyType({})


class LeftOut(NamedTuple):
    """A part of a log that is not used: its first line (0: the file as a whole), and why."""

    line: int
    reason: str


class Own(NamedTuple):
    """What a program says of its own rate, by its own count of FLOPs: the median over steps.

    ``quantity`` is ``achieved_flops`` (FLOP/s of one device) or ``efficiency`` (an MFU, 0 to 1); ``of`` whose peak
    an MFU is of whatever the device, and that peak [FLOP/s]; None where it is the device's own.
    """

    program: str
    quantity: str
    value: float
    of: tuple[str, float] | None = None


class Reading(NamedTuple):
    """What was measured at one operating point.

    ``phase`` is empty where the log does not say. ``quantity`` is ``time_s`` (seconds a step), ``throughput`` (tokens
    or samples a second of all devices, or of one where ``per_device``), ``efficiency`` (an MFU, 0 to 1) or
    ``achieved_flops`` (FLOP/s, by the log's own count; of one device where ``per_device``). ``unit`` of a throughput
    is ``tokens/s`` or ``samples/s`` (of a language model: sequences), empty where the log does not say.
    ``values`` are in SI: one a step in the order of time where ``steps``, else a summary or repeats of it.
    ``conditions`` are what the log says of the question, by the names of :meth:`Engine.solve` (``batch_size``,
    ``seq_len``, ``context``, ``precision``, ``devices``, ``recompute``), and ``convention`` of an MFU. ``lines`` are
    where the values stand, ``pauses`` what the log says happened in a step, by index (``checkpoint``,
    ``evaluation``). ``label`` tells one point of a log from another, for people. ``tokens`` are those of a step where
    the log says them and not of how many sequences, else 0. ``own`` is the rate that the program counts itself, beside
    the values.
    """

    phase: str
    quantity: str
    values: Sequence[float]
    conditions: Mapping[str, Any] = NOTHING
    steps: bool = False
    per_device: bool = False
    lines: Sequence[int] = ()
    pauses: Mapping[int, str] = NOTHING
    label: str = ""
    unit: str = ""
    tokens: int = 0
    own: Own | None = None


class Log(NamedTuple):
    """The readings of one file or several, and what the file says of the run; empty where it says nothing."""

    format: str
    readings: tuple[Reading, ...]
    model: str = ""
    hardware: str = ""
    setup: Setup = UNKNOWN
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[Note, ...] = ()


def merged(readings: Iterable[Reading]) -> tuple[Reading, ...]:
    """Return the readings with summaries of the same operating point as repeats of one; series stay as they are."""
    points: dict[tuple[object, ...], list[Reading]] = {}
    for number, r in enumerate(readings):
        series = number if r.steps else None
        key = (series, r.phase, r.quantity, r.unit, r.per_device, r.label, *sorted(r.conditions.items()))
        points.setdefault(key, []).append(r)
    return tuple(
        same[0]._replace(
            values=tuple(value for r in same for value in r.values), lines=tuple(line for r in same for line in r.lines)
        )
        if len(same) > 1
        else same[0]
        for same in points.values()
    )
