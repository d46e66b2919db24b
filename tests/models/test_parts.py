"""Parts of a block by hand: parameters, what is kept, and the work of each."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsysim.models import (
    Attention,
    Block,
    Convolution,
    Experts,
    LatentAttention,
    LinearAttention,
    Mlp,
    Models,
    Sizes,
    Speculation,
    StateSpace,
    Trained,
    TransformerSpec,
    lower,
)


def model(*parts, hidden=64, count=2, **more):
    return TransformerSpec(name="x", hidden=hidden, vocab=100, blocks=(Block(count=count, parts=parts),), **more)


def ledger(spec, phase="forward", batch=1, seq=1, context=0, **more):
    work = lower(spec, phase, batch_size=batch, seq_len=seq, context=context, **more)
    return {op.name: op for op in work.operators}


def test_grouped_query_attention_with_bias_norms_and_sinks():
    a = Attention(heads=8, kv_heads=2, head_dim=16, bias="all", qk_norm="head", sinks=True)
    assert a.weights(64) == 64 * (128 + 2 * 32) + 128 * 64
    # biases of q, k, v and output; two norms of 16; a sink a head
    assert a.vectors(64) == 128 + 64 + 64 + 32 + 8
    assert Attention(heads=8, kv_heads=2, head_dim=16, bias="qkv", qk_norm="full").vectors(64) == 192 + 128 + 32
    assert Attention(heads=4, kv_heads=4, head_dim=16, bias="all-without-k").vectors(64) == 3 * 64


def test_a_gate_doubles_the_query_projection_alone():
    plain, gated = (Attention(heads=4, kv_heads=1, head_dim=16, gated=g) for g in (False, True))
    assert gated.weights(64) - plain.weights(64) == 64 * 64
    assert (
        ledger(model(gated, Mlp(ffn=8)))["attention.core"].flops
        == ledger(model(plain, Mlp(ffn=8)))["attention.core"].flops
    )


def test_deepseek_v3_attention_by_hand():
    # DeepSeek-V3 (arXiv:2412.19437) section 4.2: 128 heads, ranks 1,536 and 512, head 128 + 64, values 128.
    a = LatentAttention(heads=128, q_rank=1536, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128)
    down = 7168 * 1536 + 1536 * 128 * 192 + 7168 * 576
    assert a.weights(7168) == down + 512 * 128 * 256 + 128 * 128 * 7168
    # 576 values a token in place of 2 x 128 x 128.
    assert Models["deepseek-v3"].kv_elements == 61 * 576


def test_latent_attention_absorbed_and_not():
    a = LatentAttention(heads=4, q_rank=0, kv_rank=32, nope_dim=16, rope_dim=8, value_dim=16)
    spec = model(a, Mlp(ffn=8))
    absorbed, expanded = (ledger(spec, "decode", context=99, absorbed=how)["attention.core"] for how in (True, False))
    # 100 pairs, 4 heads, 2 layers, 2 FLOPs: 32 + 8 + 32 values against 16 + 8 + 16.
    assert absorbed.flops == 2 * 100 * 4 * 2 * (32 + 8 + 32)
    assert expanded.flops == 2 * 100 * 4 * 2 * (16 + 8 + 16)
    assert ledger(spec, "decode", context=99)["attention.core"] == absorbed
    assert ledger(spec, "forward", seq=100)["attention.core"].flops == 2 * 5050 * 4 * 2 * 40
    # One latent of 40 values a token and layer is read, and one written: 100 x 2 x 40 x 2 B.
    assert absorbed.kv_bytes == 100 * 2 * 40 * 2


def test_an_indexer_bounds_the_pairs_and_sees_all_of_them():
    a = LatentAttention(
        heads=4, kv_rank=32, nope_dim=16, rope_dim=8, value_dim=16, q_rank=8, index_heads=2, index_dim=4, index_top=10
    )
    found = ledger(model(a, Mlp(ffn=8)), "decode", context=99)
    assert found["attention.core"].flops == 2 * 10 * 4 * 2 * 72
    assert found["attention.index"].flops == 2 * 100 * 2 * 4 * 2


def test_chunks_and_windows_by_hand():
    near = model(Attention(heads=1, kv_heads=1, head_dim=1, window=4), Mlp(ffn=8), count=1)
    chunked = model(Attention(heads=1, kv_heads=1, head_dim=1, chunk=4), Mlp(ffn=8), count=1)
    # Six tokens: 1 + 2 + 3 + 4 + 4 + 4 pairs in a window, 1 + 2 + 3 + 4 + 1 + 2 in chunks; 4 FLOPs each.
    assert ledger(near, seq=6)["attention.core"].flops == 4 * 18
    assert ledger(chunked, seq=6)["attention.core"].flops == 4 * 13


def test_an_encoder_sees_both_ways():
    spec = model(Attention(heads=1, kv_heads=1, head_dim=1, causal=False), Mlp(ffn=8), count=1, causal=False)
    assert ledger(spec, seq=6)["attention.core"].flops == 4 * 36


def test_mamba_2_by_hand():
    # Mamba-2 130M: hidden 768, inner 1,536, 24 heads of 64, one group, state 128, kernel 4.
    s = StateSpace(inner=1536, state=128, heads=24)
    projected = 2 * 1536 + 2 * 128 + 24
    assert s.weights(768) == 768 * projected + 1536 * 768
    assert s.vectors(768) == (1536 + 256) * 5 + 3 * 24 + 1536
    found = ledger(model(s, hidden=768, count=1), "decode", batch=3, context=10_000)
    # 7 FLOPs a state element and token, however long the context; state and convolution window are read and written.
    assert found["ssm.scan"].flops == 3 * 7 * 1536 * 128
    assert found["ssm.scan"].kv_bytes == 3 * 2 * 2 * (1536 * 128 + 3 * 1792)


def test_linear_attention_keeps_a_state_and_no_tokens():
    part = LinearAttention(heads=4, key_heads=2, key_dim=8, value_dim=16, rule="delta")
    spec = model(part, Mlp(ffn=8), count=1)
    assert spec.cached_elements(10) == spec.cached_elements(10_000) == 4 * 8 * 16
    assert ledger(spec, seq=5)["linear_attention.core"].flops == 5 * 8 * 4 * 8 * 16


def test_experts_by_hand():
    e = Experts(experts=8, chosen=2, ffn=32, shared=1)
    assert e.weights(64) == 64 * 8 + 9 * 3 * 64 * 32
    assert e.active(64) == 64 * 8 + 3 * 3 * 64 * 32
    spec = model(Attention(heads=4, kv_heads=4, head_dim=16), e)
    one = ledger(spec, "decode")["moe.experts"]
    # One token reads two experts a layer; sixty-four read 8 (1 - (6/8)^64) of eight.
    assert one.weight_bytes == pytest.approx(2 * 2 * 3 * 64 * 32 * 2)
    many = ledger(spec, "decode", batch=64)["moe.experts"]
    assert many.weight_bytes == pytest.approx(2 * 8 * (1 - 0.75**64) * 3 * 64 * 32 * 2)
    assert many.flops == 64 * one.flops


@given(tokens=st.integers(1, 10_000), experts=st.integers(2, 512), share=st.floats(0.01, 1))
def test_touched_experts_grow_with_tokens_and_never_beyond_all(tokens, experts, share):
    from mlsysim.physics.mixture import experts_touched

    chosen = max(1, int(share * experts))
    touched = experts_touched(experts, chosen, tokens)
    assert chosen * (1 - 1e-9) <= touched <= experts
    assert experts_touched(experts, chosen, tokens + 1) >= touched


def test_published_active_parameters():
    # Mixtral (arXiv:2401.04088): 12.9 B active of 46.7 B; DeepSeek-V3: 37 B of 671 B; Qwen3-30B-A3B: 3.3 B of 30.5 B.
    for name, active, total in (
        ("mixtral-8x7b", 12.9e9, 46.7e9),
        ("deepseek-v3", 37e9, 671e9),
        ("qwen3-30b-a3b", 3.3e9, 30.5e9),
    ):
        assert Models[name].active_parameters == pytest.approx(active, rel=0.02)
        assert Models[name].parameters == pytest.approx(total, rel=0.002)


def test_a_conformer_convolution_by_hand():
    c = Convolution(kernel=31)
    assert c.weights(256) == 3 * 256 * 256
    assert c.vectors(256) == 256 * 31 + 2 * 256 + 4 * 256


def test_prediction_modules_are_counted_apart():
    m = Models["deepseek-v3"]
    # The published checkpoint holds 685 B: 671 B and one module (model card of DeepSeek-V3: 14 B of MTP weights, which
    # count embedding and head of the module once more: 1.85 B).
    module = m.mtp_stack.stack_parameters + 2 * m.vocab * m.hidden
    assert m.mtp == 1
    assert m.parameters + module == pytest.approx(684.5e9, rel=0.001)


def test_speculation_by_hand():
    m = Models["llama-3.1-8b"]
    plain = lower(m, "decode", batch_size=4, seq_len=1, context=1000)
    spec = lower(
        m, "decode", batch_size=4, seq_len=1, context=1000, speculative=Speculation(3, 0.5, Models["llama-3.2-1b"])
    )
    # 1 + 1/2 + 1/4 + 1/8 tokens a step and sequence.
    assert spec.items == 4 * 1.875
    names = {op.name: op for op in spec.operators}
    # Four tokens are verified at once: weights are read once, matrix FLOPs are four times those of one token.
    assert names["mlp"].flops == 4 * {op.name: op for op in plain.operators}["mlp"].flops
    assert names["mlp"].weight_bytes == {op.name: op for op in plain.operators}["mlp"].weight_bytes
    # The draft runs three times, and reads its weights each time.
    draft = lower(Models["llama-3.2-1b"], "decode", batch_size=4, seq_len=1, context=1001)
    assert names["draft.mlp"].weight_bytes == 3 * {op.name: op for op in draft.operators}["mlp"].weight_bytes
    # Contexts of 1,000, 1,001 and 1,002 tokens: three times the middle one.
    assert names["draft.attention.core"].flops == 3 * {op.name: op for op in draft.operators}["attention.core"].flops


def test_each_drafted_token_is_one_pass_of_one_prediction_module():
    m = replace(Models["deepseek-v3"], mtp=3)
    two = lower(m, "decode", batch_size=1, seq_len=1, context=10, speculative=Speculation(2, 0.8))
    heads = next(op for op in two.operators if op.name == "mtp.head")
    assert heads.flops == 2 * 2 * m.hidden * m.vocab


def test_lora_is_four_n():
    m = Models["llama-2-7b"]
    tokens = 2 * 4096
    work = lower(m, "training", batch_size=2, seq_len=4096, context=0, trained=Trained(lora_rank=16))
    parts = {op.name: op for op in work.operators}
    frozen = sum(op.flops for op in work.operators if op.kind == "matmul" and op.name != "lora")
    assert frozen == 4 * m.matmul_parameters * tokens
    # Rank 16 on q, k, v, o (4096 x 4096 each) and gate, up, down (4096 x 11008) of 32 layers: 39,976,960 parameters,
    # as peft counts for r = 16 on all linear layers of Llama 2 7B.
    adapters = 16 * 32 * (4 * 8192 + 3 * (4096 + 11008))
    assert adapters == 39_976_960
    assert parts["lora"].flops == 6 * adapters * tokens
    assert parts["optimizer"].weight_bytes == adapters * (2 * 12 + 2 * 2)


def test_dequantization_is_itemised_and_no_flop():
    m = Models["llama-3.1-8b"]
    sizes = Sizes(2.0, 0.5, 2.0)
    work = lower(m, "decode", batch_size=1, seq_len=1, context=1, sizes=sizes, dequantized=True)
    last = work.operators[-1]
    assert (last.name, last.kind, last.flops) == ("dequantization", "dequantize", 0.0)
    # Every weight that is read, subtracted from and scaled: 7,504,658,432 of them.
    assert last.vector_operations == 2 * 7_504_658_432
    assert work.flops == lower(m, "decode", batch_size=1, seq_len=1, context=1).flops


@pytest.mark.parametrize(
    "name", ["deepseek-v3", "jamba-v0.1", "gemma-3-27b", "llama-4-scout", "t5-large", "gpt-oss-120b"]
)
def test_arrays_equal_a_loop(name):
    if name not in Models:
        pytest.skip(f"{name} is not packaged")
    m = Models[name]
    batch, context = np.array([1, 8, 64]), np.array([100, 5000, 40000])
    work = lower(m, "decode", batch_size=batch, seq_len=128, context=context)
    for i, (b, c) in enumerate(zip(batch.tolist(), context.tolist(), strict=True)):
        one = lower(m, "decode", batch_size=b, seq_len=128, context=c)
        assert work.flops[i] == pytest.approx(one.flops, rel=1e-14)
        assert work.kv_bytes[i] == one.kv_bytes
        assert np.broadcast_to(work.weight_bytes, (3,))[i] == pytest.approx(one.weight_bytes, rel=1e-14)
