"""Number formats: how many bytes a value takes in each of its roles, and which peak the arithmetic runs on.

One name states all roles. A plain format (``fp8``) is used for weights, activations and cache alike; ``w4a16kv8`` has
4-bit weights, 16-bit activations and an 8-bit cache; a format of GGUF files (``q4_k_m``, or ``gguf4.85`` for a file of
so many bits a weight) has its weights alone. Behind either may follow ``e`` (embedding and head), ``kv``, ``acc``,
``grad`` and ``opt`` with a width: ``fp8e16``, ``bf16grad32opt8``.

Block formats count their scales: nvfp4 has one fp8 scale for 16 values (NVIDIA, NVFP4 blog, 2025-06), mxfp4 and
mxfp8 one 8-bit scale for 32 (OCP Microscaling Formats v1.0, 2023-09); those of GGUF files are in ``formats.tsv``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.registry import nearest, read_table

BYTES: dict[str, float] = {
    "fp64": 8.0,
    "fp32": 4.0,
    "tf32": 4.0,  # a compute format: values are stored as fp32
    "bf16": 2.0,
    "fp16": 2.0,
    "fp8": 1.0,
    "mxfp8": 1.0 + 1 / 32,
    "int8": 1.0,
    "fp6": 0.75,
    "fp4": 0.5,
    "nvfp4": 0.5 + 1 / 16,
    "mxfp4": 0.5 + 1 / 32,
    "int4": 0.5,
}
PEAK_OF = {"mxfp8": "fp8", "nvfp4": "fp4", "mxfp4": "fp4"}
"""Block formats run on the peak of their element format."""
WEIGHT_ONLY = {"w8a16": 1.0, "w4a16": 0.5}
"""Formats in which weights alone are narrow, for any device with 16-bit arithmetic, and their bytes a weight."""
SPARSE = "-sparse"
"""What the name of a precision ends with where weights are 2:4 structured sparse: ``fp16-sparse``."""
_SPARSE_INDEX_BYTES = 0.125
"""Two 2-bit indices for four weights [B/weight] (NVIDIA A100 architecture whitepaper, structured sparsity)."""
_MASTER_BYTES = 4.0
"""The fp32 copy that training in narrower formats updates [B] (Micikevicius et al. 2018, arXiv:1710.03740)."""
_SIXTEEN = ("bf16", "fp16")
_ALIASES = {
    "float64": "fp64",
    "double": "fp64",
    "float32": "fp32",
    "float": "fp32",
    "single": "fp32",
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "fp8e4m3": "fp8",
    "fp8e5m2": "fp8",
    "e4m3": "fp8",
    "e5m2": "fp8",
    "float8": "fp8",
    "i8": "int8",
    "i4": "int4",
    "float4": "fp4",
}
_WIDTHS = {"32": "fp32", "16": "16", "8": "int8", "4": "int4"}
"""What a bare width means: whole numbers below 16 bits, and at 16 whichever format the device has."""


class Roles(NamedTuple):
    """Bytes of a value in each role [B], and the formats that arithmetic may run in, first choice first.

    ``accumulation`` is the format of sums; ``gradient`` None where gradients are kept like weights, ``table`` None
    where embedding and head are; ``moment`` the bytes of each of Adam's two moments.
    """

    weight: float
    activation: float
    cache: float
    compute: tuple[str, ...]
    accumulation: str = "fp32"
    gradient: float | None = None
    moment: float = 4.0
    table: float | None = None

    @property
    def dequantized(self) -> bool:
        """Return whether weights are converted before arithmetic."""
        return self.weight < self.activation

    @property
    def copy(self) -> float:
        """Return the bytes of a weight in the copy that training computes with: 16 bits at least."""
        return max(self.weight, 2.0)

    @property
    def state(self) -> float:
        """Return the bytes of optimizer state a parameter: two moments, and a master copy of narrower weights."""
        return 2.0 * self.moment + (_MASTER_BYTES if self.copy < _MASTER_BYTES else 0.0)


def parse_precision(name: object, field: str = "precision") -> str:
    """Return the canonical name of a precision.

    Raises
    ------
    InvalidValue, UnknownName
        Not a string; or not a known precision (the nearest are suggested).
    """
    if not isinstance(name, str):
        raise InvalidValue(field, "the name of a number format such as 'bf16'", name)
    key = re.sub(r"[-_ ]", "", name.lower())
    base = key.removesuffix("sparse")
    base = _ALIASES.get(base, base)
    if base in BYTES:
        return base + SPARSE if key.endswith("sparse") else base
    found = _parts(base)
    if found is None or key.endswith("sparse"):
        known = ", ".join(BYTES)
        more = (
            f"{SPARSE} may follow; w4a16kv8 states weights, activations and cache; q4_k_m and others are those of GGUF"
        )
        raise UnknownName(field, name, nearest(base, [*BYTES, *stored_formats()]), f"known: {known}; {more}")
    return "".join(found.values())


def _parts(key: str) -> dict[str, str] | None:
    """Return the pieces of a name that states several roles, in order, or None where it is no such name."""
    stored = {_key(name): name for name in stored_formats()} if re.match("i?q|tq", key) else {}
    plain = "|".join(sorted([*BYTES, *_ALIASES], key=len, reverse=True))
    one = rf"(?:{plain}|\d+(?:\.\d+)?)"
    first = "|".join([*sorted(stored, key=len, reverse=True), plain, r"gguf\d+(?:\.\d+)?"])
    tail = "".join(rf"(?P<{role}>{role}{one})?" for role in ("e", "kv", "acc", "grad", "opt"))
    match = re.fullmatch(rf"(?:(?P<w>w{one})(?P<a>a{one})|(?P<base>{first})){tail}", key)
    if match is None:
        return None
    found = {role: text for role, text in match.groupdict().items() if text}
    if "base" in found:
        found["base"] = stored.get(found["base"]) or _ALIASES.get(found["base"], found["base"])
    known = all(_width(text.removeprefix(role), role == "w") for role, text in found.items() if role != "base")
    return found if known else None


def _width(text: str, any_width: bool = False) -> float | None:
    """Return the bytes of a format or of a bare width in bits; None where there is no such format."""
    plain = _ALIASES.get(text, _WIDTHS.get(text, text))
    if plain == "16":
        return 2.0
    if plain in BYTES:
        return BYTES[plain]
    if any_width and re.fullmatch(r"\d+(\.\d+)?", text) and 1 <= float(text) <= 64:
        return float(text) / 8
    return None


@cache
def stored_formats() -> Mapping[str, float]:
    """Return the formats in which GGUF files store weights, and their bytes a weight, scales included [B]."""
    return {row["name"]: float(row["bits"]) / 8 for row in read_table("mlsysim", "formats.tsv")}


@cache
def roles(precision: str) -> Roles:
    """Return the roles of a canonical precision."""
    plain = dense(precision)
    if plain in BYTES:
        size = BYTES[plain]
        weight = size / 2 + _SPARSE_INDEX_BYTES if precision.endswith(SPARSE) else size
        return Roles(weight, size, size, (PEAK_OF.get(plain, plain),), _accumulation(plain))
    found = _parts(_key(plain)) or {}
    base = found.get("base")
    if base is None:
        narrow, activation = found["w"][1:], found["a"][1:]
        sizes = _width(narrow, True) or 0.0, _width(activation) or 0.0
        compute = narrow if sizes[0] > sizes[1] else activation
        state = Roles(*sizes, sizes[1], _compute(compute), _accumulation(_WIDTHS.get(compute, compute)))
    elif base in BYTES:
        state = roles(base)
    else:
        # llama.cpp multiplies quantized weights by activations rounded to 8 bits where that pays (ggml, MMQ kernels)
        weight = float(base[4:]) / 8 if base.startswith("gguf") else stored_formats()[base]
        state = Roles(weight, 2.0, 2.0, ("int8", *_SIXTEEN), "int32")
    changes: dict[str, object] = {}
    if "e" in found:
        changes["table"] = _width(found["e"][1:])
    if "kv" in found:
        changes["cache"] = _width(found["kv"][2:])
    if "acc" in found:
        accumulate = found["acc"][3:]
        changes["accumulation"] = {"16": "fp16"}.get(accumulate, _WIDTHS.get(accumulate, accumulate))
    if "grad" in found:
        changes["gradient"] = _width(found["grad"][4:])
    if "opt" in found:
        changes["moment"] = _width(found["opt"][3:])
    return state._replace(**changes)  # type: ignore[arg-type]


def _compute(text: str) -> tuple[str, ...]:
    plain = _ALIASES.get(text, _WIDTHS.get(text, text))
    return _SIXTEEN if plain == "16" else (PEAK_OF.get(plain, plain),)


def _accumulation(plain: str) -> str:
    return "int32" if plain.startswith("int") else "fp64" if plain == "fp64" else "fp32"


def _key(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower())


def dense(precision: str) -> str:
    """Return the format of the values, without the word for sparsity."""
    return precision.removesuffix(SPARSE)


def weights_alone(precision: str) -> str:
    """Return the precision that has weights of a narrow plain format beside 16-bit activations; empty for others."""
    if precision not in BYTES or BYTES[precision] >= 2:
        return ""
    return f"w{precision.removeprefix('int')}a16"


def bytes_per_value(precision: str) -> float:
    """Return the bytes that an activation takes in memory, block scales included [B]."""
    return roles(precision).activation


def bytes_per_weight(precision: str) -> float:
    """Return the bytes that a weight takes in memory [B]: of a 2:4 sparse one half, and its share of the indices."""
    return roles(precision).weight
