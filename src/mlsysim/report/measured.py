"""What was measured live, as tables."""

from __future__ import annotations

from mlsysim.calibration.live.batches import Measured
from mlsysim.calibration.logs.log import Reading
from mlsysim.report.answers import ends, span
from mlsysim.report.tables import Table
from mlsysim.results import Interval
from mlsysim.units import si


def batches_table(found: Measured) -> Table:
    """Return a network at several batch sizes: times, throughput, and eta beside its ceiling."""
    rows = []
    for batch, run in found.runs.items():
        c = found.calibrations[batch]
        rows.append(
            (
                f"batch {batch}",
                si(run.step_s.value, "s"),
                ends(run.step_s, "s"),
                si(c.throughput.value, c.unit),
                f"{c.efficiency.value:.3g}",
                f"{c.efficiency.low:.2g} to {c.efficiency.high:.2g}",
                f"{c.ceiling:.3g}",
                f"{c.attainment.value:.3g}",
            )
        )
    columns = ("size", "step", "90 % interval", "throughput", "eta", "its interval", "ceiling", "attainment")
    run = next(iter(found.runs.values()))
    title = f"{found.model.name} in {found.precision} on {found.hardware.title or found.hardware.name}"
    caption = f"{run.library}, {run.threads} threads; eta is of the peak of the whole machine"
    numbers = frozenset({"step", "throughput", "eta", "ceiling", "attainment"})
    return Table(title, columns, rows, numbers, caption=caption)


def steps_table(reading: Reading, middle: Interval) -> Table:
    """Return what a program's steps took, where nothing says what they computed: ``middle`` with its interval."""
    name, unit = {"time_s": ("time of a step", "s"), "throughput": ("throughput", "items/s")}.get(
        reading.quantity, (reading.quantity, "")
    )
    rows = [("steps", f"{len(reading.values):,}"), (name, span(middle, unit))]
    return Table("Measured", ("quantity", "value"), rows)
