"""From a forward ledger to that of an optimizer step: the backward pass, adapters, the update."""

from __future__ import annotations

from mlsysim.models.ledger import Operator, Sizes
from mlsysim.models.spec import Stack, TransformerSpec
from mlsysim.physics import transformer as physics
from mlsysim.physics.elementwise import Real

_WITHOUT_WEIGHTS = frozenset({"attention", "scan", "lookup", "norm"})
"""Kinds of operator in which nothing is frozen: their inputs are activations alone."""


def with_training(
    m: TransformerSpec, forward: list[Operator], sizes: Sizes, tokens: Real, source_tokens: Real, lora_rank: int
) -> list[Operator]:
    """Return the ledger of an optimizer step from that of the forward pass over so many tokens."""
    if not lora_rank:
        first = {stack.front[0].name for stack in _stacks(m) if stack.front}  # data needs no gradient
        both = [_with_one_gradient(op) if op.name in first else with_backward(op) for op in forward]
        return [*both, optimizer(m.parameters, sizes)]
    frozen = [with_backward(op) if op.kind in _WITHOUT_WEIGHTS else _with_one_gradient(op) for op in forward]
    adapters = _adapters(m, sizes, tokens, source_tokens, lora_rank)
    return [*frozen, with_backward(adapters), optimizer(adapter_parameters(m, lora_rank), sizes)]


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
