"""What a block of a sequence model is made of: attention, state spaces, MLPs, experts.

A part holds facts and says what follows from them for a given hidden size: the parameters it stores, and the lines of
the ledger it writes. A line is one class of operators as coefficients of its work: so many parameters that multiply a
token, so many elements in and out, so many FLOPs a query-key pair, so many elements kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from mlsysim.physics import recurrence
from mlsysim.physics.transformer import attention_flops, kv_elements_per_token, mlp_weights, projection_weights


class Reach(NamedTuple):
    """Which keys a query meets, and which of them are kept.

    ``window``: the last so many tokens (0: all); ``chunk``: those of its own chunk; ``selected``: at most so many,
    chosen from all that are kept; not ``causal``: all of the sequence; ``cross``: those of the encoder's output.
    """

    window: int = 0
    chunk: int = 0
    selected: int = 0
    causal: bool = True
    cross: bool = False


class Line(NamedTuple):
    """One class of operators, as coefficients of its work; see :func:`mlsysim.models.work.lower` for how they are used.

    ``weights`` multiply every row, ``width`` elements are read and written for a row, ``row_flops`` are FLOPs a row
    beside them, ``pair_flops`` FLOPs a query-key pair (``cached_pair_flops`` where keys and values are read as they are
    cached), ``cached`` elements kept a token, ``state`` elements kept a sequence. Of ``experts`` groups of ``weights``
    each row uses ``chosen``. ``rows`` says what a row is: a token, a token of the encoder's output, or a logit.
    ``adapted`` is the sum of inputs and outputs of the matrices, which a low-rank adapter takes its rank times.
    """

    name: str
    kind: str
    weights: float = 0.0
    width: float = 0.0
    rows: str = "token"
    row_flops: float = 0.0
    pair_flops: float = 0.0
    cached_pair_flops: float = 0.0
    cached: float = 0.0
    state: float = 0.0
    experts: int = 0
    chosen: int = 0
    adapted: float = 0.0
    reach: Reach = Reach()


class _Part:
    """What every part can say; most keep nothing of a token, and multiply each token by all they store."""

    operators = 1
    """Kernels of one unfused forward step."""

    def weights(self, hidden: int) -> int:
        """Return the matrix parameters that are stored."""
        raise NotImplementedError

    def active(self, hidden: int) -> int:
        """Return the matrix parameters that a token multiplies."""
        return self.weights(hidden)

    def cached(self) -> int:
        """Return the elements kept for a token."""
        return 0

    def live(self, hidden: int) -> float:
        """Return the elements of a token that are alive at once beside the residual and the block input."""
        raise NotImplementedError

    def kept(self, hidden: int) -> float:
        """Return the elements of a token that the backward pass needs; nothing is recomputed, no scores are kept."""
        raise NotImplementedError

    def lines(self, hidden: int) -> tuple[Line, ...]:
        """Return the ledger lines of one block."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Attention(_Part):
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
        core = Line(
            f"{name}.core", "attention", 0.0, 2 * queries, pair_flops=pair, cached_pair_flops=pair, cached=2 * keys,
            reach=reach,
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
class LatentAttention(_Part):
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


@dataclass(frozen=True, kw_only=True)
class StateSpace(_Part):
    """A Mamba layer: a state of ``inner`` x ``state`` elements a sequence, moved on by each token.

    ``version`` 2 has ``heads`` decays and ``groups`` of inputs and outputs (Dao & Gu 2024), 1 a decay a channel
    through a low-rank ``dt_rank`` (Gu & Dao 2023); ``norm`` whether the output is normalised before its projection,
    and for version 1 whether time step, input and output are. Arithmetic is counted in recurrent form.
    """

    inner: int
    state: int
    conv: int = 4
    version: int = 2
    heads: int = 0
    groups: int = 1
    dt_rank: int = 0
    norm: bool = True
    bias: bool = False
    conv_bias: bool = True

    operators = 9

    def weights(self, hidden: int) -> int:
        """Return the matrix parameters."""
        return hidden * self._projected() + self.inner * hidden + self._low_rank()

    def vectors(self, hidden: int) -> int:
        """Return convolution, decays, time-step biases, skip weights and norms."""
        convolved = self._convolved() * (self.conv + (1 if self.conv_bias else 0))
        bias = self._projected() + hidden if self.bias else 0
        if self.version == 2:
            return convolved + 3 * self.heads + (self.inner if self.norm else 0) + bias
        norms = self.dt_rank + 2 * self.state if self.norm else 0
        return convolved + self.inner * self.state + 2 * self.inner + norms + bias

    def live(self, hidden: int) -> float:  # noqa: D102
        return self._projected()

    def kept(self, hidden: int) -> float:  # noqa: D102
        return hidden + 2 * self._projected() + self.inner

    def lines(self, hidden: int) -> tuple[Line, ...]:  # noqa: D102
        projected, low = self._projected(), self._low_rank()
        each = recurrence.STATE_SPACE_DUALITY if self.version == 2 else recurrence.SELECTIVE_SCAN
        kept = self.inner * self.state + (self.conv - 1) * self._convolved()
        found = [
            Line("ssm.in", "matmul", hidden * projected, hidden + projected, adapted=hidden + projected),
            Line("ssm.conv", "conv", 0.0, 2 * self._convolved(), row_flops=2.0 * self._convolved() * self.conv),
            Line(
                "ssm.scan", "scan", 0.0, projected + self.inner, state=kept,
                row_flops=recurrence.recurrence_flops(1.0, self.inner * self.state, each),
            ),
            Line("ssm.out", "matmul", self.inner * hidden, self.inner + hidden, adapted=self.inner + hidden),
        ]  # fmt: skip
        if low:
            found.insert(2, Line("ssm.dt", "matmul", low, 2 * self.inner + 2 * self.dt_rank + 2 * self.state))
        return tuple(found)

    def _projected(self) -> int:
        return 2 * self.inner + (2 * self.groups * self.state + self.heads if self.version == 2 else 0)

    def _convolved(self) -> int:
        return self.inner + (2 * self.groups * self.state if self.version == 2 else 0)

    def _low_rank(self) -> int:
        return 0 if self.version == 2 else self.inner * (self.dt_rank + 2 * self.state) + self.dt_rank * self.inner


@dataclass(frozen=True, kw_only=True)
class LinearAttention(_Part):
    """Attention whose keys and values are summed into one state a head.

    ``rule`` is plain (the state adds key x value; MiniMax-01's lightning attention) or delta (gated delta rule of
    Qwen3-Next; Yang et al. 2024). ``conv`` is the kernel of the short convolution over queries, keys and values (0:
    none), ``gate`` the width of the output gate's projection, ``small`` further projections to one number a head.
    """

    heads: int
    key_heads: int
    key_dim: int
    value_dim: int
    rule: str = "plain"
    conv: int = 0
    gate: int = 0
    small: int = 0
    norm: int = 0
    extra: int = 0

    operators = 9

    def weights(self, hidden: int) -> int:
        """Return the matrix parameters."""
        return hidden * self._projected() + self._values() * hidden

    def vectors(self, hidden: int) -> int:
        """Return convolution, decays and norm."""
        return self._convolved() * self.conv + self.norm + self.extra

    def live(self, hidden: int) -> float:  # noqa: D102
        return self._projected()

    def kept(self, hidden: int) -> float:  # noqa: D102
        return hidden + 2 * self._projected() + self._values()

    def lines(self, hidden: int) -> tuple[Line, ...]:  # noqa: D102
        projected, values = self._projected(), self._values()
        state = self.heads * self.key_dim * self.value_dim
        each = {"plain": recurrence.LINEAR_ATTENTION, "delta": recurrence.DELTA_RULE}[self.rule]
        kept = state + max(self.conv - 1, 0) * self._convolved()
        found = [
            Line("linear_attention.in", "matmul", hidden * projected, hidden + projected, adapted=hidden + projected),
            Line(
                "linear_attention.core", "scan", 0.0, projected + values, state=kept,
                row_flops=recurrence.recurrence_flops(1.0, state, each),
            ),
            Line("linear_attention.out", "matmul", values * hidden, values + hidden, adapted=values + hidden),
        ]  # fmt: skip
        if self.conv:
            flops = 2.0 * self._convolved() * self.conv
            found.insert(1, Line("linear_attention.conv", "conv", 0.0, 2 * self._convolved(), row_flops=flops))
        return tuple(found)

    def _convolved(self) -> int:
        return 2 * self.key_heads * self.key_dim + self._values()

    def _values(self) -> int:
        return self.heads * self.value_dim

    def _projected(self) -> int:
        return self._convolved() + self.gate + self.small * self.heads


@dataclass(frozen=True, kw_only=True)
class Mlp(_Part):
    """Two matrices, or three where it is ``gated`` (Shazeer 2020)."""

    ffn: int
    gated: bool = True
    bias: bool = False

    operators = 4
    """Norm, two stages, residual add."""

    @property
    def matrices(self) -> int:
        """Return the number of matrices."""
        return 3 if self.gated else 2

    def weights(self, hidden: int) -> int:
        """Return the matrix parameters."""
        return int(mlp_weights(hidden, self.ffn, self.matrices))

    def vectors(self, hidden: int) -> int:
        """Return biases."""
        return (self.matrices - 1) * self.ffn + hidden if self.bias else 0

    def live(self, hidden: int) -> float:  # noqa: D102
        return (self.matrices - 1) * self.ffn

    def kept(self, hidden: int) -> float:  # noqa: D102
        return hidden + self.matrices * self.ffn

    def lines(self, hidden: int) -> tuple[Line, ...]:  # noqa: D102
        width = 2 * hidden + self.matrices * self.ffn
        return (Line("mlp", "matmul", self.weights(hidden), width, adapted=self.matrices * (hidden + self.ffn)),)


@dataclass(frozen=True, kw_only=True)
class Experts(_Part):
    """A mixture of experts: each token goes to ``chosen`` of ``experts`` MLPs, and to all ``shared`` ones.

    ``shared_ffn`` is the width of the shared experts together (0: ``shared`` x ``ffn``); ``shared_gate`` a learned gate
    on them; ``router_bias`` a learned bias an expert; ``inner`` the width the experts work in where it is not the
    model's. Source: Fedus et al. 2022 (arXiv:2101.03961); Dai et al. 2024 (arXiv:2401.06066) for shared experts.
    """

    experts: int
    chosen: int
    ffn: int
    gated: bool = True
    bias: bool = False
    shared: int = 0
    shared_ffn: int = 0
    shared_gate: bool = False
    router_bias: bool = False
    inner: int = 0

    operators = 9

    @property
    def matrices(self) -> int:
        """Return the number of matrices of one expert."""
        return 3 if self.gated else 2

    @property
    def _common(self) -> int:
        return self.shared_ffn or self.shared * self.ffn

    def weights(self, hidden: int) -> int:
        """Return the matrix parameters of router, all experts and shared experts."""
        return self._router(hidden) + self.experts * self._one(hidden) + self._shared(hidden)

    def active(self, hidden: int) -> int:
        """Return the matrix parameters that a token multiplies."""
        return self._router(hidden) + self.chosen * self._one(hidden) + self._shared(hidden)

    def vectors(self, hidden: int) -> int:
        """Return biases."""
        one = (self.matrices - 1) * self.ffn + hidden if self.bias else 0
        return self.experts * one + (self.experts if self.router_bias else 0)

    def live(self, hidden: int) -> float:  # noqa: D102
        return self.chosen * (hidden + (self.matrices - 1) * self.ffn) + (self.matrices - 1) * self._common

    def kept(self, hidden: int) -> float:  # noqa: D102
        return hidden + self.chosen * (hidden + self.matrices * self.ffn) + self.matrices * self._common

    def lines(self, hidden: int) -> tuple[Line, ...]:  # noqa: D102
        width = self.chosen * (2 * (self.inner or hidden) + self.matrices * self.ffn)
        found = [
            Line("moe.router", "matmul", self._router(hidden), hidden + self.experts),
            Line("moe.experts", "experts", self._one(hidden), width, experts=self.experts, chosen=self.chosen),
        ]
        if self._common:
            matrices = self._shared(hidden)
            seen = 2 * hidden + self.matrices * self._common
            found.append(Line("moe.shared", "matmul", matrices, seen, adapted=self.matrices * (hidden + self._common)))
        return tuple(found)

    def _router(self, hidden: int) -> int:
        return hidden * self.experts + (2 * hidden * self.inner if self.inner else 0)

    def _one(self, hidden: int) -> int:
        return int(mlp_weights(self.inner or hidden, self.ffn, self.matrices))

    def _shared(self, hidden: int) -> int:
        return int(mlp_weights(hidden, self._common, self.matrices)) + (hidden if self.shared_gate else 0)


@dataclass(frozen=True, kw_only=True)
class Convolution(_Part):
    """The convolution module of a conformer block (Gulati et al. 2020, arXiv:2005.08100, section 2.2)."""

    kernel: int
    bias: bool = True
    norm: bool = True

    operators = 7

    def weights(self, hidden: int) -> int:
        """Return the matrix parameters: two pointwise convolutions, the first to twice the width."""
        return 3 * hidden * hidden

    def vectors(self, hidden: int) -> int:
        """Return the depthwise kernel, its norm, and biases."""
        return hidden * self.kernel + (2 * hidden if self.norm else 0) + (4 * hidden if self.bias else 0)

    def live(self, hidden: int) -> float:  # noqa: D102
        return 2 * hidden

    def kept(self, hidden: int) -> float:  # noqa: D102
        return 6 * hidden

    def lines(self, hidden: int) -> tuple[Line, ...]:  # noqa: D102
        return (
            Line("conv.pointwise", "matmul", 3 * hidden * hidden, 5 * hidden),
            Line("conv.depthwise", "conv", 0.0, 2 * hidden, row_flops=2.0 * hidden * self.kernel),
        )


Part: TypeAlias = Attention | LatentAttention | StateSpace | LinearAttention | Mlp | Experts | Convolution
