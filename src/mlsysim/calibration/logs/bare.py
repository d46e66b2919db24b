"""A bare number in place of a log: ``2100``, ``2100 tok/s``, ``12 ms``, ``0.42``."""

from __future__ import annotations

import re
from typing import NamedTuple

_NUMBER = re.compile(r"^\s*\+?((?:\d{1,3}(?:,\d{3})+|\d[\d_]*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s*([^\s\d].*?)?\s*$")
_LONGEST = 64
"""Characters of a number with its unit; what is longer is a path."""
_TIMES = ("ns", "us", "µs", "ms", "s", "sec", "second", "seconds", "min", "h")


class Bare(NamedTuple):
    """A measurement: ``quantity`` is ``throughput``, ``time_s`` or ``efficiency``, ``text`` what units parse."""

    quantity: str
    text: str


def bare(text: str) -> Bare | None:
    """Return what an argument measures that is a number, perhaps with a unit; None where it is none.

    Without a unit, a number below 1 is an efficiency and any other a throughput: fewer than one item a second is no
    speed that is told without its unit, and nothing is more efficient than 1.
    """
    match = _NUMBER.match(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    unit, value = (match[2] or "").strip(), text.strip()
    if not unit:
        number = float(value.replace(",", "").replace("_", ""))
        return Bare("efficiency" if 0 < number < 1 else "throughput", value)
    if unit == "%":
        return Bare("efficiency", value)
    if unit in _TIMES:
        return Bare("time_s", value)
    return Bare("throughput", value) if "/" in unit or unit.lower() in {"tps", "fps"} else None
