"""Bytes a workload must hold, by purpose.

References: Rajbhandari et al. 2020 (arXiv:1910.02054) section 3.1 for mixed-precision Adam; Korthikanti et al. 2022
(arXiv:2205.05198) section 4 for the activations of a transformer layer.
"""

from __future__ import annotations

from typing import Any

from mlsysim.physics.elementwise import Real

ADAM_STATE_BYTES = 12.0
"""fp32 master weight, momentum and variance of mixed-precision Adam [B/parameter] (Rajbhandari et al. 2020, 3.1)."""


def checkpoint_elements(hidden: Real, layers: Real) -> Any:
    """Return the values a token of training that keeps the input of every layer and recomputes the rest [elements]."""
    return hidden * layers


def score_elements(seq_len: Real, heads: Real) -> Any:
    """Return the attention scores that a sequence keeps where they are not recomputed, all layers' heads [elements].

    Korthikanti et al. 2022, section 4.1: 5 B a head and pair of tokens in 16 bits: softmax output, dropout mask (1 B)
    and dropout output.
    """
    return 2.5 * heads * seq_len * seq_len
