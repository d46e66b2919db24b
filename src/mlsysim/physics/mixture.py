"""Mixtures of experts: how many experts a step touches.

Reference: Fedus et al. 2022 (arXiv:2101.03961) for routing; the expectation is that of E equally likely experts, of
which each token draws k without replacement (Kim et al. 2021, arXiv:2109.10465, on why decode reads nearly all of
them).
"""

from __future__ import annotations

from typing import Any

from mlsysim.physics.elementwise import Real


def experts_touched(experts: Real, chosen: Real, tokens: Real) -> Any:
    """Return the expected number of distinct experts that ``tokens`` are sent to: E (1 - (1 - k / E)^tokens).

    Validity: tokens choose independently and evenly. Real routing is less even, so that fewer are touched.
    """
    return experts * (1.0 - (1.0 - chosen / experts) ** tokens)
