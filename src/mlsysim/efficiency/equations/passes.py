"""One pass of a language model over its layers: what each part would take at peak, and what it takes.

A pass is decode (one token a sequence) or prefill. All of its parts are ideal times first, work over peak or bytes
over bandwidth; the parameters say what share of peak or bandwidth each reaches, and what is added to them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlsysim.efficiency.equations import links
from mlsysim.efficiency.equations.peaks import per_watt, sixteen, slowing
from mlsysim.hardware import HardwareSpec
from mlsysim.models import TransformerSpec, Work
from mlsysim.physics.elementwise import Real, maximum
from mlsysim.precision import roles

NAMES = (
    "gemm.eta",
    "memory.fraction",
    "memory.experts",
    "cache.fraction",
    "attention.eta",
    "vector.eta",
    "activation.passes",
    "experts.dispatch",
    "overlap.exponent",
    "gemm.waves",
    "gemm.energy",
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


class Sums(NamedTuple):
    """The ledger of a pass by what an accelerator does with it: FLOPs, bytes of weights [B], bytes of cache [B]."""

    matmul: Any = 0.0
    weights_bytes: Any = 0.0
    experts: Any = 0.0
    experts_bytes: Any = 0.0
    mixing: Any = 0.0
    attention: Any = 0.0
    cache_bytes: Any = 0.0
    state_bytes: Any = 0.0
    head: Any = 0.0
    head_bytes: Any = 0.0
    lost: Any = 0.0


_TILE = 128.0
"""Rows and columns of the output tile of a large matrix product on one multiprocessor."""


def sums(work: Work, hidden: int, tokens: Real, at_once: Real, units: float, shards: int) -> Sums:
    """Return the sums of a pass over ``tokens``, of which ``at_once`` run together.

    ``lost`` are matrix FLOPs weighed by units / (units + tiles): how much of a wave may be lost. A product of m rows
    and n columns has m n / 128^2 tiles, and on average half of the units idle in its last wave (NVIDIA, Matrix
    Multiplication Background, "Wave Quantization").
    """
    matmul: Real = 0.0
    weights = experts = experts_bytes = mixing = attention = cache = state = head = head_bytes = lost = matmul
    rows = maximum(1.0, at_once / _TILE)
    width = 2.0 * maximum(tokens, 1.0) * hidden * shards * _TILE
    for name, kind, count, flops, weight, _, kept, _ in work.operators:
        if kind == "matmul":
            if name in {"lm_head", "head"}:
                head, head_bytes = head + flops, head_bytes + weight
                continue
            matmul, weights = matmul + flops, weights + weight
            lost += flops * units / (units + rows * maximum(1.0, flops / (width * count)))
        elif kind == "experts":
            experts, experts_bytes = experts + flops, experts_bytes + weight
        elif kind == "attention":
            attention, cache = attention + flops, cache + kept
        elif kind not in {"lookup", "norm", "dequantize"}:
            mixing, state = mixing + flops, state + kept
    return Sums(matmul, weights, experts, experts_bytes, mixing, attention, cache, state, head, head_bytes, lost)


def ideal(
    model: TransformerSpec,
    hardware: HardwareSpec,
    precision: str,
    work: Work,
    tokens: Real,
    sequences: Real,
    shards: int,
    devices: Real,
    groups: Real = 1,
    peak: float = 0.0,
    micro_batches: Real = 1.0,
    expanded: float = 0.0,
) -> dict[str, Any]:
    """Return the numbers of a pass: ideal times [s] on ``devices`` of which each layer is split over ``shards``.

    ``tokens`` and ``sequences`` are those of all ``groups`` together; ``peak`` [FLOP/s] is that of the arithmetic that
    is used where it is not the precision's own; weights are read once for each of ``micro_batches``, and of each
    ``expanded`` further bytes [B] where they are converted in memory.
    """
    rate = peak or hardware.peak(precision).value
    wide = sixteen(hardware) or rate
    band = hardware.bandwidth.value if hardware.bandwidth else math.nan
    plain = hardware.peaks.get("fp32")
    used, per_group = shards * groups, tokens / groups
    units = hardware.units.value if hardware.units else 1.0
    s = sums(work, model.hidden, tokens, per_group / micro_batches, units, shards)
    weights = s.weights_bytes / roles(precision).weight
    link, _ = links.between(hardware)
    copies = max(1.0, shards / model.kv_heads)  # heads that are fewer than the shards are kept more than once
    return {
        "power": per_watt(hardware),
        "waves": s.lost / maximum(s.matmul, 1.0),
        "scores_s": s.attention / model.score_flops / (used * band) if model.score_flops else 0.0,
        "gemm_s": s.matmul / (used * rate) + s.head / (used * wide),
        "experts_s": s.experts / (devices * rate),
        "weights_s": (s.weights_bytes + s.head_bytes + weights * expanded) * micro_batches / (shards * band),
        "experts_read_s": s.experts_bytes * micro_batches / (devices * band),
        "cache_s": (s.cache_bytes * copies + s.state_bytes) / (used * band),
        "attention_s": (s.attention + s.mixing) / (used * wide),
        "vector_s": 2.0 * weights / (shards * plain.value) if plain else 0.0,
        "activation_s": per_group * model.hidden * model.layers / (shards * band),
        "dispatch_s": per_group * model.sent_elements / band,
        "link_s": 8.0 * model.layers * per_group * model.hidden * (shards - 1) / (shards * link),
        "messages": 2.0 * model.layers * math.log2(shards),
        "passes": micro_batches,
        "layers": float(model.layers),
        "expert_layers": float(model.expert_layers),
        "latent_layers": float(model.latent_layers),
        "sparse_layers": float(model.sparse_layers),
        "sequences": sequences / groups,
    }


def pass_seconds(x: Mapping[str, Real], p: Mapping[str, Real]) -> Any:
    """Return the time of a pass [s].

    The matrices take the soft maximum of arithmetic, reading the weights and, for single tokens, converting and
    adding on the vector units: (a^q + b^q + c^q)^(1/q), between their largest and their sum. Attention takes the
    root of the sum of squares of reading its cache and its arithmetic.
    """
    q = p["overlap.exponent"]
    compute = matrices(x["gemm_s"] + x["experts_s"], x, p) * (1.0 + p["gemm.waves"] * x["waves"])
    read = (x["weights_s"] + x["experts_read_s"] / p["memory.experts"]) / p["memory.fraction"]
    vector = x["vector_s"] / p["vector.eta"]
    body = (compute**q + read**q + vector**q) ** (1.0 / q)
    mixing = ((x["cache_s"] / p["cache.fraction"]) ** 2 + (x["attention_s"] / p["attention.eta"]) ** 2) ** 0.5
    moved = x["activation_s"] * p["activation.passes"] + x["scores_s"] * p["attention.scores"]
    moved = moved + x["dispatch_s"] * p["experts.dispatch"]
    return body + mixing + moved + x["link_s"] / p["link.fraction"] + overhead(x, p)


def matrices(ideal_s: Any, x: Mapping[str, Real], p: Mapping[str, Real]) -> Any:
    """Return the time of matrix products [s] that take ``ideal_s`` at peak."""
    return ideal_s / p["gemm.eta"] * slowing(x, p)


def overhead(x: Mapping[str, Real], p: Mapping[str, Real]) -> Any:
    """Return what a pass takes beside arithmetic and traffic [s]: launches by layer, messages, bookkeeping."""
    by_layer = (
        x["layers"] * p["overhead.layer"]
        + x["expert_layers"] * p["overhead.experts"]
        + x["latent_layers"] * p["overhead.latent"]
        + x["sparse_layers"] * p["overhead.sparse"]
    )
    return (
        p["overhead.step"]
        + x["passes"] * by_layer
        + x["messages"] * p["link.latency"]
        + x["sequences"] * p["overhead.sequence"]
    )
