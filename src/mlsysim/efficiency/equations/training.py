"""One optimizer step of a sequence model on many devices: dense, mixture of experts, adapters, text encoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mlsysim.efficiency.case import Case
from mlsysim.efficiency.equations.peaks import sixteen
from mlsysim.efficiency.equations.plan import Plan, fabric_of, plan_of
from mlsysim.models import TransformerSpec, lower
from mlsysim.models.parts import Experts
from mlsysim.models.training import Trained
from mlsysim.physics.elementwise import Real, maximum, minimum
from mlsysim.scenario import Scenario
from mlsysim.setup import Setup

NAMES = (
    "gemm.eta",
    "attention.eta",
    "memory.fraction",
    "link.fraction",
    "overhead.layer",
    "training.activation",
    "training.hidden",
    "training.tokens",
    "training.peak",
    "training.experts",
    "experts.dispatch",
    "training.expert",
    "training.tp",
    "training.cp",
    "training.ep",
    "training.network",
    "training.step",
    "training.bubble",
    "training.jitter",
    "training.overlap",
)
ARRAYS: tuple[str, ...] = ()
_PEAK = 312e12
"""16-bit peak at which the share of peak is stated [FLOP/s]: that of the A100."""
_MASKED = 0.15
"""Share of tokens that an encoder predicts (Devlin et al., arXiv:1810.04805, section 3.1)."""
_OPTIMIZER = 26.0
"""Bytes of an Adam step a parameter [B]: gradient read, master copy and moments read and written, weight written."""
_FUSED_BACKWARD = 3.5 / 3.0
"""Products of fused attention in a training step over those that are counted: its backward pass, which computes the
scores again, has 2.5 times those of the forward pass (Dao, arXiv:2307.08691, section 4.1)."""
_WIDTH = {"fp16": "16", "bf16": "16", "nvfp4": "fp4", "mxfp4": "fp4"}


def case(scenario: Scenario, setup: Setup) -> Case:
    """Return the numbers of an optimizer step: work and traffic of one device, and what its plan sends."""
    model, hardware = scenario.model, scenario.hardware
    assert isinstance(model, TransformerSpec)
    plan = plan_of(scenario, setup)
    flops = _flops(scenario, model)
    peak = hardware.peak(scenario.precision).value
    wide = sixteen(hardware) or peak
    wide = min(wide, peak) if scenario.precision in {"fp32", "tf32"} else wide
    n = float(scenario.devices)
    tokens = float(scenario.batch_size * (scenario.seq_len or model.tokens or 1))
    own = tokens / n
    layers, hidden = float(model.layers), float(model.hidden)
    lora = scenario.modifiers.trained.lora_rank > 0
    again = (0.5 if lora else 1 / 3) if plan.recompute else 0.0
    band = hardware.bandwidth.value if hardware.bandwidth else 1e12
    routed = _routed(model)
    expert_weights = float(routed[0])
    trained = scenario.modifiers.trained.parameters(model)
    dense_weights = model.parameters - expert_weights
    shard = dense_weights / (plan.tp * plan.pp) + expert_weights / (plan.ep * plan.pp)
    held = shard * trained / model.parameters if lora else shard
    at_once = plan.micro_batch * tokens / scenario.batch_size / plan.cp
    ffn = float(routed[3] or 1)
    x = {
        "gemm_s": flops["gemm"] * (1.0 + again) / (n * peak),
        "experts_s": flops["experts"] * (1.0 + again) / (n * peak),
        "head_s": flops["head"] / (n * wide),
        "attention_s": _FUSED_BACKWARD * flops["attention"] * (1.0 + (1 / 3 if plan.recompute else 0.0)) / (n * wide),
        "narrow": plan.tp / hidden,
        "few": 1.0 / at_once,
        "few_experts": routed[1] / (routed[2] * plan.ep * at_once) if routed[2] else 0.0,
        "narrow_experts": 1.0 / (4.0 * ffn),
        "peak": wide / _PEAK,
        "activation_s": own * hidden * layers * (1.0 + again) / band,
        "logits_s": (_MASKED if not model.causal else 1.0) * own * model.outputs * 14.5 / band,
        "dispatch_s": 3.0 * own * model.sent_elements / band,
        "tp_s": own * 16.0 * (plan.tp - 1) * hidden * layers / plan.scale_up,
        "cp_s": own * 12.0 * (plan.cp - 1) * _kv_width(model) / plan.cp_link,
        "ep_s": own * 8.0 * hidden * routed[4] * _sent_to_experts(plan, routed[2]),
        "dp_s": _gathered(plan, held, shard) / plan.network,
        "update_s": _OPTIMIZER * held / (plan.dp if plan.sharded else 1.0) / band,
        "passes": plan.micro_batches
        * layers
        / plan.pp
        * (3.0 if plan.recompute else 2.0)
        * (1.0 if plan.tp == 1 else 1.3),
        "local_experts": plan.micro_batches * routed[4] / plan.pp * (routed[1] / plan.ep if routed[2] else 0.0),
        "bubble": (plan.pp - 1.0) / (plan.micro_batches * plan.vpp),
        "spread": math.log2(max(1.0, n / 8.0)),
    }
    return Case("training", x, _levels(scenario, setup, bool(routed[2])))


def _flops(scenario: Scenario, model: TransformerSpec) -> dict[str, float]:
    """Return the FLOPs of a step by what they run on."""
    more = scenario.modifiers
    one = _sequence_flops(model, scenario.seq_len or 1, more.target_len, more.trained)
    return {name: scenario.batch_size * flops for name, flops in one.items()}


@lru_cache(maxsize=1024)
def _sequence_flops(model: TransformerSpec, length: int, target: int | None, trained: Trained) -> dict[str, float]:
    """Return the training FLOPs of one sequence by what they run on; of an encoder's head only masked tokens count."""
    found = {"gemm": 0.0, "experts": 0.0, "head": 0.0, "attention": 0.0}
    work = lower(model, "training", batch_size=1, seq_len=length, context=0, target_len=target, trained=trained)
    for op in work.operators:
        if op.name in {"lm_head", "head", "mtp.head"}:
            found["head"] += float(op.flops) * (1.0 if model.causal or model.pooled else _MASKED)
        elif op.kind in {"matmul", "experts"}:
            found["gemm" if op.kind == "matmul" else "experts"] += float(op.flops)
        else:
            found["attention"] += float(op.flops)
    return found


@lru_cache(maxsize=1024)
def _routed(model: TransformerSpec) -> tuple[float, float, float, float, float]:
    """Return parameters, number, chosen, width and layers of routed experts; all 0 where there are none."""
    for block in model.blocks:
        for part in block.parts:
            if isinstance(part, Experts):
                weights = sum(c * line.weights * line.experts for c, line in model.lines if line.kind == "experts")
                layers = sum(c for c, line in model.lines if line.kind == "experts")
                inner = (part.inner or model.hidden) / model.hidden
                return weights, float(part.experts), part.chosen * inner, float(part.ffn), float(layers)
    return 0.0, 0.0, 0.0, 0.0, 0.0


def _sent_to_experts(plan: Plan, chosen: float) -> float:
    """Return the time that one byte of a token takes to its experts [s/B].

    Within a domain it is sent once for each expert; beyond, once for each other domain that holds any of them
    (DeepSeek-V3, arXiv:2412.19437, section 3.2.2).
    """
    inside = chosen * (plan.ep - 1) / plan.ep / plan.scale_up
    others = (plan.groups - 1.0) * (1.0 - (1.0 - 1.0 / plan.groups) ** chosen) if plan.groups > 1 else 0.0
    return inside + others / plan.beyond


def _kv_width(model: TransformerSpec) -> float:
    """Return the keys and values of a token, all layers, over 2: what a ring of contexts passes on."""
    return model.kv_elements / 2.0


def _gathered(plan: Plan, held: float, shard: float) -> float:
    """Return the bytes that a device sends and receives a step for data parallelism [B].

    Gradients are reduced and weights gathered, 2 B each; with sharded weights these are gathered twice for every
    micro-batch (Rajbhandari et al., arXiv:1910.02054, section 7).
    """
    ring = (plan.dp - 1.0) / plan.dp
    if plan.zero == 3:
        return ring * 2.0 * ((2.0 * plan.micro_batches) * shard + held)
    return ring * 4.0 * held


def _levels(scenario: Scenario, setup: Setup, sparse: bool) -> dict[str, str]:
    hardware, engine = scenario.hardware, setup.engine
    return {
        "generation": hardware.generation,
        "memory_class": hardware.memory_class,
        "precision": _WIDTH.get(scenario.precision, scenario.precision),
        "phase": "training",
        "engine": engine,
        "engine_phase": f"{engine}/training" if engine else "",
        "stack": f"{engine}/{hardware.generation}" if engine else "",
        "architecture": "experts" if sparse else "dense",
        "fabric": fabric_of(hardware)[3],
        "device": hardware.name,
        "chip": hardware.kind,
    }


def seconds(x: Mapping[str, Real], p: Mapping[str, Real]) -> Any:
    """Return the time of one optimizer step [s].

    A device computes and sends, or waits for its kernels to be launched, whichever is longer, and part of the other.
    A pipeline idles (pp - 1)/(m v) of it while filling and draining (Narayanan et al., arXiv:2104.04473, section 2.2);
    gradients are exchanged while it computes as long as that is short.
    """
    rise = x["peak"] ** p["training.peak"]
    eta = p["gemm.eta"] / rise
    wide = 1.0 + p["training.hidden"] * x["narrow"] + p["training.tokens"] * x["few"]
    small = 1.0 + p["training.tokens"] * x["few_experts"] + p["training.hidden"] * x["narrow_experts"]
    gemm = (x["gemm_s"] + x["head_s"]) * wide / eta + x["experts_s"] * small / (eta * p["training.experts"])
    attention = x["attention_s"] * rise / p["attention.eta"]
    traffic = x["activation_s"] * p["training.activation"] + x["logits_s"] + x["dispatch_s"] * p["experts.dispatch"]
    work = gemm + attention + traffic / p["memory.fraction"]
    body = work + _exposed(x["tp_s"] / p["link.fraction"], work, p["training.tp"])
    body = body + _exposed(x["cp_s"] / p["link.fraction"], work, p["training.cp"])
    body = body + _exposed(x["ep_s"] / p["link.fraction"], work, p["training.ep"])
    launch = x["passes"] * p["overhead.layer"] + x["local_experts"] * p["training.expert"] + p["training.step"]
    busy = maximum(body, launch) + p["training.overlap"] * minimum(body, launch)
    busy = busy * (1.0 + p["training.bubble"] * x["bubble"])
    step = busy + _exposed(x["dp_s"] / p["training.network"], busy, 1.0) + x["update_s"] / p["memory.fraction"]
    return step * (1.0 + p["training.jitter"] * x["spread"])


def _exposed(sent: Any, work: Any, share: Any) -> Any:
    """Return the part of a message's time that work does not hide: little while it is short, all of it in the end."""
    return sent * sent * share / (sent * share + work)
