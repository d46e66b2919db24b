"""FLOPs of layers that carry a state from token to token, in their recurrent form.

The state is (channels x state size) for a state-space layer and (key x value) a head for linear attention. Chunked
kernels do more arithmetic to reach matrix units; that is the software's choice and not model FLOPs.

References: Gu & Dao 2023 (arXiv:2312.00752) section 3.3; Dao & Gu 2024 (arXiv:2405.21060) section 6; Yang et al. 2024
(arXiv:2412.06464) for the gated delta rule. The 7 and 9 FLOPs a state element are the counts of Megatron-LM
(``num_floating_point_operations``) and of the authors of Mamba (state-spaces/mamba, issue 110).
"""

from __future__ import annotations

from typing import Any

from mlsysim.physics.elementwise import Real

SELECTIVE_SCAN = 9.0
"""FLOPs a token and state element of Mamba-1: decay, input, state update and read-out of every channel on its own."""
STATE_SPACE_DUALITY = 7.0
"""FLOPs a token and state element of Mamba-2, whose decay is one number a head."""
LINEAR_ATTENTION = 4.0
"""FLOPs a token and state element: the outer product of key and value is added, the query reads (2 each)."""
DELTA_RULE = 8.0
"""FLOPs a token and state element: decay (1), read by the key (2), corrected update (3), read by the query (2)."""


def recurrence_flops(tokens: Real, state_elements: Real, flops_per_element: Real) -> Any:
    """Return the FLOPs of moving a state of ``state_elements`` over ``tokens`` tokens."""
    return tokens * state_elements * flops_per_element
