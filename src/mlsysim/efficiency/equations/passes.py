"""One pass of a language model over its layers: what each part would take at peak, and what it takes.

A pass is decode (one token a sequence) or prefill. All of its parts are ideal times first, work over peak or bytes
over bandwidth; the parameters say what share of peak or bandwidth each reaches, and what is added to them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from mlsysim.hardware import HardwareSpec
from mlsysim.models import TransformerSpec, Work
from mlsysim.models.parts import LatentAttention
from mlsysim.physics.elementwise import Real
from mlsysim.precision import roles

NAMES = (
    "gemm.eta",
    "memory.fraction",
    "memory.experts",
    "cache.fraction",
    "attention.eta",
    "vector.eta",
    "activation.passes",
    "overlap.exponent",
    "gemm.waves",
    "attention.scores",
    "link.fraction",
    "link.latency",
    "overhead.step",
    "overhead.layer",
    "overhead.experts",
    "overhead.latent",
    "overhead.sparse",
    "overhead.sequence",
)
"""Parameters of a pass."""

_LINKS = {"volta": 150e9, "ampere": 300e9, "hopper": 450e9, "blackwell": 900e9, "cdna2": 150e9, "cdna3": 448e9}
_HOST = {"volta": 16e9, "turing": 16e9, "ampere": 32e9, "ada": 32e9, "hopper": 64e9, "blackwell": 64e9}


def link_of(hardware: HardwareSpec) -> tuple[float, str]:
    """Return the bandwidth between devices of one node, one direction [B/s], and the kind of link."""
    if hardware.memory_class == "hbm" and not re.search("pcie|a30|mi210", hardware.name):
        return _LINKS.get(hardware.generation, 200e9), "scale-up"
    return _HOST.get(hardware.generation, 32e9), "host"


def ideal(
    prefix: str,
    model: TransformerSpec,
    hardware: HardwareSpec,
    precision: str,
    work: Work,
    tokens: float,
    sequences: float,
    shards: int,
    devices: int,
    groups: int = 1,
    peak: float = 0.0,
    micro_batches: float = 1.0,
    expanded: float = 0.0,
) -> dict[str, float]:
    """Return the numbers of a pass: ideal times [s] on ``devices`` of which each layer is split over ``shards``.

    ``tokens`` and ``sequences`` are those of all ``groups`` together; ``peak`` [FLOP/s] is that of the arithmetic that
    is used where it is not the precision's own; weights are read once for each of ``micro_batches``, and of each
    ``expanded`` further bytes [B] where they are converted in memory.
    """
    kinds: dict[str, list[float]] = {}
    head = [0.0, 0.0]
    for op in work.operators:
        if op.name in {"lm_head", "head"}:
            head[0] += float(op.flops)
            head[1] += float(op.weight_bytes)
        else:
            found = kinds.setdefault(op.kind, [0.0, 0.0, 0.0])
            found[0] += float(op.flops)
            found[1] += float(op.weight_bytes)
            found[2] += float(op.kv_bytes)
    zero = [0.0, 0.0, 0.0]
    matmul, experts, attention = (kinds.get(k, zero) for k in ("matmul", "experts", "attention"))
    mixers = [v for k, v in kinds.items() if k in {"scan", "conv", "delta", "recurrence"}]
    rate = peak or hardware.peak(precision).value
    wide = sixteen(hardware) or rate
    band = hardware.bandwidth.value if hardware.bandwidth else 1e12
    plain = hardware.peaks.get("fp32")
    role = roles(precision)
    weights = matmul[1] / role.weight if role.weight else 0.0
    used = shards * groups
    per_group = tokens / groups
    link, _ = link_of(hardware)
    latent = any(isinstance(p, LatentAttention) for b in model.blocks for p in b.parts)
    replicas = max(1.0, shards / _kv_heads(model))
    at_once = per_group / micro_batches
    moved = (matmul[1] + head[1]) * micro_batches + weights * expanded * micro_batches
    x = {
        "waves": _waves(work, model, hardware, at_once, used),
        "scores_s": _scores(model, work) / (used * band),
        "gemm_s": matmul[0] / (used * rate) + head[0] / (used * wide),
        "experts_s": experts[0] / (devices * rate),
        "weights_s": moved / (shards * band),
        "experts_read_s": experts[1] * micro_batches / (devices * band),
        "cache_s": (attention[2] * replicas + sum(m[2] for m in mixers)) / (used * band),
        "attention_s": (attention[0] + sum(m[0] for m in mixers)) / (used * wide),
        "vector_s": 2.0 * weights / (shards * plain.value) / per_group if plain else 0.0,
        "activation_s": per_group * model.hidden * model.layers / (shards * band),
        "link_s": 2.0 * model.layers * per_group * model.hidden * 2.0 * 2.0 * (shards - 1) / (shards * link),
        "messages": 2.0 * model.layers * _log2(shards),
        "passes": micro_batches,
        "layers": float(model.layers),
        "expert_layers": float(_layers_with(model, "experts")),
        "latent_layers": float(model.layers if latent else 0),
        "sparse_layers": float(sum(c for c, line in model.lines if line.reach.selected)),
        "sequences": sequences / groups,
    }
    return {prefix + key: value for key, value in x.items()}


def _log2(n: int) -> float:
    return math.log2(n) if n > 1 else 0.0


_TILE = 128.0
"""Rows and columns of the output tile of a large matrix product on one multiprocessor."""


def _waves(work: Work, model: TransformerSpec, hardware: HardwareSpec, tokens: float, shards: int) -> float:
    """Return units / (units + tiles) of the products of a pass, weighed by FLOPs: how much of a wave may be lost.

    A product of ``tokens`` rows and n columns has tokens n / 128^2 tiles, and on average half of the units idle in its
    last wave (NVIDIA, Matrix Multiplication Background, "Wave Quantization").
    """
    units = hardware.units.value if hardware.units else 1.0
    lost = total = 0.0
    for op in work.operators:
        if op.kind == "matmul" and op.flops:
            columns = float(op.flops) / (2.0 * tokens_of(work) * op.count * model.hidden)
            tiles = max(1.0, tokens / _TILE) * max(1.0, columns / shards / _TILE)
            lost += float(op.flops) * units / (units + tiles)
            total += float(op.flops)
    return lost / total if total else 0.0


def tokens_of(work: Work) -> float:
    """Return the tokens of a pass."""
    return max(1.0, float(work.items))


def _scores(model: TransformerSpec, work: Work) -> float:
    """Return the query-key pairs of a pass, all heads and layers together."""
    width = sum(line.pair_flops for _, line in model.lines if line.kind == "attention")
    heads = model.attention_heads / model.layers
    pairs = sum(float(op.flops) for op in work.operators if op.kind == "attention")
    each = width / max(1, sum(1 for _, line in model.lines if line.kind == "attention"))
    return pairs / each * heads if each else 0.0


def _layers_with(model: TransformerSpec, kind: str) -> int:
    return sum(count for count, line in model.lines if line.kind == kind)


def _kv_heads(model: TransformerSpec) -> int:
    return int(getattr(model.blocks[-1].parts[0], "kv_heads", 1))


def sixteen(hardware: HardwareSpec) -> float:
    """Return the peak of 16-bit arithmetic [FLOP/s], 0 where there is none."""
    found = hardware.peaks.get("bf16") or hardware.peaks.get("fp16")
    return found.value if found else 0.0


def pass_seconds(x: Mapping[str, Real], p: Mapping[str, Real], prefix: str = "", overheads: bool = True) -> Any:
    """Return the time of a pass [s].

    The matrices take the soft maximum of arithmetic, reading the weights and, for single tokens, converting and
    adding on the vector units: (a^q + b^q + c^q)^(1/q), between their largest and their sum. Attention takes the
    root of the sum of squares of reading its cache and its arithmetic.
    """
    v = {key: x[prefix + key] for key in _KEYS}
    q = p["overlap.exponent"]
    compute = (v["gemm_s"] + v["experts_s"]) / p["gemm.eta"] * (1.0 + p["gemm.waves"] * v["waves"])
    read = (v["weights_s"] + v["experts_read_s"] / p["memory.experts"]) / p["memory.fraction"]
    vector = v["vector_s"] / p["vector.eta"]
    body = (compute**q + read**q + vector**q) ** (1.0 / q)
    mixing = ((v["cache_s"] / p["cache.fraction"]) ** 2 + (v["attention_s"] / p["attention.eta"]) ** 2) ** 0.5
    moved = v["activation_s"] * p["activation.passes"] + v["scores_s"] * p["attention.scores"] + v["link_s"] / p["link.fraction"]
    total = body + mixing + moved
    return total + overhead(v, p) if overheads else total


def overhead(v: Mapping[str, Real], p: Mapping[str, Real]) -> Any:
    """Return what a pass takes beside arithmetic and traffic [s]: launches by layer, messages, bookkeeping."""
    by_layer = (
        v["layers"] * p["overhead.layer"]
        + v["expert_layers"] * p["overhead.experts"]
        + v["latent_layers"] * p["overhead.latent"]
        + v["sparse_layers"] * p["overhead.sparse"]
    )
    return (
        p["overhead.step"]
        + v["passes"] * by_layer
        + v["messages"] * p["link.latency"]
        + v["sequences"] * p["overhead.sequence"]
    )


_KEYS = (
    "waves",
    "scores_s",
    "gemm_s",
    "experts_s",
    "weights_s",
    "experts_read_s",
    "cache_s",
    "attention_s",
    "vector_s",
    "activation_s",
    "link_s",
    "messages",
    "passes",
    "layers",
    "expert_layers",
    "latent_layers",
    "sparse_layers",
    "sequences",
)
