"""Parameters and FLOPs against what PyTorch counts in transformers' own modules (frozen by tests/oracles)."""

import json
from collections import Counter
from pathlib import Path

import pytest

from mlsysim.models import lower
from mlsysim.models.importers.config import spec_of

RECORDS = {
    r["architecture"]: r
    for r in map(json.loads, (Path(__file__).parents[1] / "oracles/torch_counts.jsonl").read_text().splitlines())
}
BATCH, TOKENS, TARGET = 2, 48, 16  # as in tests/oracles/torch_counts.py
ASKED = {
    "llama", "gpt2", "bert", "mixtral", "deepseek_v3", "qwen3", "qwen3_moe", "gemma3_text", "gpt_oss", "mamba2", "vit",
    "t5", "whisper",
}  # fmt: skip
CLASSES = {
    "attention.qkv": "qkv", "attention.qkv_down": "qkv", "attention.kv_up": "qkv", "cross_attention.q": "qkv",
    "cross_attention.kv": "qkv", "attention.core": "core", "cross_attention.core": "core", "attention.out": "out",
    "cross_attention.out": "out", "mlp": "mlp", "moe.shared": "mlp", "moe.router": "router", "moe.experts": "experts",
    "lm_head": "head", "head": "head", "stem.1": "stem", "stem.2": "stem", "patch_embedding": "stem",
    "ssm.in": "ssm.in", "ssm.out": "out",
}  # fmt: skip
RECURRENT = {"ssm.scan", "ssm.conv"}
"""Counted in recurrent form, where transformers' module computes in chunks: another algorithm, not comparable."""
architectures = pytest.mark.parametrize("name", sorted(ASKED))


def small(name, phase):
    """Return the ledger of the small copy, attention in full as eager attention computes it, logits of all tokens."""
    spec = spec_of(RECORDS[name]["small"], name, name)
    work = lower(
        spec,
        phase,
        batch_size=BATCH,
        seq_len=TOKENS,
        context=0,
        target_len=TARGET if spec.encoder else None,
        full_attention=True,
    )
    return spec, work


def test_all_that_were_asked_for_are_frozen():
    assert set(RECORDS) == ASKED


@architectures
def test_parameters_of_the_published_size_are_those_of_the_module(name):
    record = RECORDS[name]
    assert spec_of(record["published"], name, name).parameters == record["parameters"]
    assert spec_of(record["small"], name, name).parameters == record["small_parameters"]


@architectures
def test_forward_flops_are_those_that_torch_counts_class_by_class(name):
    spec, work = small(name, "forward")
    ours = Counter()
    for op in work.operators:
        key = op.name.removeprefix("encoder.").removeprefix("decoder.")
        for prefix in ("dense.", "sparse.", "local.", "global."):
            key = key.removeprefix(prefix)
        if op.flops and key not in RECURRENT:
            ours[CLASSES[key]] += op.flops
    # A language model's prefill needs the last token's logits alone; the module computes those of all tokens.
    rows = 1 if not spec.causal or spec.pooled else TARGET if spec.encoder else TOKENS
    ours["head"] *= rows
    theirs = {k: v for k, v in RECORDS[name]["flops"]["forward"].items() if k in set(CLASSES.values())}
    # 0.1 % as asked; the counts are integers of the same products, so that in fact they are equal.
    assert dict(ours) == {k: pytest.approx(v, rel=1e-3) for k, v in theirs.items()}


@architectures
def test_forward_and_backward_flops_are_those_that_torch_counts(name):
    _, work = small(name, "training")
    kinds = {"matmul": "weights", "experts": "weights", "attention": "activations", "conv": "conv"}
    ours = Counter()
    for op in work.operators:
        if op.flops and op.name not in RECURRENT:
            ours[kinds[op.kind]] += op.flops
    theirs = dict(RECORDS[name]["flops"]["training"])
    if name == "mamba2":
        del theirs["activations"], theirs["conv"]
    assert dict(ours) == {k: pytest.approx(v, rel=1e-3) for k, v in theirs.items()}


@architectures
def test_causal_attention_is_half_of_full_and_half_a_diagonal(name):
    spec, full = small(name, "forward")
    causal = lower(
        spec, "forward", batch_size=BATCH, seq_len=TOKENS, context=0, target_len=TARGET if spec.encoder else None
    )
    for masked, all_pairs in zip(causal.operators, full.operators, strict=True):
        if masked.kind != "attention" or masked.flops == all_pairs.flops:
            continue
        length = TARGET if spec.encoder else TOKENS
        if "local" not in masked.name:
            assert masked.flops == all_pairs.flops * (length + 1) / (2 * length)
        else:
            assert masked.flops < all_pairs.flops * (length + 1) / (2 * length)
