"""First light: measure this machine, run a real network on it, turn the run into eta, and ask what changes.

The whole path of the package in one go, checked at its end: a batch size that the calibration has not seen is
predicted, measured, and both are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from mlsysim.calibration import Calibration, calibrate
from mlsysim.calibration.live.attained import not_below
from mlsysim.calibration.live.onnx import Measurement, measure_alternating
from mlsysim.engine import Engine
from mlsysim.hardware import Hardware, HardwareSpec
from mlsysim.hardware.probe import Probe, Progress, probe
from mlsysim.models import NetworkSpec
from mlsysim.models.importers.onnx_file import load_onnx
from mlsysim.physics import performance
from mlsysim.results import Interval, Result
from mlsysim.scenario import Scenario

PRECISION = "fp32"
CALIBRATED = (1, 2)
"""Batch sizes that the calibration is made from."""
CHECKED = 4
"""The batch size that is predicted, and then measured."""
LARGER = 32
"""The batch size of the first what-if."""
ELSEWHERE = ("a100", "h100", "b200", "l4", "raspberry-pi-5")


class Check(NamedTuple):
    """A prediction against its measurement [s]."""

    batch: int
    predicted: Interval
    measured: Interval

    @property
    def error(self) -> float:
        """Return predicted / measured - 1 [1]."""
        return self.predicted.value / self.measured.value - 1

    @property
    def held(self) -> bool:
        """Return whether the measured median lies in the predicted interval."""
        return self.predicted.low <= self.measured.value <= self.predicted.high


@dataclass(frozen=True, slots=True)
class FirstLight:
    """All that was measured and answered; ``what_if`` pairs a question in words with its result."""

    probe: Probe
    model: NetworkSpec
    runs: Mapping[int, Measurement]
    calibration: Calibration
    home: Result
    what_if: Sequence[tuple[str, Result]]
    check: Check

    def intensity(self, batch: int) -> float:
        """Return the FLOPs per byte of weights, inputs and outputs of all operators at a batch size [FLOP/B]."""
        work = Scenario.of(self.model, self.hardware, batch_size=batch, precision=PRECISION).work()
        return float(performance.arithmetic_intensity(work.flops, work.weight_bytes + work.activation_bytes))

    @property
    def hardware(self) -> HardwareSpec:
        """Return this machine as measured."""
        return self.probe.hardware


def first_light(
    path: Path, shapes: Mapping[str, Sequence[int]], *, sample: str, seconds: float, progress: Progress
) -> FirstLight:
    """Measure this machine and a network on it; calibrate, ask, and check.

    Parameters
    ----------
    path
        An ONNX file.
    shapes
        The shape of one sample of each input with free dimensions.
    sample
        What the network takes one of.
    seconds
        Time for all measurements together [s].
    progress
        Called with a label and the share of its part that is over, 0 to 1.

    Raises
    ------
    UsageError
        The file, or a library, is missing or cannot be used.
    """
    model = load_onnx(path, shapes=shapes, sample=sample)
    machine = probe(seconds=0.35 * seconds, progress=progress)
    runs = measure_alternating(path, (*CALIBRATED, CHECKED), shapes=shapes, seconds=0.6 * seconds, progress=progress)
    machine = _not_below_what_was_reached(machine, model, runs)
    calibration = calibrate_two(model, machine.hardware, runs)
    home = _ask(model, machine.hardware, 1, calibration)
    check = Check(CHECKED, _ask(model, machine.hardware, CHECKED, calibration).time_s, runs[CHECKED].step_s)
    return FirstLight(machine, model, runs, calibration, home, what_if(model, machine.hardware, calibration), check)


def calibrate_two(model: NetworkSpec, here: HardwareSpec, runs: Mapping[int, Measurement]) -> Calibration:
    """Return the calibration that two batch sizes give: eta at the first, and the fixed part of a step."""
    small, large = CALIBRATED
    floors = [Scenario.of(model, here, batch_size=b, precision=PRECISION) for b in CALIBRATED]
    floor_small, floor_large = (s.roofline(s.work()).floor_s for s in floors)
    _, overhead = performance.fit_overhead(floor_small, runs[small].step_s.value, floor_large, runs[large].step_s.value)
    return calibrate(
        model=model,
        hardware=here,
        batch_size=small,
        precision=PRECISION,
        time_s=runs[small].step_s,
        overhead_s=overhead,
    )


def what_if(model: NetworkSpec, here: HardwareSpec, calibration: Calibration) -> list[tuple[str, Result]]:
    """Return the counterfactuals: a larger batch here, and the same network elsewhere in its 16-bit format."""
    asked = [(f"batch 1 → {LARGER}, this machine", _ask(model, here, LARGER, calibration))]
    for name in ELSEWHERE:
        device = Hardware[name]
        precision = device.default_precision if device.kind == "gpu" else PRECISION
        result = Engine.solve(model, device, batch_size=1, precision=precision, efficiency=calibration)
        asked.append((f"{device.name}, batch 1, {precision}", result))
    return asked


def _ask(model: NetworkSpec, here: HardwareSpec, batch: int, calibration: Calibration) -> Result:
    return Engine.solve(model, here, batch_size=batch, precision=PRECISION, efficiency=calibration)


def _not_below_what_was_reached(machine: Probe, model: NetworkSpec, runs: Mapping[int, Measurement]) -> Probe:
    """Return the machine with what the network itself reached, where no probe was as fast."""
    here, notes = not_below(machine.hardware, model, {b: run.step_s for b, run in runs.items()}, PRECISION)
    return replace(machine, hardware=here, notes=(*machine.notes, *notes)) if notes else machine
