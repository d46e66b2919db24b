"""A file as readers see it: its head, its lines one by one, its JSON; gzip is unpacked on the way."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from mlsysim.errors import InvalidValue

HEAD_BYTES = 65_536
"""Bytes from which a format is recognised."""
_GZIP = b"\x1f\x8b"


class Source:
    """One file. Nothing is read before it is asked for, and lines never all at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._packed = file.read(2) == _GZIP
        except OSError as problem:
            raise InvalidValue("log", "a file that can be read", str(path), problem.strerror or "") from None

    def open(self) -> IO[bytes]:
        """Open the file, unpacked."""
        return gzip.open(self.path, "rb") if self._packed else self.path.open("rb")  # type: ignore[return-value]

    @cached_property
    def head(self) -> str:
        """Return the first 64 KB as text."""
        with self.open() as file:
            return file.read(HEAD_BYTES).decode("utf-8", "replace").removeprefix("﻿")

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

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield each line with its number, from 1."""
        with self.open() as file:
            yield from enumerate(file, 1)
