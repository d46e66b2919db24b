"""A file as readers see it: its head, its lines, its JSON; gzip is unpacked on the way."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder
from collections.abc import Iterator
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import IO, Any

from mlsysim.errors import InvalidValue

HEAD_BYTES = 65_536
"""Bytes from which a format is recognised."""
BLOCK_BYTES = 1 << 20
"""Bytes that a reader of blocks holds at a time."""
_GZIP = b"\x1f\x8b"
_UTF16 = (BOM_UTF16_LE, BOM_UTF16_BE)


class Source:
    """One file. Nothing is read before it is asked for, and lines never all at once.

    A packed file that was cut off ends where it is cut; ``cut`` says so once its end was read. ``what`` it is to its
    reader is what an error calls it.
    """

    def __init__(self, path: Path, what: str = "log") -> None:
        self.path, self.cut = path, False
        try:
            with path.open("rb") as file:
                self._piped = None if path.is_file() else file.read()  # a pipe can be read once
                self._packed = (file.read(2) if self._piped is None else self._piped[:2]) == _GZIP
        except OSError as problem:
            raise InvalidValue(what, "a file that can be read", str(path), problem.strerror or "") from None

    def open(self) -> IO[bytes]:
        """Open the file, unpacked."""
        if self._piped is not None:
            held = io.BytesIO(self._piped)
            return gzip.open(held, "rb") if self._packed else held  # type: ignore[return-value]
        return gzip.open(self.path, "rb") if self._packed else self.path.open("rb")  # type: ignore[return-value]

    @cached_property
    def head(self) -> str:
        """Return the first 64 KB as text."""
        head = b""
        for piece in self.pieces(HEAD_BYTES):
            head += piece
            if len(head) >= HEAD_BYTES:
                break
        return head[:HEAD_BYTES].decode("utf-8", "replace")

    @cached_property
    def first_object(self) -> dict[str, Any]:
        """Return the first JSON object of the head where it is whole (a file, or a line of JSONL), else nothing."""
        text = self.head.lstrip().removeprefix("[").lstrip()
        if not text.startswith("{"):
            return {}
        try:
            found, _ = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def pieces(self, size: int = BLOCK_BYTES) -> Iterator[bytes]:
        """Yield the bytes in order, at most ``size`` at a time; UTF-16, as PowerShell writes it, as UTF-8."""
        pieces = self._read(size)
        first = next(pieces, b"")
        if not first.startswith(_UTF16):
            yield first.removeprefix(BOM_UTF8)
            yield from pieces
            return
        decoder = getincrementaldecoder("utf-16")("replace")
        for piece in chain((first,), pieces):
            yield decoder.decode(piece).encode("utf-8", "replace")

    def _read(self, size: int) -> Iterator[bytes]:
        with self.open() as file:
            read = getattr(file, "read1", file.read)  # gives what is whole before a packed file breaks off
            while True:
                try:
                    piece = read(size)
                except (EOFError, zlib.error, gzip.BadGzipFile):
                    self.cut = True
                    return
                if not piece:
                    return
                yield piece

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Yield blocks of whole lines, each with the number of its first line, from 1."""
        line, parts = 1, [b""]
        for piece in self.pieces():
            end = piece.rfind(b"\n") + 1
            if end:
                block = b"".join((*parts, piece[:end]))
                yield line, block
                line += block.count(b"\n")
                parts = []
            parts.append(piece[end:])
        if rest := b"".join(parts):
            yield line, rest

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield each line with its number, from 1."""
        for first, block in self.blocks():
            yield from enumerate(io.BytesIO(block), first)

    def text(self) -> str:
        """Return the whole file as text; for formats that are one JSON value of moderate size."""
        return b"".join(self.pieces()).decode("utf-8", "replace")
