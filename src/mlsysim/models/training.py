"""From a forward ledger to that of an optimizer step: the backward pass, adapters, the update."""

from __future__ import annotations

from typing import NamedTuple

from mlsysim.models.ledger import Operator, Sizes
from mlsysim.models.spec import Stack, TransformerSpec
from mlsysim.physics import transformer as physics
from mlsysim.physics.elementwise import Real

_HEADS = frozenset({"lm_head", "head"})
_WITHOUT_WEIGHTS = frozenset({"attention", "scan", "lookup", "norm"})
"""Kinds of operator in which nothing is frozen: their inputs are activations alone."""


class Trained(NamedTuple):
    """What an optimizer step trains: all (plain), adapters of a rank beside frozen weights, or all but a frozen part.

    ``frozen`` is ``encoder``, or ``body``: everything but the head. ``mtp`` trains the prediction modules too.
    """

    lora_rank: int = 0
    frozen: str = ""
    mtp: bool = False

    def parameters(self, m: TransformerSpec) -> float:
        """Return the parameters that are trained."""
        if self.lora_rank:
            return adapter_parameters(m, self.lora_rank)
        if self.frozen == "body":
            return m.head_weights + (m.outputs if m.head_bias else 0)
        modules = m.mtp * m.mtp_stack.stack_parameters if self.mtp and m.mtp_stack else 0
        without = m.encoder.stack_parameters if self.frozen == "encoder" and m.encoder else 0
        return m.parameters + modules - without


ALL = Trained()


def with_training(
    m: TransformerSpec, forward: list[Operator], sizes: Sizes, tokens: Real, source_tokens: Real, trained: Trained
) -> list[Operator]:
    """Return the ledger of an optimizer step from that of the forward pass over so many tokens."""
    update = optimizer(trained.parameters(m), sizes)
    if trained.lora_rank:
        frozen = [with_backward(op) if op.kind in _WITHOUT_WEIGHTS else _with_one_gradient(op) for op in forward]
        return [*frozen, with_backward(_adapters(m, sizes, tokens, source_tokens, trained.lora_rank)), update]
    if trained.frozen == "body":
        return [*(_with_one_gradient(op) if op.name in _HEADS else op for op in forward), update]
    first = {stack.front[0].name for stack in _stacks(m) if stack.front}  # data needs no gradient
    if trained.frozen != "encoder":
        return [*(_with_one_gradient(op) if op.name in first else with_backward(op) for op in forward), update]
    stem = {layer.name for layer in m.encoder.front} if m.encoder else set()
    ledger = []
    for op in forward:
        if op.name in stem or op.name.startswith("encoder."):
            ledger.append(op)
        else:  # of what the encoder made, no gradient is needed
            ledger.append(_with_one_gradient(op) if op.name.endswith("cross_attention.kv") else with_backward(op))
    return [*ledger, update]


def adapter_parameters(m: TransformerSpec, rank: int) -> float:
    """Return the parameters of low-rank adapters on all dense matrices of the blocks (Hu et al., arXiv:2106.09685)."""
    return rank * sum(adapted_widths(m))


def adapted_widths(m: TransformerSpec) -> tuple[float, float]:
    """Return inputs and outputs of all adapted matrices: of those that meet the tokens, and an encoder's tokens."""
    own = sum(count * line.adapted for count, line in m.lines if line.rows == "token")
    crossing = sum(count * line.adapted for count, line in m.lines if line.rows == "source")
    encoder = sum(count * line.adapted for count, line in m.encoder.lines) if m.encoder else 0.0
    return own, crossing + encoder


def _adapters(m: TransformerSpec, sizes: Sizes, tokens: Real, source_tokens: Real, rank: int) -> Operator:
    own, source = adapted_widths(m)
    met = tokens * own + source_tokens * source
    flops = physics.matmul_flops(met, rank)
    return Operator("lora", "matmul", m.layers, flops, rank * (own + source) * sizes.copy, met * sizes.value, 0.0)


def _stacks(m: TransformerSpec) -> tuple[Stack, ...]:
    return (m, m.encoder) if m.encoder else (m,)


def with_backward(op: Operator) -> Operator:
    """Add the backward pass: twice the FLOPs and activations, weights read once more and their gradient written."""
    factor = physics.TRAINING_OVER_FORWARD
    return op._replace(
        flops=factor * op.flops,
        weight_bytes=3.0 * op.weight_bytes,
        activation_bytes=factor * op.activation_bytes,
        kv_bytes=0.0,
    )


def _with_one_gradient(op: Operator) -> Operator:
    """Add the backward pass of an operator that needs one gradient of the two: 4 FLOPs a weight and token in all.

    Frozen weights need none of their own, and the first operator of a stem none of its input.
    """
    return op._replace(
        flops=2.0 * op.flops,
        weight_bytes=2.0 * op.weight_bytes,
        activation_bytes=2.0 * op.activation_bytes,
        kv_bytes=0.0,
    )


def optimizer(parameters: float, sizes: Sizes) -> Operator:
    """Return the Adam update: state read and written, gradient read, weight written."""
    moved = parameters * (2.0 * sizes.state + sizes.gradient + sizes.copy)
    return Operator("optimizer", "optimizer", 1, 0.0, moved, 0.0, 0.0)
