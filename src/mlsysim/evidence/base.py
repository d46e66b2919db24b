"""The packaged measurements: rows of public tables, each with its source and its place, in the tables' own columns."""

from __future__ import annotations

from functools import cache

from mlsysim.evidence.measurement import Measurement
from mlsysim.evidence.tables import readings
from mlsysim.registry import read_table


@cache
def packaged() -> tuple[Measurement, ...]:
    """Return all packaged measurements."""
    found: list[Measurement] = []
    for kind in ("training", "inference"):
        found += readings(kind, read_table("mlsysim.evidence", f"{kind}.tsv")).measurements
    return tuple(found)
