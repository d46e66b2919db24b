"""Files of weights as models: what their headers say of architecture, sizes and formats.

What a header leaves open is not guessed. The parameters of the spec must be those of the tensors; where the number of
heads is not in the file it does not matter, since FLOPs and bytes follow from the widths of queries and keys.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.models.importers import gguf_file
from mlsysim.models.importers.config import spec_of
from mlsysim.models.importers.safetensors_file import Tensor, quantized, read_shards, stored_bits
from mlsysim.models.spec import TransformerSpec
from mlsysim.registry import nearest

TOLERANCE = 0.005
"""Share by which parameters may differ from those of the tensors: small tables that are stored and not trained."""
_FAMILY = {
    "llama": "llama",
    "llama4": "llama4_text",
    "qwen2": "qwen2",
    "qwen2moe": "qwen2_moe",
    "qwen3": "qwen3",
    "qwen3moe": "qwen3_moe",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
    "phi2": "phi",
    "phi3": "phi3",
    "starcoder2": "starcoder2",
    "stablelm": "stablelm",
    "gpt2": "gpt2",
    "gptneox": "gpt_neox",
    "gptj": "gptj",
    "bloom": "bloom",
    "mpt": "mpt",
    "falcon": "falcon",
    "deepseek2": "deepseek_v3",
    "gpt-oss": "gpt_oss",
    "glm4": "glm4",
    "glm4moe": "glm4_moe",
    "command-r": "cohere",
    "cohere2": "cohere2",
    "olmo2": "olmo2",
    "olmoe": "olmoe",
    "granite": "granite",
    "granitemoe": "granitemoe",
    "nemotron": "nemotron",
    "mamba": "mamba",
    "mamba2": "mamba2",
    "minimax-m2": "minimax_m2",
    "ernie4_5": "ernie4_5",
    "ernie4_5-moe": "ernie4_5_moe",
    "seed_oss": "seed_oss",
    "smollm3": "smollm3",
}
"""The family of each architecture name of GGUF files."""
_KEYS = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "intermediate_size": "feed_forward_length",
    "max_position_embeddings": "context_length",
    "sliding_window": "attention.sliding_window",
    "num_experts": "expert_count",
    "num_experts_per_tok": "expert_used_count",
    "moe_intermediate_size": "expert_feed_forward_length",
    "n_shared_experts": "expert_shared_count",
    "shared_expert_intermediate_size": "expert_shared_feed_forward_length",
    "first_k_dense_replace": "leading_dense_block_count",
    "q_lora_rank": "attention.q_lora_rank",
    "kv_lora_rank": "attention.kv_lora_rank",
    "qk_rope_head_dim": "rope.dimension_count",
    "state_size": "ssm.state_size",
    "conv_kernel": "ssm.conv_kernel",
    "ssm_inner": "ssm.inner_size",
    "time_step_rank": "ssm.time_step_rank",
    "n_groups": "ssm.group_count",
    "interleave_moe_layer_step": "interleave_moe_layer_step",
}
"""Fields of a configuration, and what GGUF calls them behind the name of the architecture."""


def load(path: Path) -> TransformerSpec:
    """Read a file of weights by its content.

    Raises
    ------
    InvalidValue, UnknownName, Problems
        Not whole, or not enough to know the model by.
    """
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"GGUF":
        return _from_gguf(path)
    config = path.parent / "config.json"
    if config.is_file():
        from mlsysim.models.importers.json_file import load as load_json

        return load_json(config)  # type: ignore[return-value]  # a configuration beside weights is a transformer's
    return _from_safetensors(path)


def checked_against(spec: TransformerSpec, shards: Sequence[Path]) -> TransformerSpec:
    """Return a spec whose weights lie beside it, with the format they are stored in; their counts must agree.

    Raises
    ------
    InvalidValue
        The tensors hold another number of parameters: configuration and weights are of different models.
    """
    tensors = read_shards(shards)
    if quantized(tensors):
        bits = stored_bits(tensors, spec.parameters)
        return spec if spec.precision else replace(spec, precision=f"w{bits:.4g}a16")
    total = sum(t.elements for t in tensors.values())
    if not _is_whole(shards):
        return spec
    missing = abs(total - spec.parameters - _mtp(spec)) > TOLERANCE * total
    if missing and abs(total - spec.parameters) > TOLERANCE * total:
        names = f"{shards[0].name} and {len(shards) - 1} more" if len(shards) > 1 else shards[0].name
        hint = f"by config.json it has {spec.parameters:,}; are the two of one model, and are all files there?"
        raise InvalidValue(
            "model", "a folder of one model", str(shards[0].parent), f"{names} hold {total:,} parameters; {hint}"
        )
    return spec


def _is_whole(shards: Sequence[Path]) -> bool:
    """Return whether all parts of a model are there, by the numbers in their names."""
    counts = {int(m[1]) for s in shards if (m := re.search(r"-of-0*(\d+)\.", s.name))}
    return not counts or counts == {len(shards)}


def _mtp(spec: TransformerSpec) -> int:
    return spec.mtp * spec.mtp_stack.stack_parameters if spec.mtp_stack else 0


def _from_gguf(path: Path) -> TransformerSpec:
    header = gguf_file.read_header(path)
    architecture = header.pairs.get("general.architecture")
    family = _FAMILY.get(str(architecture))
    if family is None:
        near = nearest(str(architecture), _FAMILY)
        raise UnknownName(f"architecture in {path.name}:", str(architecture), near, "known: " + ", ".join(_FAMILY))
    tensors = dict(header.tensors)
    for shard in _other_shards(path):
        tensors |= gguf_file.read_header(shard).tensors
    config = _gguf_config(header.pairs, tensors, str(architecture), family)
    name = str(header.pairs.get("general.name") or path.stem)
    spec = replace(spec_of(config, path.name, path.stem), title=name)
    weights = {n: t for n, t in tensors.items() if not n.startswith("rope_")}
    total = sum(math.prod(shape) for shape, _ in weights.values())
    _agree(path, total, spec, [n for n in tensors if ".0." in n or ".blk" not in n])
    bits = 8 * sum(gguf_file.tensor_bytes(shape, kind) for shape, kind in weights.values()) / total
    return replace(spec, precision=_plain(bits) or f"gguf{bits:.4g}")


def _plain(bits: float) -> str:
    """Return the ordinary format that weights of so many bits are in; a file of 16 bits says not which of the two."""
    return "w16a16" if 15.5 < bits < 17 else "fp32" if 31 < bits < 33 else ""


def _gguf_config(
    pairs: Mapping[str, Any], tensors: Mapping[str, tuple[tuple[int, ...], int]], architecture: str, family: str
) -> dict[str, Any]:
    """Return a GGUF header in the words of a configuration."""
    found: dict[str, Any] = {"model_type": family}
    for field, key in _KEYS.items():
        value = pairs.get(f"{architecture}.{key}")
        if value is not None:
            found[field] = max(value) if isinstance(value, list) and value else value
    embedding = tensors.get("token_embd.weight")
    words = pairs.get("tokenizer.ggml.tokens")
    if embedding:
        found["vocab_size"] = embedding[0][-1]
    elif isinstance(words, gguf_file.Strings):
        found["vocab_size"] = words.length
    found["tie_word_embeddings"] = "output.weight" not in tensors
    biased = "blk.0.attn_q.bias" in tensors or "blk.0.attn_qkv.bias" in tensors
    found |= {"attention_bias": biased, "use_qkv_bias": biased}
    if found.get(
        "kv_lora_rank"
    ):  # key_length is that of the cached latent in newer files, and kept beside the real one
        mla = pairs.get(f"{architecture}.attention.key_length_mla", found.get("head_dim"))
        value = pairs.get(
            f"{architecture}.attention.value_length_mla", pairs.get(f"{architecture}.attention.value_length")
        )
        found |= {"qk_nope_head_dim": (mla or 0) - found.get("qk_rope_head_dim", 0), "v_head_dim": value}
    if family == "llama" and found.get("num_experts"):
        found["model_type"] = "mixtral"
    if family == "llama4_text":
        found["intermediate_size_mlp"] = found.get("intermediate_size")
        found["intermediate_size"] = found.get("moe_intermediate_size")
    if family in {"mamba", "mamba2"}:
        found["intermediate_size"] = found.pop("ssm_inner", None)
    if family == "mamba2" and found.get("time_step_rank"):
        found["num_heads"] = found["time_step_rank"]
        found["head_dim"] = (found["intermediate_size"] or 0) // found["num_heads"]
    return {k: v for k, v in found.items() if v is not None and not (v == 0 and k != "first_k_dense_replace")}


def _other_shards(path: Path) -> list[Path]:
    match = re.fullmatch(r"(.*)-00001-of-(\d{5})\.gguf", path.name)
    return sorted(set(path.parent.glob(f"{glob_safe(match[1])}-*-of-{match[2]}.gguf")) - {path}) if match else []


def glob_safe(text: str) -> str:
    """Return a text that stands for itself in a pattern of file names."""
    return re.sub(r"([*?[])", r"[\1]", text)


def _agree(path: Path, total: int, spec: TransformerSpec, names: Sequence[str]) -> None:
    if abs(total - spec.parameters) <= TOLERANCE * total:
        return
    hint = (
        f"by the sizes in its header it would have {spec.parameters:,}; its tensors are {', '.join(sorted(names)[:12])}"
    )
    raise InvalidValue("model", "a file that is built as it says", str(path), f"it holds {total:,} parameters; {hint}")


def _from_safetensors(path: Path) -> TransformerSpec:
    """Return a plain decoder known by the names and shapes of its tensors."""
    tensors = read_shards([path, *_rest(path)])
    if quantized(tensors):
        hint = "shapes of packed weights are not those of the model; put its config.json beside it"
        raise InvalidValue("model", "a file of unquantized weights, or one with config.json beside it", str(path), hint)
    config = _named_like_llama(path, tensors) or _named_like_gpt2(tensors)
    if config is None:
        shown = ", ".join(sorted(tensors)[:4])
        hint = f"its tensors ({shown}, ...) do not tell the architecture; put its config.json beside it"
        raise InvalidValue("model", "a file with config.json beside it", str(path), hint)
    spec = spec_of(config, path.name, path.stem)
    total = sum(
        t.elements for n, t in tensors.items() if not n.endswith((".attn.bias", "rotary_emb.inv_freq", ".masked_bias"))
    )
    _agree(path, total, spec, list(tensors))
    note = (
        "known by its tensors alone: attention is taken over the whole context, and heads, which FLOPs and bytes do not"
        " depend on, as the fewest that fit"
    )
    bits = stored_bits(tensors, total)
    return replace(spec, note=note, precision=_plain(bits))


def _rest(path: Path) -> list[Path]:
    match = re.fullmatch(r"(.*)-\d{5}-of-(\d{5})\.safetensors", path.name)
    return sorted(set(path.parent.glob(f"{glob_safe(match[1])}-*-of-{match[2]}.safetensors")) - {path}) if match else []


def _named_like_llama(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Any] | None:
    start = "model.layers.0."
    names = ("self_attn.q_proj.weight", "self_attn.k_proj.weight", "mlp.down_proj.weight", "mlp.gate_proj.weight")
    if any("experts." in n for n in tensors):
        hint = "it has experts, and how many each token is sent to is not in it; put its config.json beside it"
        raise InvalidValue("model", "a file with config.json beside it", str(path), hint)
    if "model.embed_tokens.weight" not in tensors or not all(start + n in tensors for n in names):
        return None
    vocab, hidden = tensors["model.embed_tokens.weight"].shape
    queries, keys = (tensors[start + n].shape[0] for n in names[:2])
    norm = tensors.get(start + "self_attn.q_norm.weight")
    dim = norm.shape[0] if norm and queries % norm.shape[0] == 0 and norm.shape[0] < queries else keys
    return {
        "model_type": "qwen3" if norm else "qwen2" if start + "self_attn.q_proj.bias" in tensors else "llama",
        "num_hidden_layers": 1 + max(int(m[1]) for n in tensors if (m := re.match(r"model\.layers\.(\d+)\.", n))),
        "hidden_size": hidden,
        "vocab_size": vocab,
        "num_attention_heads": max(queries // dim, 1),
        "num_key_value_heads": max(keys // dim, 1),
        "head_dim": dim,
        "intermediate_size": tensors[start + "mlp.down_proj.weight"].shape[1],
        "tie_word_embeddings": "lm_head.weight" not in tensors,
    }


def _named_like_gpt2(tensors: Mapping[str, Tensor]) -> dict[str, Any] | None:
    prefix = "transformer." if "transformer.wte.weight" in tensors else ""
    names = [f"{prefix}{n}.weight" for n in ("wte", "wpe", "h.0.attn.c_attn", "h.0.mlp.c_fc")]
    if not all(n in tensors and len(tensors[n].shape) == 2 for n in names):
        return None
    (vocab, hidden), (positions, _) = tensors[names[0]].shape, tensors[names[1]].shape
    return {
        "model_type": "gpt2",
        "n_layer": 1 + max(int(m[1]) for n in tensors if (m := re.match(rf"{prefix}h\.(\d+)\.", n))),
        "n_embd": hidden,
        "n_head": 1,
        "n_positions": positions,
        "n_inner": tensors[names[3]].shape[1],
        "vocab_size": vocab,
    }
