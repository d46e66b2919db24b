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
    key = _ALIASES.get(key, key)
    if key not in BYTES:
        raise UnknownName(field, name, nearest(key, BYTES), "known: " + ", ".join(BYTES))
    return key


def bytes_per_value(precision: str) -> float:
    """Return the bytes one value takes in memory, block scales included [B]."""
    return BYTES[precision]
