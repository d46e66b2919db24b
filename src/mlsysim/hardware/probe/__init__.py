"""Measure this machine: attainable arithmetic by precision, bandwidth by memory level, dispatch; and its accelerator.

The nominal peak that follows from cores, reported clock and instruction set stands beside the attained one. What is
measured becomes a device, saved as ``here`` and usable by that name wherever a device is named.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlsysim.errors import InvalidValue, MissingExtra
from mlsysim.files import writable_folder, write_whole
from mlsysim.hardware.check import by_clock
from mlsysim.hardware.figures import Figure
from mlsysim.hardware.probe import accelerator, machine
from mlsysim.hardware.probe.accelerator import Accelerator
from mlsysim.hardware.probe.bandwidth import BandwidthSample, bandwidths
from mlsysim.hardware.probe.machine import usable_cores
from mlsysim.hardware.probe.overhead import OverheadSample, overheads
from mlsysim.hardware.probe.products import GemmSample, Progress, has_onnxruntime, products
from mlsysim.hardware.probe.repeats import CONTENDED, SLOWED
from mlsysim.hardware.registry import Hardware
from mlsysim.hardware.spec import MEASURED, HardwareSpec
from mlsysim.own import user_folder
from mlsysim.units import positive, si

__all__ = [
    "BandwidthSample",
    "GemmSample",
    "OverheadSample",
    "Probe",
    "Progress",
    "place",
    "probe",
    "save",
    "usable_cores",
]

BANDWIDTH_SHARE, OVERHEAD_SHARE = 0.25, 0.05
"""Shares of the time budget that go to memory bandwidth and to dispatch."""

ABOVE = 1.02
"""Ratio of attained to nominal above which it is explained: below, it is within what repeats differ by."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The machine as a device, the samples behind its figures, and what to know about them.

    ``accelerator`` is the GPU as a device, where there is one that PyTorch sees.
    """

    hardware: HardwareSpec
    samples: tuple[GemmSample, ...]
    bandwidth_samples: tuple[BandwidthSample, ...]
    notes: tuple[str, ...]
    overhead_samples: tuple[OverheadSample, ...] = ()
    accelerator: Accelerator | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything measured as plain data, ready for JSON."""
        found = self.accelerator
        return {
            "hardware": self.hardware.to_dict(),
            "products": [s._asdict() for s in self.samples],
            "bandwidths": [s._asdict() for s in self.bandwidth_samples],
            "overheads": [s._asdict() for s in self.overhead_samples],
            "accelerator": found
            and {
                "hardware": found.hardware.to_dict(),
                "products": [s._asdict() for s in found.samples],
                "transfers": [s._asdict() for s in found.transfers],
            },
            "notes": list(self.notes),
        }


def probe(*, seconds: float = 20, progress: Progress | None = None) -> Probe:
    """Measure this machine in about ``seconds`` [s], and its accelerator in as much again where there is one.

    ``progress`` is called with what is measured next and the share done, 0 to 1. onnxruntime (fp32 and int8) and torch
    (bf16) are measured where they are installed; a note says what is missing. A few seconds leave out large sizes.

    Raises
    ------
    InvalidValue
        ``seconds`` is not a positive number.
    MissingExtra
        threadpoolctl is not installed: without it the threads of numpy's BLAS are unknown.
    """
    seconds = positive(seconds, "seconds")
    if not importlib.util.find_spec("threadpoolctl"):
        raise MissingExtra("threadpoolctl", "measure", "probing this machine")
    tell = progress or (lambda _label, _share: None)
    end = time.perf_counter() + seconds
    counts = tuple(sorted({1, usable_cores()}))
    streams = tuple(bandwidths(counts, BANDWIDTH_SHARE * seconds, _part(tell, 0.0, BANDWIDTH_SHARE)))
    calls = tuple(overheads(OVERHEAD_SHARE * seconds))
    samples = tuple(products(counts, end, _part(tell, BANDWIDTH_SHARE + OVERHEAD_SHARE, 1.0)))
    today = datetime.now(tz=UTC).date().isoformat()
    gpu = accelerator.found()
    beside = accelerator.measure(gpu, seconds, today) if gpu else None
    tell("this machine measured", 1.0)
    here = _device(samples, streams, today)
    return Probe(here, samples, streams, tuple(_notes(here, samples, streams)), calls, beside)


def place(name: str = "here") -> Path:
    """Return the folder that a measurement of this name is saved in; better asked before measuring than after.

    Raises
    ------
    InvalidValue
        The name is that of a packaged device or no name of a file, or the folder cannot be written into.
    """
    if name in Hardware:
        raise InvalidValue("name", "one that is not packaged", name, f"{Hardware[name].name} is")
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise InvalidValue("name", "letters, digits and hyphens", name)
    return writable_folder(user_folder("hardware"))


def save(found: Probe, name: str = "here") -> dict[str, Path]:
    """Save what was measured as a device of the user, and return the files by name.

    The accelerator, where there is one, is what ``name`` means; the processor is then ``name-cpu``.

    Raises
    ------
    InvalidValue
        As :func:`place`.
    """
    folder = place(name)
    specs = {name: found.hardware}
    if found.accelerator:
        specs = {name: found.accelerator.hardware, f"{name}-cpu": found.hardware}
    paths = {}
    for key, spec in specs.items():
        paths[key] = folder / f"{key}.json"
        content = json.dumps(replace(spec, name=key).to_dict(), indent=1, allow_nan=False)
        write_whole(paths[key], (content + "\n").encode())
    return paths


def _part(tell: Progress, start: float, end: float) -> Progress:
    return lambda label, share: tell(label, start + (end - start) * share)


def _device(samples: tuple[GemmSample, ...], streams: tuple[BandwidthSample, ...], today: str) -> HardwareSpec:
    threads = max(s.threads for s in samples)
    peaks: dict[str, Figure] = {}
    for best in sorted((s for s in samples if s.threads == threads), key=lambda s: s.flops_per_s):
        note = f"best at {best.size} x {best.size}, {best.library}, {threads} threads; spread {best.spread:.0%}"
        source = f"{MEASURED}: best of matrix products with all threads"
        peaks[best.precision] = Figure(best.flops_per_s, source, today, note)
    levels = {c.level: c for c in machine.caches()}
    rates = {level: _best(streams, level, today) for level in ("memory", *levels)}
    nominal: dict[str, Any] = machine.nominal(today)
    return HardwareSpec(
        name="here",
        kind="cpu",
        peaks=peaks,
        memory=Figure(float(machine.memory()), machine.SYSTEM, today, "", "ddr"),
        bandwidth=rates.pop("memory"),
        caches={level: _size(c, today) for level, c in levels.items()},
        bandwidths={level: rate for level, rate in rates.items() if rate},
        title=machine.title(),
        memory_class="ddr",
        **nominal,
    )


def _size(c: machine.Cache, today: str) -> Figure:
    told = f"{c.number} x {si(c.bytes_each, 'B')}"
    return Figure(float(c.bytes_each * c.number), machine.SYSTEM, today, told, c.level)


def _best(streams: tuple[BandwidthSample, ...], level: str, today: str) -> Figure | None:
    of_level = [s for s in streams if s.level == level]
    if not of_level:
        return None
    fast = max(of_level, key=lambda s: s.bytes_per_s)
    size = si(fast.array_bytes, "B")
    note = f"best: {fast.kernel}, {fast.threads} threads, arrays of {size}; spread {fast.spread:.0%}"
    kernels = f"{MEASURED}: best of " + ", ".join(dict.fromkeys(s.kernel for s in of_level))
    return Figure(fast.bytes_per_s, kernels, today, note, level)


def _notes(
    here: HardwareSpec | None, samples: tuple[GemmSample, ...], streams: tuple[BandwidthSample, ...]
) -> Iterator[str]:
    measured: list[GemmSample | BandwidthSample] = [*samples, *streams]
    unsteady = [s.spread for s in measured if s.spread > CONTENDED]
    if unsteady:
        yield (
            f"{len(unsteady)} of {len(measured)} measurements vary by more than {CONTENDED:.0%} over repeats, up to"
            f" {max(unsteady):.0%}: other work shares this machine, and a figure may be too low"
        )
    slowed = [s.slowing for s in measured if s.slowing > SLOWED]
    if slowed:
        yield (
            f"{len(slowed)} of {len(measured)} measurements became slower while they ran, up to {max(slowed):.0%}: the"
            " clock fell (turbo ended, heat or power limit) or other work began; what lasts is below the best"
        )
    for precision, peak in here.peaks.items() if here else ():
        nominal = by_clock(here, f"{precision} dense") if here else None
        if nominal and here and peak.value > ABOVE * nominal:
            clock = here.clocks["boost"].value
            yield (
                f"{precision} attains {peak.value / nominal:.2f} times the nominal {si(nominal, 'FLOP/s')} of the"
                f" reported {si(clock, 'Hz')}: the cores ran at {si(clock * peak.value / nominal, 'Hz')} at least,"
                " a turbo clock that the system does not report"
            )
    if not has_onnxruntime():
        extra = "pip install 'mlsysim[models,measure]'"
        yield f"onnxruntime or onnx is not installed: no int8 peak, and fp32 from numpy alone; {extra}"
