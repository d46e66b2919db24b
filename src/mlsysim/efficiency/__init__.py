"""What is achieved: regimes, the guide, the evidence, and eta predicted from it."""

from mlsysim.efficiency.guide import Efficiency

__all__ = ["Efficiency"]
