"""What a call costs before it computes: dispatch of a product of 4 x 4 matrices, by library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mlsysim.hardware.probe.products import kinds
from mlsysim.hardware.probe.repeats import repeat

_CALLS = 200
_SMALL = 4


class OverheadSample(NamedTuple):
    """Time of one call whose arithmetic is negligible [s], and spread over the repeats [1]."""

    library: str
    seconds: float
    spread: float


def overheads(seconds: float) -> Iterator[OverheadSample]:
    """Yield the dispatch overhead of every installed library, in about ``seconds`` [s] together."""
    libraries = {library: product for (_, library), product in reversed(kinds().items())}
    for library, product in libraries.items():
        with product(_SMALL, 1) as run:
            best, spread, _ = repeat(lambda: [run() for _ in range(_CALLS)], seconds / len(libraries))
        yield OverheadSample(library, best / _CALLS, spread)
