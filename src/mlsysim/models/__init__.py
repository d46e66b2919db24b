"""What is asked: model specs, the registry of known models, and their lowering to work."""

from mlsysim.models.registry import Models
from mlsysim.models.spec import Layer, ModelSpec, NetworkSpec, TransformerSpec
from mlsysim.models.work import Operator, Work, lower

__all__ = ["Layer", "ModelSpec", "Models", "NetworkSpec", "Operator", "TransformerSpec", "Work", "lower"]
