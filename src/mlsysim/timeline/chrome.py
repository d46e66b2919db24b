"""Events of the Chrome trace format, a batch at a time: what PyTorch, XLA and ONNX Runtime write.

A trace is an object whose ``traceEvents`` are a list, or the list alone. It is cut between events and each batch is
decoded by itself, so that a file of any size takes the memory of a batch. A batch that does not decode is gone through
event by event, and what is broken is counted and left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from mlsysim.calibration.logs.source import Source
from mlsysim.timeline.spans import NO_LINK
from mlsysim.timeline.trace import BREAKS_OFF, BROKEN

BATCH_BYTES = 1 << 22
"""Bytes that are decoded at a time."""
EXACT_BELOW_US = 4e12
"""Time stamps that a double holds to the nanosecond [µs]; larger ones are read digit by digit."""
_MOST = 1 << 62
"""Times from which none is told [ns]: two of them still fit 64 bits together, and it is the year 2116 since 1970."""
_TRIES = 12
"""Places between events that are tried before a batch is gone through one by one."""
_HEAD_BYTES = 1 << 24
"""Bytes in which the list of events must begin."""
_DIGITS = 20
"""Digits from which a number fits no 64 bits."""
_LIST = re.compile(rb'"traceEvents"\s*:\s*\[')
_BETWEEN = re.compile(rb'\}(?=\s*,\s*\{\s*"(?:ph|name|cat|args|pid|tid|ts|dur|id)")')
_LAST = re.compile(rb"\}(?=\s*\])")
_NEXT = re.compile(r'\{\s*"(?:ph|name|cat|args|pid|tid|ts|dur|id)"')
_DECODER = json.JSONDecoder()

Args = TypeVar("Args", bound=msgspec.Struct)
Name = int | float | str | None
"""What a process, a thread, a device or a stream is called."""


class Event(msgspec.Struct, Generic[Args], gc=False):
    """One event; times in µs."""

    ph: str = ""
    name: str = ""
    cat: str = ""
    ts: Any = None
    dur: Any = None
    pid: Name = None
    tid: Name = None
    args: Args | None = None


class _Exact(Event[Args], Generic[Args], gc=False):
    """An event whose time stamp is kept as it is written."""

    ts: msgspec.Raw = msgspec.Raw(b"")


class Events(Generic[Args]):
    """The events of one file, in batches; afterwards ``about`` holds the keys beside them.

    ``broken`` counts events that could not be read, ``whole`` says whether the end of the list was seen.
    ``progress`` is called with the bytes that were read.
    """

    def __init__(self, source: Source, args: type[Args], progress: Callable[[int], None] | None = None) -> None:
        self.source, self.broken, self.whole = source, 0, False
        self.about: dict[str, Any] = {}
        self._progress = progress
        self._type: Any = Event[args]  # type: ignore[valid-type]  # msgspec reads it when it decodes
        self._exact: Any = _Exact[args]  # type: ignore[valid-type]
        self._decode = _decoder(self._type)
        self._one = msgspec.json.Decoder(self._type)
        self._looked = False

    def __iter__(self) -> Iterator[list[Event[Args]]]:
        held = b""
        pieces = self._large()
        for piece in pieces:
            held += piece
            found = _LIST.search(held) or re.match(rb"\s*\[", held)
            if found:
                self._head(held[: found.start()])
                held = held[found.end() :]
                break
            if len(held) > _HEAD_BYTES:
                return
        else:
            return
        while not self.whole:
            batch, held = self._batch(held)
            if batch:
                yield batch
            more = next(pieces, b"")
            if not more:
                break
            held += more
        while not self.whole and held.strip():
            before = len(held)
            batch, held = self._last(held)
            if batch:
                yield batch
            if len(held) == before:
                break
        self._tail(held, pieces)

    @property
    def lost(self) -> dict[str, int]:
        """Return how many events could not be read, by why, once all were asked for."""
        cut = self.source.cut or not self.whole
        return {why: n for why, n in ((BROKEN, self.broken), (BREAKS_OFF, int(cut))) if n}

    def _large(self) -> Iterator[bytes]:
        """Yield pieces of a batch, also of a packed file, which comes in small ones."""
        held: list[bytes] = []
        size = passed = 0
        for piece in self.source.pieces():
            held.append(piece)
            size += len(piece)
            if size >= BATCH_BYTES:
                passed += size
                yield b"".join(held)
                held, size = [], 0
                if self._progress:
                    self._progress(passed)
        if held:
            yield b"".join(held)
        if self._progress:
            self._progress(passed + size)

    def _batch(self, text: bytes) -> tuple[list[Event[Args]], bytes]:
        """Return the events of a text up to the last place between two of them, and what is behind it."""
        start = max(0, len(text) - BATCH_BYTES // 8)
        cuts = [m.end() for m in _BETWEEN.finditer(text, start)][-_TRIES:]
        for cut in reversed(cuts):
            batch = self._decoded(text[:cut])
            if batch is not None:
                return batch, text[cut:].lstrip(b", \r\n\t")
        if not cuts and len(text) < 4 * BATCH_BYTES:
            return [], text  # one long event, or the end
        return self._one_by_one(text)

    def _last(self, text: bytes) -> tuple[list[Event[Args]], bytes]:
        """Return the events up to the end of the list, and what is behind it."""
        for found in [*_LAST.finditer(text)][-1:-_TRIES:-1]:
            batch = self._decoded(text[: found.end()])
            if batch is not None:
                self.whole = True
                return batch, text[found.end() :].lstrip().removeprefix(b"]")
        return self._one_by_one(text, last=True)

    def _decoded(self, text: bytes) -> list[Event[Args]] | None:
        whole = b"[" + text + b"]"
        try:
            batch: list[Event[Args]] = self._decode.decode(whole)
            if not self._looked and batch:
                self._looked = True
                if _too_large(batch):
                    self._decode = _decoder(self._exact)
                    batch = self._decode.decode(whole)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return batch

    def _one_by_one(self, text: bytes, last: bool = False) -> tuple[list[Event[Args]], bytes]:
        """Return the events of a text that can be read, and what is behind the last whole one."""
        words, at = text.decode("utf-8", "replace"), 0
        batch: list[Event[Args]] = []
        while True:
            while at < len(words) and words[at] in ", \r\n\t":
                at += 1
            if at >= len(words):
                return batch, b""
            if words[at] == "]":
                self.whole = True
                return batch, words[at + 1 :].encode()
            try:
                value, at = _DECODER.raw_decode(words, at)
                batch.append(self._one.decode(msgspec.json.encode(value)))
            except msgspec.DecodeError:
                self.broken += 1
            except (ValueError, RecursionError):
                following = _NEXT.search(words, at + 1)
                if following is None:
                    self.broken += last
                    return batch, b"" if last else words[at:].encode()
                self.broken += 1
                at = following.start()

    def _head(self, text: bytes) -> None:
        self._about(text.decode("utf-8", "replace").rstrip().rstrip(",") + "}")

    def _tail(self, held: bytes, pieces: Iterator[bytes]) -> None:
        text = held + next(pieces, b"")
        rest = text.decode("utf-8", "replace").strip().removeprefix("]").lstrip(" ,\r\n\t")
        if rest.strip("}] \r\n\t"):
            self._about("{" + rest)

    def _about(self, text: str) -> None:
        try:
            found, _ = _DECODER.raw_decode(text.lstrip())
        except (ValueError, RecursionError):
            return
        self.about |= found if isinstance(found, dict) else {}


def _decoder(event: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(list[event])


def _too_large(batch: list[Event[Any]]) -> bool:
    """Return whether time stamps have fractions and are so large that a double rounds them."""
    return any(isinstance(e.ts, float) and e.ts > EXACT_BELOW_US and e.ts % 1.0 for e in batch)


def nanoseconds(time_us: Any) -> int | None:
    """Return a time as whole nanoseconds [ns]; None where it is none."""
    if isinstance(time_us, float):
        found = round(time_us * 1e3) if abs(time_us) < _MOST else None
    elif isinstance(time_us, int):
        found = time_us * 1000
    else:
        found = _digits(bytes(time_us)) if isinstance(time_us, msgspec.Raw) else None
    return found if found is not None and abs(found) < _MOST else None


def whole(value: Any, otherwise: int = NO_LINK) -> int:
    """Return a whole number where it is one that fits 62 bits, or is written as one; else ``otherwise``."""
    if isinstance(value, str) and value.isdecimal() and len(value) < _DIGITS:
        value = int(value)
    return value if isinstance(value, int) and 0 <= value < _MOST else otherwise


def _digits(text: bytes) -> int | None:
    whole, _, fraction = text.strip(b'"').partition(b".")
    try:
        return int(whole) * 1000 + (-1 if whole[:1] == b"-" else 1) * int((fraction + b"000")[:3])
    except ValueError:
        return None
