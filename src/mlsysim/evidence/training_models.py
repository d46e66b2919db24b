"""The architecture behind a row of training.csv: of the registry, as the row states it, or of its parameter count."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

from mlsysim.evidence.fields import Row, count, optional
from mlsysim.evidence.measurement import Refused
from mlsysim.models import Models, TransformerSpec, decoder
from mlsysim.models.parts import Attention, Experts, LatentAttention, StateSpace
from mlsysim.models.spec import Block

_REGISTERED = {
    "gpt2-124m": "gpt2",
    "llama4-scout": "llama-4-scout",
    "llama4-maverick": "llama-4-maverick",
    "nemotron_3_nano": "nemotron-3-nano-30b-a3b",
    "nemotron_3_5_lightning": "nemotron-3-nano-30b-a3b",
    "nemotron-340b": "nemotron-4-340b",
    "gemma3-12b": "gemma-3-12b",
    "falcon-7b": "falcon-7b",
    "falcon-40b": "falcon-40b",
    "gpt-3": "gpt3-175b",
    "megatron-turing nlg": "megatron-530b-a100",
    "palm": "palm-540b",
    "bloom-176b": "bloom-176b",
    "gpt-20b": "gpt3-20b",
    "mlperf-llama2_70b_lora": "llama-2-70b",
    "mlperf-llama31_405b": "llama-3.1-405b",
    "mlperf-llama31_8b": "llama-3.1-8b",
    "mlperf-gpt3": "gpt3-175b",
}
"""Families whose name in the registry is another one. Nemotron 3.5 Lightning counts the FLOPs a token of 3 Nano."""

_PUBLISHED = {  # layers, hidden, heads, vocabulary
    "gopher": (80, 16384, 128, 32000),  # Rae et al., arXiv:2112.11446, table 1
    "gpt2-8.3b": (72, 3072, 24, 51200),  # Shoeybi et al., arXiv:1909.08053, table 1
    "gpt3-23b": (28, 8192, 64, 50304),  # neuronx-nemo-megatron, gpt_23b.sh
    "gpt3-46b": (56, 8192, 64, 50304),  # neuronx-nemo-megatron, gpt_46b.sh
    "nemotron-8b": (32, 4096, 32, 256000),  # Nemotron-3 8B model card
    "nemotron-22b": (40, 6144, 48, 256000),  # NeMo llm/recipes/nemotron3_22b.py
    "gpt-1.3b": (24, 2048, 16, 50304),  # bigscience experiments/tr3m-1B3.md
    "bert-110m": (12, 768, 12, 30592),  # NeMo-Megatron-Launcher conf/training/bert
    "bert-4b": (48, 2560, 32, 30592),
    "bert-20b": (48, 6144, 48, 30592),
    "bert-100b": (96, 9216, 96, 30592),
}
"""Plain transformers that no row states in full and the registry lacks."""


def model_of(row: Row) -> TransformerSpec:
    """Return the architecture of a row.

    Raises
    ------
    Refused
        Neither a name of a known one, nor its sizes, nor its parameters.
    """
    family, layers = row["family"].lower(), count(row, "layers")
    for name in (_REGISTERED.get(family, family), row["model"].lower().replace(" ", "-")):
        known = Models[name] if name in Models else None  # noqa: SIM401
        if isinstance(known, TransformerSpec) and (not layers or known.layers == layers):
            return known
    if family in _MIXTURES:
        return _mixture(family)
    stated = all(row[k] for k in ("layers", "hidden", "heads", "kv_heads", "ffn", "vocab"))
    if optional(row, "active_params_b") != optional(row, "params_b"):
        raise Refused("a mixture of experts of unknown architecture")
    if stated:
        return _stated(row)
    key = next((k for k in (family, row["model"].lower().replace(" ", "-")) if k in _PUBLISHED), "")
    if "8.3b" in row["model"].lower():
        key = "gpt2-8.3b"
    if key:
        deep, hidden, heads, vocab = _PUBLISHED[key]
        return _plain(key, deep, hidden, heads, vocab)
    billions = optional(row, "params_b")
    if billions is None:
        raise Refused("neither an architecture nor a number of parameters")
    return of_size(row["model"], billions * 1e9)


@cache
def of_size(name: str, parameters: float) -> TransformerSpec:
    """Return a plain decoder of so many parameters: 12 L h^2 of them in L layers, h = 128 L, heads of 128."""
    layers = max(1, round((parameters / (12 * 128**2)) ** (1 / 3)))
    hidden = max(128, round((parameters / (12 * layers)) ** 0.5 / 128) * 128)
    return _plain(name, layers, hidden, hidden // 128, 50304)


@cache
def _plain(name: str, layers: int, hidden: int, heads: int, vocab: int) -> TransformerSpec:
    made = decoder(
        name,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        ffn=4 * hidden,
        vocab=vocab,
        gated=False,
        tied=True,
    )
    return _as_encoder(made) if name.startswith("bert") else made


def encoder_of(row: Row) -> TransformerSpec:
    """Return the text encoder of a row with the head of its pre-training: one output a vocabulary entry."""
    found = model_of(row)
    return found if not found.pooled else _as_encoder(found)


@cache
def _as_encoder(spec: TransformerSpec) -> TransformerSpec:
    """Return the encoder with attention to all tokens, and a head that predicts the masked ones."""
    blocks = tuple(
        replace(b, parts=tuple(replace(p, causal=False) if isinstance(p, Attention) else p for p in b.parts))
        for b in spec.blocks
    )
    return replace(spec, blocks=blocks, causal=False, pooled=False, head=-1)


def _stated(row: Row) -> TransformerSpec:
    sizes = [count(row, k) for k in ("layers", "hidden", "heads", "kv_heads", "ffn", "vocab")]
    gated = not re.match(r"gpt|mpt|mlm|opt|bloom|megatron", row["family"])
    return _decoder(row["model"], *sizes, gated)


@cache
def _decoder(
    name: str, layers: int, hidden: int, heads: int, kv_heads: int, ffn: int, vocab: int, gated: bool
) -> TransformerSpec:
    return decoder(
        name,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=hidden // heads,
        ffn=ffn,
        vocab=vocab,
        gated=gated,
    )


class _Hybrid(tuple[int, ...]):
    """Mamba, attention and expert layers, hidden, latent width, expert width, shared width of a hybrid mixture."""


_MIXTURES = {
    "nemotron_3_super": _Hybrid((40, 8, 40, 4096, 1024, 2688, 5376)),  # 120B-A12B
    "nemotron_3_ultra": _Hybrid((48, 12, 48, 8192, 2048, 5120, 10240)),  # scaled to the FLOPs a token that are counted
    "deepseekv4 flash": _Hybrid((0, 43, 43, 4096, 0, 2048, 2048)),  # 284B-A13B
}


@cache
def _mixture(family: str) -> TransformerSpec:
    """Return a mixture that the registry lacks, from its outline: sizes of layers, and how many of each."""
    mamba, attended, sparse, hidden, latent, ffn, shared = _MIXTURES[family]
    if not mamba:
        attention = LatentAttention(heads=64, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128, q_rank=1024)
        experts = Experts(experts=256, chosen=6, ffn=ffn, shared_ffn=shared, shared=1)
        block = Block(count=sparse, parts=(attention, experts))
        return TransformerSpec(name=family, hidden=hidden, vocab=129280, blocks=(block,))
    ssm = StateSpace(inner=2 * hidden, state=128, heads=hidden // 32, groups=8, version=2)
    narrow = Attention(heads=hidden // 128, kv_heads=2, head_dim=128)
    routed = Experts(experts=512, chosen=22, ffn=ffn, gated=False, shared_ffn=shared, shared=1, inner=latent)
    blocks = (
        Block(count=mamba, parts=(ssm,), norms=1, name="mamba"),
        Block(count=sparse, parts=(routed,), norms=1, name="moe"),
        Block(count=attended, parts=(narrow,), norms=1, name="attention"),
    )
    return TransformerSpec(name=family, hidden=hidden, vocab=131072, blocks=blocks)


def is_mixture(spec: TransformerSpec) -> bool:
    """Return whether a model has routed experts."""
    return any(isinstance(p, Experts) for b in spec.blocks for p in b.parts)
