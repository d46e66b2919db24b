"""Data centres by operator: what their buildings add to the power (PUE) and evaporate (WUE), as published."""

from __future__ import annotations

from typing import NamedTuple

from mlsysim.costs.figures import CostFigure, figures, stated
from mlsysim.costs.regions import Region
from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.registry import nearest, normal

AVERAGE = "industry"
"""The facility where no operator is named: the average of Uptime Institute's survey."""
_OPERATORS = {"gcp": "google", "aws": "aws", "azure": "microsoft"}


class Facility(NamedTuple):
    """A data centre, or the mean of an operator's: ``pue``, and ``wue`` [m^3/J of equipment]; None is unpublished."""

    name: str
    pue: CostFigure | None
    wue: CostFigure | None


def facility(name: str | Facility) -> Facility:
    """Return a facility by name: ``google``, ``aws``, ``meta``, ``industry``, ``microsoft-arizona``, ...

    Raises
    ------
    UnknownName
        None of that name; the nearest are suggested.
    """
    if isinstance(name, Facility):
        return name
    known = figures("facilities.tsv", "facility", "quantity")
    found = next((n for n in known if isinstance(name, str) and normal(n) == normal(name)), None)
    if found is None:
        raise UnknownName("facility", str(name), nearest(str(name), known), f"known are {', '.join([*known][:5])}, ...")
    by_quantity = {f.basis: f for f in known[found]}
    return Facility(found, by_quantity.get("pue"), by_quantity.get("wue"))


def facility_of(region: Region) -> Facility:
    """Return the mean of the operator whose cloud region it is, the average of the industry elsewhere."""
    operator = region.name.partition("-")[0] if region.kind == "cloud" else ""
    return facility(_OPERATORS.get(operator, AVERAGE))


def pue_of(pue: float | str | Facility | None, region: Region | None) -> CostFigure:
    """Return the PUE that a number or a facility's name stands for; None is that of the region's operator.

    Raises
    ------
    InvalidValue, UnknownName
        Below 1, no such facility, or one that publishes none.
    """
    if isinstance(pue, (int, float)):
        if isinstance(pue, bool) or not 1 <= pue < float("inf"):
            raise InvalidValue("pue", "a finite number of at least 1", pue)
        return stated(float(pue))
    usual = facility_of(region) if region else facility(AVERAGE)
    chosen = usual if pue is None else facility(pue)
    if chosen.pue is None:
        raise InvalidValue("pue", "a number or a facility that publishes one", chosen.name)
    return chosen.pue
