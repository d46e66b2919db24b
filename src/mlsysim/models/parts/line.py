"""A line of the ledger as coefficients of its work, and what every part of a block can say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple


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


class BasePart(ABC):
    """What every part can say; most keep nothing of a token, and multiply each token by all they store."""

    operators = 1
    """Kernels of one unfused forward step."""

    @abstractmethod
    def weights(self, hidden: int) -> int:
        """Return the matrix parameters that are stored."""

    def active(self, hidden: int) -> int:
        """Return the matrix parameters that a token multiplies."""
        return self.weights(hidden)

    def cached(self) -> int:
        """Return the elements kept for a token."""
        return 0

    @abstractmethod
    def live(self, hidden: int) -> float:
        """Return the elements of a token that are alive at once beside the residual and the block input."""

    @abstractmethod
    def kept(self, hidden: int) -> float:
        """Return the elements of a token that the backward pass needs; nothing is recomputed, no scores are kept."""

    @abstractmethod
    def lines(self, hidden: int) -> tuple[Line, ...]:
        """Return the ledger lines of one block."""
