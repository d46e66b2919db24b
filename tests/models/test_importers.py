"""Models from their own files: the same spec by every way, formats as stored, and what is refused with which words."""

import json
import struct
import sys
import tracemalloc
from contextlib import suppress
from dataclasses import replace

import pytest
from files import GGUF_PAIRS, LLAMA, LLAMA_PARAMETERS, llama_gguf_tensors, llama_tensors, write_gguf, write_safetensors
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim import Engine, Models, Workload
from mlsysim.errors import InvalidValue, MlsysimError, Problems, UnknownName
from mlsysim.models import lower
from mlsysim.models.importers import load_model
from mlsysim.models.importers.config import BUILDERS, spec_of
from mlsysim.models.importers.weights import TOLERANCE
from mlsysim.models.registry import _rows
from mlsysim.precision import roles


def write_config(folder, config=LLAMA, name="config.json"):
    path = folder / name
    path.write_text(json.dumps(config))
    return path


def work_of(spec):
    return [
        (op.name, op.flops, op.weight_bytes, op.kv_bytes)
        for op in lower(spec, "decode", batch_size=3, seq_len=1, context=77).operators
    ]


def test_a_configuration_a_folder_and_both_kinds_of_weights_are_one_model(tmp_path):
    spec = load_model(write_config(tmp_path))
    assert spec.parameters == LLAMA_PARAMETERS
    write_safetensors(tmp_path / "model.safetensors", llama_tensors())
    gguf = load_model(write_gguf(tmp_path / "small.gguf", GGUF_PAIRS, llama_gguf_tensors()))
    (tmp_path / "alone").mkdir()
    alone = load_model(write_safetensors(tmp_path / "alone" / "weights.safetensors", llama_tensors()))
    for other in (load_model(tmp_path), load_model(tmp_path / "model.safetensors"), gguf, alone):
        assert other.parameters == LLAMA_PARAMETERS
        assert work_of(other) == work_of(spec)
    assert "heads" in alone.note


def test_a_file_of_weights_is_solved_in_the_format_it_is_stored_in(tmp_path):
    path = write_gguf(tmp_path / "small.gguf", GGUF_PAIRS, llama_gguf_tensors())
    spec = load_model(path)
    # q4_k takes 4.5 bits, the output's q6_k 6.5625, norms are in 32: by hand.
    matrices = LLAMA_PARAMETERS - 2 * 512 - 256 - 1024 * 256
    bits = (4.5 * matrices + 6.5625 * 1024 * 256 + 32 * (2 * 512 + 256)) / LLAMA_PARAMETERS
    assert spec.precision == f"gguf{bits:.4g}"
    result = Engine.solve(path, "h100", phase="decode")
    assert result.precision == spec.precision
    assert result.memory.needed["weights"] == pytest.approx(LLAMA_PARAMETERS * bits / 8, rel=1e-3)
    assert Engine.solve(path, "h100", phase="decode", precision="bf16").memory.needed["weights"] == 2 * LLAMA_PARAMETERS


def test_plain_formats_of_files(tmp_path):
    half = write_gguf(tmp_path / "half.gguf", GGUF_PAIRS, {k: (1, s) for k, (_, s) in llama_gguf_tensors().items()})
    assert load_model(half).precision == "w16a16"
    assert roles("w16a16").compute == ("bf16", "fp16")
    assert load_model(write_safetensors(tmp_path / "x.safetensors", llama_tensors("F32"))).precision == "fp32"


FP8 = {"num_bits": 8, "type": "float"}
INT4 = {"num_bits": 4, "type": "int"}


@pytest.mark.parametrize(
    ("stated", "precision"),
    [
        # Embedding and head stay in 16 bits; 128 weights share a 16-bit scale, and in AWQ a 4-bit zero point.
        ({"quant_method": "fp8"}, "fp8e16kv16"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "w4.156a16e16"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}, "w4.125a16e16"),
        ({"quant_method": "gptq", "bits": 8}, "w8a16e16"),
        ({"quant_method": "mxfp4"}, "wmxfp4a16e16"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "w4a16e16"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": FP8, "input_activations": FP8}},
            },
            "fp8e16kv16",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {**INT4, "group_size": 128}, "input_activations": None}},
                "kv_cache_scheme": {"num_bits": 8, "type": "float"},
            },
            "w4.125a16e16kv8",
        ),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}, "nvfp4e16kv8"),
        ({"quant_method": "something new"}, ""),
        ({"quant_method": "gptq", "bits": "four"}, ""),
    ],
)
def test_the_format_of_a_quantized_checkpoint_is_taken_from_its_configuration(tmp_path, stated, precision):
    assert load_model(write_config(tmp_path, {**LLAMA, "quantization_config": stated})).precision == precision


def test_a_quantized_checkpoint_is_as_large_as_published(tmp_path):
    # hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4: files of 5.73 GB, of which 16-bit embedding and head are 2.1.
    awq = {"quant_method": "awq", "bits": 4, "group_size": 128}
    config = {
        **LLAMA,
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    }
    config |= {"intermediate_size": 14336, "vocab_size": 128256, "quantization_config": awq}
    spec = load_model(write_config(tmp_path, config))
    assert spec.parameters == Models["llama-3.1-8b"].parameters
    assert Workload.of(spec, phase="decode").memory_bytes()["weights"] == pytest.approx(5.73e9, rel=0.002)
    head = next(op for op in Workload.of(spec, phase="decode").work().operators if op.name == "lm_head")
    assert head.weight_bytes == 2 * 128256 * 4096


def test_a_quantization_that_is_not_known_is_said(tmp_path):
    path = write_config(tmp_path, {**LLAMA, "quantization_config": {"quant_method": "novel"}})
    assert "quantization-unknown" in {n.code for n in Engine.solve(path, "h100").notes}
    assert "quantization-unknown" not in {n.code for n in Engine.solve(path, "h100", precision="fp8").notes}


def test_what_a_nested_configuration_leaves_out_is_as_its_class_has_it(tmp_path):
    # As published with google/gemma-3-4b-it: the text model's file states its differences from the class alone.
    text = {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34}
    spec = load_model(write_config(tmp_path, {"model_type": "gemma3", "text_config": {**text, "sliding_window": 1024}}))
    assert spec.parameters == Models["gemma-3-4b"].parameters
    assert "not stated, so as transformers has it for gemma3_text: num_attention_heads = 8" in spec.note
    with pytest.raises(Problems):  # at the top nothing is left out, so that what is missing is a mistake
        load_model(write_config(tmp_path, text))


def test_a_gguf_in_several_files_and_one_without_tokens(tmp_path):
    tensors = llama_gguf_tensors()
    first = {k: v for k, v in tensors.items() if not k.startswith("blk.1")}
    second = {k: v for k, v in tensors.items() if k.startswith("blk.1")}
    path = write_gguf(tmp_path / "m-00001-of-00002.gguf", GGUF_PAIRS, first)
    write_gguf(tmp_path / "m-00002-of-00002.gguf", {"general.architecture": "llama"}, second)
    assert load_model(path).parameters == load_model(tmp_path).parameters == LLAMA_PARAMETERS
    pairs = {k: v for k, v in GGUF_PAIRS.items() if k != "tokenizer.ggml.tokens"}
    assert load_model(write_gguf(tmp_path / "other.gguf", pairs, tensors)).vocab == 1024


def test_a_mixture_in_a_gguf(tmp_path):
    pairs = {**GGUF_PAIRS, "llama.expert_count": 4, "llama.expert_used_count": 2}
    tensors = {k: v for k, v in llama_gguf_tensors().items() if ".ffn_" not in k or "norm" in k}
    for i in range(2):
        tensors |= {
            f"blk.{i}.ffn_gate_inp.weight": (0, (256, 4)),
            f"blk.{i}.ffn_gate_exps.weight": (12, (256, 512, 4)),
            f"blk.{i}.ffn_up_exps.weight": (12, (256, 512, 4)),
            f"blk.{i}.ffn_down_exps.weight": (12, (512, 256, 4)),
        }
    spec = load_model(write_gguf(tmp_path / "moe.gguf", pairs, tensors))
    assert spec.parameters == LLAMA_PARAMETERS + 2 * (3 * 3 * 256 * 512 + 4 * 256)
    assert spec.active_parameters == spec.parameters - 2 * 2 * 3 * 256 * 512


def test_a_language_model_inside_one_of_several_parts(tmp_path):
    spec = load_model(
        write_config(
            tmp_path, {"model_type": "gemma3", "text_config": {**LLAMA, "model_type": "gemma3_text", "head_dim": 32}}
        )
    )
    assert "language model alone" in spec.note


# What is refused


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hidden_size": -256}, "config.json: hidden_size must be from 1 to 1,000,000,000, got -256"),
        ({"num_hidden_layers": "32"}, "config.json: num_hidden_layers must be a whole number, got '32'"),
        ({"num_hidden_layers": 10**7}, "config.json: num_hidden_layers must be from 1 to 10,000, got 10000000"),
        ({"vocab_size": None}, "config.json: vocab_size must be given, got None; also spelled padded_vocab_size"),
        ({"vocab_size": 1e400}, "config.json: vocab_size must be a whole number, got inf"),
        ({"intermediate_size": 2.5}, "config.json: intermediate_size must be a whole number, got 2.5"),
        ({"num_key_value_heads": 3}, "config.json: num_key_value_heads must be a divisor of the 8 query heads, got 3"),
        ({"tie_word_embeddings": "yes"}, "config.json: tie_word_embeddings must be true or false, got 'yes'"),
        ({"num_attention_heads": True}, "config.json: num_attention_heads must be a whole number, got True"),
    ],
)  # fmt: skip
def test_a_bad_field_is_told_with_file_field_rule_and_value(tmp_path, change, told):
    with pytest.raises(InvalidValue) as raised:
        load_model(write_config(tmp_path, {**LLAMA, **change}))
    assert str(raised.value) == told


def test_all_problems_of_a_file_are_told_at_once(tmp_path):
    with pytest.raises(Problems) as raised:
        load_model(write_config(tmp_path, {"model_type": "llama", "hidden_size": -1}))
    assert len(raised.value.problems) == 5


def test_an_unknown_architecture_near_a_known_one_says_what_it_lacks(tmp_path):
    with pytest.raises(UnknownName) as raised:
        load_model(write_config(tmp_path, {"model_type": "mixtrall", "hidden_size": 4096, "vocab_size": 32000}))
    told = str(raised.value)
    assert told.startswith("unknown model_type in config.json: 'mixtrall': did you mean mixtral")
    assert "it lacks num_hidden_layers, num_attention_heads, intermediate_size" in told
    with pytest.raises(
        UnknownName, match="it states every size that llama does: set model_type to llama if it is built alike"
    ):
        load_model(write_config(tmp_path, {**LLAMA, "model_type": "lama"}))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "must be a JSON file"),
        (b'{"model_type": "llama"', "must be a JSON file"),
        (b"\xff\xfe\x00", "must be a JSON file"),
        (b"[1, 2]", "must be a JSON object"),
        (b"[" * 100_000, "must be a JSON file"),
        (b"{}", "model_type must be the name of an architecture, got None"),
        (b'{"model_type": ["llama"]}', "model_type must be the name of an architecture"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path, content, told):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(MlsysimError, match=told):
        load_model(path)


def test_a_huge_configuration_is_not_read(tmp_path):
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(10**9)
    with pytest.raises(InvalidValue, match="a configuration of at most 8 MB"):
        load_model(path)


def test_pickles_are_never_opened(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch /tmp/pwned'\ntR.")
    with pytest.raises(InvalidValue, match="a pickle can run any code when it is loaded, and is never opened"):
        load_model(path)


def test_nothing_there_an_empty_folder_and_two_files(tmp_path):
    with pytest.raises(InvalidValue, match="an existing file or folder"):
        load_model(tmp_path / "absent.gguf")
    with pytest.raises(InvalidValue, match="a folder with a model"):
        load_model(tmp_path)
    for name in ("a.gguf", "b.gguf"):
        write_gguf(tmp_path / name, GGUF_PAIRS, llama_gguf_tensors())
    with pytest.raises(InvalidValue, match=r"there are a.gguf, b.gguf"):
        load_model(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InvalidValue, match="a file of a known format"):
        load_model(tmp_path / "notes.txt")


def test_weights_of_another_model_than_the_configuration(tmp_path):
    write_config(tmp_path, {**LLAMA, "intermediate_size": 640})
    write_safetensors(tmp_path / "model.safetensors", llama_tensors())
    with pytest.raises(InvalidValue, match="are the two of one model"):
        load_model(tmp_path)


def test_a_safetensors_file_alone_that_leaves_things_open(tmp_path):
    moe = {**llama_tensors(), "model.layers.0.mlp.experts.0.up_proj.weight": ("BF16", (8, 8))}
    with pytest.raises(
        InvalidValue, match=r"how many each token is sent to is not in it; put its config.json beside it"
    ):
        load_model(write_safetensors(tmp_path / "moe.safetensors", moe))
    with pytest.raises(InvalidValue, match="do not tell the architecture"):
        load_model(write_safetensors(tmp_path / "odd.safetensors", {"a.weight": ("F32", (2, 2))}))
    packed = {**llama_tensors(), "model.layers.0.mlp.up_proj.qzeros": ("I32", (4, 4))}
    with pytest.raises(InvalidValue, match="shapes of packed weights are not those of the model"):
        load_model(write_safetensors(tmp_path / "packed.safetensors", packed))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"1234", "it is shorter than the 8 bytes"),
        (struct.pack("<Q", 2**63) + b"{}", "its header claims 9,223,372,036,854,775,808 B"),
        (struct.pack("<Q", 2) + b"{]", "its header is not JSON"),
        (struct.pack("<Q", 2) + b"[]", "its header is a list, not an object"),
        (struct.pack("<Q", 9) + b'{"a": [1]}'[:9], "its header is not JSON"),
        (struct.pack("<Q", 10) + b'{"a": [1]}', "the entry of tensor 'a' has no dtype, shape and data_offsets"),
    ],
)
def test_hostile_safetensors(tmp_path, content, told):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(InvalidValue, match=told):
        load_model(path)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"dtype": "F32", "shape": [4], "data_offsets": [0, 1 << 40]}, "the file is truncated, or the header wrong"),
        ({"dtype": "F99", "shape": [4], "data_offsets": [0, 16]}, "has the unknown format 'F99'"),
        ({"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}, r"has the shape \[-4\]"),
        ({"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}, "does not take the 8 B it claims"),
        ({"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 16]}, "does not take the 16 B it claims"),
    ],
)
def test_hostile_tensors(tmp_path, entry, told):
    text = json.dumps({"a": entry}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 16)
    with pytest.raises(InvalidValue, match=told):
        load_model(path)


ONE_PAIR = struct.pack("<Q", 1) + b"k"
ONE_TENSOR = struct.pack("<Q", 1) + b"t"
REST = b"x" * 40


def gguf_start(tensors=0, pairs=0, version=3):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"GGUF", "its header"),
        (gguf_start(version=1), "its version is 1"),
        (gguf_start(tensors=10**9), "it claims 1,000,000,000 tensors in 24 B"),
        (gguf_start(pairs=2**60), "key-value pairs in 24 B"),
        (gguf_start(pairs=1) + struct.pack("<Q", 2**62) + REST, "a name or word of 4,611,686,018,427,387,904 B"),
        (gguf_start(pairs=1) + ONE_PAIR + struct.pack("<I", 77) + REST, "unknown kind 77"),
        (gguf_start(pairs=1) + ONE_PAIR + struct.pack("<IIQ", 9, 8, 2**40) + REST, "an array of 1,099,511,627,776"),
        (gguf_start(pairs=1) + ONE_PAIR + struct.pack("<IIQQ", 9, 8, 2, 2**63) + REST, "a length that is wrong"),
        (gguf_start(pairs=1) + ONE_PAIR + struct.pack("<IIQ", 9, 9, 1) + REST, "an array of the unknown kind 9"),
        (gguf_start(tensors=1) + ONE_TENSOR + struct.pack("<I", 9) + REST, "has 9 dimensions"),
        (gguf_start(tensors=1) + ONE_TENSOR + struct.pack("<IQIQ", 1, 32, 999, 0) + REST, "unknown type 999"),
        (gguf_start(tensors=1) + ONE_TENSOR + struct.pack("<IQIQ", 1, 2**60, 0, 0) + REST, "does not fit in the"),
    ],
)  # fmt: skip
def test_hostile_gguf(tmp_path, content, told):
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(InvalidValue, match=told):
        load_model(path)


def test_a_gguf_of_an_architecture_that_is_not_known_or_not_as_it_says(tmp_path):
    with pytest.raises(UnknownName, match=r"unknown architecture in x.gguf: 'llamma': did you mean llama"):
        load_model(
            write_gguf(tmp_path / "x.gguf", {**GGUF_PAIRS, "general.architecture": "llamma"}, llama_gguf_tensors())
        )
    with pytest.raises(InvalidValue, match="it holds 1,639,680 parameters; by the sizes in its header it would have"):
        load_model(
            write_gguf(tmp_path / "y.gguf", {**GGUF_PAIRS, "llama.feed_forward_length": 1024}, llama_gguf_tensors())
        )


def whole_files(folder):
    write_safetensors(folder / "a.safetensors", llama_tensors("F16"))
    write_gguf(folder / "b.gguf", GGUF_PAIRS, llama_gguf_tensors())
    return folder / "a.safetensors", folder / "b.gguf"


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=st.sampled_from([0, 1]))
def test_a_cut_or_scrambled_file_is_refused_or_read_and_never_crashes(tmp_path_factory, data, kind):
    folder = tmp_path_factory.mktemp("fuzz")
    path = whole_files(folder)[kind]
    with path.open("rb") as file:
        content = bytearray(file.read(3000))
    size = path.stat().st_size
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, size))
    with path.open("wb") as file:
        file.write(bytes(content[:cut]))
        file.truncate(cut)
    with suppress(MlsysimError):
        assert load_model(path).parameters > 0


CONFIGS = {row["name"]: json.loads(row["config"]) for row in _rows() if "config" in row}
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 10**12),
    st.floats(),
    st.text(max_size=4),
    st.lists(st.integers(), max_size=2),
)


@settings(max_examples=150, deadline=None)
@given(
    family=st.sampled_from(sorted(BUILDERS)),
    values=st.dictionaries(
        st.sampled_from(
            sorted(
                {
                    *LLAMA,
                    "num_experts",
                    "num_experts_per_tok",
                    "sliding_window",
                    "layer_types",
                    "kv_lora_rank",
                    "qk_rope_head_dim",
                    "d_model",
                    "num_heads",
                }
            )
        ),
        VALUES,
    ),
)
def test_any_configuration_is_read_or_refused_and_never_crashes(family, values):
    with suppress(MlsysimError):
        assert spec_of({**values, "model_type": family}, "config.json", "x").parameters > 0


@pytest.mark.parametrize("suffix", ["gguf", "safetensors"])
def test_of_a_large_file_the_header_alone_is_read(tmp_path, suffix):
    wide = {**LLAMA, "hidden_size": 4096, "intermediate_size": 14336, "vocab_size": 32000}
    if suffix == "safetensors":
        tensors = {
            n: (k, tuple({256: 4096, 64: 1024, 512: 14336, 1024: 32000}[d] for d in s))
            for n, (k, s) in llama_tensors().items()
        }
        path = write_safetensors(tmp_path / "model.safetensors", tensors)
    else:
        tensors = {
            n: (k, tuple({256: 4096, 64: 1024, 512: 14336, 1024: 32000}[d] for d in s))
            for n, (k, s) in llama_gguf_tensors(1).items()
        }
        words = [f"word {i}" for i in range(128_000)]
        pairs = {
            **GGUF_PAIRS,
            "llama.embedding_length": 4096,
            "llama.feed_forward_length": 14336,
            "tokenizer.ggml.tokens": words,
        }
        path = write_gguf(tmp_path / "model.gguf", pairs, tensors)
    assert path.stat().st_size > 1e9
    tracemalloc.start()
    try:
        spec = load_model(path)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
    assert spec.parameters == spec_of(wide, "x", "x").parameters


# Where own models are found


def test_a_project_and_a_user_have_models_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLSYSIM_CONFIG_DIR", str(tmp_path / "user"))
    for folder in (tmp_path / ".mlsysim/models", tmp_path / "user/models"):
        folder.mkdir(parents=True)
    write_config(tmp_path / ".mlsysim/models", LLAMA, "house-model.json")
    write_config(tmp_path / "user/models", {**LLAMA, "vocab_size": 2048}, "house-model.json")
    write_config(tmp_path / "user/models", {**LLAMA, "vocab_size": 4096}, "mine.json")
    write_config(tmp_path / "user/models", LLAMA, "gpt2.json")
    assert Models["House Model"].vocab == 1024
    assert Models["mine"].vocab == 4096
    assert Models["mine"].name == "mine"
    assert Models["gpt2"].vocab == 50257  # a packaged model is never hidden
    assert set(Models.others()) == {"house-model", "mine"}
    assert Engine.solve("mine", "h100").model == "mine"
    with pytest.raises(UnknownName, match="did you mean mine"):
        Models["minne"]


def test_plug_ins_bring_models_and_importers(tmp_path, monkeypatch):
    from importlib import metadata

    from mlsysim.models import importers

    brought = replace(Models["gpt2"], name="brought-along")
    module = type(sys)("a_plug_in")
    module.models = lambda: [brought]
    module.read = lambda path: brought if path.suffix == ".brought" else None
    monkeypatch.setitem(sys.modules, "a_plug_in", module)
    points = {
        "mlsysim.models": [metadata.EntryPoint("m", "a_plug_in:models", "mlsysim.models")],
        "mlsysim.importers": [metadata.EntryPoint("i", "a_plug_in:read", "mlsysim.importers")],
    }
    monkeypatch.setattr(metadata, "entry_points", lambda group: points.get(group, []))
    importers._plugged_in.cache_clear()
    try:
        assert Models["brought-along"] is brought
        (tmp_path / "x.brought").write_text("")
        assert load_model(tmp_path / "x.brought") is brought
        assert load_model(write_config(tmp_path)).parameters == LLAMA_PARAMETERS
    finally:
        importers._plugged_in.cache_clear()


# Specs of one's own

SPEC = """
hidden = 64
vocab = 100
[[blocks]]
count = 3
parts = [
  {kind = "attention", heads = 4, kv_heads = 2, head_dim = 16},
  {kind = "experts", experts = 4, chosen = 1, ffn = 32},
]
[[blocks]]
count = 1
name = "last"
parts = [{kind = "state_space", inner = 128, state = 16, heads = 2}, {kind = "mlp", ffn = 32, gated = false}]
"""


def test_a_spec_of_ones_own_in_three_formats(tmp_path):
    yaml = pytest.importorskip("yaml")
    import tomllib

    (tmp_path / "own.toml").write_text(SPEC)
    spec = load_model(tmp_path / "own.toml")
    assert (spec.name, spec.layers) == ("own", 4)
    (tmp_path / "own.json").write_text(json.dumps(tomllib.loads(SPEC)))
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(tomllib.loads(SPEC)))
    for name in ("own.json", "own.yaml"):
        assert replace(load_model(tmp_path / name), source=spec.source) == spec


def test_a_plain_decoder_and_a_table_as_specs(tmp_path):
    flat = {
        "layers": 12,
        "hidden": 768,
        "heads": 12,
        "kv_heads": 12,
        "head_dim": 64,
        "ffn": 3072,
        "vocab": 50257,
        "gated": False,
        "tied": True,
        "norm": "layer",
        "bias": "all",
        "positions": 1024,
    }
    assert load_model(write_config(tmp_path, flat, "flat.json")).parameters == Models["gpt2"].parameters
    row = {"name": "fc", "kind": "linear", "macs": 20, "parameters": 24, "input_elements": 5, "output_elements": 4}
    table = load_model(write_config(tmp_path, {"table": [row], "sample": "image"}, "net.json"))
    assert (table.macs, table.parameters, table.sample) == (20, 24, "image")


def test_all_problems_of_a_spec_are_told_with_their_paths(tmp_path):
    bad = SPEC.replace('"attention"', '"atention"').replace("chosen = 1", "chosen = -1").replace("vocab", "vocabulary")
    (tmp_path / "bad.toml").write_text(bad)
    with pytest.raises(Problems) as raised:
        load_model(tmp_path / "bad.toml")
    told = str(raised.value)
    assert "unknown kind in bad.toml: blocks[0].parts[0]: 'atention': did you mean attention" in told
    assert "bad.toml: blocks[0].parts[1].chosen must be 0 or more, got -1" in told
    assert "bad.toml: vocab must be given" in told
    assert "'vocabulary': did you mean vocab?" in told
    (tmp_path / "broken.toml").write_text("hidden = ")
    with pytest.raises(InvalidValue, match="a TOML file"):
        load_model(tmp_path / "broken.toml")


STRANGE = st.recursive(VALUES, lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=2), max_leaves=3)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(CONFIGS)), data=st.data())
def test_a_published_configuration_with_strange_fields_never_crashes(name, data):
    config = dict(CONFIGS[name])
    for key in data.draw(st.lists(st.sampled_from([*config, "layer_types", "text_config"]), max_size=3)):
        config[key] = data.draw(STRANGE)
    with suppress(MlsysimError):
        spec = spec_of(config, "config.json", "x")
        assert Workload.of(spec).work().flops >= 0


def test_towers_beside_a_language_model_and_prediction_modules_in_a_gguf(tmp_path):
    config = {"model_type": "llava", "text_config": LLAMA}
    write_config(tmp_path, config)
    write_safetensors(tmp_path / "model.safetensors", {**llama_tensors(), "vision.tower": ("BF16", (1000, 1000))})
    assert load_model(tmp_path).parameters == LLAMA_PARAMETERS
    glm = {"general.architecture": "glm4moe"} | {
        f"glm4moe.{key}": value
        for key, value in {
            "block_count": 3, "nextn_predict_layers": 1, "embedding_length": 256, "attention.head_count": 8,
            "attention.head_count_kv": 2, "attention.key_length": 32, "feed_forward_length": 512,
            "context_length": 2048,
            "expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 128, "expert_shared_count": 1,
            "leading_dense_block_count": 1,
        }.items()
    }  # fmt: skip
    attention = 256 * (256 + 2 * 64) + 256 * 256
    sparse = attention + 5 * 3 * 256 * 128 + 256 * 4
    total = 2 * 1024 * 256 + attention + 3 * 256 * 512 + sparse
    tensors = {"token_embd.weight": (1, (256, 1024)), "output.weight": (1, (256, 1024))}
    tensors["blk.0.all"] = (1, (total - 2 * 1024 * 256,))
    spec = load_model(write_gguf(tmp_path / "glm.gguf", glm, tensors))
    assert (spec.layers, spec.mtp) == (2, 1)
    assert spec.parameters == pytest.approx(total, rel=TOLERANCE)


MIXTRAL = {**LLAMA, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
LATENT = {
    **MIXTRAL, "model_type": "deepseek_v3", "kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16,
    "v_head_dim": 32,
}  # fmt: skip


def without(config, *names):
    return {name: value for name, value in config.items() if name not in names}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (without(MIXTRAL, "num_local_experts"), "num_local_experts must be given"),
        ({**LATENT, "kv_lora_rank": None}, "kv_lora_rank must be given"),
        ({**LATENT, "first_k_dense_replace": 99}, "first_k_dense_replace"),
        ({**LLAMA, "num_attention_heads": 7, "num_key_value_heads": 7, "head_dim": None}, "a multiple of the 7 heads"),
        (
            {
                "model_type": "bert",
                "hidden_size": 256,
                "num_attention_heads": 7,
                "vocab_size": 1024,
                "num_hidden_layers": 2,
                "intermediate_size": 512,
            },
            "a multiple of the 7 heads",
        ),
        (
            {**without(LLAMA, "num_key_value_heads"), "num_key_value_head": 2},
            "did you mean num_key_value_heads?",
        ),
    ],
)
def test_a_configuration_that_would_become_another_architecture_is_refused(config, told):
    spec_of(LATENT, "c.json", "whole")
    with pytest.raises(MlsysimError) as caught:
        spec_of(config, "c.json", "broken")
    assert told in str(caught.value)


def test_a_missing_shard_is_named(tmp_path):
    path = write_safetensors(tmp_path / "model-00002-of-00003.safetensors", llama_tensors())
    with pytest.raises(InvalidValue) as caught:
        load_model(path)
    assert "missing: model-00001-of-00003.safetensors, model-00003-of-00003.safetensors" in str(caught.value)


@pytest.mark.parametrize(
    ("stated", "told"),
    [("awq", "its quantization_config is 'awq'"), ({"quant_method": "gptq", "bits": "4"}, "gptq with bits = '4'")],
)
def test_a_quantization_that_cannot_be_read_is_quoted(stated, told):
    assert told in spec_of({**LLAMA, "quantization_config": stated}, "c.json", "q").note


def test_attention_that_is_not_quantized_is_said_to_be_counted_narrow(tmp_path):
    stated = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
    asked = Workload.of(write_config(tmp_path, {**LLAMA, "quantization_config": stated}), phase="decode")
    assert "quantized-in-part" in {note.code for note in asked.question_notes()}
    plain = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    asked = Workload.of(write_config(tmp_path, {**LLAMA, "quantization_config": plain}), phase="decode")
    assert "quantized-in-part" not in {note.code for note in asked.question_notes()}


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("small/config.json", "small"),
        ("small/other.json", "other"),
        ("models--owner--small-1b/snapshots/0123abc/config.json", "small-1b"),
    ],
)
def test_a_model_is_called_by_where_it_lies(tmp_path, place, name):
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    assert load_model(write_config(path.parent, name=path.name)).name == name
