"""Every packaged model against its published size; work against a second, independent formula."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsysim.errors import UnknownName
from mlsysim.models import Models, NetworkSpec, TransformerSpec, lower
from mlsysim.models.registry import _rows
from mlsysim.physics.transformer import flops_per_token_2n, flops_per_token_6n
from mlsysim.registry import normal

ROWS = {row["name"]: row for row in _rows()}


def tolerance(row):
    """Half a percent; where only a rounded label is published ("18B"), half a unit of its last digit."""
    published = float(row["published_parameters"])
    if re.search(r"rounded|label|name", row["parameters_source"]):
        digits = f"{published:.3e}".split("e")[0].rstrip("0").replace(".", "")
        last = 10 ** (len(str(int(published))) - len(digits))
        return max(0.005, 0.5 * last / published)
    return 0.005


@pytest.mark.parametrize("name", list(ROWS))
def test_parameters_match_what_is_published(name):
    row = ROWS[name]
    assert row["source"]
    assert row["retrieved"]
    assert Models[name].parameters == pytest.approx(float(row["published_parameters"]), rel=tolerance(row))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("gpt2", 124_439_808),
        ("llama-3.1-8b", 8_030_261_248),
        ("llama-3.1-70b", 70_553_706_496),
        ("resnet-50", 25_557_032),
    ],
)
def test_exact_parameter_counts(name, parameters):
    assert Models[name].parameters == parameters


@pytest.mark.parametrize("name", [n for n, r in ROWS.items() if r.get("published_macs")])
def test_macs_match_what_is_published(name):
    # Publications round to three digits or fewer.
    m = Models[name]
    macs = m.macs if isinstance(m, NetworkSpec) else lower(m, "forward", batch_size=1, seq_len=1, context=0).flops / 2
    assert macs == pytest.approx(float(ROWS[name]["published_macs"]), rel=0.01)


def forward_by_another_formula(m, batch, seq):
    """2N a token for all matrices but the head, 2 d V for the last token's logits, 2 s (s + 1) L h a for attention."""
    layers = m.parameters - m.vector_parameters - m.embedding_parameters - m.vocab * m.hidden
    heads = m.blocks[0].parts[0]
    attention = 2 * seq * (seq + 1) * m.layers * heads.heads * heads.head_dim
    return batch * (seq * flops_per_token_2n(layers) + flops_per_token_2n(m.hidden * m.vocab) + attention)


@given(
    name=st.sampled_from(["gpt2", "llama-3.1-8b", "qwen2.5-7b", "opt-125m"]),
    batch=st.integers(1, 64),
    seq=st.integers(1, 8192),
)
def test_forward_work_equals_a_second_formula(name, batch, seq):
    m = Models[name]
    work = lower(m, "forward", batch_size=batch, seq_len=seq, context=0, value_bytes=2.0)
    assert work.flops == pytest.approx(forward_by_another_formula(m, batch, seq), rel=1e-12)
    assert work.items == batch * seq


def test_decode_work_by_hand():
    # Llama 3.1 8B, one sequence, 2,048 tokens cached: 2 x 7,504,658,432 weights, 4 x 2,049 x 32 x 128 x 32 attention.
    work = lower(Models["llama-3.1-8b"], "decode", batch_size=1, seq_len=1, context=2048, value_bytes=2.0)
    assert work.flops == 2 * 7_504_658_432 + 4 * 2049 * 32 * 128 * 32
    # 2,048 tokens read and one written, 2 x 8 x 128 values a layer in 32 layers, two bytes each.
    assert work.kv_bytes == 2049 * 2 * 8 * 128 * 32 * 2
    assert work.unit == "tokens"


def test_the_ledger_names_its_operators():
    ledger = {
        op.name: op
        for op in lower(Models["gpt2"], "training", batch_size=1, seq_len=8, context=0, value_bytes=2.0).operators
    }
    assert [(op.name, op.count) for op in ledger.values()] == [
        ("embedding", 1),
        ("attention.qkv", 12),
        ("attention.core", 12),
        ("attention.out", 12),
        ("mlp", 12),
        ("norms", 12),
        ("lm_head", 1),
        ("optimizer", 1),
    ]
    # GPT-2: 768 wide, plain MLP of 3,072; 6 FLOPs a weight and token, 8 tokens.
    assert ledger["mlp"].flops == 6 * 8 * 12 * 2 * 768 * 3072
    assert ledger["attention.qkv"].flops == 6 * 8 * 12 * 3 * 768 * 768
    assert ledger["lm_head"].flops == 6 * 8 * 768 * 50257
    # 8 tokens in and out of 12 layers, 768 wide in and three times that out, 2 B each, three times in training.
    assert ledger["attention.qkv"].activation_bytes == 3 * 12 * 8 * (768 + 3 * 768) * 2
    # Adam reads and writes 12 B of state a parameter, reads the gradient and writes the weight, 2 B each.
    assert ledger["optimizer"].weight_bytes == Models["gpt2"].parameters * (2 * 12 + 2 * 2)
    assert ledger["mlp"].weight_bytes == 3 * 2 * 12 * 2 * 768 * 3072


def test_networks_have_a_row_an_operator():
    operators = lower(Models["ds-cnn"], "forward", batch_size=2, seq_len=1, context=0, value_bytes=4.0).operators
    assert [op.count for op in operators] == [1] * len(Models["ds-cnn"].table)
    first = Models["ds-cnn"].table[0]
    assert operators[0].flops == 2 * 2 * first.macs
    assert operators[0].activation_bytes == 2 * 4 * (first.input_elements + first.output_elements)


def test_training_is_three_forwards_and_6n():
    m = Models["llama-2-7b"]
    work = lower(m, "training", batch_size=2, seq_len=4096, context=0, value_bytes=2.0)
    per_token = work.flops / work.items
    attention = 3 * 2 * (4096 + 1) * 32 * 32 * 128  # 32 layers of 32 heads of 128
    assert per_token == pytest.approx(6 * m.matmul_parameters + attention, rel=1e-12)


@given(batch=st.integers(1, 256), context=st.integers(1, 100_000))
def test_decode_work_grows_with_batch_and_context(batch, context):
    def flops(b, c):
        return lower(Models["mistral-7b-v0.3"], "decode", batch_size=b, seq_len=1, context=c, value_bytes=2.0).flops

    assert flops(batch + 1, context) > flops(batch, context)
    assert flops(batch, context + 1) > flops(batch, context)


def test_a_sliding_window_bounds_cache_and_attention():
    m = Models["mistral-7b"]
    assert m.blocks[0].parts[0].window == 4096
    near, far = (lower(m, "decode", batch_size=1, seq_len=1, context=c, value_bytes=2.0) for c in (8192, 100_000))
    assert near.flops == far.flops
    assert near.kv_bytes == far.kv_bytes


def test_windows_on_some_layers_by_hand():
    # Gemma 3 12B: 40 of 48 layers see 1,024 tokens, 8 see all; 2 x 8 x 256 values a token and layer.
    m = Models["gemma-3-12b"]
    assert m.cached_elements(131072) == 2 * 8 * 256 * (8 * 131072 + 40 * 1024)
    assert m.cached_elements(100) == 2 * 8 * 256 * 48 * 100
    # Llama keeps every token in every layer.
    assert Models["llama-3.1-8b"].cached_elements(131072) == Models["llama-3.1-8b"].kv_elements * 131072


def test_network_work_is_twice_its_macs():
    m = Models["resnet-50"]
    work = lower(m, "forward", batch_size=8, seq_len=1, context=0, value_bytes=2.0)
    assert work.flops == 8 * 2 * 4_089_184_256
    assert work.weight_bytes == 2 * 25_557_032
    assert work.unit == "images"


def test_work_of_arrays_equals_a_loop():
    m = Models["mistral-7b"]
    batch, context = np.array([1, 8, 64]), np.array([100, 5000, 40000])
    work = lower(m, "decode", batch_size=batch, seq_len=1, context=context, value_bytes=2.0)
    for i, (b, c) in enumerate(zip(batch.tolist(), context.tolist(), strict=True)):
        one = lower(m, "decode", batch_size=b, seq_len=1, context=c, value_bytes=2.0)
        assert work.flops[i] == one.flops
        assert work.kv_bytes[i] == one.kv_bytes
        assert work.traffic(50e6)[i] == one.traffic(50e6)


def test_published_training_budgets():
    # Brown et al. 2020 (arXiv:2005.14165), table D.1: GPT-3 175B, 300 B tokens, 3.14e23 FLOPs by the 6N rule.
    assert flops_per_token_6n(Models.GPT3_175B.matmul_parameters) * 300e9 == pytest.approx(3.14e23, rel=0.005)
    # Llama 3 herd of models (arXiv:2407.21783), section 3.2.1: 405B on 15.6 T tokens, 3.8e25 FLOPs, two digits.
    assert flops_per_token_6n(Models.LLAMA_3_1_405B.parameters) * 15.6e12 == pytest.approx(3.8e25, rel=0.014)


def test_every_model_lowers_in_every_phase_it_has():
    for name in Models:
        m = Models[name]
        for phase in ("forward", "training", *(("decode",) if isinstance(m, TransformerSpec) else ())):
            assert lower(m, phase, batch_size=1, seq_len=128, context=128, value_bytes=2.0).flops > 0, (name, phase)


@pytest.mark.parametrize("spelling", ["LLAMA_3_1_70B", "llama-3.1-70b", "Llama 3.1 70B", "meta-llama/Llama-3.1-70B"])
def test_any_spelling_finds_the_model(spelling):
    assert Models[spelling] is Models.LLAMA_3_1_70B


def test_a_miss_suggests_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown model 'lama-3.1-70b': did you mean llama-3.1-70b"):
        Models["lama-3.1-70b"]
    with pytest.raises(AttributeError, match="did you mean"):
        Models.LLAMA_3_1_7B  # noqa: B018


def test_names_aliases_and_attributes_are_unique():
    seen = {}
    for name, row in ROWS.items():
        for spelling in {name, row["attribute"], *filter(None, row["aliases"].split(";"))}:
            assert seen.setdefault(normal(spelling), name) == name, spelling


def test_sizes_that_differ_by_a_point_stay_apart():
    assert Models["opt-13b"] is Models.OPT_13B
    assert Models["opt-1.3b"] is Models.OPT_1_3B
    assert Models["OPT 1.3B"] is not Models["OPT 13B"]


def test_both_kinds_of_model_are_there():
    kinds = {type(Models[n]) for n in Models}
    assert kinds == {TransformerSpec, NetworkSpec}
