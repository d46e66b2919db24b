"""Cells of a table of measurements, read and checked one by one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from mlsysim.evidence.measurement import Refused

Row = Mapping[str, str]


def number(row: Row, field: str) -> float:
    """Return a positive number.

    Raises
    ------
    Refused
        Empty, not a number, with a unit, or not positive and finite.
    """
    found = optional(row, field)
    if found is None:
        raise Refused(f"no {field}")
    return found


def optional(row: Row, field: str) -> float | None:
    """Return a positive number, None where the cell is empty.

    Raises
    ------
    Refused
        Not a number, with a unit, or not positive and finite.
    """
    text = (row.get(field) or "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        unit = re.fullmatch(r"[-+]?[\d.,]+(?:[eE][-+]?\d+)?\s*(\S+)", text)
        raise Refused(f"a unit in {field}: write the number alone" if unit else f"{field} is not a number") from None
    if not math.isfinite(value):
        raise Refused(f"{field} is not finite")
    if value < 0 or (value == 0 and field == "value"):
        raise Refused(f"{field} is not positive")
    return value


def count(row: Row, field: str, default: int = 0) -> int:
    """Return a whole number, ``default`` where the cell is empty.

    Raises
    ------
    Refused
        Not a whole number.
    """
    found = optional(row, field)
    if found is None:
        return default
    if found != int(found):
        raise Refused(f"{field} is not a whole number")
    return int(found)
