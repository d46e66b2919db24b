"""What a program counts of its own rate, held against the eta that is from its times."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mlsysim.calibration.calibrate import calibrate
from mlsysim.calibration.calibration import Calibration
from mlsysim.calibration.logs import Reading
from mlsysim.errors import Cause, ImpossibleMeasurement
from mlsysim.results import Note
from mlsysim.scenario import Scenario
from mlsysim.units import si

APART = 1.5
"""Factor from which two rates of one run differ by more than by what is counted as a FLOP."""
_NEAR = 0.1
"""Share by which a whole number may be missed and still be meant: conventions differ by as much."""


def calibrated(reading: Reading, scenario: Callable[[], Scenario], asked: Mapping[str, Any]) -> Calibration:
    """Calibrate what ``asked`` holds, and tell what the program counted itself beside the reading.

    ``scenario`` gives what is asked about where the measurement is refused.

    Raises
    ------
    UsageError
        As :func:`calibrate`; of an impossible measurement with the number of devices that would agree with the count.
    """
    devices = int(asked.get("devices") or 1)
    try:
        found = calibrate(**asked)
    except ImpossibleMeasurement as problem:
        if reading.own is None or reading.per_device or asked["model"] is None:
            raise
        roof = scenario()
        cause = _cause_of_excess(reading, problem.efficiency, roof.roofline(roof.work()).peak_flops / devices, devices)
        others = (c for c in problem.causes if not cause or c.code != cause[0].code)
        raise ImpossibleMeasurement(problem.efficiency, problem.limit, (*cause, *others)) from None
    if reading.own is None:
        return found
    peak = found.peak_flops / devices
    own, here = _own(reading, peak), found.efficiency.value * peak
    message = f"{_told(reading, own)}; eta times the peak of one device is {si(here, 'FLOP/s')}"
    if max(own / here, here / own) > APART:
        message += f": likely {_why_apart(reading, found, devices, own / here)}"
    return replace(found, notes=(*found.notes, Note("own-count-of-flops", message)))


def _own(reading: Reading, peak: float) -> float:
    """Return the program's own rate of one device [FLOP/s]."""
    assert reading.own is not None
    if reading.own.quantity == "achieved_flops":
        return reading.own.value
    return reading.own.value * (reading.own.of[1] if reading.own.of else peak)


def _told(reading: Reading, own: float) -> str:
    assert reading.own is not None
    program, quantity, value, of = reading.own
    rate = si(own, "FLOP/s")
    if quantity == "achieved_flops":
        return f"{program} itself counts {rate} a device"
    whose = f"{of[0]}'s {si(of[1], 'FLOP/s')} whatever the device" if of else "the peak of the device"
    return f"{program} itself counts an MFU of {value:.1%}, of {whose}: {rate} a device"


def _why_apart(reading: Reading, found: Calibration, devices: int, more: float) -> str:
    """Return why the program's own rate may be ``more`` times that of eta."""
    unsaid = found.scenario is not None and "batch_size" in found.scenario.defaults
    if unsaid and reading.quantity == "time_s" and (batch := _whole(more)):
        return f"another batch, of which nobody says (about {batch} sequences a step would make them agree)"
    if not reading.per_device and (fitting := _whole(devices / more)):
        return f"another number of devices ({fitting} would make them agree, not {devices}), else another convention"
    return "another convention, another model or another precision"


def _cause_of_excess(reading: Reading, efficiency: float, peak: float, devices: int) -> tuple[Cause, ...]:
    """Return the number of devices with which an impossible eta and the program's own count agree."""
    own = _own(reading, peak)
    fitting = _whole(devices * efficiency * peak / own)
    if fitting <= devices:
        return ()
    message = f"another number of devices, {fitting} and not {devices}: {_told(reading, own)}"
    return (Cause("devices", message, efficiency * devices / fitting),)


def _whole(number: float) -> int:
    """Return the whole number that is near, at least 1, or 0."""
    near = round(number)
    return near if near and math.isclose(number, near, rel_tol=_NEAR) else 0
