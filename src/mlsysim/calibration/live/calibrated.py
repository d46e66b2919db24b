"""From what was measured to a calibration: the one place where the live measurements meet it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mlsysim.calibration.calibrate import calibrate
from mlsysim.calibration.calibration import Calibration
from mlsysim.calibration.logs.log import Log, Reading
from mlsysim.calibration.steady import median_interval, steady_start
from mlsysim.results import Interval


def calibrated(log: Log, **stated: Any) -> Calibration:
    """Return the calibration of the longest series of a log; what is stated goes before what the log says.

    Raises
    ------
    UsageError
        As :func:`calibrate`; or too few steps for an interval.
    """
    reading = max(log.readings, key=lambda r: len(r.values))
    said = {"model": log.model, "hardware": log.hardware, "phase": reading.phase, **reading.conditions}
    question = {**said, **{name: value for name, value in stated.items() if value is not None}}
    value = steady(reading)
    if reading.per_device:
        value = value * float(question.get("devices") or 1)
    found = calibrate(**{**{k: v for k, v in question.items() if v != ""}, reading.quantity: value})
    return replace(found, notes=(*found.notes, *log.notes))


def steady(reading: Reading) -> Interval:
    """Return the median of the steady steps of a series with its 90 % interval, pauses set apart."""
    if not reading.steps:
        return Interval(reading.values[0], min(reading.values), max(reading.values))
    kept = [value for i, value in enumerate(reading.values) if i > 0 and i not in reading.pauses]
    times = kept if reading.quantity == "time_s" else [1.0 / value for value in kept]
    middle = median_interval(times[steady_start(times) :])
    return middle if reading.quantity == "time_s" else middle.reciprocal(1.0)
