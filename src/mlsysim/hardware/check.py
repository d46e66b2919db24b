"""What a device's figures must be among themselves: peaks held to the clock, to each other and to the memory.

A peak is ``units x clock x operations of a unit and clock``. The clock is the one that the vendor takes the peak at
where that is documented (under the label of the peak), else the boost clock. Operations or clocks that were computed
from the peak confirm nothing, and are not held against it; nor is a peak that was measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from mlsysim.errors import InvalidValue
from mlsysim.hardware.figures import Figure
from mlsysim.hardware.spec import MEASURED, HardwareSpec
from mlsysim.precision import BYTES
from mlsysim.results import Note

ROUNDED = 0.03
"""Share by which a peak may differ from clock x units x operations, or a ratio from its usual one: they are rounded."""
RIDGES = (5.0, 1000.0)
"""Ridge points of known GPUs in 16 bits [FLOP/B], widely."""


def by_clock(d: HardwareSpec, label: str) -> float | None:
    """Return units x clock x operations for a peak such as ``"fp16 dense"`` [FLOP/s]; None where a fact is missing."""
    found = _facts(d, label)
    if found is None or any(figure.follows for figure in found[0]):
        return None
    (units, clock, rate), times = found
    return units.value * clock.value * rate.value * times


def _facts(d: HardwareSpec, label: str) -> tuple[tuple[Figure, Figure, Figure], float] | None:
    dense = label.replace("sparse", "dense")
    clock = d.clocks.get(label) or d.clocks.get(dense) or d.clocks.get("boost")
    rate, times = d.rates.get(label), 1.0
    if rate is None and label != dense:
        rate, times = d.rates.get(dense), 2.0
    return ((d.units, clock, rate), times) if d.units and clock and rate else None


def contradictions(d: HardwareSpec, place: str = "") -> Iterator[InvalidValue]:
    """Yield what cannot be: a dense peak that is not below its sparse one, or a peak above what the clock allows."""
    for precision, peak in d.peaks.items():
        sparse = d.other_peaks.get(f"{precision} sparse")
        if sparse and sparse.value <= peak.value:
            hint = f"its sparse peak is {sparse.value:g}: is this the sparse one, twice the dense?"
            yield InvalidValue(f"{place}peaks.{precision}", "below its sparse peak", f"{peak.value:.4g}", hint)
    for label, peak in d.labelled_peaks.items():
        found = _facts(d, label)
        allowed = by_clock(d, label)
        if found and allowed and not peak.source.startswith(MEASURED) and peak.value > (1 + ROUNDED) * allowed:
            (units, clock, rate), times = found
            hint = f"{units.value:g} units x {clock.value:g} Hz x {times * rate.value:g}"
            hint += "; twice that is what 2:4 sparsity is quoted with" if label.endswith("dense") else ""
            field = f"{place}peaks.{label.removesuffix(' dense')}"
            yield InvalidValue(field, f"at most {allowed:.4g} FLOP/s by the clock", f"{peak.value:.4g}", hint)


def unlikely(d: HardwareSpec) -> Iterator[Note]:
    """Yield what is possible and rare, so that its owner looks again."""
    if d.bandwidth is None:
        yield Note("figure-unlikely", "no bandwidth is known: the ceiling will count arithmetic alone")
    wide = d.peaks.get("bf16") or d.peaks.get("fp16")
    for narrow in ("fp8", "int8"):
        peak = d.peaks.get(narrow)
        if wide and peak and abs(peak.value / wide.value / 2 - 1) > ROUNDED:
            ratio = peak.value / wide.value
            told = f"the {narrow} peak is {ratio:.3g} times that of 16 bits; it is 2 on most devices"
            yield Note("figure-unlikely", told)
    for label, peak in d.labelled_peaks.items():
        allowed = by_clock(d, label)
        if allowed and not peak.source.startswith(MEASURED) and peak.value < (1 - ROUNDED) * allowed:
            told = (
                f"the {label} peak {peak.value:.4g} FLOP/s is {1 - peak.value / allowed:.0%} below what the clock gives"
            )
            yield Note("figure-unlikely", told)
    for wider, narrower in pairwise(sorted(d.peaks, key=lambda p: -BYTES[p])):
        if d.peaks[narrower].value < d.peaks[wider].value and BYTES[narrower] < BYTES[wider]:
            yield Note("figure-unlikely", f"{narrower} has a lower peak than {wider}, which is wider")
    if wide and d.bandwidth and d.kind == "gpu" and not RIDGES[0] <= wide.value / d.bandwidth.value <= RIDGES[1]:
        ridge = wide.value / d.bandwidth.value
        told = (
            f"the ridge point is {ridge:.3g} FLOP/B in 16 bits; those of known GPUs are {RIDGES[0]:g} to {RIDGES[1]:g}"
        )
        yield Note("figure-unlikely", told)
