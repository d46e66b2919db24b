"""Where work runs: grids of countries, states and eGRID subregions, and the cloud regions that sit in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from mlsysim.costs.figures import CostFigure, figures, rows
from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.registry import Registry, Row, normal

SCOPES = ("life-cycle", "direct")
"""What an intensity counts: fuel, plants and their making; or what leaves the chimneys."""
SECTORS = ("industrial", "commercial")
"""Whose price of electricity."""


@dataclass(frozen=True, slots=True)
class Region:
    """A place with a grid. ``within`` are those it lies in, nearest first: what it has no figure of, they may have.

    ``kind`` is country, state, grid (an eGRID subregion) or cloud. All intensities are location-based: of the grid
    there, whatever certificates an operator buys.
    """

    name: str
    title: str
    kind: str
    within: tuple[str, ...] = ()
    note: str = ""

    def carbon(self, scope: str | None = None) -> CostFigure:
        """Return the carbon intensity of the nearest grid that has one [kg CO2e/J]; ``of`` says which grid.

        ``scope`` is ``life-cycle`` or ``direct``; if None, what there is of the nearest grid, and ``basis`` tells.
        Figures of the two scopes are not comparable, and a scope that only a wider region has comes from there.

        Raises
        ------
        InvalidValue
            Another scope, or one of which nothing is published here.
        """
        if scope is not None and scope not in SCOPES:
            raise InvalidValue("scope", " or ".join(SCOPES), scope)
        found = next((f for f in self._all("carbon.tsv") if scope is None or f.basis.startswith(scope)), None)
        if found is not None:
            return found
        has = [s for s in SCOPES if any(f.basis.startswith(s) for f in self._all("carbon.tsv"))]
        hint = f"{self.name} has {has[0]}" if has else f"nothing is published of {self.name}: give a number"
        raise InvalidValue("scope", "one that is published of the region", scope, hint)

    def electricity(self, sector: str = "industrial") -> CostFigure | None:
        """Return the price that a sector pays in the nearest region with one, None if none is known [USD/J].

        Raises
        ------
        InvalidValue
            A sector other than industrial or commercial.
        """
        if sector not in SECTORS:
            raise InvalidValue("sector", " or ".join(SECTORS), sector)
        return next((f for f in self._all("electricity.tsv") if f.basis == sector), None)

    def water(self) -> CostFigure | None:
        """Return the water consumed in generation in the nearest region with a figure, None if none [m^3/J]."""
        return next(self._all("water.tsv"), None)

    def _all(self, table: str) -> Iterator[CostFigure]:
        found = figures(table, "region")
        for name in (self.name, *self.within):
            yield from found.get(name, ())


def region(name: str | Region) -> Region:
    """Return a region by name, code or the identifier that a cloud gives it.

    ``germany``, ``DE``, ``virginia``, ``SRVC``, ``eu-west-1``, ``westeurope`` and ``europe-west4`` are known. Of
    ``us-east-1`` and ``us-east1`` the spelling decides: the first is Amazon's, the second Google's.

    Raises
    ------
    UnknownName
        None of that name; the nearest are suggested.
    """
    if isinstance(name, Region):
        return name
    if isinstance(name, str) and (exact := _identifiers().get(name.strip().lower())):
        return Regions[exact]
    if isinstance(name, str) and len(alike := _alike().get(normal(name), [])) > 1:
        raise UnknownName("region", name, alike, "clouds spell them alike")
    return Regions[name]


@lru_cache(maxsize=1)
def _identifiers() -> dict[str, str]:
    return {row["id"]: row["name"] for row in rows("regions.tsv") if row["id"]}


@lru_cache(maxsize=1)
def _alike() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for identifier, name in _identifiers().items():
        found.setdefault(normal(identifier), []).append(name)
    return found


def _rows() -> Iterator[Row]:
    for row in rows("regions.tsv"):
        yield row | {"attribute": row["name"].replace("-", "_").upper()}


def _build(row: Row) -> Region:
    within = tuple(filter(None, row["within"].split(";")))
    return Region(row["name"], row["title"], row["kind"], within, row["note"])


Regions: Registry[Region] = Registry("region", "`mlsysim.costs.regions.Regions` lists all", _rows, _build)
