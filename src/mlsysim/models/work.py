"""Work: what one step of a model computes and moves, as a ledger of operators.

A step is one forward pass over a batch of prompts (``forward``), one new token for each sequence of the batch
(``decode``), or one optimizer step over the global batch (``training``). Batch, lengths and bytes may be arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from mlsysim.models.spec import ModelSpec, NetworkSpec, TransformerSpec
from mlsysim.physics import memory, performance
from mlsysim.physics import transformer as physics
from mlsysim.physics.elementwise import Real

PHASES = ("forward", "decode", "training")


class Operator(NamedTuple):
    """One class of operators in a step, all ``count`` of them together; FLOPs and bytes are totals.

    ``activation_bytes`` are inputs and outputs; ``kv_bytes`` the KV cache read and written.
    """

    name: str
    kind: str
    count: int  # type: ignore[assignment]  # the ledger's word; a tuple's own count() is not used
    flops: Real
    weight_bytes: Real
    activation_bytes: Real
    kv_bytes: Real


@dataclass(frozen=True, slots=True)
class Work:
    """The ledger of one step; ``items`` is what the step produces, counted in ``unit`` (tokens, images, ...)."""

    operators: tuple[Operator, ...]
    items: Any
    unit: str

    @property
    def flops(self) -> Any:
        """Return the FLOPs of a step."""
        return sum(op.flops for op in self.operators)

    @property
    def weight_bytes(self) -> Any:
        """Return the bytes of weights (and optimizer state) read and written in a step [B]."""
        return sum(op.weight_bytes for op in self.operators)

    @property
    def activation_bytes(self) -> Any:
        """Return the bytes of operator inputs and outputs in a step, nothing fused [B]."""
        return sum(op.activation_bytes for op in self.operators)

    @property
    def kv_bytes(self) -> Any:
        """Return the bytes of KV cache read and written in a step [B]."""
        return sum(op.kv_bytes for op in self.operators)

    def traffic(self, cache: Real) -> Any:
        """Return the bytes that must cross the memory bus in a step, whatever the software [B].

        Weights and KV cache beyond the last-level ``cache`` [B], and of each operator's activations the part that no
        cache of this size can hold even when the step is taken item by item (one image, one token). More than that is
        the software's doing.
        """
        streamed = sum(
            op.count * performance.spilled(op.activation_bytes / (op.count * self.items), cache)
            for op in self.operators
        )
        return performance.compulsory_traffic(self.weight_bytes + self.kv_bytes, self.items * streamed, cache)


def lower(
    model: ModelSpec,
    phase: str,
    *,
    batch_size: Real,
    seq_len: Real,
    context: Real,
    value_bytes: Real,
    weight_bytes: Real | None = None,
    training_bytes: Real = 2.0,
) -> Work:
    """Lower a model to the work of one step.

    Parameters
    ----------
    model
        The spec.
    phase
        One of :data:`PHASES`.
    batch_size
        Prompts, sequences in flight, or the global training batch; samples for a network.
    seq_len
        Tokens of a prompt or training sequence; not used by ``decode`` and networks.
    context
        Tokens already in the KV cache; used by ``decode``.
    value_bytes
        Bytes of an activation or cache element [B].
    weight_bytes
        Bytes of a weight [B]; ``value_bytes`` if not given.
    training_bytes
        Bytes of a weight in the copy that training computes with [B].
    """
    sizes = value_bytes, value_bytes if weight_bytes is None else weight_bytes
    if isinstance(model, NetworkSpec):
        ledger = _network(model, batch_size, *sizes)
        items, unit = batch_size, model.sample + "s"
    elif phase == "decode":
        ledger = _transformer(model, batch_size, 1.0, context, batch_size, *sizes)
        items, unit = batch_size, "tokens"
    else:
        heads = batch_size * seq_len if phase == "training" else batch_size
        ledger = _transformer(model, batch_size, seq_len, 0.0, heads, *sizes)
        items, unit = batch_size * seq_len, "tokens"
    if phase == "training":
        ledger = [*map(_with_backward, ledger), _optimizer(model.parameters, training_bytes)]
    return Work(tuple(ledger), items, unit)


def _transformer(
    m: TransformerSpec, batch: Real, new: Real, context: Real, logits: Real, size: Real, weight: Real
) -> list[Operator]:
    """Return the forward ledger: ``new`` tokens a sequence after ``context``, LM head on ``logits`` of them.

    A prefill needs the logits of each prompt's last token alone; training needs all.
    """
    qkv, out, mlp = m.layer_weights
    tokens, layers = batch * new, m.layers
    heads_width = m.heads * m.head_dim
    qkv_width = heads_width + 2 * m.kv_heads * m.head_dim
    mlp_width = (3 if m.gated else 2) * m.ffn
    pairs = batch * sum(n * physics.causal_pairs(new, context, window) for n, window in m.layers_by_window)
    kv = batch * (m.cached_elements(context) + new * m.kv_elements) * size  # the cache is read, the new is written
    vectors = m.vector_parameters

    def matmul(name: str, count: int, rows: Real, weights: float, width: float) -> Operator:
        flops = physics.matmul_flops(rows, count * weights)
        return Operator(name, "matmul", count, flops, count * weights * weight, count * rows * width * size, 0.0)

    return [
        Operator("embedding", "lookup", 1, 0.0, 0.0, 2.0 * tokens * m.hidden * size, 0.0),
        matmul("attention.qkv", layers, tokens, qkv, m.hidden + qkv_width),
        Operator(
            "attention.core",
            "attention",
            layers,
            physics.attention_flops(pairs, m.heads, m.head_dim),
            0.0,
            layers * 2.0 * tokens * heads_width * size,
            kv,
        ),
        matmul("attention.out", layers, tokens, out, heads_width + m.hidden),
        matmul("mlp", layers, tokens, mlp, 2 * m.hidden + mlp_width),
        Operator("norms", "norm", layers, 0.0, vectors * size, layers * 4.0 * tokens * m.hidden * size, 0.0),
        matmul("lm_head", 1, logits, m.head_weights, m.hidden + m.vocab),
    ]


def _network(m: NetworkSpec, batch: Real, size: Real, weight: Real) -> list[Operator]:
    return [
        Operator(
            layer.name,
            layer.kind,
            1,
            2.0 * batch * layer.macs,
            layer.parameters * weight,
            batch * (layer.input_elements + layer.output_elements) * size,
            0.0,
        )
        for layer in m.table
    ]


def _with_backward(op: Operator) -> Operator:
    """Add the backward pass: twice the FLOPs and activations, weights read once more and their gradient written."""
    factor = physics.TRAINING_OVER_FORWARD
    return op._replace(
        flops=factor * op.flops,
        weight_bytes=3.0 * op.weight_bytes,
        activation_bytes=factor * op.activation_bytes,
        kv_bytes=0.0,
    )


def _optimizer(parameters: float, size: Real) -> Operator:
    """Return the Adam update: state read and written, gradient read, weight written."""
    return Operator(
        "optimizer", "optimizer", 1, 0.0, parameters * (2.0 * memory.ADAM_STATE_BYTES + 2.0 * size), 0.0, 0.0
    )
