"""A device of one's own, in TOML, YAML or JSON: quantities with units, checked against what is possible and what is
usual.

    name = "my-gpu"
    kind = "gpu"
    source = "data sheet of 2026-03"
    memory = "48 GB"
    bandwidth = "960 GB/s"       # or "unknown"
    [peaks]
    bf16 = "210 TFLOP/s"
    "bf16 sparse" = "420 TFLOP/s"
    [clock]                      # optional: then the peaks are held to it
    units = 142
    boost = "2.5 GHz"
    operations.bf16 = 1024       # FLOPs a unit and clock, dense

What ``mlsysim hardware NAME -o json`` prints is read as well: there each figure keeps its source and its date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from mlsysim.errors import Checks, InvalidValue, UnknownName
from mlsysim.files import read_fields
from mlsysim.hardware.check import contradictions, unlikely
from mlsysim.hardware.figures import Figure
from mlsysim.hardware.registry import Hardware
from mlsysim.hardware.spec import HardwareSpec
from mlsysim.precision import parse_precision
from mlsysim.registry import nearest
from mlsysim.results import Note
from mlsysim.units import parse

KINDS = ("gpu", "tpu", "npu", "cpu", "mcu")
TEXTS = ("name", "kind", "title", "vendor", "generation", "memory_class", "released", "note", "source", "retrieved")
QUANTITIES = {
    "memory": ("memory", "B"),
    "bandwidth": ("bandwidth", "B/s"),
    "cache": ("caches", "B"),
    "flash": ("flash", "B"),
    "dies": ("dies", "count"),
    "tdp": ("tdp_w", "W"),
    "idle": ("idle_w", "W"),
    "price": ("usd_per_hour", "USD/h"),
    "list_price": ("usd_list", "USD"),
}
GROUPS = {"caches": ("caches", "B"), "bandwidths": ("bandwidths", "B/s")}
PRINTED = ("tdp_w", "idle_w", "units", "clocks", "rates", "unknown")
"""Fields that only the printed form has."""
POSSIBLE = {
    "FLOP/s": (1e5, 1e19),
    "B/s": (1e5, 1e17),
    "B": (1e3, 1e14),
    "W": (1e-4, 1e5),
    "USD/h": (1e-4, 1e4),
    "USD": (1e-2, 1e8),
    "Hz": (1e5, 1e11),
    "FLOP/clock": (0.01, 1e8),
    "count": (1.0, 1e7),
}
"""Within these lies every device: the largest wafer has about a hundredth of the first two. More is a slip in the
unit."""
_STRUCTURES = ("", "dense", "sparse", "dense fp16-accumulate", "sparse fp16-accumulate")
_BITS = re.compile(r"\d\s*([kKMGT]i?)(b|bit|bits|bps|b/s)$")


class Device(NamedTuple):
    """A device that was read, and what is unlikely about it."""

    spec: HardwareSpec
    notes: tuple[Note, ...]


class _Stated(NamedTuple):
    """One figure as the file has it: the attribute it becomes, its key there, and what is said about it."""

    place: str
    attribute: str
    of: str
    value: object
    unit: str
    about: Mapping[str, Any] = {}


@dataclass
class _Reader:
    """The figures of one file, and all that is wrong with them."""

    file: str
    source: str
    retrieved: str
    checks: Checks
    single: dict[str, Any] = field(default_factory=lambda: {"memory": None, "bandwidth": None})
    several: dict[str, dict[str, Figure]] = field(
        default_factory=lambda: {
            name: {} for name in ("peaks", "other_peaks", "caches", "bandwidths", "clocks", "rates")
        }
    )

    def take(self, s: _Stated) -> None:
        """Keep a figure, or what is wrong with it."""
        place = f"{self.file}: {s.place}"
        of = self.checks(_label, s.of, place) if s.attribute in {"peaks", "rates"} else s.of
        value = self.checks(_possible, s.value, s.unit, place)
        if of is None or value is None:
            return
        about = {key: str(s.about.get(key) or "") for key in ("source", "retrieved", "note")}
        figure = Figure(
            value, about["source"] or self.source, about["retrieved"] or self.retrieved, about["note"], s.of
        )
        precision, _, structure = of.partition(" ")
        if s.attribute == "peaks" and structure == "dense":
            self.several["peaks"][precision] = figure
        elif s.attribute == "peaks":
            self.several["other_peaks"][of] = figure
        elif s.attribute in self.several:
            self.several[s.attribute][of] = figure
        else:
            self.single[s.attribute] = figure


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
    known = [*TEXTS, *QUANTITIES, *GROUPS, "aliases", "peaks", "clock"]
    listed = "known: " + ", ".join(known)
    for name in values:
        if name not in known and name not in PRINTED:
            checks.add(UnknownName(f"field in {path.name}:", str(name), nearest(str(name), known), listed))
    texts = {t: checks(_text, values, t, place) or "" for t in TEXTS}
    name = texts["name"] or path.stem
    if name in Hardware:
        checks.add(InvalidValue(f"{place}name", "one that is not packaged", name, f"{Hardware[name].name} is"))
    if texts["kind"] not in KINDS:
        near = nearest(texts["kind"], KINDS)
        checks.add(UnknownName(f"kind in {path.name}:", texts["kind"], near, "known: " + ", ".join(KINDS)))
    source, today = texts["source"] or f"stated in {path.name}", datetime.now(tz=UTC).date().isoformat()
    reader = _Reader(path.name, source, texts["retrieved"] or today, checks)
    for stated in _stated(values, checks, place):
        reader.take(stated)
    if not reader.single["bandwidth"] and not _said_unknown(values) and "bandwidth" not in values:
        hint = "without it the ceiling counts arithmetic alone"
        checks.add(InvalidValue(f"{place}bandwidth", "given as '960 GB/s', or as 'unknown'", None, hint))
    checks.done()
    about: dict[str, Any] = {
        key: texts[key] for key in ("title", "vendor", "generation", "memory_class", "released", "note")
    }
    figures: dict[str, Any] = {**reader.several, **reader.single, **about}
    spec = HardwareSpec(name=name, kind=texts["kind"], **figures)
    for problem in contradictions(spec, place):
        checks.add(problem)
    checks.done()
    return Device(spec, tuple(_bits(values)) + tuple(unlikely(spec)))


def _said_unknown(values: Mapping[str, Any]) -> bool:
    listed = values.get("unknown")
    return isinstance(listed, list) and "bandwidth" in listed


def _stated(values: Mapping[str, Any], checks: Checks, place: str) -> Iterator[_Stated]:
    """Yield every figure of a file, written by hand or printed."""
    for name, (attribute, unit) in QUANTITIES.items():
        value = values.get(name)
        if isinstance(value, Mapping):
            yield _Stated(name, attribute, "", value.get("usd_per_hour", value.get("usd")), unit, value)
        elif value is not None and not isinstance(value, list) and (name, value) != ("bandwidth", "unknown"):
            yield _Stated(name, attribute, "l2" if name == "cache" else "", value, unit)
    for name, (attribute, unit) in GROUPS.items():
        for level, value in _group(values, name, checks, place).items():
            yield _Stated(f"{name}.{level}", attribute, str(level), value, unit)
    peaks = values.get("peaks")
    if not isinstance(peaks, (Mapping, list)) or not peaks:
        checks.add(InvalidValue(f"{place}peaks", "a group of at least one, by precision", peaks))
    elif isinstance(peaks, Mapping):
        for label, value in peaks.items():
            yield _Stated(f"peaks.{label}", "peaks", str(label), value, "FLOP/s")
    yield from _clock(values, checks, place)
    yield from _printed(values)


def _clock(values: Mapping[str, Any], checks: Checks, place: str) -> Iterator[_Stated]:
    clock = _group(values, "clock", checks, place)
    if not clock:
        return
    operations = clock.get("operations", {})
    if not isinstance(clock.get("units"), int) or not isinstance(operations, Mapping):
        checks.add(InvalidValue(f"{place}clock", "units (whole) and operations by precision", dict(clock)))
        return
    yield _Stated("clock.units", "units", "", clock["units"], "count")
    for name in ("boost", "base"):
        if name in clock or name == "boost":
            yield _Stated(f"clock.{name}", "clocks", name, clock.get(name), "Hz")
    for label, value in operations.items():
        yield _Stated(f"clock.operations.{label}", "rates", str(label), value, "FLOP/clock")


def _printed(values: Mapping[str, Any]) -> Iterator[_Stated]:
    """Yield the figures of the printed form, each with its source and date."""
    for name, value, unit in (("peaks", "flops_per_s", "FLOP/s"), ("rates", "flop_per_clock", "FLOP/clock")):
        for record in _records(values, name):
            accumulate = f"{record['accumulate']}-accumulate" if record.get("accumulate") else ""
            label = " ".join(filter(None, (record.get("precision"), record.get("sparsity"), accumulate)))
            yield _Stated(f"{name}.{label}", name, label, record.get(value), unit, record)
    for record in _records(values, "clocks"):
        yield _Stated(f"clocks.{record.get('at')}", "clocks", str(record.get("at")), record.get("hz"), "Hz", record)
    for i, record in enumerate(_records(values, "memory")):
        level = str(record.get("level"))
        size, rate = ("memory", "bandwidth") if i == 0 else ("caches", "bandwidths")
        size = "flash" if level == "flash" and i else size
        for attribute, key, unit in ((size, "bytes", "B"), (rate, "bytes_per_s", "B/s")):
            if record.get(key) is not None:
                about = record.get("rate") or record if key == "bytes_per_s" else record
                yield _Stated(f"memory.{level}.{key}", attribute, level, record[key], unit, about)
    units = values.get("units")
    if isinstance(units, Mapping):
        yield _Stated("units", "units", str(units.get("of") or ""), units.get("count"), "count", units)
    for name in ("tdp_w", "idle_w"):
        if values.get(name) is not None:
            yield _Stated(name, name, "", values[name], "W")


def _records(values: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = values.get(name)
    return [r for r in found if isinstance(r, Mapping)] if isinstance(found, list) else []


def _group(values: Mapping[str, Any], name: str, checks: Checks, place: str) -> Mapping[str, Any]:
    found = values.get(name) or {}
    if not isinstance(found, Mapping):
        checks.add(InvalidValue(f"{place}{name}", "a group of fields", found))
        return {}
    return found


def _label(label: str, field: str) -> str:
    """Return the full label of a peak, ``"bf16 dense"`` for ``bf16``."""
    name, _, structure = label.replace("-sparse", " sparse").partition(" ")
    if structure not in _STRUCTURES:
        rule = "a precision, and behind it dense (if nothing), sparse, or fp16-accumulate"
        raise InvalidValue(field, rule, label)
    return f"{parse_precision(name, field)} {structure or 'dense'}"


def _text(values: Mapping[str, Any], field: str, place: str) -> str:
    value = values.get(field, "")
    if not isinstance(value, str):
        raise InvalidValue(f"{place}{field}", "a text", value)
    return value


def _possible(value: object, unit: str, field: str) -> float:
    if unit == "B" and isinstance(value, str) and (found := _BITS.search(value.strip())):
        meant = value.strip()[: found.end(1)] + "B"
        raise InvalidValue(field, "in bytes", value, f"b is a bit, an eighth of a byte: was {meant} meant?")
    number = parse(value, unit, field)
    low, high = POSSIBLE[unit]
    if not low <= number <= high:
        raise InvalidValue(field, f"from {low:g} to {high:g} {unit}", value, "is the unit right?")
    return number


def _bits(values: Mapping[str, Any]) -> Iterator[Note]:
    rate = values.get("bandwidth")
    if isinstance(rate, str) and _BITS.search(rate.strip()):
        yield Note("figure-unlikely", f"bandwidth {rate} is in bits: {parse(rate, 'B/s') / 1e9:.4g} GB/s")
