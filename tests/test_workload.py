"""A question about a model alone: its fields, what modifies the plain step, and the bytes it holds."""

import pytest

from mlsysim import Engine, Models, Workload
from mlsysim.errors import InvalidValue, MlsysimError, Problems, UnknownName

GB = 1e9


def held(model, **question):
    return Workload.of(model, **question).memory_bytes()


def test_inference_memory_by_hand():
    m = Models["llama-3.1-8b"]
    found = held(m, phase="decode", batch_size=4, context=999, precision="w4a16kv8")
    assert found["weights"] == m.parameters / 2
    # 1,000 tokens of 4 sequences, 2 x 8 x 128 values in 32 layers, one byte each.
    assert found["kv_cache"] == 4 * 1000 * 2 * 8 * 128 * 32


def test_a_latent_cache_is_small_and_a_state_does_not_grow():
    found = held("deepseek-v3", phase="decode", context=8191)
    assert found["kv_cache"] == 8192 * 61 * 576 * 2
    near, far = (held("mamba2-2.7b", phase="decode", context=c)["kv_cache"] for c in (1, 100_000))
    assert near == far > 0
    assert held("bert-large")["kv_cache"] == 0


def test_training_memory_by_hand():
    m = Models["llama-2-7b"]
    found = held(m, phase="training", batch_size=2, seq_len=4096)
    # ZeRO (arXiv:1910.02054): 2 + 2 + 12 bytes a parameter; one checkpoint of the hidden width a layer and token.
    assert found["weights"] == found["gradients"] == 2 * m.parameters
    assert found["optimizer"] == 12 * m.parameters
    assert found["activations"] == 2 * 4096 * 4096 * 32 * 2


def test_activations_of_a_gpt_layer_as_published():
    # Korthikanti et al. 2022 (arXiv:2205.05198), table 2: 34 s b h bytes a layer with selective recomputation, of which
    # 3 are dropout masks that are not kept here, and s b h (34 + 5 a s / h) with none. GPT-3 has 96 heads.
    m, s = Models["gpt3-175b"], 2048
    sbh = s * m.hidden * m.layers
    selective, none, full = (held(m, phase="training", seq_len=s, recompute=r) for r in ("selective", "none", "full"))
    assert selective["activations"] / sbh == pytest.approx(34 - 3, rel=0.04)
    assert (none["activations"] - selective["activations"]) / sbh == pytest.approx(5 * 96 * s / m.hidden)
    assert full["activations"] / sbh == 2
    assert full["activations"] + full["workspace"] < selective["activations"] < none["activations"]


def test_adapters_leave_the_weights_frozen():
    m = Models["llama-2-7b"]
    adapters = 39_976_960  # rank 16 on all linear layers, by hand in tests/models/test_parts.py
    found = held(m, phase="training", lora_rank=16, precision="w4a16")
    assert found["weights"] == m.parameters * 0.5 + adapters * 2
    assert found["gradients"] == 2 * adapters
    assert found["optimizer"] == 12 * adapters


def test_formats_of_gradients_and_optimizer():
    m = Models["gpt2"]
    found = held(m, phase="training", precision="bf16grad32opt8")
    assert found["gradients"] == 4 * m.parameters
    assert found["optimizer"] == 6 * m.parameters


def test_a_draft_takes_room_and_its_time():
    plain = held("llama-3.1-70b", phase="decode", batch_size=2)
    both = held("llama-3.1-70b", phase="decode", batch_size=2, draft="llama-3.2-1b", draft_tokens=3, acceptance=0.7)
    assert both["weights"] - plain["weights"] == 2 * Models["llama-3.2-1b"].parameters
    alone = Engine.solve("llama-3.1-70b", "h200", phase="decode", devices=2, efficiency=0.002)
    drafted = Engine.solve(
        "llama-3.1-70b",
        "h200",
        phase="decode",
        devices=2,
        efficiency=0.002,
        draft="llama-3.2-1b",
        draft_tokens=3,
        acceptance=0.7,
    )
    assert drafted.modifiers == {"draft": "llama-3.2-1b", "draft_tokens": 3, "acceptance": 0.7}
    # 1 + .7 + .49 + .343 tokens a step.
    assert drafted.throughput.value * drafted.time_s.value == pytest.approx(2.533)
    assert alone.throughput.value * alone.time_s.value == 1


def test_an_encoder_and_a_decoder():
    m = Models["whisper-large-v3"]
    forward, decode = (Workload.of(m, phase=p, batch_size=2).work() for p in ("forward", "decode"))
    assert (forward.unit, forward.items) == ("windows", 2)
    names = {op.name for op in decode.operators}
    assert "decoder.cross_attention.core" in names
    assert not any(name.startswith(("encoder.", "stem")) or name.endswith("cross_attention.kv") for name in names)
    # 1,500 encoded positions of 32 layers, keys and values of 1,280, are kept and read, 2 B each.
    cross = next(op for op in decode.operators if op.name == "decoder.cross_attention.core")
    assert cross.kv_bytes == 2 * 1500 * 32 * 2 * 1280 * 2
    with pytest.raises(InvalidValue, match="seq_len must be left out in phase decode"):
        Workload.of(m, phase="decode", seq_len=100)
    assert Workload.of("t5-large", phase="decode", seq_len=512, context=10).seq_len == 512


def test_denoising_steps_make_an_image():
    one, image = (Workload.of("sdxl-unet", steps=s).work() for s in (None, 20))
    assert (one.unit, image.unit) == ("denoising steps", "images")
    assert image.flops == 20 * one.flops
    assert image.weight_bytes == 20 * one.weight_bytes


def test_embedding_tables_are_read_where_they_are_looked_up():
    m = Models["dlrm-dcnv2"]
    one = Workload.of(m, precision="fp32").work()
    tables = sum(op.weight_bytes for op in one.operators if op.kind == "lookup")
    # 214 indices a sample (MLPerf DLRMv2, multi-hot sizes) into rows of 128 values of 4 B: not 104 GB.
    assert tables == 214 * 128 * 4
    many = Workload.of(m, precision="fp32", batch_size=2048).work()
    looked_up = sum(op.weight_bytes for op in many.operators if op.kind == "lookup")
    assert looked_up < 2048 * tables  # a small table is read whole at most
    assert looked_up > 0.6 * many.weight_bytes
    assert held(m, precision="fp32")["weights"] == 4 * m.parameters > 100 * GB


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ({"recompute": "full"}, "recompute must be left out outside training of a sequence model, got 'full'"),
        ({"phase": "training", "recompute": "some"}, "unknown recompute 'some'"),
        ({"lora_rank": 8}, "lora_rank must be left out outside training"),
        ({"phase": "training", "lora_rank": 0}, "lora_rank must be"),
        ({"steps": 20}, "steps must be left out for gpt2, which has no denoising steps"),
        ({"target_len": 20}, "target_len must be left out for gpt2, which has no encoder"),
        ({"phase": "decode", "draft": "mtp", "acceptance": 0.5}, "gpt2 has no multi-token-prediction modules"),
        ({"phase": "decode", "draft": "gpt2"}, "acceptance must be given with a draft"),
        ({"phase": "decode", "draft": "resnet-50", "acceptance": 0.5}, "draft must be a language model"),
        ({"phase": "decode", "draft": "gpt2", "acceptance": 1.5}, r"acceptance must be in \(0, 1\]"),
        ({"draft": "gpt2", "acceptance": 0.5}, "draft must be left out outside decode"),
    ],
)
def test_modifiers_that_do_not_belong_are_refused(question, told):
    with pytest.raises((InvalidValue, UnknownName, Problems), match=told):
        Workload.of("gpt2", **question)


def test_all_problems_are_told_at_once():
    with pytest.raises(Problems) as raised:
        Workload.of("gpt2", phase="decode", batch_size=0, draft="gtp2", acceptance=2)
    assert len(raised.value.problems) == 3


def test_a_network_has_no_tokens_and_does_not_decode():
    for field in ("seq_len", "context"):
        with pytest.raises(InvalidValue, match=f"{field} must be left out for vit-base-16-224"):
            Workload.of("vit-base-16-224", **{field: 100})
    with pytest.raises(InvalidValue, match="only language models decode"):
        Workload.of("bert-large", phase="decode")


def test_a_frozen_body_is_one_forward_pass_and_a_head():
    m = Models["bert-large"]
    forward = {op.name: op for op in Workload.of(m, batch_size=8, seq_len=128).work().operators}
    frozen = Workload.of(m, phase="training", batch_size=8, seq_len=128, freeze="body")
    parts = {op.name: op for op in frozen.work().operators}
    assert parts["mlp"] == forward["mlp"]
    # The head computes once and learns once: 4 FLOPs a weight; its 1,024 x 1,024 weights and 1,024 biases are updated.
    assert parts["head"].flops == 4 * 8 * 1024 * 1024
    held_bytes = frozen.memory_bytes()
    assert held_bytes["optimizer"] == 12 * (1024 * 1024 + 1024)
    assert held_bytes["activations"] == 0
    assert frozen.flops_by_convention()["hardware"] == frozen.work().flops


def test_a_frozen_encoder_has_no_backward_pass():
    m = Models["whisper-small"]
    plain, frozen = (
        {op.name: op for op in Workload.of(m, phase="training", target_len=100, freeze=f).work().operators}
        for f in (None, "encoder")
    )
    assert plain["encoder.mlp"].flops == 3 * frozen["encoder.mlp"].flops
    assert plain["stem.2"].flops == 3 * frozen["stem.2"].flops
    assert plain["decoder.mlp"].flops == frozen["decoder.mlp"].flops
    # Keys and values of the encoder's output are learnt, and nothing behind them: 4 FLOPs in place of 6.
    assert 2 * plain["decoder.cross_attention.kv"].flops == 3 * frozen["decoder.cross_attention.kv"].flops
    trained = m.parameters - m.encoder.stack_parameters
    assert held(m, phase="training", target_len=100, freeze="encoder")["gradients"] == 2 * trained


def test_prediction_modules_are_trained_where_asked():
    m = Models["deepseek-v3"]
    with_modules = Workload.of(m, phase="training", draft="mtp")
    names = {op.name for op in with_modules.work().operators}
    assert {"mtp.projection", "mtp.moe.experts", "mtp.head"} <= names
    module = m.mtp_stack.stack_parameters
    assert with_modules.memory_bytes()["gradients"] == 2 * (m.parameters + module)
    assert with_modules.modifiers.to_dict() == {"draft": "mtp"}


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ({"freeze": "encoder"}, r"unknown freeze 'encoder' \(gpt2 has body\)"),
        ({"freeze": "bdy"}, "did you mean body"),
        ({"freeze": "body", "lora_rank": 8}, "freeze must be left out where lora_rank is given"),
        ({"draft": "gpt2"}, "draft must be mtp in training"),
        ({"draft": "mtp"}, "gpt2 has no multi-token-prediction modules"),
        ({"acceptance": 0.5}, "acceptance must be left out outside decode"),
    ],
)
def test_what_training_refuses(question, told):
    with pytest.raises((InvalidValue, UnknownName, Problems), match=told):
        Workload.of("gpt2", phase="training", **question)


@pytest.mark.parametrize(
    ("model", "question", "told"),
    [
        ("whisper-large-v3", {"phase": "decode", "target_len": 5}, "in decode, which makes one token"),
        ("llama-3.1-8b", {"phase": "decode", "acceptance": 0.7}, "no modules of its own that draft"),
        ("llama-3.1-8b", {"phase": "training", "lora_rank": 5000}, "at most 4096"),
    ],
)
def test_modifiers_that_cannot_be_are_refused(model, question, told):
    with pytest.raises(MlsysimError) as caught:
        Workload.of(model, **question)
    assert told in str(caught.value)


def test_modifiers_that_were_not_given_and_count_are_named():
    drafted = Workload.of("deepseek-v3", phase="decode", acceptance=0.8)
    assert drafted.defaults["draft"] == "mtp"
    assert drafted.defaults["draft_tokens"] == 1
    heard = Workload.of("whisper-large-v3", phase="training")
    assert heard.defaults["target_len"] == heard.model.max_context
    assert Workload.of("t5-large", seq_len=64).defaults["target_len"] == 1
    assert Workload.of("llama-3.1-8b", phase="training").defaults["recompute"] == "full"
    assert "recompute" not in Workload.of("llama-3.1-8b", phase="training", recompute="none").defaults
    assert "recompute" not in Workload.of("resnet-50", phase="training").defaults


def test_a_context_in_chunks_is_read_from_the_start_of_its_chunk():
    def kept(context):
        return Workload.of("llama-4-scout", phase="decode", context=context).work().kv_bytes

    each = 2 * 8 * 128 * 2  # bytes of a token in a layer: keys and values of 8 heads of 128, 2 bytes each
    assert kept(8191) == (8192 * 12 + 8192 * 36) * each, "12 layers see all; 36 see their chunk, here to its last token"
    assert kept(8192) == (8193 * 12 + 1 * 36) * each, "the first token of a chunk sees no other"


def test_training_holds_logits_in_fp32_or_the_block_that_is_computed_again():
    held = Workload.of("llama-3.1-8b", phase="training", batch_size=1, seq_len=4096).memory_bytes()
    assert held["workspace"] == 4096 * 128_256 * 4


def test_a_recurrent_state_is_as_wide_as_activations_not_as_the_cache():
    wide = Workload.of("mamba2-2.7b", phase="decode", precision="bf16").memory_bytes()["kv_cache"]
    assert Workload.of("mamba2-2.7b", phase="decode", precision="w4a16kv8").memory_bytes()["kv_cache"] == wide
