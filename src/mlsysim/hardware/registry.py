"""The packaged devices: ``Hardware.H100``, ``Hardware["h100-sxm"]``."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

from mlsysim.hardware.spec import Figure, HardwareSpec
from mlsysim.registry import Registry, Row, read_table
from mlsysim.units import parse

_PACKAGE = "mlsysim.hardware"
_ONE = {
    "memory": ("memory", "B"),
    "bandwidth": ("bandwidth", "B/s"),
    "cache": ("cache", "B"),
    "tdp": ("tdp_w", "W"),
    "price": ("usd_per_hour", "USD/h"),
}


@cache
def _figures() -> dict[str, list[Row]]:
    by_device: dict[str, list[Row]] = defaultdict(list)
    for row in read_table(_PACKAGE, "hardware.tsv"):
        by_device[row["device"]].append(row)
    return by_device


def _build(row: Row) -> HardwareSpec:
    peaks: dict[str, Figure] = {}
    other: dict[str, Figure] = {}
    single: dict[str, Any] = {"memory": None, "bandwidth": None}
    for item in _figures()[row["name"]]:
        field, dimension = _ONE.get(item["quantity"], ("", "FLOP/s"))
        value = parse(f"{item['value']} {item['unit']}", dimension, f"{row['name']}.{item['quantity']}")
        figure = Figure(
            value, item["source"], item["retrieved"], item["note"], "" if "peak" in item["quantity"] else item["of"]
        )
        precision, _, structure = item["of"].partition(" ")
        field = "flash" if item["of"] == "flash" else field
        if field:
            single[field] = single.get(field) or figure
        elif structure == "dense":
            peaks[precision] = figure
        else:
            other[item["of"]] = figure
    about = ("name", "kind", "title", "vendor", "generation", "memory_class", "released", "note")
    aliases = tuple(filter(None, row["aliases"].split(";")))
    texts: dict[str, Any] = {key: row[key] for key in about}
    return HardwareSpec(**texts, peaks=peaks, other_peaks=other, aliases=aliases, **single)


Hardware: Registry[HardwareSpec] = Registry(
    "hardware", "`mlsysim hardware` lists all", lambda: read_table(_PACKAGE, "devices.tsv"), _build
)
