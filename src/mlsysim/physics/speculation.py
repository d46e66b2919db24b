"""Speculative decoding: what one verification step yields.

Reference: Leviathan et al. 2023 (arXiv:2211.17192), equation 1.
"""

from __future__ import annotations

from typing import Any

from mlsysim.physics.elementwise import Real


def tokens_per_step(drafted: int, acceptance: Real) -> Any:
    """Return the expected tokens of a step that verifies ``drafted`` tokens: 1 + a + a^2 + ... + a^drafted.

    Validity: each drafted token is accepted with the same probability ``acceptance``, independently of the others.
    """
    total: Any = 1.0
    power: Any = 1.0
    for _ in range(drafted):
        power = power * acceptance
        total = total + power
    return total
