"""Names of number formats as serving engines write them, as precisions."""

from __future__ import annotations

import re

from mlsysim.errors import UsageError
from mlsysim.precision import parse_precision

_WEIGHTS = {
    "fp8": "fp8",
    "fp8_block_scales": "fp8",
    "fp8_pb_wo": "fp8",
    "modelopt": "fp8",
    "fbgemm_fp8": "fp8",
    "nvfp4": "nvfp4",
    "modelopt_fp4": "nvfp4",
    "mxfp4": "mxfp4",
    "w4a16_awq": "w4a16",
    "w4a16_gptq": "w4a16",
    "w4a16": "w4a16",
    "awq": "w4a16",
    "awq_marlin": "w4a16",
    "gptq": "w4a16",
    "gptq_marlin": "w4a16",
    "w8a16": "w8a16",
    "experts_int8": "w8a16",
    "w8a8_sq_per_channel": "int8",
    "w8a8_int8": "int8",
}
"""Quantization of the engines: vLLM ``quantization`` and TensorRT-LLM ``QuantAlgo``; names as those programs list them.

GPTQ also has files of 2, 3 and 8 bits, which the name does not tell: 4 is what is published most."""
_CACHE = {"fp8": "fp8", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "int8": "int8", "nvfp4": "nvfp4"}
_NARROW = {"fp8", "nvfp4", "mxfp4", "int8"}
_GGUF = re.compile(r"(?<![a-z0-9])(i?q\d\w*(?:_\w+)*|tq\d_\d|bf16|f16|f32)(?![a-z0-9])", re.I)
_PLAIN = {"f16": "fp16", "f32": "fp32", "bf16": "bf16"}


def engine_precision(quantization: object, dtype: object, cache: object = None) -> str:
    """Return the precision that an engine's names mean, empty where they say nothing that is known.

    ``quantization`` is that of the weights, ``dtype`` that of the rest, ``cache`` that of the KV cache (``auto`` and
    None: as ``dtype``).
    """
    base = _WEIGHTS.get(_name(quantization), "") if _name(quantization) else _name(dtype)
    if not base or base == "auto":
        return ""
    kept = _CACHE.get(_name(cache), "")
    if base in _NARROW:
        tail = "kv16" if not kept else "" if kept == base else f"kv{kept}"
    else:
        tail = f"kv{kept}" if kept else ""
    return known_precision(base + tail)


def gguf_precision(name: str, cache: str = "") -> str:
    """Return the precision that a file or model name of llama.cpp or Ollama ends with, empty where it says none.

    ``cache`` is the type of its KV cache (``f16``, ``q8_0``). ``Q4_K - Medium``, as llama.cpp prints it, is q4_k_m.
    """
    close = re.sub(r"_K - (Large|Medium|Small)", lambda m: f"_K_{m[1][0]}", name)
    found = _GGUF.findall(close)
    if not found:
        return ""
    base = found[-1].lower()
    kept = {"q8_0": "kv8", "q4_0": "kv4"}.get(cache.lower(), "")
    return known_precision(_PLAIN.get(base, base) + kept)


def without_gguf_precision(name: str) -> str:
    """Return a model's name without the format that it ends with, and what llama.cpp prints about that."""
    found = list(_GGUF.finditer(name))
    close = name[: found[-1].start()] if found else name.removesuffix(".gguf")
    return re.sub(r" (all|mostly)$", "", close.strip(" -_.:"))


def known_precision(name: str) -> str:
    """Return the canonical name of a precision, empty where there is no such."""
    try:
        return parse_precision(name)
    except UsageError:
        return ""


def _name(value: object) -> str:
    found = str(value).strip().strip("'\"").lower().removeprefix("torch.").removeprefix("quantalgo.")
    return "" if found in {"", "none", "null", "no_quant"} else found
