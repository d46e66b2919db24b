"""Conventions by which the FLOPs of a step are counted, and an efficiency carried from one to another.

Most disputes about MFU are about these: the same run is 0.38 by one and 0.51 by another. Names and sources:

- ``causal``: model FLOPs, attention over the pairs that the mask leaves; newer Megatron-LM, MaxText since 2025-07.
- ``full-attention``: model FLOPs, attention over all pairs; PaLM (arXiv:2204.02311, appendix B), nanoGPT, llm-foundry.
- ``6n``: 6 FLOPs (2 without a backward pass) a matrix parameter and token, attention left out; Kaplan et al. 2020.
- ``hardware``: what the hardware computes: ``causal`` and everything that is recomputed; Megatron-LM 2021, BLOOM.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlsysim.models.ledger import Operator, Work
from mlsysim.models.training import ALL, Trained
from mlsysim.physics.transformer import TRAINING_OVER_FORWARD

CONVENTIONS = ("causal", "full-attention", "6n", "hardware")
_OUTSIDE_BLOCKS = frozenset({"embedding", "lm_head", "head", "optimizer"})


def flops_by_convention(work: Work, full: Work, recompute: str = "none", trained: Trained = ALL) -> dict[str, float]:
    """Return the FLOPs of a step under each of :data:`CONVENTIONS`.

    ``work`` is its ledger with causal attention, ``full`` that with all pairs; ``recompute`` says what a backward pass
    computes again: nothing, attention (``selective``), or every block (``full``) that has a backward pass.
    """
    mixing = work.flops_of("attention") + work.flops_of("scan")
    redone = "none" if trained.frozen == "body" else recompute
    again = sum(_forward(op, trained) for op in work.operators if _recomputed(op, redone, trained))
    return {
        "causal": work.flops,
        "full-attention": full.flops,
        "6n": work.flops - mixing - work.flops_of("conv"),
        "hardware": work.flops + again,
    }


def converted(efficiency: float, flops: Mapping[str, float], given: str, wanted: str = "causal") -> float:
    """Return an efficiency counted by one convention as it would be by another: the time of the run is the same."""
    return efficiency * flops[wanted] / flops[given]


def _forward(op: Operator, trained: Trained) -> float:
    """Return the part of an operator's training FLOPs that its forward pass takes."""
    only_inputs = trained.lora_rank and op.kind in {"matmul", "experts", "conv"} and op.name != "lora"
    return float(op.flops) / (2.0 if only_inputs else TRAINING_OVER_FORWARD)


def _recomputed(op: Operator, recompute: str, trained: Trained) -> bool:
    if trained.frozen == "encoder" and op.name.startswith(("encoder.", "stem")):
        return False
    if recompute == "selective":
        return op.kind == "attention"
    return recompute == "full" and op.name not in _OUTSIDE_BLOCKS
