"""Many points: the same question on other hardware."""

from mlsysim.whatif.compare import compare

__all__ = ["compare"]
