"""A GGUF file, by its header alone: architecture, sizes, and the format of every tensor.

The format is described in https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (2026-11-24): magic, version,
counts of tensors and of key-value pairs, the pairs, then name, shape, type and offset of each tensor. Everything is
checked against the size of the file before it is believed.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mlsysim.errors import InvalidValue
from mlsysim.registry import read_table

MOST_TENSORS = 1_000_000
MOST_PAIRS = 100_000
LARGEST_HEADER = 512_000_000
"""Bytes; vocabularies of the largest models take some 10 MB."""
_FIRST_READ = 1 << 24
_SIMPLE = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_LONGEST_NAME = 65_535


class Header(NamedTuple):
    """What a file says of itself: its pairs (of long arrays the length alone), and shape and type of its tensors."""

    pairs: dict[str, Any]
    tensors: dict[str, tuple[tuple[int, ...], int]]


class Strings(NamedTuple):
    """An array of strings, of which only the length is kept."""

    length: int


@cache
def types() -> Mapping[int, tuple[str, int, int]]:
    """Return (name, values of a block, bytes of a block) of every tensor type."""
    rows = read_table("mlsysim", "ggml_types.tsv")
    return {int(r["type"]): (r["name"], int(r["values"]), int(r["bytes"])) for r in rows}


def read_header(path: Path) -> Header:
    """Return the header of a file.

    Raises
    ------
    InvalidValue
        Unreadable, no GGUF, truncated, or with counts that the file has no room for.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _Reader(path, file, size).header()
    except OSError as problem:
        raise InvalidValue("model", "a file that can be read", str(path), problem.strerror or "") from None


def tensor_bytes(shape: tuple[int, ...], kind: int) -> int:
    """Return the bytes of a tensor."""
    _, values, size = types()[kind]
    return math.prod(shape) // values * size


class _Reader:
    """Walks over a header; reads more of the file when it comes near the end of what it has."""

    def __init__(self, path: Path, file: Any, size: int) -> None:
        self.path, self.file, self.size = path, file, size
        self.data = file.read(_FIRST_READ)
        self.at = 0

    def header(self) -> Header:
        if self.data[:4] != b"GGUF":
            raise self.bad("it does not begin with GGUF")
        self.at = 4
        version = self.number(_U32)
        if version not in {2, 3}:
            raise self.bad(f"its version is {version}; 2 and 3 are supported (big-endian files are not)")
        tensors, pairs = self.number(_U64), self.number(_U64)
        if tensors > MOST_TENSORS or tensors * 24 > self.size:
            raise self.bad(f"it claims {tensors:,} tensors in {self.size:,} B; at most {MOST_TENSORS:,} are read")
        if pairs > MOST_PAIRS or pairs * 13 > self.size:
            raise self.bad(f"it claims {pairs:,} key-value pairs in {self.size:,} B; at most {MOST_PAIRS:,} are read")
        found: dict[str, Any] = {}
        for _ in range(pairs):
            key = self.string()
            found[key] = self.value(self.number(_U32))
        return Header(found, dict(self.tensor() for _ in range(tensors)))

    def tensor(self) -> tuple[str, tuple[tuple[int, ...], int]]:
        name = self.string()
        dimensions = self.number(_U32)
        if dimensions > 8:
            raise self.bad(f"tensor {name!r} has {dimensions} dimensions")
        shape = tuple(self.number(_U64) for _ in range(dimensions))
        kind, offset = self.number(_U32), self.number(_U64)
        if kind not in types():
            raise self.bad(f"tensor {name!r} has the unknown type {kind}")
        if offset + tensor_bytes(shape, kind) > self.size:
            raise self.bad(f"tensor {name!r} of shape {shape} does not fit in the {self.size:,} B of the file")
        return name, (shape, kind)

    def need(self, count: int) -> None:
        """Make sure that ``count`` further bytes are at hand."""
        while self.at + count > len(self.data):
            if self.at + count > min(self.size, LARGEST_HEADER):
                raise self.bad(f"its header ends beyond byte {len(self.data):,}: truncated, or a length that is wrong")
            more = self.file.read(max(_FIRST_READ, count))
            if not more:
                raise self.bad("its header is truncated")
            self.data += more

    def number(self, form: struct.Struct) -> Any:
        self.need(form.size)
        (found,) = form.unpack_from(self.data, self.at)
        self.at += form.size
        return found

    def string(self) -> str:
        length = self.number(_U64)
        if length > _LONGEST_NAME:
            raise self.bad(f"a name or word of {length:,} B")
        self.need(length)
        text: str = self.data[self.at : self.at + length].decode("utf-8", "replace")
        self.at += length
        return text

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            length = self.number(_U64)
            self.need(length)
            text = self.data[self.at : self.at + min(length, _LONGEST_NAME)].decode("utf-8", "replace")
            self.at += length
            return text
        if kind == _ARRAY:
            return self.array(self.number(_U32), self.number(_U64))
        if kind not in _SIMPLE:
            raise self.bad(f"a value of the unknown kind {kind}")
        return self.number(struct.Struct(_SIMPLE[kind]))

    def array(self, kind: int, count: int) -> Any:
        if kind == _STRING:
            self.skip_strings(count)
            return Strings(count)
        if kind not in _SIMPLE:
            raise self.bad(f"an array of the unknown kind {kind}")
        form = _SIMPLE[kind]
        width = struct.calcsize(form)
        if count * width > self.size:
            raise self.bad(f"an array of {count:,} values")
        self.need(count * width)
        at, self.at = self.at, self.at + count * width
        if count > 4096:
            return Strings(count)
        return list(struct.unpack_from(f"<{count}{form[1:]}", self.data, at))

    def skip_strings(self, count: int) -> None:
        """Step over a vocabulary: hundreds of thousands of words, of which nothing is needed."""
        if count * 8 > self.size:
            raise self.bad(f"an array of {count:,} words")
        done, unpack = 0, _U64.unpack_from
        while done < count:
            data, at = self.data, self.at
            last = len(data) - 8
            while done < count and at <= last:
                at += 8 + unpack(data, at)[0]
                done += 1
            self.at = at
            if done < count or at > len(data):
                self.need(8 if at <= len(data) else 0)

    def bad(self, why: str) -> InvalidValue:
        return InvalidValue("model", "a whole GGUF file", str(self.path), why)
