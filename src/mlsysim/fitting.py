"""What would make a workload fit: the smallest change of each kind that does."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache

from mlsysim.hardware import Hardware
from mlsysim.results import Memory, bytes_missing
from mlsysim.scenario import Scenario
from mlsysim.units import si
from mlsysim.workload import bytes_needed


def remedies(scenario: Scenario, held: Memory) -> tuple[str, ...]:
    """Return the smallest changes, one of each kind, after which ``scenario`` fits; empty if it fits as it is.

    ``held`` is ``scenario.memory()``, which the caller has already.
    """
    return () if held.fits else tuple(_changes(scenario, held))


def _changes(s: Scenario, held: Memory) -> Iterator[str]:
    total, weights = held.total, held.needed["weights"]
    count = math.ceil(s.devices * total / held.capacity)
    if s.hardware.kind != "mcu":
        yield f"devices: {count} x {s.hardware.name} ({si(held.capacity / s.devices * count, 'B')} in all)"
    for precision in s.hardware.narrower(s.precision):
        if _missing(s, held, precision) <= 0:
            yield f"precision: {precision}"
            break
    for field in ("batch_size", "seq_len", "context"):
        largest = _largest(s, held, field)
        if largest:
            yield f"{field}: {largest}"
    able, most_flash = _devices(s.hardware.kind, s.precision)
    for size, flash, name in able[
        bisect_left(able, (total / s.devices - most_flash,)) :
    ]:  # smaller ones cannot hold it
        if bytes_missing(total, weights, s.devices * size, s.devices * flash) <= 0:
            yield (
                f"hardware: {name} ({si(size, 'B')})"
                if s.devices == 1
                else f"hardware: {s.devices} x {name} ({si(size, 'B')} each)"
            )
            break


def _missing(s: Scenario, held: Memory, precision: str = "", **lengths: int) -> float:
    """Return the bytes for which there would be no room with another precision, batch size or length."""
    sizes = {"batch_size": s.at_once().batch_size, "seq_len": s.seq_len or 1, "context": s.context or 0, **lengths}
    needed = bytes_needed(s.model, s.phase, precision or s.precision, modifiers=s.modifiers, **sizes)
    return float(Memory(needed, held.capacity, held.flash).missing)


def _largest(s: Scenario, held: Memory, field: str) -> int:
    """Return the largest value of a field that fits, 0 if none does or the field is not used.

    Memory is a straight line in each field but for sliding windows, so that one guess from two points is mostly right.
    """
    current = getattr(s.at_once(), field)
    if not current or current == 1:
        return 0

    def missing(value: int) -> float:
        return _missing(s, held, "", **{field: value})

    at_low = missing(1)
    if at_low > 0:
        return 0
    low, high = 1, current
    guess = low + int((high - low) * at_low / (at_low - held.missing))
    for value in (guess, guess + 1, guess - 1):
        if low < value < high:
            low, high = (value, high) if missing(value) <= 0 else (low, value)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if missing(middle) <= 0 else (low, middle)
    return int(low)


@cache
def _devices(kind: str, precision: str) -> tuple[tuple[tuple[float, float, str], ...], float]:
    """Return the devices of a kind with a peak for a precision, smallest first, and the most flash of any [B].

    A device is its memory [B], flash [B] and name.
    """
    able = (d for name in Hardware if Hardware.row(name)["kind"] == kind and (d := Hardware[name]).supports(precision))
    found = sorted((d.memory.value, d.flash.value if d.flash else 0.0, d.name) for d in able if d.memory)
    return tuple(found), max((flash for _, flash, _ in found), default=0.0)
