"""What is asked: model specs, the registry of known models, and their lowering to work."""

from mlsysim.models.ledger import Operator, Sizes, Work
from mlsysim.models.network import Layer, NetworkSpec
from mlsysim.models.parts import Attention, Convolution, Experts, LatentAttention, LinearAttention, Mlp, StateSpace
from mlsysim.models.registry import Models
from mlsysim.models.spec import Block, ModelSpec, Stack, TransformerSpec, decoder
from mlsysim.models.training import Trained
from mlsysim.models.work import Speculation, lower

__all__ = [
    "Attention",
    "Block",
    "Convolution",
    "Experts",
    "LatentAttention",
    "Layer",
    "LinearAttention",
    "Mlp",
    "ModelSpec",
    "Models",
    "NetworkSpec",
    "Operator",
    "Sizes",
    "Speculation",
    "Stack",
    "StateSpace",
    "Trained",
    "TransformerSpec",
    "Work",
    "decoder",
    "lower",
]
