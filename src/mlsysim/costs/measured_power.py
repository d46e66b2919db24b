"""Published measurements of power and energy, and how busy the devices were meanwhile.

``data/power_measured.tsv`` holds one measurement a row as it was published: value and unit, what the power is of
(``devices`` alone or the whole ``node``), and the speed. The work of a step is counted by the package's own ledger.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from mlsysim.hardware import Hardware, HardwareSpec
from mlsysim.registry import Row, read_table
from mlsysim.scenario import Scenario

_PROMPT = 512
"""Tokens of the prompts whose work is counted where a share of the tokens are prompts; hardly matters."""


class MeasuredPower(NamedTuple):
    """One measurement: mean power of a device [W] and how busy it was.

    ``source`` is title and address of what was read; ``device`` is rated at ``limit_w`` where another limit than its
    rating was stated; ``scope`` is ``devices`` or ``node``, whose power is divided by ``devices`` too.
    """

    id: str
    source: str
    device: HardwareSpec
    devices: int
    scope: str
    compute_utilisation: float
    memory_utilisation: float
    power_w: float


@cache
def measured_power() -> tuple[MeasuredPower, ...]:
    """Return the packaged measurements, in the order of the table."""
    return tuple(map(_read, read_table("mlsysim.costs", "power_measured.tsv")))


def _read(row: Row) -> MeasuredPower:
    device, devices = Hardware[row["device"]], int(row["devices"])
    if row["limit_w"]:
        device = device.replace(name=device.name, tdp_w=float(row["limit_w"]))
    flops, traffic = _rates(row, device)
    peak = devices * device.peak(row["precision"]).value
    bandwidth = devices * device.bandwidth.value if device.bandwidth else float("inf")
    return MeasuredPower(
        row["id"],
        row["source"],
        device,
        devices,
        row["scope"],
        flops / peak,
        # What stays on the chip between operators is moved less than the ledger counts.
        min(traffic / bandwidth, 1.0),
        _total_w(row) / devices,
    )


def _rates(row: Row, device: HardwareSpec) -> tuple[float, float]:
    """Return the work done and the traffic moved a second [FLOP/s], [B/s]."""
    batch, rate, prompts = int(row["batch_size"]), float(row["rate"]), float(row["prompt_share"] or 0.0)
    steps = {
        "token/s": rate * (1.0 - prompts) / batch,
        "sample/s": rate / batch,
        "s/batch": float(row["steps"] or 1.0) / rate,
    }[row["rate_unit"]]
    flops, traffic = _work(row, device, row["phase"], batch, row["seq_len"], row["context"])
    flops, traffic = flops * steps, traffic * steps
    if prompts:
        flops += rate * prompts / _PROMPT * _work(row, device, "forward", 1, str(_PROMPT), "")[0]
    return flops, traffic


def _work(row: Row, device: HardwareSpec, phase: str, batch: int, seq_len: str, context: str) -> tuple[float, float]:
    """Return the FLOPs and the bytes of one step."""
    scenario = Scenario.of(
        row["model"],
        device,
        phase=phase,
        batch_size=batch,
        seq_len=int(seq_len) if seq_len else None,
        context=int(context) if context else None,
        precision=row["precision"],
    )
    roofline = scenario.roofline(scenario.work())
    return roofline.flops, roofline.traffic_bytes


def _total_w(row: Row) -> float:
    """Return the mean power of all that the row measures [W]."""
    value = float(row["value"])
    if row["unit"] == "W":
        return value
    if row["unit"] == "J":
        return value / float(row["seconds"])
    if row["unit"] == "J/sample":
        return value * float(row["rate"])
    return float(row["rate"]) / value  # token/J
