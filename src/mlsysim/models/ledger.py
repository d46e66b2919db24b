"""A ledger of work: classes of operators with what they compute and move, and their totals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from mlsysim.physics import memory, performance
from mlsysim.physics.elementwise import Real


class Operator(NamedTuple):
    """One class of operators in a step, all ``count`` of them together; FLOPs and bytes are totals.

    ``activation_bytes`` are inputs and outputs; ``kv_bytes`` the KV cache (and recurrent state) read and written.
    ``vector_operations`` are elementwise operations that are no model FLOPs; only dequantization is itemised.
    """

    name: str
    kind: str
    count: int  # type: ignore[assignment]  # the ledger's word; a tuple's own count() is not used
    flops: Real
    weight_bytes: Real
    activation_bytes: Real
    kv_bytes: Real
    vector_operations: Real = 0.0


class Sizes(NamedTuple):
    """Bytes of a value in each role: activation, weight, cache element; of training's copies and states [B].

    ``table`` are those of a weight of embedding and head, None where they are as all others.
    """

    value: Real
    weight: Real
    kv: Real
    copy: Real = 2.0
    gradient: Real = 2.0
    state: Real = memory.ADAM_STATE_BYTES
    table: Real | None = None


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

    def flops_of(self, kind: str) -> Any:
        """Return the FLOPs of the operators of one kind."""
        return sum(op.flops for op in self.operators if op.kind == kind)

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
