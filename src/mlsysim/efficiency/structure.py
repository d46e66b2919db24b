"""The physical parameters of the efficiency model: what each means, its prior, and what it may depend on.

``structure.tsv`` states them, one a row; ``fitted.tsv`` holds what measurements made of them. A parameter's value is
``exp(base + sum of the offsets of its levels)``, at most ``most``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple

from mlsysim.registry import Row, read_table


class Quantity(NamedTuple):
    """One physical parameter: its unit, the median and spread (of its logarithm) of its prior, its upper bound.

    ``effects`` are the factors it may depend on, each with the spread that its levels are expected to have.
    """

    name: str
    unit: str
    prior: float
    spread: float
    most: float
    effects: Mapping[str, float]
    meaning: str


@cache
def structure() -> dict[str, Quantity]:
    """Return all parameters by name."""
    return {r["name"]: _quantity(r) for r in read_table("mlsysim.efficiency", "structure.tsv")}


def _quantity(r: Row) -> Quantity:
    effects = {f: float(s) for f, _, s in (e.partition(":") for e in r["effects"].split())}
    most = float(r["most"]) if r["most"] else math.inf
    return Quantity(r["name"], r["unit"], float(r["prior"]), float(r["spread"]), most, effects, r["meaning"])


Offsets = Mapping[tuple[str, str, str], float]
"""What a level adds to the logarithm of a parameter, by parameter, factor and level (the base where both are empty)."""


def value_of(quantity: Quantity, offsets: Offsets, levels: Mapping[str, str]) -> float:
    """Return a parameter for the given levels, in its unit."""
    log = math.log(quantity.prior)
    for key in keys(quantity, levels):
        log += offsets.get(key, 0.0)
    return min(math.exp(log), quantity.most)


def keys(quantity: Quantity, levels: Mapping[str, str]) -> Iterable[tuple[str, str, str]]:
    """Yield the offsets that a parameter takes for the given levels: its base, and one a factor that is stated."""
    yield quantity.name, "", ""
    for factor in quantity.effects:
        if level := levels.get(factor):
            yield quantity.name, factor, level
