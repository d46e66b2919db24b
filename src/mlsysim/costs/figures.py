"""Published figures of money, carbon and water: SI values that keep what was printed, of when, and where it stands."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from mlsysim.errors import InvalidValue
from mlsysim.physics.economics import JOULES_PER_KWH
from mlsysim.registry import Row, read_table

_PACKAGE = "mlsysim.costs"
_KG_PER_LB = 0.45359237
FACTORS = {
    "g/kWh": 1e-3 / JOULES_PER_KWH,
    "lb/MWh": _KG_PER_LB / (1000 * JOULES_PER_KWH),
    "L/kWh": 1e-3 / JOULES_PER_KWH,
    "USD/kWh": 1 / JOULES_PER_KWH,
    "cent/kWh": 0.01 / JOULES_PER_KWH,
    "USD": 1.0,
    "USD/h": 1.0,
    "kg": 1.0,
    "1": 1.0,
}
"""Units of the tables in kg/J, m^3/J, USD/J, USD, USD/h, kg and 1."""


class CostFigure(NamedTuple):
    """One figure: ``value`` in SI, ``published`` as printed, ``of`` what it is of, ``date`` of when.

    ``basis`` says what is counted (``direct, location-based``; ``industrial``; ``consumption``). ``source`` is
    ``stated`` where the caller gave the number.
    """

    value: float
    published: str
    basis: str
    of: str
    date: str
    source: str
    retrieved: str = ""
    note: str = ""

    @property
    def unverified(self) -> bool:
        """Return whether no document was found that gives the figure: it is recalled, or assumed."""
        return self.source.startswith(("recalled", "assumed"))

    @property
    def per_kwh(self) -> float:
        """Return a figure by energy for a kilowatt-hour instead of a joule [kg, m^3 or USD/kWh]."""
        return self.value * JOULES_PER_KWH

    def __str__(self) -> str:
        """Return the figure with what it is of, when, and whether it was found in a document."""
        about = ", ".join(filter(None, (self.of, self.basis, self.date, "unverified" if self.unverified else "")))
        return f"{self.published} ({about or self.source})"


def stated(value: float, unit: str = "1", of: str = "") -> CostFigure:
    """Return a number that the caller gave, in the unit of the tables, as a figure."""
    return CostFigure(value * FACTORS[unit], _printed(f"{value:g}", unit), "", of, "", "stated")


@cache
def figures(table: str, owner: str, basis: str = "basis") -> Mapping[str, tuple[CostFigure, ...]]:
    """Return a packaged table by owner; ``owner`` and ``basis`` name the columns of those."""
    found: dict[str, list[CostFigure]] = {}
    for row in read_table(_PACKAGE, table):
        found.setdefault(row[owner], []).append(_figure(row, row[owner], row.get(basis, "")))
    return {name: tuple(rows) for name, rows in found.items()}


def rows(table: str) -> Iterable[Row]:
    """Return the rows of a packaged table."""
    return read_table(_PACKAGE, table)


def number(value: Any, field: str, low: float = 0.0, high: float = math.inf) -> Any:
    """Return a number as it is if it is finite and in [low, high]; arrays are passed on unchecked.

    Raises
    ------
    InvalidValue
        It is not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        if hasattr(value, "shape"):
            return value
        raise InvalidValue(field, "a number", value)
    if not (math.isfinite(value) and low <= value <= high):
        limits = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
        raise InvalidValue(field, f"a finite number {limits}", value)
    return float(value)


def _figure(row: Row, of: str, basis: str) -> CostFigure:
    unit = row["unit"]
    return CostFigure(
        float(row["value"]) * FACTORS[unit],
        _printed(row["value"], unit),
        basis,
        of,
        row["date"],
        row["source"],
        row["retrieved"],
        row["note"],
    )


def _printed(value: str, unit: str) -> str:
    return value if unit == "1" else f"{value} {unit}"
