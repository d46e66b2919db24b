"""Model specs: plain facts about an architecture, and the counts that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from mlsysim.physics import transformer as physics
from mlsysim.physics.elementwise import Real, minimum


@dataclass(frozen=True)
class TransformerSpec:
    """A dense decoder transformer with grouped-query attention; counts are worked out once.

    ``ffn`` is the MLP width, ``gated`` whether it has three matrices, ``tied`` whether the LM head shares the
    embedding, ``norm`` one of ``rms``, ``layer``, ``layer-nobias``, ``bias`` one of ``none``, ``qkv``, ``all``,
    ``positions`` the learned position embeddings (0 for rotary), ``window`` the sliding window in tokens (0 for none),
    ``windowed_layers`` the layers that it covers (all if None).
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    gated: bool = True
    tied: bool = False
    norm: str = "rms"
    bias: str = "none"
    qk_norm: bool = False
    positions: int = 0
    window: int = 0
    windowed_layers: int | None = None
    max_context: int | None = None
    title: str = ""
    source: str = ""
    retrieved: str = ""
    note: str = ""

    @cached_property
    def layer_weights(self) -> tuple[int, int, int]:
        """Return the matrix parameters of one layer: query-key-value, output, MLP."""
        qkv, out = physics.projection_weights(self.hidden, self.heads, self.kv_heads, self.head_dim)
        return qkv, out, physics.mlp_weights(self.hidden, self.ffn, 3 if self.gated else 2)

    @cached_property
    def head_weights(self) -> int:
        """Return the matrix parameters of the LM head (which a tied model shares with its embedding)."""
        return self.vocab * self.hidden

    @cached_property
    def matmul_parameters(self) -> int:
        """Return the parameters that multiply a token: all layer matrices and the LM head."""
        return self.layers * sum(self.layer_weights) + self.head_weights

    @cached_property
    def vector_parameters(self) -> int:
        """Return norms and biases of all layers and the final norm."""
        norm = {"rms": 1, "layer": 2, "layer-nobias": 1}[self.norm] * self.hidden
        qkv = (self.heads + 2 * self.kv_heads) * self.head_dim
        mlp = (2 if self.gated else 1) * self.ffn + self.hidden
        bias = {"none": 0, "qkv": qkv, "all": qkv + self.hidden + mlp}[self.bias]
        return self.layers * (2 * norm + bias + 2 * self.head_dim * self.qk_norm) + norm

    @cached_property
    def embedding_parameters(self) -> int:
        """Return the parameters that are only looked up: token and position embeddings (0 tokens if tied)."""
        return (0 if self.tied else self.vocab * self.hidden) + self.positions * self.hidden

    @cached_property
    def parameters(self) -> int:
        """Return all parameters."""
        return self.matmul_parameters + self.vector_parameters + self.embedding_parameters

    @cached_property
    def layers_by_window(self) -> tuple[tuple[int, float], ...]:
        """Return (layers, window in tokens) of the layers that see everything and of those that see a window."""
        windowed = 0 if not self.window else self.layers if self.windowed_layers is None else self.windowed_layers
        return (self.layers - windowed, physics.NO_WINDOW), (windowed, self.window or physics.NO_WINDOW)

    def cached_elements(self, tokens: Real) -> Any:
        """Return the keys and values that all layers hold of a sequence of ``tokens`` [elements]."""
        held = sum(layers * minimum(tokens, window) for layers, window in self.layers_by_window)
        return held * physics.kv_elements_per_token(self.kv_heads, self.head_dim)

    @cached_property
    def kv_elements(self) -> int:
        """Return the keys and values that all layers store for one token [elements]."""
        return self.layers * int(physics.kv_elements_per_token(self.kv_heads, self.head_dim))

    @cached_property
    def operators(self) -> int:
        """Return the operators of one unfused forward step.

        Twelve a layer (2 norms, 4 projections, rotation, attention, 2 MLP stages, 2 residual adds), and the
        embedding, the last norm and the head.
        """
        return 12 * self.layers + 3


class Layer(NamedTuple):
    """One operator of a feed-forward network, for one sample: multiply-accumulates, parameters, elements in and out."""

    name: str
    kind: str
    macs: int
    parameters: int
    input_elements: int
    output_elements: int


@dataclass(frozen=True)
class NetworkSpec:
    """A feed-forward network as a table of operators; ``sample`` is what it takes one of: an image, a window.

    Totals of the table are summed once: it may have hundreds of rows, and an answer needs them several times.
    """

    name: str
    table: tuple[Layer, ...]
    sample: str = "sample"
    title: str = ""
    source: str = ""
    retrieved: str = ""
    note: str = ""

    @cached_property
    def parameters(self) -> int:
        """Return all parameters."""
        return sum(layer.parameters for layer in self.table)

    @cached_property
    def widest_elements(self) -> int:
        """Return the most elements that one operator reads and writes: what an inference holds at once."""
        return max(layer.input_elements + layer.output_elements for layer in self.table)

    @cached_property
    def output_elements(self) -> int:
        """Return the elements that all operators write: what training keeps for the backward pass."""
        return sum(layer.output_elements for layer in self.table)

    @cached_property
    def macs(self) -> int:
        """Return the multiply-accumulates of one sample; FLOPs are twice that."""
        return sum(layer.macs for layer in self.table)

    @property
    def operators(self) -> int:
        """Return the kernels of one unfused forward step."""
        return len(self.table)


ModelSpec: TypeAlias = TransformerSpec | NetworkSpec
