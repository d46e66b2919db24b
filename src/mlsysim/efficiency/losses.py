"""What is lost in each equation of the efficiency model, in the order in which it is taken off.

Fixed times come first, which together are the ``overhead`` of an answer; then what stands around a step (stages that
idle, messages), then what kernels lose: to narrow formats, in attention, by the shape of products. What is left of
that beyond work over hardware is the software's: shares of peak and bandwidth that are fitted, and no cause of their
own. A loss is taken off by setting numbers of the equation to their ideal, a fixed time to 0 and a share to 1; where a
share is above 1 already, as that of convolutions that are computed with fewer multiplications, it is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from mlsysim.efficiency.case import Case
from mlsysim.efficiency.equations import training
from mlsysim.efficiency.equations.peaks import sixteen
from mlsysim.efficiency.equations.plan import plan_of
from mlsysim.efficiency.fitted import known_parameters
from mlsysim.models import TransformerSpec, Work
from mlsysim.precision import roles
from mlsysim.scenario import Scenario
from mlsysim.setup import Setup

Values = Mapping[str, float]
"""Numbers and parameters of an equation together: no name is of both."""
Change = Callable[[Values], Values]
SOFTWARE = ("unattributed", "software")
"""The one block of what has no cause of its own."""
_SIXTEEN = " at 16 bits"
"""What the name of a parameter ends with where its value for 16-bit formats is meant."""
_NARROW = 2.0
"""Bytes of a weight from which nothing is quantized [B]."""
_BACKWARD = 7.0 / 6.0
"""Products of fused attention in training over those that are counted: 3.5 / 3 (Dao, arXiv:2307.08691, section 4.1)."""
_RECOMPUTED = ("gemm_s", "experts_s", "attention_s")
"""What of a training step is done again where activations are recomputed."""
_EXPANDED = 4.0
"""Bytes moved for a weight that is expanded in memory before it is multiplied [B], as in the equation of a step."""


class Loss(NamedTuple):
    """A cause with the part of it, what sets an equation's numbers to their ideal, and whose messages it is of."""

    cause: str
    part: str
    ideal: Change
    of: str = ""


def _none(*names: str) -> Change:
    """Set times, bytes or what they are multiplied by to 0."""
    return lambda _: dict.fromkeys(names, 0.0)


def _whole(*names: str) -> Change:
    """Set shares to 1, or leave them where they are above it."""
    return lambda v: {name: max(1.0, v[name]) for name in names}


def _in_turn(v: Values) -> Values:
    """Let devices that hold layers in turn all work at once."""
    return {"pipe": 1.0 / (v["hops"] + 1.0), "split.power": 1.0, "split.room": 0.0}


def _unconverted(v: Values) -> Values:
    """Leave out what expanding narrow weights takes, in memory and on the vector units."""
    return {
        "vector_s": v["vector_s"] * (1.0 - v["weights are converted"]),
        "weights_s": v["weights_s"] * v["share not expanded"],
    }


def _as_sixteen(*names: str) -> Change:
    """Let kernels of a narrow format reach the share of its peak that those of 16 bits reach, where that is more."""
    return lambda v: {name: max(v[name], v[name + _SIXTEEN]) for name in names}


def _products_of_step(v: Values) -> Values:
    experts = max(1.0, v["memory.fraction"] * v["memory.experts"])
    whole = _whole("gemm.eta", "memory.fraction")(v)
    return {**whole, "memory.experts": experts, "gemm.energy": 0.0, "vector_s": 0.0}


def _products_of_network(v: Values) -> Values:
    names = ("gemm.eta", "memory.fraction", "network.depthwise", "network.gather")
    eta = max(1.0, v["gemm.eta"])
    conv = max(1.0, v["gemm.eta"] * v["network.conv"]) / eta
    kind = min(1.0, v["network.kind"])
    return {**_whole(*names)(v), "network.conv": conv, "gemm.energy": 0.0, "network.kind": kind}


def _attention_of_training(v: Values) -> Values:
    return {"attention.eta": max(v["attention.eta"], _rise(v)), "attention_s": v["attention_s"] / _BACKWARD}


def _products_of_training(v: Values) -> Values:
    reached, rise = v["gemm.eta"] / _rise(v), _rise(v)
    eta = max(1.0, reached)
    experts = max(1.0, reached * v["training.experts"]) / eta
    attention = max(1.0, v["attention.eta"] / rise)
    found = {"gemm.eta": eta, "training.peak": 0.0, "training.experts": experts, "attention.eta": attention}
    return {**found, **_whole("memory.fraction")(v)}


def _rise(v: Values) -> float:
    """Return what the share of peak is divided by on a device of a higher peak."""
    return float(v["peak"] ** v["training.peak"])


LOSSES: Mapping[str, tuple[Loss, ...]] = {
    "step": (
        Loss("framework", "step", _none("overhead.step")),
        Loss("framework", "sequences", _none("overhead.sequence")),
        Loss(
            "kernel_launch",
            "layers",
            _none("overhead.layer", "overhead.experts", "overhead.latent", "overhead.sparse"),
        ),
        Loss("communication", "latency", _none("link.latency", "split.hop")),
        Loss("pipeline_bubble", "waiting", _in_turn),
        Loss("communication", "transfer", _none("link_s"), "tensor parallelism"),
        Loss("quantization", "conversion", _unconverted),
        Loss("quantization", "kernels", _as_sixteen("gemm.eta")),
        Loss("attention", "scores", _none("attention.scores")),
        Loss("attention", "cache", _whole("cache.fraction")),
        Loss("attention", "kernels", _whole("attention.eta")),
        Loss("occupancy", "waves", _none("gemm.waves")),
        Loss(*SOFTWARE, _products_of_step),
    ),
    "training": (
        Loss("framework", "step", _none("training.step")),
        Loss("kernel_launch", "layers", _none("overhead.layer")),
        Loss("kernel_launch", "experts", _none("training.expert")),
        Loss(*SOFTWARE, _none("spread")),
        Loss("communication", "transfer", _none("dp_s"), "data parallelism"),
        Loss("pipeline_bubble", "waiting", _none("bubble")),
        Loss("communication", "transfer", _none("tp_s"), "tensor parallelism"),
        Loss("communication", "transfer", _none("cp_s"), "context parallelism"),
        Loss("communication", "transfer", _none("ep_s"), "expert parallelism"),
        Loss("quantization", "kernels", _as_sixteen("gemm.eta")),
        Loss("attention", "kernels", _attention_of_training),
        Loss("occupancy", "small products", _none("training.hidden", "training.tokens")),
        Loss(*SOFTWARE, _products_of_training),
    ),
    "networks": (
        Loss("framework", "step", _none("network.step")),
        Loss("framework", "dispatch", _none("launch")),
        Loss(*SOFTWARE, _none("network.input")),  # published runs do not determine it
        Loss("kernel_launch", "operators", _none("network.kernel")),
        Loss(*SOFTWARE, _none("doublings")),
        Loss("communication", "transfer", _none("link_s"), "data parallelism"),
        Loss("quantization", "kernels", _as_sixteen("gemm.eta", "network.conv")),
        Loss("attention", "scores", _none("scores_bytes_s")),
        Loss("attention", "kernels", _whole("network.mixing")),
        Loss(*SOFTWARE, _products_of_network),
    ),
    "edge": (
        Loss("framework", "calls", _none("edge.layer")),
        Loss("framework", "threads", _none("edge.wait")),
    ),
    "tinyml": (Loss("framework", "interpreter", _none("mcu.layer")),),
}
"""What is taken off, in this order, by equation."""
OVERLAPPING: Mapping[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = {
    "step": (
        (("gemm_s", "experts_s"), ("weights_s", "experts_read_s")),
        (("attention_s",), ("cache_s",)),
    ),
    "training": (),
    "networks": (
        (("conv_heavy_s", "matmul_heavy_s"), ("heavy_bytes_s", "weights_s")),
        (("conv_light_s", "matmul_light_s"), ("light_bytes_s",)),
    ),
}
"""Arithmetic and traffic that an equation lets overlap in part: with ideal software the longer hides the shorter.

An equation that is not here counts cycles of a core, and does not tell what its bytes would take.
"""
MOVED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "step": {
        "activations": ("activation_s", "dispatch_s", "scores_s"),
        "kv_cache": ("cache_s",),
        "weights": ("weights_s", "experts_read_s"),
    },
    "training": {"activations": ("activation_s", "logits_s", "dispatch_s"), "optimizer": ("update_s",)},
    "networks": {
        "activations": ("heavy_bytes_s", "light_bytes_s", "unfused_bytes_s"),
        "embedding": ("gather_s",),
        "weights": ("weights_s",),
    },
}
"""Times of bytes at the full bandwidth, by what is moved."""
ARITHMETIC: Mapping[str, tuple[Loss, ...]] = {
    "step": (Loss("quantization", "kept wide", lambda v: _narrowed(v, "attention_s")),),
    "training": (
        Loss("unattributed", "recomputation", lambda v: {k: v[k + " once"] for k in _RECOMPUTED}),
        Loss("quantization", "kept wide", lambda v: _narrowed(v, "attention_s", "head_s")),
    ),
    "networks": (Loss("quantization", "kept wide", lambda v: _narrowed(v, "mixing_s")),),
}
"""Arithmetic beyond that of the model at its peak: what is done twice, and what stays in 16 bits."""


def _narrowed(v: Values, *names: str) -> Values:
    return {name: v[name] * v["16-bit peak over peak"] for name in names}


def values_of(case: Case, scenario: Scenario, setup: Setup, work: Work) -> dict[str, float]:
    """Return the numbers and parameters of a case, with those that its losses are taken off by."""
    p = known_parameters(case.equation, tuple(case.levels.items()))
    role, hardware = roles(scenario.precision), scenario.hardware
    quantized = role.weight < _NARROW
    levels = dict(case.levels)
    if quantized and "precision" in levels:
        levels["precision"] = "16"
        if "generation_precision" in levels:
            levels["generation_precision"] = f"{levels['generation']}/16"
    wide = known_parameters(case.equation, tuple(levels.items()))
    peak, half = hardware.peak(scenario.precision).value, sixteen(hardware)
    found = {k: float(v) for k, v in case.x.items()} | dict(p)
    found |= {name + _SIXTEEN: wide[name] for name in ("gemm.eta", "network.conv") if name in wide}
    found["weights are converted"] = float(role.dequantized)
    found["16-bit peak over peak"] = min(1.0, half / peak) if half and quantized else 1.0
    if case.equation == "step":
        found["share not expanded"] = _unexpanded(scenario, setup, work)
    if case.equation == "training":
        found |= _once(found, scenario, setup)
    return found


def _unexpanded(scenario: Scenario, setup: Setup, work: Work) -> float:
    """Return the share of the bytes read for weights that is left where none are expanded in memory."""
    role = roles(scenario.precision)
    if not (role.dequantized and setup.engine == "llama.cpp" and scenario.phase != "decode"):
        return 1.0
    products = [op for op in work.operators if op.kind == "matmul"]
    read = sum(float(op.weight_bytes) for op in products)
    expanded = sum(float(op.weight_bytes) for op in products if op.name not in {"lm_head", "head"}) / role.weight
    return read / (read + _EXPANDED * expanded)


def _once(found: Values, scenario: Scenario, setup: Setup) -> dict[str, float]:
    """Return the arithmetic of a training step in which no activation is recomputed [s]; without its second scores."""
    x: Mapping[str, object] = found
    if isinstance(scenario.model, TransformerSpec) and plan_of(scenario, setup).recompute:
        defaults = {k: v for k, v in scenario.defaults.items() if k != "recompute"}
        once = scenario.replace(modifiers=scenario.modifiers._replace(recompute="none"), defaults=defaults)
        x = training.case(once, setup).x
    once_s = {name: float(x[name]) for name in _RECOMPUTED}  # type: ignore[arg-type]  # numbers
    once_s["attention_s"] /= _BACKWARD
    return {f"{name} once": seconds for name, seconds in once_s.items()}
