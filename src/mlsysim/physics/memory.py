"""Bytes a workload must hold, by purpose.

References: Rajbhandari et al. 2020 (arXiv:1910.02054) section 3.1 for mixed-precision Adam; Korthikanti et al. 2022
(arXiv:2205.05198) section 4 for the activations of a transformer layer.
"""

from __future__ import annotations

from typing import Any

from mlsysim.physics.elementwise import Real

ADAM_STATE_BYTES = 12.0
"""fp32 master weight, momentum and variance of mixed-precision Adam [B/parameter] (Rajbhandari et al. 2020, 3.1)."""


def checkpointed_activation_bytes(sequences: Real, seq_len: Real, hidden: Real, layers: Real, value_bytes: Real) -> Any:
    """Return training activations with one checkpoint a layer and one layer live [B].

    Korthikanti et al. 2022: a 16-bit layer holds 34 s b d bytes when attention keeps no scores (17 values), and a
    checkpoint is its s b d inputs. The least that ordinary training keeps; without recomputation it is 17 L s b d.
    """
    return sequences * seq_len * hidden * value_bytes * (layers + 17.0)


def block_workspace_bytes(tokens: Real, hidden: Real, ffn: Real, mlp_inputs: Real, value_bytes: Real) -> Any:
    """Return the tensors live in one MLP block of a forward pass [B]: residual, block input, ``mlp_inputs`` x ffn."""
    return tokens * (2.0 * hidden + mlp_inputs * ffn) * value_bytes
