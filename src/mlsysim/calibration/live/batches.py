"""An ONNX network measured on this machine at several batch sizes, each turned into eta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlsysim.calibration.calibrate import calibrate
from mlsysim.calibration.calibration import Calibration
from mlsysim.calibration.live.attained import not_below
from mlsysim.calibration.live.onnx import Measurement, measure_alternating
from mlsysim.errors import InvalidValue
from mlsysim.hardware import HardwareSpec
from mlsysim.hardware.probe import Probe, Progress, probe
from mlsysim.models import NetworkSpec
from mlsysim.models.importers.onnx_file import load_onnx
from mlsysim.precision import parse_precision
from mlsysim.scenario import hardware_of
from mlsysim.units import positive, whole

PRECISION = "fp32"
"""What onnxruntime computes in on a processor unless the network is quantized."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A network, the machine, and by batch size what was timed and the eta that follows.

    ``probed`` is what this machine was found to be, where no hardware was named.
    """

    model: NetworkSpec
    hardware: HardwareSpec
    precision: str
    runs: Mapping[int, Measurement]
    calibrations: Mapping[int, Calibration]
    notes: tuple[str, ...]
    probed: Probe | None = None

    def rows(self) -> list[dict[str, Any]]:
        """Return one batch size a row as plain data, ready for JSON."""
        return [
            {
                "batch_size": batch,
                "steps": len(run.times_s),
                "dropped": run.dropped._asdict(),
                "time_s": run.step_s._asdict(),
                **self.calibrations[batch].to_dict(),
            }
            for batch, run in self.runs.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything measured as plain data, ready for JSON."""
        first = next(iter(self.runs.values()))
        return {
            "model": self.model.name,
            "hardware": self.hardware.to_dict(),
            "precision": self.precision,
            "threads": first.threads,
            "library": first.library,
            "shapes": {name: list(shape) for name, shape in first.shapes.items()},
            "measurements": self.rows(),
            "notes": list(self.notes),
        }


def measure_batches(
    path: Path,
    batches: Sequence[object] = (1,),
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    seconds: object = 10.0,
    threads: int | None = None,
    precision: str | None = None,
    hardware: HardwareSpec | str | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Time an ONNX network with onnxruntime at several batch sizes in turn, and calibrate each.

    Parameters
    ----------
    path, shapes, threads, progress
        As for :func:`mlsysim.calibration.live.onnx.measure_onnx`.
    batches
        Samples a step.
    seconds
        How long to measure [s], and as long again for this machine where no hardware is named.
    precision
        What the network computes in; ``fp32`` if not given.
    hardware
        What it runs on, a name or a spec; if not given, this machine is probed.

    Raises
    ------
    UsageError
        The file or a library is missing or cannot be used, or an argument breaks its rule.
    ImpossibleMeasurement
        A network faster than the named hardware allows.
    """
    sizes = [whole(batch, "batch") for batch in dict.fromkeys(batches)]
    if not sizes:
        raise InvalidValue("batch", "at least one batch size", "")
    budget = positive(seconds, "seconds")
    chosen = parse_precision(precision) if precision else PRECISION
    model = load_onnx(path, shapes=shapes)
    named = None if hardware is None else hardware_of(hardware)
    if named is not None:
        if named.kind != "cpu":
            hint = "it is left out to probe this machine"
            raise InvalidValue("hardware", "a processor, which is what onnxruntime runs on here", named.name, hint)
        named.peak(chosen)
    found = None if named is not None else probe(seconds=budget, progress=progress)
    here = named or (found.hardware if found else None)
    assert here is not None
    here.peak(chosen)
    runs = measure_alternating(path, sizes, shapes=shapes, seconds=budget, threads=threads, progress=progress)
    here, notes = not_below(here, model, {batch: run.step_s for batch, run in runs.items()}, chosen)
    calibrations = {
        batch: calibrate(model=model, hardware=here, batch_size=batch, precision=chosen, time_s=run.step_s)
        for batch, run in runs.items()
    }
    return Measured(model, here, chosen, runs, calibrations, (*(found.notes if found else ()), *notes), found)
