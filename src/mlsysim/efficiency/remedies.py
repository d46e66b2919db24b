"""What may be tried against each cause of lost time: what it takes, and how much of the cause usually remains."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from mlsysim.efficiency.factors import factor
from mlsysim.registry import Row, read_table

EFFORT = {
    1: "a flag or an environment variable",
    2: "some lines of code",
    3: "another implementation or layout",
    4: "other hardware, or another model",
}
"""What a remedy takes, cheapest first."""


class Remedy(NamedTuple):
    """One thing to try: against which cause, or which part of it, and the shares of it that usually remain.

    ``part`` is empty where all of the cause is meant; ``effort`` a key of :data:`EFFORT`; ``remains_low`` and
    ``remains_high`` lie in [0, 1]; ``applies`` is ``training``, ``serving`` or ``any``; ``on`` what it needs: ``gpu``,
    ``pytorch``, ``eager`` (code that is not compiled), several joined by ``-``, or ``any``; ``source`` where the shares
    were read, with the date, or ``recalled``.
    """

    key: str
    cause: str
    part: str
    action: str
    effort: int
    remains_low: float
    remains_high: float
    applies: str
    on: str
    source: str


def remedies(cause: str | None = None) -> tuple[Remedy, ...]:
    """Return what may be tried against a cause, or against all: least effort first, then what leaves least.

    Raises
    ------
    UnknownName
        No such cause.
    """
    name = None if cause is None else factor(cause).name
    return tuple(r for r in _all() if name in {None, r.cause})


@cache
def _all() -> tuple[Remedy, ...]:
    found = map(_remedy, read_table("mlsysim.efficiency", "remedies.tsv"))
    return tuple(sorted(found, key=lambda r: (r.effort, r.remains_low + r.remains_high)))


def _remedy(row: Row) -> Remedy:
    kinds = {"effort": int, "remains_low": float, "remains_high": float}
    return Remedy(**{k: kinds.get(k, str)(row[k]) for k in Remedy._fields})
