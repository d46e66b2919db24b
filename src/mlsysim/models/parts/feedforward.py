"""Parts that take each token by itself, or with its neighbours: MLPs, mixtures of experts, convolutions."""

from __future__ import annotations

from dataclasses import dataclass

from mlsysim.models.parts.line import BasePart, Line
from mlsysim.physics.transformer import mlp_weights


@dataclass(frozen=True, kw_only=True)
class Mlp(BasePart):
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
class Experts(BasePart):
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
class Convolution(BasePart):
    """A gated convolution over neighbouring tokens, between two pointwise projections.

    ``widened`` is the width that the first projects to, in hidden sizes: 2 for the module of a conformer block (Gulati
    et al. 2020, arXiv:2005.08100, section 2.2), 3 for LFM2's. A ``causal`` one keeps the last tokens of a sequence.
    """

    kernel: int
    widened: int = 2
    causal: bool = False
    bias: bool = True
    norm: bool = True

    operators = 7

    def weights(self, hidden: int) -> int:
        """Return the matrix parameters: two pointwise projections."""
        return (self.widened + 1) * hidden * hidden

    def vectors(self, hidden: int) -> int:
        """Return the depthwise kernel, its norm, and biases."""
        bias = (self.widened + 2) * hidden if self.bias else 0
        return hidden * self.kernel + (2 * hidden if self.norm else 0) + bias

    def live(self, hidden: int) -> float:  # noqa: D102
        return self.widened * hidden

    def kept(self, hidden: int) -> float:  # noqa: D102
        return (self.widened + 4) * hidden

    def lines(self, hidden: int) -> tuple[Line, ...]:  # noqa: D102
        width = (self.widened + 3) * hidden
        state = (self.kernel - 1) * hidden if self.causal else 0
        return (
            Line("conv.pointwise", "matmul", self.weights(hidden), width, adapted=width),
            Line("conv.depthwise", "conv", 0.0, 2 * hidden, row_flops=2.0 * hidden * self.kernel, state=state),
        )
