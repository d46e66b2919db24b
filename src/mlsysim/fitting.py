"""What would make a workload fit: the smallest change of each kind that does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from mlsysim.hardware import Hardware
from mlsysim.scenario import Scenario
from mlsysim.units import si


def remedies(scenario: Scenario) -> tuple[str, ...]:
    """Return the smallest changes, one of each kind, after which ``scenario`` fits; empty if it fits as it is."""
    if scenario.memory().fits:
        return ()
    return tuple(_changes(scenario))


def _changes(s: Scenario) -> Iterator[str]:
    held = s.memory()
    count = math.ceil(s.devices * held.total / held.capacity)
    if s.hardware.kind != "mcu":
        yield f"devices: {count} x {s.hardware.name} ({si(held.capacity / s.devices * count, 'B')} in all)"
    for precision in s.hardware.narrower(s.precision):
        if s.replace(precision=precision).memory().fits:
            yield f"precision: {precision}"
            break
    for field in ("batch_size", "seq_len", "context"):
        largest = _largest(s, field)
        if largest:
            yield f"{field}: {largest}"
    larger = _larger_device(s)
    if larger:
        yield f"hardware: {larger}"


def _largest(s: Scenario, field: str) -> int:
    """Return the largest value of a field that fits, 0 if none does or the field is not used."""
    current = getattr(s, field)
    if not current:
        return 0
    fits: Callable[[int], bool] = lambda value: s.replace(**{field: value}).memory().fits  # noqa: E731
    low, high = 0, current
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return int(low)


def _larger_device(s: Scenario) -> str:
    """Return the device of the same kind with the least memory in which the scenario fits, with its memory."""
    able = [
        (device.memory.value, name)
        for name in Hardware
        if (device := Hardware[name]).memory
        and device.kind == s.hardware.kind
        and device.supports(s.precision)
        and s.replace(hardware=device).memory().fits
    ]
    if not able:
        return ""
    size, name = min(able)
    return f"{name} ({si(size, 'B')})" if s.devices == 1 else f"{s.devices} x {name} ({si(size, 'B')} each)"
