"""What of a question may be varied, each by its short name: figures of the hardware, sizes, money, and the software."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from mlsysim.efficiency.equations import links
from mlsysim.efficiency.equations.plan import fabric_of
from mlsysim.hardware import HardwareSpec
from mlsysim.hardware.figures import Figure
from mlsysim.models import TransformerSpec
from mlsysim.whatif.question import Question, parameters_of


class Input(NamedTuple):
    """One input: its value in SI, and the question that another value of it gives.

    ``whole`` says that only whole numbers are asked, ``apart`` that no number between two whole ones means anything;
    ``kind`` is hardware, size, money or software.
    """

    name: str
    title: str
    unit: str
    kind: str
    value: float
    at: Callable[[float], Question]
    whole: bool = False
    apart: bool = False
    least: float = 0.0
    most: float = math.inf


def inputs_of(question: Question) -> list[Input]:
    """Return what of a question may be varied, in a fixed order; what is not known of its hardware is left out."""
    return [*_hardware(question), *_sizes(question), *_money(question), *_software(question)]


def _hardware(q: Question) -> Iterable[Input]:
    s, device = q.scenario, q.scenario.hardware

    def other(name: str) -> Callable[[float], Question]:
        return lambda value: _with_device(q, changed(device, s.precision, name, value))

    yield Input("peak", "peak, all formats alike", "FLOP/s", "hardware", device.peak(s.precision).value, other("peak"))
    for name, title, unit, figure in (
        ("bandwidth", "memory bandwidth", "B/s", device.bandwidth),
        ("cache", "last-level cache", "B", device.cache),
        ("memory", "memory", "B", device.memory),
        ("power", "rated power", "W", device.tdp_w),
    ):
        if figure is not None:
            yield Input(name, title, unit, "hardware", figure.value, other(name))
    if s.devices > 1:
        for name, title, value in _links(q):
            yield Input(name, title, "B/s", "hardware", value, other(name))


def _links(q: Question) -> Iterable[tuple[str, str, float]]:
    """Yield the links that the equations of a question know: name, title, bandwidth of a device, one way [B/s]."""
    s = q.scenario
    if isinstance(s.model, TransformerSpec) and s.phase == "training":
        up, out, *_ = fabric_of(s.hardware)
        yield "link", "link bandwidth within a node", up
        yield "network", "network bandwidth beyond a node", out
    else:
        yield "link", "link bandwidth between devices", links.between(s.hardware)[0]


def changed(device: HardwareSpec, precision: str, name: str, value: float) -> HardwareSpec:
    """Return a device with another figure, under its own name: its software is taken to be as it is.

    ``peak`` is that of ``precision``, and all others change in proportion: as with more units, and of a processor or
    microcontroller as with a faster clock.
    """
    if name == "peak":
        factor = value / device.peak(precision).value
        fields = ("peaks", "other_peaks", *(("clocks",) if device.kind in _CLOCKED else ()))
        changes: dict[str, Any] = {field: _scaled(getattr(device, field), factor) for field in fields}
        return replace(device, **changes)
    if name == "cache":
        level = "l3" if device.caches.get("l3") else "l2"
        return replace(device, caches={**device.caches, level: _figure(device.caches.get(level), value)})
    field = _FIELDS[name]
    one: dict[str, Any] = {field: _figure(getattr(device, field), value)}
    return replace(device, **one)


def _scaled(figures: Mapping[str, Figure], factor: float) -> dict[str, Figure]:
    return {label: figure._replace(value=figure.value * factor) for label, figure in figures.items()}


_CLOCKED = ("cpu", "mcu")
"""Kinds of device whose speed is predicted from their clock."""
_FIELDS = {
    "bandwidth": "bandwidth",
    "memory": "memory",
    "power": "tdp_w",
    "link": "scale_up_bandwidth",
    "network": "scale_out_bandwidth",
}


def _figure(known: Figure | None, value: float) -> Figure:
    return known._replace(value=value) if known else Figure(value, "stated", "")


def _with_device(q: Question, device: HardwareSpec) -> Question:
    return q.with_scenario(hardware=device)


def _sizes(q: Question) -> Iterable[Input]:
    s = q.scenario

    def other(field: str) -> Callable[[float], Question]:
        def at(value: float) -> Question:
            number = int(value) if float(value).is_integer() else value
            return q.with_scenario(**{field: number})

        return at

    yield Input("batch", "batch", "", "size", float(s.batch_size), other("batch_size"), whole=True, least=1.0)
    for field, title in (("seq_len", "sequence length"), ("context", "context")):
        tokens = getattr(s, field)
        if tokens is not None:
            yield Input(field, title, "tokens", "size", float(tokens), other(field), whole=True, least=1.0)
    yield Input("devices", "devices", "", "size", float(s.devices), other("devices"), whole=True, apart=True, least=1.0)
    if q.tokens is not None:
        yield Input("tokens", "tokens of the run", "tokens", "size", q.tokens, lambda v: q.but(tokens=v))


def _money(q: Question) -> Iterable[Input]:
    if q.price is not None:
        yield Input("price", "price of a device", "USD/h", "money", q.price, lambda v: q.but(usd_per_hour=v))


def _software(q: Question) -> Iterable[Input]:
    if q.number is not None:
        eta = q.number
        if q.held is None:
            yield Input("eta", "eta, stated", "", "software", eta, lambda v: q.but(stated=v), most=1.0)
        else:
            yield Input("attainment", "attainment, held", "", "software", q.held, lambda v: q.but(held=v), most=1.0)
        return
    reached = q.solve().estimate.attainment.value
    yield Input(
        "attainment",
        "attainment, all but the fixed part",
        "",
        "software",
        reached,
        lambda v: q.but(software=v / reached),
        most=1.0,
    )
    for name, (value, unit, meaning) in parameters_of(q).items():
        yield Input(name, meaning, "" if unit == "1" else unit, "software", value, _parameter(q, name, value))


def _parameter(q: Question, name: str, value: float) -> Callable[[float], Question]:
    return lambda v: q.but(parameters={**q.parameters, name: v / value})
