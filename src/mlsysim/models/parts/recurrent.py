"""Parts that carry a state from token to token: state spaces and linear attention."""

from __future__ import annotations

from dataclasses import dataclass

from mlsysim.models.parts.line import BasePart, Line
from mlsysim.physics import recurrence


@dataclass(frozen=True, kw_only=True)
class StateSpace(BasePart):
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
class LinearAttention(BasePart):
    """Attention whose keys and values are summed into one state a head.

    ``rule`` is plain (the state adds key x value; MiniMax-01's lightning attention) or delta (gated delta rule of
    Qwen3-Next; Yang et al. 2024). ``conv`` is the kernel of the short convolution over queries, keys and values (0:
    none), ``gate`` the width of the output gate's projection, ``small`` further projections to one number a head, and
    ``gates`` projections to all values through a rank of ``gate_rank`` (Kimi Linear, arXiv:2510.26692).
    """

    heads: int
    key_heads: int
    key_dim: int
    value_dim: int
    rule: str = "plain"
    conv: int = 0
    gate: int = 0
    small: int = 0
    gates: int = 0
    gate_rank: int = 0
    norm: int = 0
    extra: int = 0

    operators = 9

    def weights(self, hidden: int) -> int:
        """Return the matrix parameters."""
        return hidden * self._projected() + self._values() * hidden + self._low_rank(hidden)

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
        if self.gates:
            width = self.gates * (hidden + 2 * self.gate_rank + values)
            found.insert(1, Line("linear_attention.gates", "matmul", self._low_rank(hidden), width, adapted=width))
        if self.conv:
            flops = 2.0 * self._convolved() * self.conv
            found.insert(1, Line("linear_attention.conv", "conv", 0.0, 2 * self._convolved(), row_flops=flops))
        return tuple(found)

    def _convolved(self) -> int:
        return 2 * self.key_heads * self.key_dim + self._values()

    def _low_rank(self, hidden: int) -> int:
        return self.gates * self.gate_rank * (hidden + self._values())

    def _values(self) -> int:
        return self.heads * self.value_dim

    def _projected(self) -> int:
        return self._convolved() + self.gate + self.small * self.heads
