"""A machine that was busy while it was probed shows too low a peak; what a network reached on it is attainable too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mlsysim.hardware import Figure, HardwareSpec
from mlsysim.hardware.spec import MEASURED
from mlsysim.models import ModelSpec
from mlsysim.results import Interval
from mlsysim.scenario import Scenario


def not_below(
    here: HardwareSpec, model: ModelSpec, steps: Mapping[int, Interval], precision: str
) -> tuple[HardwareSpec, tuple[str, ...]]:
    """Return a measured machine with its peak and bandwidth raised to what a network reached, and what was raised.

    Parameters
    ----------
    here
        The machine; figures that were not measured are left as they are.
    model, precision
        What ran on it.
    steps
        The time of a step by batch size [s].
    """
    scenarios = {b: Scenario.of(model, here, batch_size=b, precision=precision) for b in steps}
    roofs = {b: s.roofline(s.work()) for b, s in scenarios.items()}
    notes = []
    peak, bandwidth = here.peak(precision), here.bandwidth
    faster = max(roofs[b].compute_s / step.low for b, step in steps.items())
    if faster > 1 and peak.source.startswith(MEASURED):
        raised = _raised(peak, faster, "the network itself, faster than any matrix product", "products")
        here = replace(here, peaks={**here.peaks, precision: raised})
        notes.append(
            "the network ran faster than the matrix products: the machine was busier then, and eta is an upper estimate"
        )
    wider = max(roofs[b].memory_s / step.low for b, step in steps.items())
    if wider > 1 and bandwidth is not None and bandwidth.source.startswith(MEASURED):
        here = replace(here, bandwidth=_raised(bandwidth, wider, "the network itself, faster than any copy", "copies"))
        notes.append(
            "the network moved its weights and activations faster than the copies moved theirs: the machine was busier"
            " then, and the ceiling is an upper estimate"
        )
    return here, tuple(notes)


def _raised(figure: Figure, factor: float, by: str, beside: str) -> Figure:
    return figure._replace(value=figure.value * factor, source=f"{MEASURED}: {by}", note=f"{beside}: {figure.note}")
