"""The packaged measurements as plain rows that can be filtered, with the eta of each where it has one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.evidence.base import packaged
from mlsysim.evidence.measurement import Measurement
from mlsysim.evidence.tables import read_measurements
from mlsysim.registry import nearest, normal
from mlsysim.scenario import Scenario


class Listed(NamedTuple):
    """One measurement, ready to be shown; ``step_s`` is the time that was measured, or follows from a rate [s]."""

    id: str
    regime: str
    model: str
    hardware: str
    devices: int
    precision: str
    phase: str
    batch_size: int | None
    engine: str
    value: float
    step_s: float
    efficiency: float | None
    attainment: float | None
    published: str
    source: str
    source_url: str
    source_locator: str
    repair: str


_TESTS: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
}
_CONDITION = re.compile(r"\s*(\w+)\s*(>=|<=|!=|=|>|<|~)\s*(.+?)\s*")


def listed(where: str = "", more: Iterable[Path] = ()) -> list[Listed]:
    """Return the measurements that meet all conditions, of the package and of further tables.

    ``where`` is conditions joined by ``and``: ``hardware=b200 and regime=decode and batch_size>1``. ``=`` compares
    names in any spelling and takes the beginning of one (``decode`` for ``decode_b1``), ``~`` a part of it.

    Raises
    ------
    InvalidValue, UnknownName
        A condition that cannot be read; a field that there is none of; a table that cannot be read.
    """
    conditions = [_condition(text) for text in re.split(r"\s+and\s+", where) if text.strip()]
    found = list(packaged())
    for path in more:
        found += read_measurements(path).measurements
    rows = map(row_of, found)
    return [row for row in rows if all(holds(row) for holds in conditions)]


def row_of(m: Measurement) -> Listed:
    """Return a measurement as a row; an eta needs one step of one model, which requests are not."""
    q = m.question
    eta = ceiling = None
    if isinstance(q, Scenario):
        roof = q.roofline(q.work())
        eta, ceiling = roof.compute_s / m.seconds, roof.ceiling
    return Listed(
        m.id,
        m.regime,
        m.model,
        getattr(getattr(q, "hardware", None), "name", m.hardware),
        getattr(q, "devices", 1),
        getattr(q, "precision", ""),
        getattr(q, "phase", "serving" if hasattr(q, "concurrency") else "forward"),
        getattr(q, "batch_size", None),
        m.engine,
        m.value,
        m.seconds,
        eta,
        None if eta is None or ceiling is None else eta / ceiling,
        m.published,
        m.source,
        m.url,
        m.locator,
        m.repair,
    )


def _condition(text: str) -> Callable[[Listed], bool]:
    match = _CONDITION.fullmatch(text)
    if not match:
        raise InvalidValue("where", "conditions such as hardware=b200 and regime=decode", text)
    field, sign, wanted = match[1].lower(), match[2], match[3].strip("'\"")
    field = {"eta": "efficiency", "batch": "batch_size"}.get(field, field)
    if field not in Listed._fields:
        raise UnknownName("where", field, nearest(field, Listed._fields), "known: " + ", ".join(Listed._fields))
    if sign in _TESTS:
        try:
            limit = float(wanted)
        except ValueError:
            raise InvalidValue("where", f"a number after {sign}", text) from None
        return lambda row: _number(row, field) is not None and _TESTS[sign](_number(row, field) or 0.0, limit)
    key = normal(wanted)
    if sign == "~":
        return lambda row: key in normal(str(getattr(row, field)))
    return lambda row: _same(getattr(row, field), wanted, key) == (sign == "=")


def _number(row: Listed, field: str) -> float | None:
    value = getattr(row, field)
    return float(value) if isinstance(value, (int, float)) else None


def _same(value: object, wanted: str, key: str) -> bool:
    if isinstance(value, (int, float)):
        try:
            return float(value) == float(wanted)
        except ValueError:
            return False
    return normal(str(value)).startswith(key)
