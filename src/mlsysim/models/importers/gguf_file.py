"""A GGUF file as a model: its header in the words of a configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlsysim.errors import UnknownName
from mlsysim.models.importers.config import spec_of
from mlsysim.models.importers.gguf_header import Strings, read_header, tensor_bytes
from mlsysim.models.importers.weights import plain_format, refuse_others, shards
from mlsysim.models.spec import TransformerSpec
from mlsysim.registry import nearest

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
    "num_nextn_predict_layers": "nextn_predict_layers",
}
"""Fields of a configuration, and what GGUF calls them behind the name of the architecture."""


def load(path: Path) -> TransformerSpec:
    """Read a GGUF file, or all files of a model of which it is the first.

    Raises
    ------
    InvalidValue, UnknownName, Problems
        Not whole, an architecture that is not known, or tensors of another model than the header describes.
    """
    header = read_header(path)
    architecture = header.pairs.get("general.architecture")
    family = _FAMILY.get(str(architecture))
    if family is None:
        near = nearest(str(architecture), _FAMILY)
        raise UnknownName(f"architecture in {path.name}:", str(architecture), near, "known: " + ", ".join(_FAMILY))
    tensors = dict(header.tensors)
    for shard in shards(path, "gguf")[1:]:
        tensors |= read_header(shard).tensors
    config = _gguf_config(header.pairs, tensors, str(architecture), family)
    name = str(header.pairs.get("general.name") or path.stem)
    spec = replace(spec_of(config, path.name, path.stem), title=name)
    weights = {n: t for n, t in tensors.items() if not n.startswith("rope_")}
    total = sum(math.prod(shape) for shape, _ in weights.values())
    refuse_others(path, total, spec, [n for n in tensors if ".0." in n or ".blk" not in n])
    bits = 8 * sum(tensor_bytes(shape, kind) for shape, kind in weights.values()) / total
    return replace(spec, precision=plain_format(bits) or f"gguf{bits:.4g}")


def _gguf_config(
    pairs: Mapping[str, Any], tensors: Mapping[str, tuple[tuple[int, ...], int]], architecture: str, family: str
) -> dict[str, Any]:
    """Return a GGUF header in the words of a configuration."""
    found: dict[str, Any] = {"model_type": family}
    for field, key in _KEYS.items():
        value = pairs.get(f"{architecture}.{key}")
        if value is not None:
            found[field] = max(value) if isinstance(value, list) and value else value
    modules = found.get("num_nextn_predict_layers")
    if isinstance(modules, int) and isinstance(found.get("num_hidden_layers"), int):
        found["num_hidden_layers"] -= modules  # which GGUF counts among the blocks
    embedding = tensors.get("token_embd.weight")
    words = pairs.get("tokenizer.ggml.tokens")
    if embedding:
        found["vocab_size"] = embedding[0][-1]
    elif isinstance(words, Strings):
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
