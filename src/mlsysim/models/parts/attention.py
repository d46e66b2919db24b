"""Attention: softmax over shared keys and values, and over latents."""

from __future__ import annotations

from dataclasses import dataclass

from mlsysim.models.parts.line import BasePart, Line, Reach
from mlsysim.physics.transformer import attention_flops, kv_elements_per_token, projection_weights


@dataclass(frozen=True, kw_only=True)
class Attention(BasePart):
    """Softmax attention with ``kv_heads`` shared keys and values (MHA, GQA and MQA alike).

    ``bias`` is none, qkv, qkv-without-k, all or all-without-k; ``qk_norm`` none, head (one scale a head element) or
    full (one an element of all heads). ``gated`` doubles the query projection for an output gate; ``sinks`` learns a
    logit a head. ``window``, ``chunk``, ``causal`` and ``cross`` are as in :class:`Reach`.
    """

    heads: int
    kv_heads: int
    head_dim: int
    window: int = 0
    chunk: int = 0
    causal: bool = True
    cross: bool = False
    bias: str = "none"
    qk_norm: str = "none"
    gated: bool = False
    sinks: bool = False

    operators = 8
    """Norm, 4 projections, rotation, attention, residual add."""

    def weights(self, hidden: int) -> int:
        """Return the matrix parameters."""
        qkv, out = projection_weights(hidden, self.heads, self.kv_heads, self.head_dim)
        return int(qkv + out) + self._gate(hidden)

    def vectors(self, hidden: int) -> int:
        """Return biases, norms of queries and keys, and sinks."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        qkv = (2 if self.gated else 1) * queries + 2 * keys
        bias = {
            "none": 0,
            "qkv": qkv,
            "qkv-without-k": qkv - keys,
            "all": qkv + hidden,
            "all-without-k": qkv - keys + hidden,
        }[self.bias]
        norm = {"none": 0, "head": 2 * self.head_dim, "full": queries + keys}[self.qk_norm]
        return bias + norm + (self.heads if self.sinks else 0)

    def cached(self) -> int:
        """Return the elements kept for a token."""
        return int(kv_elements_per_token(self.kv_heads, self.head_dim))

    def live(self, hidden: int) -> float:  # noqa: D102
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    def kept(self, hidden: int) -> float:  # noqa: D102
        return hidden + (2 * self.heads + 2 * self.kv_heads) * self.head_dim

    def lines(self, hidden: int) -> tuple[Line, ...]:  # noqa: D102
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        _, out = projection_weights(hidden, self.heads, self.kv_heads, self.head_dim)
        pair = attention_flops(1.0, self.heads, self.head_dim, self.head_dim)
        reach = Reach(self.window, self.chunk, 0, self.causal, self.cross)
        asked = (2 if self.gated else 1) * queries
        name = "cross_attention" if self.cross else "attention"
        kept = 2 * keys if self.causal or self.cross else 0  # an encoder keeps nothing: it reads what it just made
        core = Line(
            f"{name}.core", "attention", 0.0, 2 * queries + 2 * keys - kept, pair_flops=pair, cached_pair_flops=pair,
            cached=kept, reach=reach,
        )  # fmt: skip
        last = Line(f"{name}.out", "matmul", out, queries + hidden, adapted=queries + hidden)
        if self.cross:
            q = Line(f"{name}.q", "matmul", hidden * asked, hidden + asked, adapted=hidden + asked)
            kv = Line(
                f"{name}.kv", "matmul", 2 * hidden * keys, hidden + 2 * keys, rows="source", adapted=2 * (hidden + keys)
            )
            return q, kv, core, last
        width = asked + 2 * keys
        first = Line(f"{name}.qkv", "matmul", hidden * width, hidden + width, adapted=3 * hidden + width)
        return first, core, last

    def _gate(self, hidden: int) -> int:
        return hidden * self.heads * self.head_dim if self.gated else 0


@dataclass(frozen=True, kw_only=True)
class LatentAttention(BasePart):
    """Multi-head latent attention: keys and values are kept as one small vector a token.

    Source: DeepSeek-V2 (arXiv:2405.04434) section 2.1. ``q_rank`` is 0 where queries are projected directly. Absorbed,
    as at decode, scores and values are taken against the latent itself: 2 kv_rank + rope_dim a pair and head in place
    of nope_dim + rope_dim + value_dim. ``index_heads``, ``index_dim`` and ``index_top`` describe a sparse-attention
    indexer (DeepSeek-V3.2): each query then meets at most ``index_top`` keys.
    """

    heads: int
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    q_rank: int = 0
    bias: str = "none"
    index_heads: int = 0
    index_dim: int = 0
    index_top: int = 0

    operators = 11

    def weights(self, hidden: int) -> int:
        """Return the matrix parameters."""
        return self._down(hidden) + self._up() + self.heads * self.value_dim * hidden + self._index(hidden)

    def vectors(self, hidden: int) -> int:
        """Return the norms of the latents, and biases of the down projections."""
        bias = self.q_rank + self.kv_rank + self.rope_dim + hidden if self.bias == "all" else 0
        return self.q_rank + self.kv_rank + bias + (2 * self.index_dim if self.index_heads else 0)

    def cached(self) -> int:
        """Return the elements kept for a token."""
        return self.kv_rank + self.rope_dim + self.index_dim

    def live(self, hidden: int) -> float:  # noqa: D102
        return self.heads * (2 * (self.nope_dim + self.rope_dim) + self.value_dim)

    def kept(self, hidden: int) -> float:  # noqa: D102
        return hidden + self.q_rank + self.kv_rank + self.live(hidden) + self.heads * self.value_dim

    def lines(self, hidden: int) -> tuple[Line, ...]:  # noqa: D102
        head = self.nope_dim + self.rope_dim
        down, up, values = self._down(hidden), self._up(), self.heads * self.value_dim
        seen = 2 * hidden + self.heads * head + self.kv_rank + self.rope_dim + 2 * self.q_rank
        expanded = attention_flops(1.0, self.heads, head, self.value_dim)
        absorbed = attention_flops(1.0, self.heads, self.kv_rank + self.rope_dim, self.kv_rank)
        core = Line(
            "attention.core", "attention", 0.0, self.heads * (head + self.value_dim), pair_flops=expanded,
            cached_pair_flops=absorbed, cached=self.kv_rank + self.rope_dim, reach=Reach(selected=self.index_top),
        )  # fmt: skip
        found = [
            Line("attention.qkv_down", "matmul", down, seen, adapted=seen),
            Line("attention.kv_up", "matmul", up, self.kv_rank + self.heads * (self.nope_dim + self.value_dim)),
            core,
            Line("attention.out", "matmul", values * hidden, values + hidden, adapted=values + hidden),
        ]
        if self.index_heads:
            width = self.q_rank + hidden + self.index_heads * self.index_dim + self.index_dim + self.index_heads
            pair = 2.0 * self.index_heads * self.index_dim
            found += [
                Line("attention.index_projection", "matmul", self._index(hidden), width),
                Line("attention.index", "attention", 0.0, width, "token", 0.0, pair, pair, self.index_dim),
            ]
        return tuple(found)

    def _down(self, hidden: int) -> int:
        head = self.heads * (self.nope_dim + self.rope_dim)
        query = hidden * self.q_rank + self.q_rank * head if self.q_rank else hidden * head
        return query + hidden * (self.kv_rank + self.rope_dim)

    def _up(self) -> int:
        return self.kv_rank * self.heads * (self.nope_dim + self.value_dim)

    def _index(self, hidden: int) -> int:
        if not self.index_heads:
            return 0
        return self.q_rank * self.index_heads * self.index_dim + hidden * (self.index_dim + self.index_heads)
