"""An ONNX file without its weights: everything but the data of large tensors, read through a memory map.

The wire format of protocol buffers is a sequence of fields, each a tag (number and type) and a payload
(https://protobuf.dev/programming-guides/encoding/, 2026-11-24); field numbers are those of onnx.proto
(ModelProto.graph 7, GraphProto.node 1 and initializer 5, NodeProto.attribute 5, AttributeProto.t 5, and the data
fields of TensorProto). What is copied is decoded by the onnx library afterwards; here nothing is interpreted.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mlsysim.errors import InvalidValue

SMALL = 16_384
"""Bytes up to which a tensor is kept whole: shapes, axes and bounds that shape inference needs are far smaller."""
LARGEST = 256_000_000
"""Bytes of a graph without its weights; the largest published graphs have some megabytes."""
MOST_FIELDS = 5_000_000
_DATA = frozenset({4, 5, 6, 7, 9, 10, 11})
"""The fields of a TensorProto that hold its values."""
_INSIDE = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor"},
}
"""Which fields of a message hold messages that may hold weights."""


class Field(NamedTuple):
    """One field: its number, where its tag begins, where its payload begins, and where it ends."""

    number: int
    start: int
    payload: int
    end: int
    message: bool


class Damaged(Exception):
    """Bytes that are no fields."""


def without_weights(path: Path) -> bytes:
    """Return the bytes of a model file with the data of large tensors left out.

    Raises
    ------
    InvalidValue
        Unreadable, no protocol buffer, or a graph that is too large even so.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                return b""
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Slimmer(data).message("model", 0, len(data))
    except OSError as problem:
        raise InvalidValue("path", "a readable ONNX file", str(path), str(problem.strerror)) from None
    except Damaged:
        hint = "its content cannot be decoded: truncated, or another format"
        raise InvalidValue("path", "an ONNX file", str(path), hint) from None
    except MemoryError:
        hint = f"without weights it is above {LARGEST / 1e6:g} MB or {MOST_FIELDS:,} fields"
        raise InvalidValue("path", "an ONNX file whose graph can be read", str(path), hint) from None


class _Slimmer:
    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.fields, self.bytes = data, 0, 0

    def message(self, kind: str, start: int, end: int) -> bytes:
        """Return a message with large tensors inside it emptied."""
        out = bytearray()
        for field in self.each(start, end):
            inside = _INSIDE.get(kind, {}).get(field.number) if field.message else None
            if kind == "tensor" and field.number in _DATA:
                continue
            if inside is None or field.end - field.payload <= SMALL:
                out += self.kept(field)
                continue
            content = self.message(inside, field.payload, field.end)
            out += _varint(field.number << 3 | 2) + _varint(len(content)) + content
        return bytes(out)

    def kept(self, field: Field) -> bytes:
        self.bytes += field.end - field.start
        if self.bytes > LARGEST:
            raise MemoryError
        return self.data[field.start : field.end]

    def each(self, start: int, end: int) -> Iterator[Field]:
        at = start
        while at < end:
            self.fields += 1
            if self.fields > MOST_FIELDS:
                raise MemoryError
            tag, payload = self.varint(at, end)
            kind = tag & 7
            if kind == 2:
                length, payload = self.varint(payload, end)
                stop = payload + length
            elif kind == 0:
                stop = self.varint(payload, end)[1]
            elif kind in {1, 5}:
                stop = payload + (8 if kind == 1 else 4)
            else:
                raise Damaged
            if stop > end or not tag >> 3:
                raise Damaged
            yield Field(tag >> 3, at, payload, stop, kind == 2)
            at = stop

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """Return a number of seven bits a byte, and where it ends."""
        value = shift = 0
        while at < end and shift < 64:
            byte = self.data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at
        raise Damaged


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
