"""A safetensors file, by its header alone: names, shapes and formats of its tensors.

The format is 8 bytes with the length of a JSON header, the header, and the data
(https://github.com/huggingface/safetensors, README, 2026-11-24). The reference reader refuses headers above 100 MB; so
does this one, before it reads.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from mlsysim.errors import InvalidValue

LONGEST_HEADER = 100_000_000
"""Bytes; the limit of the reference reader."""
_WIDTHS = {
    4: ("F4",),
    6: ("F6_E2M3", "F6_E3M2"),
    8: ("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"),
    16: ("F16", "BF16", "I16", "U16"),
    32: ("F32", "I32", "U32"),
    64: ("F64", "I64", "U64", "C64"),
}
BITS = {name: bits for bits, names in _WIDTHS.items() for name in names}
"""Bits of a value in each format."""
_PACKED = {"I32", "U32", "U8", "I8", "F4"}
"""Formats that may hold several quantized weights in one value."""


class Tensor(NamedTuple):
    """One tensor of a file."""

    shape: tuple[int, ...]
    format: str

    @property
    def elements(self) -> int:
        """Return the number of values."""
        return math.prod(self.shape)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of one file.

    Raises
    ------
    InvalidValue
        Unreadable, truncated, or no safetensors file; a header that is too long or contradicts the file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            if len(start) < 8:
                raise _bad(path, "it is shorter than the 8 bytes that give the length of its header")
            (length,) = struct.unpack("<Q", start)
            if length > min(size - 8, LONGEST_HEADER):
                limit = f"the file has {size:,} B and a header is at most {LONGEST_HEADER:,} B"
                raise _bad(path, f"its header claims {length:,} B, but {limit}")
            text = file.read(length)
    except OSError as problem:
        raise InvalidValue("model", "a file that can be read", str(path), problem.strerror or "") from None
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise _bad(path, "its header is not JSON") from None
    if not isinstance(header, dict):
        raise _bad(path, f"its header is a {type(header).__name__}, not an object")
    header.pop("__metadata__", None)
    return {name: _tensor(path, name, entry, size - 8 - length) for name, entry in header.items()}


def read_shards(paths: Iterable[Path]) -> dict[str, Tensor]:
    """Return the tensors of all files of a model."""
    found: dict[str, Tensor] = {}
    for path in paths:
        found |= read_tensors(path)
    return found


def stored_bits(tensors: Mapping[str, Tensor], parameters: int) -> float:
    """Return the bits that a parameter takes on average, scales and zero points of quantized weights included."""
    return sum(BITS[t.format] * t.elements for t in tensors.values()) / parameters


def quantized(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether weights are packed or accompanied by scales."""
    scaled = any(re.search(r"(scale|scales|qzeros|scale_inv|weight_shape|absmax)$", name) for name in tensors)
    return scaled or any(t.format in _PACKED and "weight" in name for name, t in tensors.items())


def _tensor(path: Path, name: str, entry: object, room: int) -> Tensor:
    match entry:
        case {"dtype": str(kind), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
            pass
        case _:
            raise _bad(path, f"the entry of tensor {name!r} has no dtype, shape and data_offsets")
    if kind not in BITS:
        raise _bad(path, f"tensor {name!r} has the unknown format {kind!r}; known: {', '.join(BITS)}")
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape):
        raise _bad(path, f"tensor {name!r} has the shape {shape!r}")
    tensor = Tensor(tuple(shape), kind)
    if not 0 <= begin <= end <= room:
        raise _bad(
            path, f"tensor {name!r} ends at byte {end:,} of {room:,}: the file is truncated, or the header wrong"
        )
    if math.ceil(tensor.elements * BITS[kind] / 8) != end - begin:
        raise _bad(path, f"tensor {name!r} of shape {shape!r} in {kind} does not take the {end - begin:,} B it claims")
    return tensor


def _bad(path: Path, why: str) -> InvalidValue:
    return InvalidValue("model", "a whole safetensors file", str(path), why)
