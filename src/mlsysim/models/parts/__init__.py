"""What a block of a sequence model is made of: attention, state spaces, MLPs, experts.

A part holds facts and says what follows from them for a given hidden size: the parameters it stores, and the lines of
the ledger it writes.
"""

from typing import TypeAlias

from mlsysim.models.parts.attention import Attention, LatentAttention
from mlsysim.models.parts.feedforward import Convolution, Experts, Mlp
from mlsysim.models.parts.line import Line, Reach
from mlsysim.models.parts.recurrent import LinearAttention, StateSpace

Part: TypeAlias = Attention | LatentAttention | StateSpace | LinearAttention | Mlp | Experts | Convolution

__all__ = [
    "Attention",
    "Convolution",
    "Experts",
    "LatentAttention",
    "Line",
    "LinearAttention",
    "Mlp",
    "Part",
    "Reach",
    "StateSpace",
]
