"""A device of one's own, in TOML, YAML or JSON: quantities with units, checked against what is possible and what is
usual.

    name = "my-gpu"
    kind = "gpu"
    source = "data sheet of 2026-03"
    memory = "48 GB"
    bandwidth = "960 GB/s"
    [peaks]
    bf16 = "210 TFLOP/s"
    "bf16 sparse" = "420 TFLOP/s"
    [clock]                      # optional: then the peaks are held to it
    units = 142
    boost = "2.5 GHz"
    operations.bf16 = 1024       # FLOPs a unit and clock, dense
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from mlsysim.errors import Checks, InvalidValue, UnknownName
from mlsysim.files import read_fields
from mlsysim.hardware.registry import Hardware
from mlsysim.hardware.spec import Figure, HardwareSpec
from mlsysim.precision import BYTES, parse_precision
from mlsysim.registry import nearest
from mlsysim.results import Note
from mlsysim.units import parse

KINDS = ("gpu", "tpu", "npu", "cpu", "mcu")
TEXTS = ("name", "kind", "title", "vendor", "generation", "memory_class", "released", "note", "source", "retrieved")
QUANTITIES = {
    "memory": ("memory", "B"),
    "bandwidth": ("bandwidth", "B/s"),
    "cache": ("cache", "B"),
    "flash": ("flash", "B"),
    "tdp": ("tdp_w", "W"),
    "price": ("usd_per_hour", "USD/h"),
}
LARGEST = {"FLOP/s": 1e19, "B/s": 1e17, "B": 1e14, "W": 1e5, "USD/h": 1e4}
"""Beyond any device: the largest wafer has about a hundredth of the first two. More is a slip in the unit."""
SMALLEST = {"FLOP/s": 1e5, "B/s": 1e5, "B": 1e3, "W": 1e-4, "USD/h": 1e-4}
_CLOSE = 0.03
"""Share by which a peak may differ from clock x units x operations, or a ratio from its usual one: they are rounded."""


class Device(NamedTuple):
    """A device that was read, and what is unlikely about it."""

    spec: HardwareSpec
    notes: tuple[Note, ...]


def read_device(path: Path) -> Device:
    """Read a device file.

    Raises
    ------
    InvalidValue, UnknownName, Problems
        Not readable; fields that are unknown, missing, without a possible value, or that contradict each other: all
        told.
    """
    values = read_fields(path, "hardware")
    checks = Checks()
    place = f"{path.name}: "
    known = [*TEXTS, *QUANTITIES, "aliases", "peaks", "clock"]
    listed = "known: " + ", ".join(known)
    for field in values:
        if field not in known:
            checks.add(UnknownName(f"field in {path.name}:", str(field), nearest(str(field), known), listed))
    texts = {t: checks(_text, values, t, place) or "" for t in TEXTS}
    name = texts["name"] or path.stem
    if name in Hardware:
        checks.add(InvalidValue(f"{place}name", "one that is not packaged", name, f"{Hardware[name].name} is"))
    if texts["kind"] not in KINDS:
        near = nearest(texts["kind"], KINDS)
        checks.add(UnknownName(f"kind in {path.name}:", texts["kind"], near, "known: " + ", ".join(KINDS)))
    source, today = texts["source"] or f"stated in {path.name}", datetime.now(tz=UTC).date().isoformat()

    def figure(field: str, value: object, unit: str) -> Figure | None:
        found = checks(_possible, value, unit, f"{place}{field}")
        return None if found is None else Figure(found, source, texts["retrieved"] or today, "stated")

    single: dict[str, Any] = {"memory": None, "bandwidth": None}
    single |= {attribute: figure(q, values[q], unit) for q, (attribute, unit) in QUANTITIES.items() if q in values}
    peaks, other = _peaks(checks, values.get("peaks"), place, figure)
    checks.done()
    about: dict[str, Any] = {
        key: texts[key] for key in ("title", "vendor", "generation", "memory_class", "released", "note")
    }
    spec = HardwareSpec(name=name, kind=texts["kind"], peaks=peaks, other_peaks=other, **single, **about)
    for problem in _contradictions(spec, values.get("clock"), place):
        checks.add(problem)
    checks.done()
    return Device(spec, tuple(_unlikely(spec)))


def _text(values: Mapping[str, Any], field: str, place: str) -> str:
    value = values.get(field, "")
    if not isinstance(value, str):
        raise InvalidValue(f"{place}{field}", "a text", value)
    return value


def _possible(value: object, unit: str, field: str) -> float:
    found = parse(value, unit, field)
    if not SMALLEST[unit] <= found <= LARGEST[unit]:
        raise InvalidValue(field, f"from {SMALLEST[unit]:g} to {LARGEST[unit]:g} {unit}", value, "is the unit right?")
    return found


def _peaks(checks: Checks, stated: object, place: str, figure: Any) -> tuple[dict[str, Figure], dict[str, Figure]]:
    dense: dict[str, Figure] = {}
    other: dict[str, Figure] = {}
    if not isinstance(stated, Mapping) or not stated:
        checks.add(InvalidValue(f"{place}peaks", "a group of at least one, by precision", stated))
        return dense, other
    for label, value in stated.items():
        name, _, structure = str(label).replace("-sparse", " sparse").partition(" ")
        precision = checks(parse_precision, name, f"{place}peaks.{label}")
        if structure not in {"", "dense", "sparse", "dense fp16-accumulate", "sparse fp16-accumulate"}:
            rule = "a precision, and behind it dense (if nothing), sparse, or fp16-accumulate"
            checks.add(InvalidValue(f"{place}peaks", rule, label))
            continue
        found = figure(f"peaks.{label}", value, "FLOP/s")
        if precision is None or found is None:
            continue
        if structure in {"", "dense"}:
            dense[precision] = found
        else:
            other[f"{precision} {structure}"] = found
    return dense, other


def _contradictions(d: HardwareSpec, clock: object, place: str) -> Iterator[InvalidValue]:
    """Yield what cannot be: a sparse peak given as dense, or more than the clock allows."""
    for precision, peak in d.peaks.items():
        sparse = d.other_peaks.get(f"{precision} sparse")
        if sparse and sparse.value <= peak.value:
            hint = f"its sparse peak is {sparse.value:g}: is this the sparse one, twice the dense?"
            yield InvalidValue(f"{place}peaks.{precision}", "below its sparse peak", f"{peak.value:.4g}", hint)
    if not isinstance(clock, Mapping):
        return
    units, operations = clock.get("units"), clock.get("operations", {})
    if not isinstance(units, int) or not isinstance(operations, Mapping):
        yield InvalidValue(f"{place}clock", "units (whole) and operations by precision", dict(clock))
        return
    try:
        boost = parse(clock.get("boost"), "Hz", f"{place}clock.boost")
    except InvalidValue as problem:
        yield problem
        return
    for precision, each in operations.items():
        found = d.peaks.get(str(precision))
        if found and isinstance(each, (int, float)) and found.value > (1 + _CLOSE) * units * boost * each:
            allowed = units * boost * each
            hint = f"{units} units x {boost:g} Hz x {each:g}; twice that is what 2:4 sparsity is quoted with"
            yield InvalidValue(
                f"{place}peaks.{precision}", f"at most {allowed:.4g} FLOP/s by the clock", f"{found.value:.4g}", hint
            )


def _unlikely(d: HardwareSpec) -> Iterator[Note]:
    """Yield what is possible and rare, so that its owner looks again."""
    if d.bandwidth is None:
        yield Note("figure-unlikely", "no bandwidth is stated: the ceiling will count arithmetic alone")
    wide = d.peaks.get("bf16") or d.peaks.get("fp16")
    for narrow in ("fp8", "int8"):
        peak = d.peaks.get(narrow)
        if wide and peak and abs(peak.value / wide.value / 2 - 1) > _CLOSE:
            ratio = peak.value / wide.value
            told = f"the {narrow} peak is {ratio:.3g} times that of 16 bits; it is 2 on most devices"
            yield Note("figure-unlikely", told)
    widths = sorted(d.peaks, key=lambda p: -BYTES[p])
    for wider, narrower in pairwise(widths):
        if d.peaks[narrower].value < d.peaks[wider].value and BYTES[narrower] < BYTES[wider]:
            yield Note("figure-unlikely", f"{narrower} has a lower peak than {wider}, which is wider")
    if wide and d.bandwidth and d.kind == "gpu" and not 5 <= wide.value / d.bandwidth.value <= 1000:
        ridge = wide.value / d.bandwidth.value
        told = f"the ridge point is {ridge:.3g} FLOP/B in 16 bits; those of known GPUs are 5 to 1000"
        yield Note("figure-unlikely", told)
