"""Safetensors as a model: held to the configuration beside them, or known by the names and shapes of their tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlsysim.errors import InvalidValue
from mlsysim.models.importers.config import spec_of
from mlsysim.models.importers.safetensors_header import Tensor, quantized, read_shards, stored_bits
from mlsysim.models.importers.weights import agrees, plain_format, refuse_others, shards
from mlsysim.models.spec import TransformerSpec


def load(path: Path) -> TransformerSpec:
    """Return a plain decoder known by the names and shapes of its tensors: a file without a configuration beside it.

    The number of heads is not in the file, and matters only to attention scores that training keeps: FLOPs and other
    bytes follow from the widths of queries and keys.

    Raises
    ------
    InvalidValue, Problems
        Not whole, quantized, or not enough to know the model by.
    """
    tensors = read_shards(shards(path, "safetensors"))
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
    refuse_others(path, total, spec, list(tensors))
    note = (
        "known by its tensors alone: attention is taken over the whole context, and heads as the fewest that fit; of"
        " all answers only attention scores kept in training without recomputation depend on their number"
    )
    bits = stored_bits(tensors, total)
    return replace(spec, note=note, precision=plain_format(bits))


def checked_against(spec: TransformerSpec, files: Sequence[Path]) -> TransformerSpec:
    """Return a spec whose weights lie beside it, with the format they are stored in; their counts must agree.

    Raises
    ------
    InvalidValue
        The tensors hold another number of parameters: configuration and weights are of different models.
    """
    tensors = read_shards(files)
    if quantized(tensors):
        bits = stored_bits(tensors, spec.parameters)
        return spec if spec.precision else replace(spec, precision=f"w{bits:.4g}a16")
    total = sum(t.elements for t in tensors.values())
    if not _are_all(files) or agrees(total, spec):
        return spec
    names = f"{files[0].name} and {len(files) - 1} more" if len(files) > 1 else files[0].name
    hint = f"by config.json it has {spec.parameters:,}; are the two of one model, and are all files there?"
    told = f"{names} hold {total:,} parameters; {hint}"
    raise InvalidValue("model", "a folder of one model", str(files[0].parent), told)


def _are_all(files: Sequence[Path]) -> bool:
    """Return whether all parts of a model are there, by the numbers in their names."""
    counts = {int(m[1]) for s in files if (m := re.search(r"-of-0*(\d+)\.", s.name))}
    return not counts or counts == {len(files)}


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
