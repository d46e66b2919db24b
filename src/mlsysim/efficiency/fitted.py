"""The fitted parameters, and times predicted from them with an interval.

``fitted.tsv`` holds the offsets of every parameter by factor and level, ``intervals.tsv`` how far measurements lay from
what was predicted for them without their own group: split by what had not been seen (Vovk, Gammerman, Shafer,
Algorithmic Learning in a Random World, 2005, chapter 4; here by groups, not rows).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple

from mlsysim.efficiency.case import Case
from mlsysim.efficiency.equations import EQUATIONS
from mlsysim.efficiency.structure import Offsets, structure, value_of
from mlsysim.registry import read_table, read_text

NEW = ("source", "model", "hardware")
"""What may not have been measured before; each widens the interval."""


class Spread(NamedTuple):
    """Quantiles of ln(measured / predicted) that 90 % lie between, and how many rows they are from."""

    low: float
    high: float
    rows: int


@cache
def fitted() -> Offsets:
    """Return the packaged offsets."""
    lines = read_text("mlsysim.efficiency", "fitted.tsv").splitlines()
    found = {}
    for line in lines[1:]:
        name, factor, level, value, _ = line.split("\t", 4)
        found[name, factor, level] = float(value)
    return found


@cache
def spreads() -> dict[tuple[str, str], Spread]:
    """Return the packaged quantiles by regime and what was not seen (empty: nothing new)."""
    return {
        (r["regime"], r["new"]): Spread(float(r["low"]), float(r["high"]), int(r["n"]))
        for r in read_table("mlsysim.efficiency", "intervals.tsv")
    }


def parameters_of(case: Case, offsets: Offsets | None = None) -> Mapping[str, float]:
    """Return the parameters of an equation at the levels of a case."""
    known = fitted() if offsets is None else offsets
    quantities = structure()
    return {n: value_of(quantities[n], known, case.levels) for n in EQUATIONS[case.equation].NAMES}


@cache
def known_parameters(equation: str, levels: tuple[tuple[str, str], ...]) -> Mapping[str, float]:
    """Return the packaged parameters of an equation at some levels; kept, for they are asked for again and again."""
    return parameters_of(Case(equation, {}, dict(levels)))


def seconds_of(case: Case) -> float:
    """Return the predicted time of a case [s]."""
    p = known_parameters(case.equation, tuple(case.levels.items()))
    return float(EQUATIONS[case.equation].seconds(case.x, p))


def combined(regime: str, new: Iterable[str], table: Mapping[tuple[str, str], Spread]) -> tuple[float, float]:
    """Return the quantiles where several things are new: what each adds to those where nothing is, in squares."""
    base = table[regime, ""]
    low, high = base.low**2, base.high**2
    for kind in new:
        wide = table[regime, kind]
        low += max(0.0, wide.low**2 - base.low**2)
        high += max(0.0, wide.high**2 - base.high**2)
    return -math.sqrt(low), math.sqrt(high)


@cache
def seen() -> dict[str, set[str]]:
    """Return the sources, models and devices that the packaged fit has seen, by kind."""
    found: dict[str, set[str]] = {kind: set() for kind in NEW}
    for r in read_table("mlsysim.efficiency", "seen.tsv"):
        found[r["kind"]].add(r["name"])
    return found
