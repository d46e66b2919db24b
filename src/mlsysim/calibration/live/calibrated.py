"""From what was measured to a calibration: the one place where the live measurements meet it."""

from __future__ import annotations

from typing import Any

from mlsysim.calibration.calibration import Calibration
from mlsysim.calibration.from_log import calibrate_log
from mlsysim.calibration.logs.log import Log, Reading
from mlsysim.calibration.steady import steady_state
from mlsysim.results import Interval


def calibrated(log: Log, **stated: Any) -> Calibration:
    """Return the calibration of the longest series of a log; what is stated goes before what the log says.

    Raises
    ------
    UsageError
        As :func:`calibrate_log`.
    """
    return calibrate_log(log, **stated).main


def steady(reading: Reading) -> Interval:
    """Return the median of the steady steps of a series with its 90 % interval, pauses set apart."""
    if not reading.steps:
        return Interval(reading.values[0], min(reading.values), max(reading.values))
    inverse = reading.quantity != "time_s"
    found = steady_state([1.0 / v for v in reading.values] if inverse else reading.values, reading.pauses).step_s
    return found.reciprocal(1.0) if inverse else found
