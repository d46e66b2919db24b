"""What devices and the nodes around them draw, each with the 90 % interval of published measurements.

The parameters are made by ``tools/power.py`` from the measurements in ``data/power_measured.tsv``; how far they can be
trusted is in docs/energy.md.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

from mlsysim.hardware import Hardware, HardwareSpec, NodeSpec
from mlsysim.physics import power
from mlsysim.physics.elementwise import Real, maximum, minimum
from mlsysim.registry import read_table
from mlsysim.results import Interval

_PACKAGE = "mlsysim.costs"
HOSTLESS = frozenset({"mcu", "cpu"})
"""Kinds of device that are no part of a node."""
_MEASURED_KINDS = ("gpu",)
"""Kinds of device whose power under load is among the measurements."""


class Parameters(NamedTuple):
    """The fitted law: weights of arithmetic and memory [1], shares of the rating drawn idle [1], spread of the answer.

    ``low`` and ``high`` are the factors between which 90 % of measurements lie around what was predicted for them,
    their device or their source left out of the fit. ``host`` is the share that a node draws of what its rating leaves
    beside the devices. ``active`` is the power of microcontrollers while they compute [W].
    """

    compute: float
    memory: float
    idle_hbm: float
    idle_other: float
    low: float
    high: float
    host: Interval
    active: dict[str, Interval]


@cache
def parameters() -> Parameters:
    """Return the packaged parameters."""
    rows = {r["name"]: r for r in read_table(_PACKAGE, "power_parameters.tsv")}
    one = {name: float(row["value"]) for name, row in rows.items()}
    whole = {name: Interval(*(float(row[k]) for k in ("value", "low", "high"))) for name, row in rows.items()}
    active = {name.removeprefix("active "): whole[name] for name in rows if name.startswith("active ")}
    spread = whole["measured / predicted"]
    return Parameters(
        one["compute weight"],
        one["memory weight"],
        one["idle share, hbm"],
        one["idle share, other"],
        spread.low,
        spread.high,
        whole["host share"],
        active,
    )


def idle_power_w(device: HardwareSpec) -> float | None:
    """Return what a device draws at rest [W]: its figure, else a share of its rating; None where neither is known."""
    if device.idle_w is not None:
        return device.idle_w.value
    if device.tdp_w is None:
        return None
    fitted = parameters()
    return device.tdp_w.value * (fitted.idle_hbm if device.memory_class == "hbm" else fitted.idle_other)


def power_w(device: HardwareSpec, compute_utilisation: Real, memory_utilisation: Real) -> Interval | None:
    """Return the power that a device draws [W], with the interval that holds 90 % of measurements.

    Parameters
    ----------
    device
        Its rating, its idle power and its 16-bit peak are used. A lower power limit is ``device.replace(tdp_w=...)``.
    compute_utilisation
        Achieved FLOP/s over the peak at the precision used [1], 0 to 1: a float or an array.
    memory_utilisation
        Achieved bytes/s over the memory bandwidth [1], 0 to 1: a float or an array.

    Returns
    -------
    None where no rating is known. Where no device of its kind was measured under load, the interval reaches from idle
    to the rating. A microcontroller draws the same whatever it computes: where its power was measured, that.
    """
    fitted = parameters()
    if device.tdp_w is None:
        return fitted.active.get(device.name)
    rated, idle = device.tdp_w.value, idle_power_w(device)
    assert idle is not None
    weight = power.compute_weight(fitted.compute, _peak_16(device) / rated)
    drawn = power.device_power(
        rated, idle, power.activity(compute_utilisation, memory_utilisation, weight, fitted.memory)
    )
    if device.kind not in _MEASURED_KINDS:
        return Interval(drawn, minimum(idle, drawn), maximum(rated, drawn))
    return Interval(drawn, drawn * fitted.low, minimum(drawn * fitted.high, rated))


def host_power_w(node: NodeSpec) -> Interval | None:
    """Return what a node draws beside its devices [W]: processors, network, fans, losses.

    None where a rating is missing or leaves nothing. The share of the room beside the devices that is drawn, and its
    ends, are the middle, least and most of three nodes of eight H100 in training: 8.4 kW where 10.2 are rated
    (https://arxiv.org/abs/2412.08602), 76 % of the rating (https://arxiv.org/abs/2506.14551), and 6.9 kW with
    immersion instead of fans (https://smc.co/mlperfv40/results/llama2-70b-lora).
    """
    rated, device = node.figures.get("power"), Hardware[node.device].tdp_w
    if rated is None or device is None or rated.value <= node.devices * device.value:
        return None
    share = parameters().host
    return Interval(*(power.host_power(rated.value, device.value, node.devices, s) for s in share))


@lru_cache(maxsize=256)
def node_host_w(device: str) -> Interval | None:
    """Return what the host in a node of such devices draws beside each [W], None where no node's rating tells."""
    from mlsysim.hardware.nodes import Nodes

    for name in Nodes:
        if Nodes.row(name)["device"] == device and (drawn := host_power_w(Nodes[name])):
            return drawn * (1.0 / Nodes[name].devices)
    return None


def _peak_16(device: HardwareSpec) -> float:
    """Return the 16-bit peak of a device [FLOP/s], or that of its default precision."""
    peaks = device.peaks
    figure = peaks.get("bf16") or peaks.get("fp16") or device.peak(device.default_precision)
    return figure.value
