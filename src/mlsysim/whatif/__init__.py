"""Many points: the same question on other hardware, or with something changed."""

from mlsysim.whatif.changed import what_if
from mlsysim.whatif.compare import compare, compare_calibrated

__all__ = ["compare", "compare_calibrated", "what_if"]
