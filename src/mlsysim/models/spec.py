"""Sequence models: stacks of blocks, and the counts that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

from mlsysim.models.network import Layer, NetworkSpec
from mlsysim.models.parts import Attention, Experts, LatentAttention, Line, Mlp, Part
from mlsysim.physics.elementwise import Real, minimum

_NORM = {"rms": 1, "layer": 2, "layer-nobias": 1, "none": 0}
"""Vectors of one norm: a scale, and for an ordinary layer norm a bias."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """``count`` identical blocks: their parts in order, and the norms that each has."""

    count: int
    parts: tuple[Part, ...]
    norms: int = 2
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Blocks of one width, run over a sequence of tokens.

    ``norm`` is rms, layer, layer-nobias or none; ``norm_width`` the elements of one where that is not ``hidden``;
    ``positions`` the learned position embeddings (0 for rotary); ``extra_parameters`` whatever is only added or looked
    up (class tokens, type embeddings, tables of relative positions); ``front`` operators that run once a sample before
    the blocks (a convolutional stem); ``tokens`` the length of the sequence where the input fixes it (0: free).
    """

    hidden: int
    blocks: tuple[Block, ...]
    norm: str = "rms"
    positions: int = 0
    embedding_norm: bool = False
    final_norm: bool = True
    extra_parameters: int = 0
    front: tuple[Layer, ...] = ()
    tokens: int = 0

    @cached_property
    def layers(self) -> int:
        """Return the number of blocks."""
        return sum(block.count for block in self.blocks)

    @cached_property
    def block_weights(self) -> int:
        """Return the matrix parameters that all blocks store."""
        return sum(b.count * sum(p.weights(self.hidden) for p in b.parts) for b in self.blocks)

    @cached_property
    def active_weights(self) -> int:
        """Return the matrix parameters of all blocks that a token multiplies: of experts those it is sent to."""
        return sum(b.count * sum(p.active(self.hidden) for p in b.parts) for b in self.blocks)

    @cached_property
    def vector_parameters(self) -> int:
        """Return norms, biases and all other parameters of the blocks that are not in matrices, and the last norm."""
        norm = _NORM[self.norm] * self.hidden
        inside = sum(b.count * (b.norms * norm + sum(p.vectors(self.hidden) for p in b.parts)) for b in self.blocks)
        return inside + norm * (self.final_norm + self.embedding_norm)

    @cached_property
    def table_parameters(self) -> int:
        """Return positions and extra parameters."""
        return self.positions * self.hidden + self.extra_parameters

    @cached_property
    def front_parameters(self) -> int:
        """Return the parameters of the stem."""
        return sum(layer.times * layer.parameters for layer in self.front)

    @cached_property
    def stack_parameters(self) -> int:
        """Return all parameters of the stack."""
        return self.block_weights + self.vector_parameters + self.table_parameters + self.front_parameters

    @cached_property
    def lines(self) -> tuple[tuple[int, Line], ...]:
        """Return (blocks, line) of every operator class; those of several kinds of block carry the block's name."""
        found: list[tuple[int, Line]] = []
        for b in self.blocks:
            prefix = f"{b.name}." if b.name else ""
            found += [
                (b.count, line._replace(name=prefix + line.name)) for p in b.parts for line in p.lines(self.hidden)
            ]
        return tuple(found)

    @cached_property
    def caches(self) -> tuple[tuple[float, int], ...]:
        """Return (elements kept a token, limit in tokens; 0 for none) of the layers that keep something of a token.

        Keys and values of an encoder's output are not among them: see ``source_cache``.
        """
        sums: dict[int, float] = {}
        for count, line in self.lines:
            if line.cached and not line.reach.cross:
                limit = line.reach.window or line.reach.chunk
                sums[limit] = sums.get(limit, 0.0) + count * line.cached
        return tuple((elements, limit) for limit, elements in sums.items())

    @cached_property
    def source_cache(self) -> float:
        """Return the elements that cross-attention keeps for a token of the encoder's output."""
        return sum(count * line.cached for count, line in self.lines if line.reach.cross)

    @cached_property
    def state_elements(self) -> float:
        """Return the elements that recurrent layers keep for a sequence, however long."""
        return sum(count * line.state for count, line in self.lines)

    def cached_elements(self, tokens: Real) -> Any:
        """Return what all layers keep of a sequence of ``tokens`` [elements]: keys and values, and recurrent states."""
        held: Any = self.state_elements
        for elements, limit in self.caches:
            held = held + elements * (minimum(tokens, limit) if limit else tokens)
        return held

    @cached_property
    def kv_elements(self) -> int:
        """Return the keys and values that all layers store for one token [elements]."""
        return int(sum(elements for elements, _ in self.caches))

    @cached_property
    def live_elements(self) -> float:
        """Return the most elements of a token that are alive at once: residual, block input, insides of a part."""
        return 2.0 * self.hidden + max(p.live(self.hidden) for b in self.blocks for p in b.parts)

    @cached_property
    def kept_elements(self) -> float:
        """Return the elements of a token that a backward pass needs of all blocks, norms' inputs included."""
        return sum(b.count * (b.norms * self.hidden + sum(p.kept(self.hidden) for p in b.parts)) for b in self.blocks)

    @cached_property
    def attention_heads(self) -> int:
        """Return the softmax-attention heads of all layers."""
        return sum(
            b.count * p.heads for b in self.blocks for p in b.parts if isinstance(p, (Attention, LatentAttention))
        )

    @cached_property
    def expert_layers(self) -> int:
        """Return the blocks with routed experts."""
        return sum(count for count, line in self.lines if line.kind == "experts")

    @cached_property
    def sent_elements(self) -> int:
        """Return the elements of one token's hidden state that are sent to routed experts, all blocks together."""
        return sum(
            block.count * part.chosen * (part.inner or self.hidden)
            for block in self.blocks
            for part in block.parts
            if isinstance(part, Experts)
        )

    @cached_property
    def sparse_layers(self) -> int:
        """Return the blocks whose attention selects what it reads."""
        return sum(count for count, line in self.lines if line.reach.selected)

    @cached_property
    def latent_layers(self) -> int:
        """Return the blocks with latent attention."""
        return sum(b.count for b in self.blocks if any(isinstance(p, LatentAttention) for p in b.parts))

    @cached_property
    def kv_heads(self) -> int:
        """Return the heads that keys and values can be split over; latents are kept whole."""
        return int(getattr(self.blocks[-1].parts[0], "kv_heads", 1))

    @cached_property
    def score_flops(self) -> float:
        """Return the FLOPs of a query-key pair in one layer, on average, for each attention head."""
        pairs = [line.pair_flops for _, line in self.lines if line.kind == "attention"]
        heads = self.attention_heads / self.layers
        return sum(pairs) / len(pairs) / heads if pairs and heads else 0.0

    @cached_property
    def operators(self) -> int:
        """Return the kernels of one unfused forward step: those of all parts, and embedding, last norm and head."""
        return sum(b.count * sum(p.operators for p in b.parts) for b in self.blocks) + 3 + len(self.front)


@dataclass(frozen=True, kw_only=True)
class TransformerSpec(Stack):
    """A sequence model: a stack of blocks between an embedding and a head; hybrids and state spaces as well.

    ``vocab`` is the size of the embedding (0: none, the input is not looked up), ``tied`` whether the head shares it,
    ``head`` the outputs of the head (0: no head; -1: one a vocabulary entry), ``pooled`` whether the head sees one
    token a sample (a classifier) and not every token or the last. ``head_bias`` adds one parameter an output. An
    ``encoder`` is a stack of its own whose output this one attends to. ``mtp`` multi-token-prediction modules, each a
    further block like the last and a projection of two hidden vectors to one, are not counted in ``parameters``:
    that is the published convention. ``sample`` is what the model takes one of (token, image, window) and
    ``precision`` the format in which its file stores weights.
    """

    name: str
    vocab: int
    tied: bool = False
    head: int = -1
    head_bias: bool = False
    pooled: bool = False
    causal: bool = True
    encoder: Stack | None = None
    mtp: int = 0
    sample: str = "token"
    max_context: int | None = None
    title: str = ""
    source: str = ""
    retrieved: str = ""
    note: str = ""
    precision: str = ""

    @property
    def outputs(self) -> int:
        """Return the outputs of the head."""
        return self.vocab if self.head < 0 else self.head

    @cached_property
    def head_weights(self) -> int:
        """Return the matrix parameters of the head (which a tied model shares with its embedding)."""
        return self.outputs * self.hidden

    @cached_property
    def matmul_parameters(self) -> int:
        """Return the parameters that multiply a token: matrices of all blocks, of its experts only, and the head."""
        return self.active_weights + self.head_weights

    @cached_property
    def embedding_parameters(self) -> int:
        """Return the parameters that are only looked up or added: embeddings of tokens (0 if tied) and positions."""
        return (0 if self.tied else self.vocab * self.hidden) + self.table_parameters

    @cached_property
    def parameters(self) -> int:
        """Return all parameters."""
        embedding = 0 if self.tied else self.vocab * self.hidden
        head = self.head_weights + (self.outputs if self.head_bias else 0)
        return self.stack_parameters + embedding + head + (self.encoder.stack_parameters if self.encoder else 0)

    @cached_property
    def active_parameters(self) -> int:
        """Return the parameters that a token uses: all but the experts it is not sent to."""
        idle = self.block_weights - self.active_weights
        return (
            self.parameters - idle - (self.encoder.block_weights - self.encoder.active_weights if self.encoder else 0)
        )

    @cached_property
    def mtp_stack(self) -> Stack | None:
        """Return one multi-token-prediction module as a stack, or None where there is none.

        Source: DeepSeek-V3 (arXiv:2412.19437) section 2.2: two norms, a projection of 2 x hidden to hidden, one block.
        """
        if not self.mtp:
            return None
        last = replace(self.blocks[-1], count=1, name="")
        return Stack(hidden=self.hidden, blocks=(last,), norm=self.norm, extra_parameters=2 * self.hidden**2)

    @property
    def fixed(self) -> bool:
        """Return whether the input fixes the length of the sequence (an image, 30 s of sound): then samples count."""
        return bool((self.encoder or self).tokens)

    @property
    def decodes(self) -> bool:
        """Return whether the model generates token by token."""
        return self.causal and not self.pooled


def decoder(
    name: str,
    *,
    layers: int,
    hidden: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    ffn: int,
    vocab: int,
    gated: bool = True,
    bias: str = "none",
    qk_norm: bool = False,
    window: int = 0,
    windowed_layers: int | None = None,
    **rest: Any,
) -> TransformerSpec:
    """Return an ordinary dense decoder: the same attention and MLP in every layer, but for sliding windows.

    ``bias`` is none, qkv or all; ``windowed_layers`` how many layers the ``window`` covers (all if None); ``rest`` are
    fields of :class:`TransformerSpec`.
    """
    mlp = Mlp(ffn=ffn, gated=gated, bias=bias == "all")

    def block(count: int, reach: int, name: str) -> Block:
        attention = Attention(
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            window=reach,
            bias=bias,
            qk_norm="head" if qk_norm else "none",
        )
        return Block(count=count, parts=(attention, mlp), name=name)

    near = 0 if not window else layers if windowed_layers is None else windowed_layers
    both = 0 < near < layers
    blocks: Sequence[Block] = [
        block(count, reach, label if both else "")
        for count, reach, label in ((layers - near, 0, "global"), (near, window, "local"))
        if count
    ]
    return TransformerSpec(name=name, hidden=hidden, vocab=vocab, blocks=tuple(blocks), **rest)


ModelSpec: TypeAlias = TransformerSpec | NetworkSpec
