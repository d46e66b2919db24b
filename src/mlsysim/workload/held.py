"""The bytes that a step holds, by purpose, whatever the hardware."""

from __future__ import annotations

from typing import Any

from mlsysim.models import ModelSpec, NetworkSpec, Stack, TransformerSpec
from mlsysim.physics import memory
from mlsysim.physics.elementwise import Real, maximum
from mlsysim.precision import Roles, roles
from mlsysim.workload.modifiers import PLAIN, Modifiers

TRAINED_IN = 2.0
"""Bytes of the narrowest copy of a weight that training computes its update from [B]."""

LOGIT = 4.0
"""Bytes of a logit in training, whose loss is taken in fp32 [B] (transformers 5.24, ForCausalLMLoss; 2026-11-24)."""


def bytes_needed(
    model: ModelSpec,
    phase: str,
    precision: str,
    batch_size: Real,
    seq_len: Real,
    context: Real,
    modifiers: Modifiers = PLAIN,
) -> dict[str, Any]:
    """Return the bytes that a step holds, by purpose [B].

    ``weights``, ``kv_cache`` (recurrent states too), ``activations`` that outlive an operator, ``workspace`` of the one
    at work (the block that is computed again, or the logits), and in training ``gradients`` and ``optimizer`` states.
    """
    r = roles(precision)
    if phase == "training":
        return _training_bytes(model, r, batch_size, seq_len, modifiers)
    held: dict[str, Any] = {"weights": _weights(model, r)}
    if isinstance(model, NetworkSpec):
        held["activations"] = model.widest_elements * batch_size * r.activation
        return held
    decode = phase == "decode"
    new, cached = (1, context + 1) if decode else (model.tokens or seq_len, model.tokens or seq_len)
    if model.encoder:
        source = model.encoder.tokens or seq_len
        kept = model.cached_elements(cached if decode else 1) + model.source_cache * source
        widest: Any = maximum(model.live_elements, 0 if decode else model.encoder.live_elements * source)
        held["kv_cache"], held["activations"] = batch_size * kept * r.cache, batch_size * widest * r.activation
        return held
    held["kv_cache"] = batch_size * _kept(model, cached, r) if model.decodes else 0.0
    drafted = modifiers.speculative
    if drafted and drafted.draft:
        held["weights"] += drafted.draft.parameters * r.weight
        held["kv_cache"] += batch_size * _kept(drafted.draft, cached, r)
    elif drafted and model.mtp_stack:
        held["weights"] += model.mtp * model.mtp_stack.stack_parameters * r.weight
        held["kv_cache"] += batch_size * model.mtp * _kept(model.mtp_stack, cached, r)
    held["activations"] = batch_size * new * model.live_elements * r.activation
    return held


def _kept(stack: Stack, tokens: Real, r: Roles) -> Any:
    """Return the bytes that are kept of a sequence: keys and values, and recurrent states as activations are."""
    state = stack.state_elements
    return (stack.cached_elements(tokens) - state) * r.cache + state * r.activation


def _weights(model: ModelSpec, r: Roles) -> float:
    """Return the bytes of all weights; embedding and head may be kept wider."""
    if r.table is None or isinstance(model, NetworkSpec):
        return model.parameters * r.weight
    tables = model.head_weights + (0 if model.tied else model.vocab * model.hidden)
    return (model.parameters - tables) * r.weight + tables * r.table


def _training_bytes(model: ModelSpec, r: Roles, batch_size: Any, seq_len: Any, modifiers: Modifiers) -> dict[str, Any]:
    trained, frozen = float(model.parameters), 0.0
    what = modifiers.trained
    if isinstance(model, TransformerSpec):
        trained = what.parameters(model)
        frozen = model.parameters - (0.0 if what.lora_rank else min(trained, model.parameters))
    gradient = r.copy if r.gradient is None else r.gradient
    held = {
        "weights": frozen * r.weight + trained * r.copy,
        "gradients": trained * gradient,
        "optimizer": trained * r.state,
    }
    size = max(r.activation, TRAINED_IN)
    if isinstance(model, NetworkSpec):
        held["activations"] = model.output_elements * batch_size * size
        return held
    stacks: list[tuple[Stack, Any]] = [(model, model.tokens or seq_len)]
    if model.encoder:
        stacks = [(model, modifiers.target_len or seq_len), (model.encoder, model.encoder.tokens or seq_len)]
    if what.frozen:  # a frozen stack keeps nothing for a backward pass
        stacks = stacks[:1] if what.frozen == "encoder" else []
    kept: Any = 0.0
    workspace: Any = 0.0
    for stack, length in stacks:
        if modifiers.recompute == "full":
            kept = kept + length * memory.checkpoint_elements(stack.hidden, stack.layers)
            workspace = maximum(workspace, length * stack.kept_elements / stack.layers)
        else:
            kept = kept + length * stack.kept_elements
            if modifiers.recompute == "none":
                kept = kept + memory.score_elements(length, stack.attention_heads)
    held["activations"] = batch_size * kept * size
    logits: Any = 0.0
    if isinstance(model, TransformerSpec) and not model.pooled:
        logits = stacks[0][1] * model.outputs * LOGIT if stacks else 0.0
    held["workspace"] = batch_size * maximum(workspace * size, logits)
    return held
