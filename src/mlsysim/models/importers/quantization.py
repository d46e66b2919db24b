"""The format that a checkpoint's weights are stored in, from the ``quantization_config`` beside its sizes.

Embedding and head are no linear layers of a block and are left in 16 bits by every method here. A group of weights
shares a scale of 16 bits, and where the method has them a zero point of the weights' width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNKNOWN = "a quantization that is not known: state the precision"
"""What the note of a spec says whose file names a format of weights that mlsysim does not know."""
PARTLY = "its attention is left in 16 bits, and counted as narrow as the rest: weights are somewhat more than is said"
"""What the note of a spec says whose blocks are quantized in part; one precision holds for all of them here."""
_WITH_ZERO = frozenset({"gptq", "awq", "auto-round", "autoround", "hqq", "torchao"})


def quantization(config: Mapping[str, Any]) -> tuple[str, str]:
    """Return the precision that a configuration states, and a sentence where that is not known or not all.

    Both are empty where nothing is quantized.
    """
    stated = config.get("quantization_config") or config.get("compression_config") or None
    if stated is None:
        return "", ""
    if not isinstance(stated, Mapping):
        return "", f"its quantization_config is {stated!r} and no group of fields, {UNKNOWN}"
    method = str(stated.get("quant_method") or stated.get("quant_algo") or "").lower()
    found = _by_method(method, stated)
    if found is None:
        bits = f" with bits = {stated['bits']!r}" if "bits" in stated else ""
        return "", f"its weights are stored by {method or 'a method without a name'}{bits}, {UNKNOWN}"
    cache = _cache(stated)
    return found + "e16" + ("" if cache == "kv16" and found.endswith("a16") else cache), _left_out(stated)


def _left_out(stated: Mapping[str, Any]) -> str:
    """Return what to say of attention that is named among the modules that are not quantized."""
    names = stated.get("modules_to_not_convert") or stated.get("ignore") or ()
    return PARTLY if isinstance(names, list) and any("attn" in str(name) for name in names) else ""


def _by_method(method: str, stated: Mapping[str, Any]) -> str | None:
    if method in {"fp8", "fbgemm_fp8"}:
        return "fp8"
    if method == "mxfp4":
        return "wmxfp4a16"
    if method == "bitsandbytes":
        return "w4a16" if stated.get("load_in_4bit") or stated.get("_load_in_4bit") else "w8a16"
    if method in _WITH_ZERO:
        inner = _inside(stated, "quant_config", "weight_quant_params")
        bits = stated.get("bits", stated.get("w_bit", inner.get("nbits")))
        symmetric = method == "gptq" and bool(stated.get("sym"))
        return _grouped(bits, stated.get("group_size", inner.get("group_size")), symmetric)
    groups = stated.get("config_groups")
    if method in {"compressed-tensors", "modelopt"} or isinstance(groups, Mapping):
        return _by_group(stated, groups)
    return None


def _by_group(stated: Mapping[str, Any], groups: object) -> str | None:
    """Return what the first group of layers states of weights and activations (compressed-tensors, ModelOpt)."""
    algorithm = str(stated.get("quant_algo", "")).lower()
    if algorithm in {"fp8", "nvfp4"}:
        return algorithm
    first = next(iter(groups.values()), None) if isinstance(groups, Mapping) else None
    if not isinstance(first, Mapping):
        return None
    weights, activations = first.get("weights"), first.get("input_activations")
    if not isinstance(weights, Mapping):
        return None
    if not isinstance(activations, Mapping):
        narrow = _format(weights)
        return (
            None
            if narrow is None
            else _grouped(weights.get("num_bits"), weights.get("group_size"), True)
            if (narrow.startswith("int"))
            else f"w{narrow}a16"
        )
    both = _format(weights), _format(activations)
    return None if None in both else both[0] if both[0] == both[1] else f"w{both[0]}a{both[1]}"


def _format(values: Mapping[str, Any]) -> str | None:
    bits, floating = values.get("num_bits"), values.get("type") == "float"
    return {(8, True): "fp8", (4, True): "nvfp4", (8, False): "int8", (4, False): "int4"}.get((bits, floating))  # type: ignore[arg-type]


def _grouped(bits: object, group: object, symmetric: bool) -> str | None:
    """Return weights of so many bits, of which each group shares a scale and perhaps a zero point."""
    if not isinstance(bits, int) or isinstance(bits, bool) or not 2 <= bits <= 8:
        return None
    shared = 16 if symmetric else 16 + bits
    each = shared / group if isinstance(group, int) and not isinstance(group, bool) and group > 0 else 0.0
    return f"w{bits + each:.4g}a16"


def _cache(stated: Mapping[str, Any]) -> str:
    """Return the format of the cache: 16 bits unless the configuration states another, narrow activations or not."""
    scheme = _inside(stated, "kv_cache_scheme")
    if scheme.get("num_bits") == 8 or str(stated.get("kv_cache_quant_algo", "")).lower() in {"fp8", "int8"}:
        return "kv8"
    return "kv16"


def _inside(values: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        found = values.get(name)
        values = found if isinstance(found, Mapping) else {}
    return values
