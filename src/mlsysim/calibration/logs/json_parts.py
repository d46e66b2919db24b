"""What is whole of a JSON array that may break off."""

from __future__ import annotations

import json
import math
import re
from typing import Any

_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r"[\s,]*")


def elements(text: str, at: int) -> tuple[list[tuple[int, Any]], bool]:
    """Return the whole elements of the array that begins at ``at``, each with its line, and whether it ends."""
    found: list[tuple[int, Any]] = []
    line, counted, at = 1, 0, at + 1
    while True:
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]  # matches nothing, too
        if text[at : at + 1] == "]":
            return found, True
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return found, False
        line += text.count("\n", counted, at)
        counted = at
        found.append((line, value))
        at = end


def number(value: Any) -> float | None:
    """Return a JSON number, infinite where no float holds it; None where the value is none."""
    if type(value) is float:
        return value
    try:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else None
    except OverflowError:
        return math.inf
