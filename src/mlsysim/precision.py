"""Number formats: how many bytes a value takes in memory. Peaks per precision belong to the hardware.

Block formats count their scales: nvfp4 has one fp8 scale for 16 values (NVIDIA, NVFP4 blog, 2025-06), mxfp4 and
mxfp8 one 8-bit scale for 32 (OCP Microscaling Formats v1.0, 2023-09).
"""

from __future__ import annotations

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.registry import nearest

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


SPARSE = "-sparse"
"""What the name of a precision ends with where weights are 2:4 structured sparse: ``fp16-sparse``."""
_SPARSE_INDEX_BYTES = 0.125
"""Two 2-bit indices for four weights [B/weight] (NVIDIA A100 architecture whitepaper, structured sparsity)."""


def parse_precision(name: object, field: str = "precision") -> str:
    """Return the canonical name of a precision.

    Raises
    ------
    InvalidValue, UnknownName
        Not a string; or not a known precision (the nearest are suggested).
    """
    if not isinstance(name, str):
        raise InvalidValue(field, "the name of a number format such as 'bf16'", name)
    key = name.lower().replace("_", "").replace("-", "").replace(" ", "")
    base = key.removesuffix("sparse")
    base = _ALIASES.get(base, base)
    if base not in BYTES:
        known = ", ".join(BYTES)
        raise UnknownName(field, name, nearest(base, BYTES), f"known: {known}; {SPARSE} may follow")
    return base + SPARSE if key.endswith("sparse") else base


def dense(precision: str) -> str:
    """Return the format of the values, without the word for sparsity."""
    return precision.removesuffix(SPARSE)


def bytes_per_value(precision: str) -> float:
    """Return the bytes that an activation or cache element takes in memory, block scales included [B]."""
    return BYTES[dense(precision)]


def bytes_per_weight(precision: str) -> float:
    """Return the bytes that a weight takes in memory [B]: of a 2:4 sparse one half, and its share of the indices."""
    size = bytes_per_value(precision)
    return size / 2 + _SPARSE_INDEX_BYTES if precision.endswith(SPARSE) else size
