"""JSON as programs leave it: one object, an array of them, or one a line; of a broken file, what is whole."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from mlsysim.calibration.logs.log import LeftOut
from mlsysim.calibration.logs.source import Source

_BETWEEN_OBJECTS = re.compile(r"[\s,\[\]]*")
_BETWEEN_FIELDS = re.compile(r"[\s,]*")
_SPACE = re.compile(r"\s*")
_COLON = re.compile(r"\s*:\s*")
_OPENED = (b"{", b"[", b",")
"""What the first line of an object printed over several lines ends with."""
_DECODER = json.JSONDecoder()


class Document(NamedTuple):
    """One JSON object of a file, and the line on which it starts."""

    line: int
    fields: dict[str, Any]


class Documents:
    """The JSON objects of a file, in order; lines are read one by one and not kept.

    An object that breaks off is given with the fields that were whole where it is the only one of its file;
    ``left_out`` says what was not used. Lines that ``skip`` tells are passed over unread.
    """

    def __init__(self, source: Source, skip: Callable[[bytes], bool] | None = None) -> None:
        self.source, self._skip = source, skip
        self.left_out: list[LeftOut] = []

    def __iter__(self) -> Iterator[Document]:
        lines = ((number, text) for number, text in self.source.lines() if text.strip())
        first = next(lines, None)
        if first is None:
            return
        number, text = first[0], first[1].strip()
        second = None if text.endswith(_OPENED) else next(lines, None)
        if second is None:  # one object over several lines, or on the only one
            yield from self._spread(b"".join(self.source.pieces()))
            return
        yield from self._line(number, text)
        yield from self._line(*second)
        for number, text in lines:
            if self._skip is None or not self._skip(text):
                yield from self._line(number, text)

    def _line(self, number: int, text: bytes) -> Iterator[Document]:
        try:
            found = parsed(text)
        except ValueError as problem:
            self.left_out.append(LeftOut(number, f"not a whole JSON object: {problem}"))
            return
        if isinstance(found, dict):
            yield Document(number, found)
        else:
            self.left_out.append(LeftOut(number, f"not a JSON object but a {type(found).__name__}"))

    def _spread(self, data: bytes) -> Iterator[Document]:
        """Yield the objects of a text in which one may take several lines."""
        try:
            found = parsed(data)
        except ValueError:
            found = None
        if isinstance(found, dict):
            yield Document(1, found)
            return
        text = data.decode("utf-8", "replace")
        at = _after(_BETWEEN_OBJECTS, text, 0)
        while at < len(text):
            line = 1 + text.count("\n", 0, at)
            try:
                found, end = _DECODER.raw_decode(text, at)
            except (ValueError, RecursionError):
                if text[:at].strip():  # one of several: those before it are used
                    self.left_out.append(LeftOut(line, "the JSON breaks off in this object"))
                    return
                fields, name = _whole_fields(text, at)
                last = 1 + text.count("\n")
                where = f"in field {name!r}" if name else "between two fields"
                self.left_out.append(LeftOut(last, f"the JSON breaks off {where}; what stands before it is used"))
                yield Document(line, fields)
                return
            if isinstance(found, dict):
                yield Document(line, found)
            else:
                self.left_out.append(LeftOut(line, f"not a JSON object but a {type(found).__name__}"))
            at = _after(_BETWEEN_OBJECTS, text, end)
        if text.lstrip().startswith("[") and not text.rstrip().endswith("]"):
            self.left_out.append(LeftOut(1 + text.count("\n"), "the JSON breaks off between two objects"))


def parsed(text: bytes) -> Any:
    """Return the JSON value of a text; NaN and Infinity are taken, as Python's own writer leaves them.

    orjson, where it is installed, reads long arrays of numbers three times as fast as the standard library.

    Raises
    ------
    ValueError
        Not JSON.
    """
    fast = _fast()
    if fast is not None:
        try:
            return fast(text)
        except ValueError:
            pass  # NaN, which only the standard library takes, or not JSON, which it says better
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


@cache
def _fast() -> Callable[[bytes], Any] | None:
    try:
        found: Callable[[bytes], Any] = import_module("orjson").loads
    except ImportError:
        return None
    return found


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _whole_fields(text: str, at: int) -> tuple[dict[str, Any], str]:
    """Return the fields of a broken object that are whole, and the name of the one in which it breaks off."""
    fields: dict[str, Any] = {}
    name = ""
    try:
        at = _after(_BETWEEN_FIELDS, text, at + 1)
        while text[at : at + 1] == '"':
            name, at = _DECODER.raw_decode(text, at)
            value, at = _DECODER.raw_decode(text, _after(_COLON, text, at))
            at = _after(_SPACE, text, at)
            if text[at : at + 1] not in (",", "}"):
                break  # a number at the very end may have lost digits
            fields[name] = value
            name, at = "", _after(_BETWEEN_FIELDS, text, at)
    except (ValueError, RecursionError):
        pass
    return fields, name


def has_fields(source: Source, *names: str) -> bool:
    """Return whether the head of a file is JSON with all these field names, at whatever depth."""
    text = source.head
    return text.lstrip()[:1] in ("{", "[") and all(re.search(rf'"{name}"\s*:', text) for name in names)
