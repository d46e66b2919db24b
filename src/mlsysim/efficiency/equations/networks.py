"""A batch of a network that is fed forward on an accelerator, or one step of training it.

Operators that compute more than they move and those that move more than they compute are told apart; each group takes
the soft maximum of arithmetic and traffic. Beside them every operator has one wave of tiles to fill and is launched.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from mlsysim.efficiency.case import Case
from mlsysim.hardware import HardwareSpec
from mlsysim.models import NetworkSpec, TransformerSpec
from mlsysim.models.work import Sizes, lower
from mlsysim.physics.elementwise import Real
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
    "network.fill",
    "network.gather",
    "network.energy",
    "network.step",
    "network.input",
    "network.kernel",
    "network.narrow",
    "network.exposed",
    "network.scaling",
    "network.overlap",
    "network.hiding",
    "network.kind",
)
_COLUMNS = 64
"""Columns that a product needs for half of its rate, where ``network.narrow`` is 1."""
TILE = 128
"""Rows and columns of the tile of a product that one unit makes at a time: the common one of GEMM libraries."""
_COMPILED = re.compile("tensorrt|xla|flax|jax|neuron")
"""Engines that make one kernel of a product and what follows it."""
_TUNED = re.compile("mlperf|mxnet|megatron")
"""Frameworks that dispatch operator by operator, of which the large ones are fused by hand."""
_CAPTURED = re.compile("tensorrt|mlperf")
"""Engines that launch a captured graph of operators, so that the host dispatches none of them."""
_EAGER = 2.2
"""Bytes that norm and activation move as operators of their own, with the product before them, over those of it alone."""
_LINKS = {"volta": 150e9, "ampere": 300e9, "hopper": 450e9, "blackwell": 900e9}
_HOST = {"volta": 16e9, "turing": 16e9, "ampere": 32e9, "ada": 32e9, "hopper": 64e9, "blackwell": 64e9}
_NETWORK = 50e9
"""Bandwidth of a device to other nodes [B/s]: one port of 400 Gbit/s."""
_NODE = 8
_ADAM = 20.0
"""Bytes that an update moves for one parameter: two states and the master read and written, and the gradient."""


class Sums(NamedTuple):
    """What one sample takes: operators sorted by FLOPs per element, running totals, and what does not depend on it.

    ``narrow`` are FLOPs over the columns of a product; ``scores`` the elements of attention that fused kernels keep;
    ``tables`` the parameters of tables and of these what a sample looks up.
    """

    intensity: tuple[float, ...]
    conv: tuple[float, ...]
    matmul: tuple[float, ...]
    narrow: tuple[float, ...]
    mixing: float
    elements: tuple[float, ...]
    scores: float
    unfused: float
    depthwise: float
    depth: float
    weights: float
    tables: tuple[tuple[float, float], ...]
    inputs: float
    products: float
    others: float
    dispatched: float


_known: dict[tuple[int, int], tuple[object, Sums]] = {}


def sums(model: NetworkSpec | TransformerSpec, seq_len: int) -> Sums:
    """Return the sums of a model for one sample; they are made once."""
    kept = model.table if isinstance(model, NetworkSpec) else model  # a table is shared by specs of other steps
    key = id(kept), model.steps if isinstance(model, NetworkSpec) else seq_len
    found = _known.get(key)
    if found is None or found[0] is not kept:
        made = _network(model) if isinstance(model, NetworkSpec) else _sequence(model, seq_len)
        _known[key] = found = (kept, made)
    return found[1]


class _Op(NamedTuple):
    """Operators of one row: FLOPs and elements of all of them, the depth (sum) and the columns of their products."""

    kind: str
    count: float
    flops: float
    elements: float
    depth: float = 0.0
    columns: float = 0.0


_PRODUCTS = {"conv": "conv", "linear": "matmul", "matmul": "matmul", "depthwise": "depthwise", "attention": "mixing"}


def _network(m: NetworkSpec) -> Sums:
    ops = []
    for layer in m.table:
        n = float(layer.times * m.steps)
        kind = _PRODUCTS.get(layer.kind, layer.kind)
        if layer.kind == "matmul" and not layer.parameters or layer.kind == "softmax":
            kind = "mixing"
        depth = layer.macs / layer.output_elements if layer.output_elements else 0.0
        columns = layer.parameters / depth if depth else 0.0
        elements = n * (layer.input_elements + layer.output_elements)
        ops.append(_Op(kind, n, 2.0 * n * layer.macs, elements, n * depth, columns))
    tables = tuple((r.parameters, r.touched) for r in m.totals if r.touched is not None)
    weights = sum(r.parameters for r in m.totals if r.touched is None)
    dispatched = sum(op.count * (_CONVOLUTION if op.kind in {"conv", "depthwise"} else 1.0) for op in ops)
    return _sorted(ops, weights, tables, float(m.table[0].input_elements), dispatched)


def _sequence(m: TransformerSpec, seq_len: int) -> Sums:
    """Return the sums of an encoder; its ledger names groups: four products of attention, two of what follows."""
    ops, weights = [], 0.0
    for op in lower(m, "forward", batch_size=1, seq_len=seq_len, context=0, sizes=Sizes(1.0, 1.0, 1.0)).operators:
        kind, flops, elements = _PRODUCTS.get(op.kind, ""), float(op.flops), float(op.activation_bytes)
        weights += float(op.weight_bytes) if kind else 0.0
        depth = op.count * flops / elements if kind else 0.0
        ops.append(_Op(kind, op.count * _KERNELS.get(kind, 2.0), flops, elements, depth, float(m.hidden)))
    return _sorted(ops, weights, (), 0.0, _DISPATCHED * m.layers)


_KERNELS = {"matmul": 1.0, "mixing": 1.0}
_CONVOLUTION = 5.0
"""Operators that a framework dispatches for a convolution: itself, norm, activation, changes of layout and precision."""
_DISPATCHED = 26.0
"""Operators that a framework dispatches for a layer of an encoder: 6 products with biases, 2 of attention, its softmax
and mask, 6 changes of layout, activation, 2 sums, 2 norms."""


def _sorted(ops: list[_Op], weights: float, tables: tuple[tuple[float, float], ...], inputs: float, dispatched: float) -> Sums:
    ranked = sorted((op for op in ops if op.kind in {"conv", "matmul", "depthwise"}), key=_intensity)
    others = [op for op in ops if op.kind not in {"conv", "matmul", "depthwise", "mixing"}]

    def running(kinds: str, narrow: bool = False) -> tuple[float, ...]:
        each = (op.flops / (op.columns or 1e9 if narrow else 1.0) if op.kind in kinds else 0.0 for op in ranked)
        return tuple(accumulate(each, initial=0.0))

    return Sums(
        tuple(map(_intensity, ranked)),
        running("conv"),
        running("matmul"),
        running("conv matmul", narrow=True),
        sum(op.flops for op in ops if op.kind == "mixing"),
        tuple(accumulate((op.elements for op in ranked), initial=0.0)),
        sum(op.elements for op in ops if op.kind == "mixing"),
        sum(op.elements for op in others),
        sum(op.flops for op in ops if op.kind == "depthwise"),
        sum(op.depth for op in ops),
        weights,
        tables,
        inputs,
        sum(op.count for op in ops if op.flops),
        sum(op.count for op in ops if not op.flops),
        dispatched,
    )


def _intensity(op: _Op) -> float:
    return op.flops / op.elements if op.elements else math.inf


def case(scenario: Scenario, setup: Setup) -> Case:
    """Return the numbers of a step: ideal times [s] of one device, and counts."""
    model, hardware = scenario.model, scenario.hardware
    sequence = scenario.seq_len or model.tokens if isinstance(model, TransformerSpec) else 0
    s = sums(model, sequence or 1)
    trained = scenario.phase == "training"
    role = roles(scenario.precision)
    factor = 3.0 if trained else 1.0
    n, each = float(scenario.devices), max(scenario.batch_size / scenario.devices, 1.0)
    peak = hardware.peak(scenario.precision).value
    band = hardware.bandwidth.value if hardware.bandwidth else peak / 100.0
    plain = hardware.peaks.get("fp32")
    units = hardware.units.value if hardware.units else 100.0
    size, weight = role.activation, role.weight
    ridge = peak / band * size
    cut = bisect_left(s.intensity, ridge)
    work, move = factor * each / peak, factor * each * size / band
    operators = s.products + s.others
    wide = each * s.elements[-1] * size / s.products
    cache = hardware.cache.value if hardware.cache else 4e6
    spilled = wide / (wide + cache)
    sixteen = hardware.peaks.get("fp16") or hardware.peaks.get("bf16")
    wide_format = role.activation >= 4.0
    compiled = bool(_COMPILED.search(setup.engine))
    fused = compiled or bool(_TUNED.search(setup.engine))
    passed = move * spilled * (1.0 if fused else _EAGER)
    missed = sum(found * rows / (rows + cache / weight) for rows, found in s.tables)
    clock = hardware.clocks["boost"].value if "boost" in hardware.clocks else 1.5e9
    read = (3.0 if trained else 1.0) * s.weights * weight + (s.weights * _ADAM if trained else 0.0)
    gradient = 2.0 * s.weights * max(weight, 2.0) * (n - 1.0) / n if trained else 0.0
    link = _NETWORK if n > _NODE else (_LINKS if _scale_up(hardware) else _HOST).get(hardware.generation, 32e9)
    x = {
        "conv_heavy_s": (s.conv[-1] - s.conv[cut]) * work,
        "conv_light_s": s.conv[cut] * work,
        "matmul_heavy_s": (s.matmul[-1] - s.matmul[cut]) * work,
        "matmul_light_s": s.matmul[cut] * work,
        "narrow_heavy_s": (s.narrow[-1] - s.narrow[cut]) * work * _COLUMNS,
        "narrow_light_s": s.narrow[cut] * work * _COLUMNS,
        "mixing_s": factor * each * s.mixing / (sixteen.value if sixteen and not wide_format else peak),
        "depthwise_s": factor * each * s.depthwise / (plain.value if plain else peak / 16.0),
        "heavy_bytes_s": (s.elements[-1] - s.elements[cut]) * passed,
        "light_bytes_s": s.elements[cut] * passed,
        "unfused_bytes_s": s.unfused * move * spilled,
        "scores_bytes_s": 0.0 if fused else s.scores * move * spilled,
        "weights_s": read / band,
        "gather_s": each * missed * weight / band,
        "fill_s": factor * 2.0 * s.depth * TILE * TILE * units / peak,
        "power": _density(hardware),
        "kernels_s": factor * (s.products if compiled else operators) / clock,
        "dispatched": 0.0 if _CAPTURED.search(setup.engine) else factor * s.dispatched,
        "inputs": each * s.inputs,
        "link_s": gradient / link,
        "doublings": math.log2(n),
    }
    levels = {
        "generation": hardware.generation,
        "memory_class": hardware.memory_class,
        "precision": role.compute[0].replace("bf16", "16").replace("fp16", "16"),
        "phase": "training" if trained else "network",
        "engine": setup.engine,
        "engine_phase": f"{setup.engine}/{'training' if trained else 'network'}" if setup.engine else "",
        "kind": _kind(model),
        "device": hardware.name,
    }
    levels["generation_precision"] = f"{levels['generation']}/{levels['precision']}"
    return Case("networks", x, levels)


def _kind(model: object) -> str:
    if isinstance(model, TransformerSpec):
        return "encoder"
    name = getattr(model, "name", "")
    for start in ("dlrm", "rnnt", "3d-unet", "sd", "flux", "wan"):
        if name.startswith(start):
            return {"sd": "diffusion", "flux": "diffusion", "wan": "diffusion"}.get(start, start)
    return "image"


def _scale_up(hardware: HardwareSpec) -> bool:
    return hardware.memory_class == "hbm" and not re.search("pcie|a30|nvl|mi210", hardware.name)


def _density(hardware: HardwareSpec) -> float:
    """Return 16-bit operations at peak for a joule of the power limit [FLOP/J], 0 where it is not known."""
    sixteen = hardware.peaks.get("fp16") or hardware.peaks.get("bf16")
    return sixteen.value / hardware.tdp_w.value if sixteen and hardware.tdp_w else 0.0


def seconds(x: Mapping[str, Real], p: Mapping[str, Real]) -> Any:
    """Return the time of a step [s]."""
    q = p["network.overlap"]
    slow = (1.0 + (p["gemm.eta"] * x["power"] * p["network.energy"]) ** 2) ** 0.5
    heavy = _compute(x, p, "heavy") * slow
    light = _compute(x, p, "light") * slow
    moved = p["network.traffic"] / p["memory.fraction"]
    dense = (heavy**q + (x["heavy_bytes_s"] * moved + x["weights_s"] / p["memory.fraction"]) ** q) ** (1.0 / q)
    thin = (light**q + (x["light_bytes_s"] * moved) ** q) ** (1.0 / q)
    between = x["scores_bytes_s"] + x["unfused_bytes_s"] * p["network.unfused"]
    mixing = x["mixing_s"] / p["network.mixing"] + between / p["memory.fraction"]
    rest = x["depthwise_s"] / p["network.depthwise"] + x["gather_s"] / p["network.gather"]
    device = dense + thin + mixing + rest + x["kernels_s"] * p["network.kernel"] + x["fill_s"] * p["network.fill"]
    host = x["dispatched"] * p["launch"]
    h = p["network.hiding"]
    busy = (host**h + device**h) ** (1.0 / h)  # operators are dispatched while others run
    step = busy + p["network.step"] + x["inputs"] * p["network.input"]
    return (step * p["network.kind"] + x["link_s"] * p["network.exposed"]) * (1.0 + p["network.scaling"] * x["doublings"])


def _compute(x: Mapping[str, Real], p: Mapping[str, Real], part: str) -> Any:
    """Return the time of arithmetic [s]: a product with few columns takes that of more."""
    products = x[f"matmul_{part}_s"] + x[f"conv_{part}_s"] / p["network.conv"]
    return (products + x[f"narrow_{part}_s"] * p["network.narrow"]) / p["gemm.eta"]
