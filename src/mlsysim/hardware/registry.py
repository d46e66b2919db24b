"""The packaged devices: ``Hardware.H100``, ``Hardware["h100-sxm"]``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.hardware.figures import Figure, FigureTable
from mlsysim.hardware.spec import HardwareSpec
from mlsysim.own import specs
from mlsysim.registry import Registry, Row, read_table

_PACKAGE = "mlsysim.hardware"
DIMENSIONS = {
    "peak": "FLOP/s",
    "memory": "B",
    "bandwidth": "B/s",
    "cache": "B",
    "clock": "Hz",
    "rate": "FLOP/clock",
    "units": "count",
    "dies": "count",
    "tdp": "W",
    "idle": "W",
    "price": "USD/h",
    "list price": "USD",
}
"""Quantities of the table of figures, and the SI unit of each."""
LEVELS = ("l1", "shared", "l2", "l3", "flash")
"""Levels of memory other than the main one."""
_ONE = {
    "units": "units",
    "dies": "dies",
    "tdp": "tdp_w",
    "idle": "idle_w",
    "price": "usd_per_hour",
    "list price": "usd_list",
}
_SEVERAL = {"cache": "caches", "clock": "clocks", "rate": "rates"}
FIGURES = FigureTable(_PACKAGE, "hardware.tsv", DIMENSIONS)


def _build(row: Row) -> HardwareSpec:
    single: dict[str, Any] = {"memory": None, "bandwidth": None}
    several: dict[str, dict[str, Figure]] = {name: {} for name in ("other_peaks", "bandwidths", *_SEVERAL.values())}
    peaks: dict[str, Figure] = {}
    for quantity, of, figure in FIGURES.of(row["name"]):
        if group := _SEVERAL.get(quantity):
            several[group][of] = figure
        elif quantity == "peak":
            precision, _, structure = of.partition(" ")
            if structure == "dense":
                peaks[precision] = figure
            else:
                several["other_peaks"][of] = figure
        elif quantity in _ONE:
            single[_ONE[quantity]] = figure
        elif of == "flash" and quantity == "memory":
            single["flash"] = figure
        elif of in LEVELS or single[quantity]:  # the main memory is the one that stands first
            several["caches" if quantity == "memory" else "bandwidths"][of] = figure
        else:
            single[quantity] = figure
    about = ("name", "kind", "title", "vendor", "generation", "memory_class", "released", "note")
    single |= several
    single |= {key: row[key] for key in about}
    return HardwareSpec(**single, peaks=peaks, aliases=tuple(filter(None, row["aliases"].split(";"))))


def _own() -> dict[str, Callable[[], HardwareSpec]]:
    return {"here": _not_probed} | specs("hardware", (".toml", ".yaml", ".yml", ".json"), _read)


def _not_probed() -> HardwareSpec:
    raise UnknownName("hardware", "here", [], "`mlsysim probe` measures this machine and saves it under that name")


def _read(name: str, path: Path) -> HardwareSpec:
    from mlsysim.hardware.device_file import read_device

    spec = read_device(path).spec
    if spec.name != name:
        raise InvalidValue(f"{path.name}: name", f"that of the file, {name!r}, or not given", spec.name)
    return spec


Hardware: Registry[HardwareSpec] = Registry(
    "hardware", "`mlsysim hardware` lists all", lambda: read_table(_PACKAGE, "devices.tsv"), _build, _own
)
