"""A batch of a network that is fed forward on an accelerator, or one step of training it.

Operators that compute more than they move and those that move more than they compute are told apart; each group takes
the soft maximum of arithmetic and traffic. Beside that every operator takes some cycles however small it is, and a
framework that does not run a captured graph takes time on the host to dispatch it.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from mlsysim.efficiency.case import Case
from mlsysim.efficiency.equations import links
from mlsysim.efficiency.equations.network_sums import sums
from mlsysim.efficiency.equations.peaks import per_watt, sixteen, slowing
from mlsysim.hardware import HardwareSpec
from mlsysim.models import TransformerSpec
from mlsysim.physics.elementwise import Real, maximum, minimum
from mlsysim.precision import roles
from mlsysim.scenario import Scenario
from mlsysim.setup import Setup

NAMES = (
    "gemm.eta",
    "memory.fraction",
    "launch",
    "network.conv",
    "network.mixing",
    "network.depthwise",
    "network.traffic",
    "network.unfused",
    "network.gather",
    "gemm.energy",
    "network.step",
    "network.input",
    "network.kernel",
    "network.exposed",
    "network.scaling",
    "network.overlap",
    "network.hiding",
    "network.kind",
)
ARRAYS = ("batch_size",)
_COMPILED = re.compile("qualcomm|tensorrt|xla|flax|jax|neuron")
"""Engines that make one kernel of a product and what follows it."""
_TUNED = re.compile("mlperf|mxnet|megatron")
"""Frameworks that dispatch operator by operator, of which those of narrow formats are fused by hand."""
_CAPTURED = re.compile("tensorrt|mlperf|qualcomm")
"""Engines that launch a captured graph of operators, so that the host dispatches none of them."""
_EAGER = 2.2
"""Bytes of a product with norm and activation as operators of their own, over those of the product alone."""
_NETWORK = 50e9
"""Bandwidth of a device to other nodes [B/s]: one port of 400 Gbit/s, as in a DGX H100 (node_figures.tsv)."""
_USUAL_CLOCK = 1.5e9
"""Clock of a device for which none is known [Hz]: those of the registry with HBM have 0.7 to 2.8 GHz (2026-11-24)."""
_NODE = 8
"""Devices of one node."""
_CACHE = 4e6
"""Last-level cache of a device that does not state one [B]."""
_ADAM = 20.0
"""Bytes that an update moves for one parameter: two states and the master read and written, and the gradient."""


def case(scenario: Scenario, setup: Setup) -> Case:
    """Return the numbers of a step: ideal times [s] of one device, and counts."""
    model, hardware = scenario.model, scenario.hardware
    length = (scenario.seq_len or model.tokens or 1) if isinstance(model, TransformerSpec) else 1
    s = sums(model, length)
    trained = scenario.phase == "training"
    role = roles(scenario.precision)
    passes = 3.0 if trained else 1.0
    n, each = float(scenario.devices), maximum(scenario.batch_size / scenario.devices, 1.0)
    peak = hardware.peak(scenario.precision).value
    band = hardware.bandwidth.value if hardware.bandwidth else peak / 100.0
    size, weight = float(role.activation), float(role.weight)
    near = hardware.cache or hardware.caches.get("sram")
    cache = near.value if near else _CACHE
    in_memory = (
        minimum(each, _units(hardware)) if "sram" in hardware.caches else each
    )  # software keeps one sample a core
    cut = bisect_left(s.intensity, peak / band * size)
    wide = in_memory * s.elements[-1] * size / s.products
    work, moved = passes * each / peak, passes * each * size / band * wide / (wide + cache)
    compiled = bool(_COMPILED.search(setup.engine))
    fused = compiled or (size < 4.0 and bool(_TUNED.search(setup.engine)))
    by_product = moved if fused else moved * _EAGER
    missed = sum(found * rows / (rows + cache / weight) for rows, found in s.tables)
    x = {
        "conv_heavy_s": (s.conv[-1] - s.conv[cut]) * work,
        "conv_light_s": s.conv[cut] * work,
        "matmul_heavy_s": (s.matmul[-1] - s.matmul[cut]) * work,
        "matmul_light_s": s.matmul[cut] * work,
        "mixing_s": passes * each * s.mixing / (peak if size >= 4.0 else sixteen(hardware) or peak),
        "depthwise_s": passes * each * s.depthwise / _plain(hardware, peak),
        "heavy_bytes_s": (s.elements[-1] - s.elements[cut]) * by_product,
        "light_bytes_s": s.elements[cut] * by_product,
        "unfused_bytes_s": s.unfused * moved,
        "scores_bytes_s": 0.0 if fused else s.scores * moved,
        "weights_s": s.weights * (passes * weight + (_ADAM if trained else 0.0)) / band,
        "gather_s": each * missed * weight / band,
        "power": per_watt(hardware),
        "kernels_s": passes * (s.products if compiled else s.products + s.others) / _clock(hardware),
        "dispatched": 0.0 if _CAPTURED.search(setup.engine) else passes * (s.clustered if compiled else s.dispatched),
        "inputs": each * s.inputs,
        "link_s": 2.0 * s.weights * max(weight, 2.0) * (n - 1.0) / n / _link(hardware, n) if trained else 0.0,
        "doublings": math.log2(n),
    }
    return Case("networks", x, _levels(scenario, setup))


def _levels(scenario: Scenario, setup: Setup) -> dict[str, str]:
    hardware, engine = scenario.hardware, setup.engine
    phase = "training" if scenario.phase == "training" else "network"
    precision = re.sub("^(bf|fp)16$", "16", roles(scenario.precision).compute[0])
    return {
        "generation": hardware.generation,
        "memory_class": hardware.memory_class,
        "precision": precision,
        "phase": phase,
        "engine": engine,
        "engine_phase": f"{engine}/{phase}" if engine else "",
        "generation_precision": f"{hardware.generation}/{precision}",
        "kind": _kind(scenario.model),
        "device": hardware.name,
    }


_KINDS = {"3d-unet": "volume", "dlrm": "recommendation", "rnnt": "speech", "parakeet": "speech"}
_DIFFUSION = re.compile("sd|flux|wan|dit")


def _kind(model: object) -> str:
    """Return the kind of a network: of those with like operators."""
    if isinstance(model, TransformerSpec):
        return "encoder"
    name = str(getattr(model, "name", ""))
    if _DIFFUSION.match(name):
        return "diffusion"
    return next((kind for start, kind in _KINDS.items() if name.startswith(start)), "image")


def _link(hardware: HardwareSpec, devices: float) -> float:
    """Return the bandwidth by which a device exchanges gradients with the others [B/s]."""
    if devices > _NODE:
        return _NETWORK
    return links.between(hardware)[0]


def _plain(hardware: HardwareSpec, peak: float) -> float:
    """Return the peak of the vector units [FLOP/s]: that of fp32, else a sixteenth of the peak that is used."""
    found = hardware.peaks.get("fp32")
    return found.value if found else peak / 16.0


def _units(hardware: HardwareSpec) -> float:
    """Return the cores of a device, 1 where their number is not known."""
    return hardware.units.value if hardware.units else 1.0


def _clock(hardware: HardwareSpec) -> float:
    """Return the boost clock [Hz], a usual one where it is not known."""
    found = hardware.clocks.get("boost")
    return found.value if found else _USUAL_CLOCK


def seconds(x: Mapping[str, Real], p: Mapping[str, Real]) -> Any:
    """Return the time of a step [s].

    Operators of either group take (a^q + b^q)^(1/q) of arithmetic and traffic; products of activations with each
    other, rows of tables and kernels come on top; what the host dispatches runs beside all that.
    """
    q = p["network.overlap"]
    slow = slowing(x, p)
    heavy = _compute(x, p, "heavy") * slow
    light = _compute(x, p, "light") * slow
    moved = p["network.traffic"] / p["memory.fraction"]
    dense = (heavy**q + (x["heavy_bytes_s"] * moved + x["weights_s"] / p["memory.fraction"]) ** q) ** (1.0 / q)
    thin = (light**q + (x["light_bytes_s"] * moved) ** q) ** (1.0 / q)
    between = x["scores_bytes_s"] + x["unfused_bytes_s"] * p["network.unfused"]
    mixing = x["mixing_s"] / p["network.mixing"] + between / p["memory.fraction"]
    rest = x["depthwise_s"] / p["network.depthwise"] + x["gather_s"] / p["network.gather"]
    device = dense + thin + mixing + rest + x["kernels_s"] * p["network.kernel"]
    host = x["dispatched"] * p["launch"]
    h = p["network.hiding"]
    busy = (host**h + device**h) ** (1.0 / h)  # operators are dispatched while others run
    step = busy + p["network.step"] + x["inputs"] * p["network.input"]
    together = step * p["network.kind"] + x["link_s"] * p["network.exposed"]
    return together * (1.0 + p["network.scaling"] * x["doublings"])


def _compute(x: Mapping[str, Real], p: Mapping[str, Real], part: str) -> Any:
    """Return the time of arithmetic [s]."""
    return (x[f"matmul_{part}_s"] + x[f"conv_{part}_s"] / p["network.conv"]) / p["gemm.eta"]
