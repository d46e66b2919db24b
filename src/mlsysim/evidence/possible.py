"""What no run can have measured: more arithmetic a second than the device has."""

from __future__ import annotations

from mlsysim.evidence.measurement import Measurement, Refused
from mlsysim.precision import roles
from mlsysim.scenario import Scenario

_SLACK = 1.02
"""Boost clocks may exceed the one that a peak is stated at, by so much at most."""


def refuse_impossible(measurement: Measurement) -> None:
    """Refuse a measurement whose eta would be above 1 at the fastest peak that its precision may use.

    Raises
    ------
    Refused
        The eta is above 1.
    """
    question = measurement.question
    if not isinstance(question, Scenario):
        return
    peak = fastest(question) * question.devices
    eta = float(question.work().flops) / (peak * measurement.seconds)
    if eta > _SLACK:
        raise Refused("eta above 1: more arithmetic than the devices have")


def fastest(scenario: Scenario) -> float:
    """Return the highest peak that arithmetic of a scenario's precision may use on its device [FLOP/s]."""
    hardware, role = scenario.hardware, roles(scenario.precision)
    found = [hardware.peak(scenario.precision).value]
    half = hardware.other_peaks.get("fp16 dense fp16-accumulate")
    if half and role.activation <= 2:
        found.append(half.value)
    if role.dequantized and "int8" in hardware.peaks:
        found.append(hardware.peaks["int8"].value)
    return max(found)
