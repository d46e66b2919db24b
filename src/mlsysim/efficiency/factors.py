"""The causes that eta compresses: what each is, how it is seen, what usually mends it, and where it is visible.

``factors.tsv`` holds the twelve, and beside them what else an attribution of time may name; ``factor_visibility.tsv``
what each source of a measurement tells of each; ``factor_ranges.tsv``, written by ``tools/factors.py``, how much each
costs in published runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from mlsysim.errors import UnknownName
from mlsysim.registry import Row, nearest, normal, read_table

_PACKAGE = "mlsysim.efficiency"
SOURCES = {
    "pytorch": "trace of the PyTorch profiler, on a GPU",
    "pytorch-cpu": "trace of the PyTorch profiler, on a CPU",
    "nsight": "export of Nsight Systems",
    "xla": "trace of JAX or XLA",
    "onnxruntime": "profile of onnxruntime",
    "timers": "log of Megatron or vLLM with timers",
    "solve": "a solved question, without a trace",
}
"""What time may be attributed from."""
KINDS = ("derived", "observed", "unattributed")
"""How a cause is known: worked out from work and hardware, seen in the source, or not told by it."""
EVIDENCE = {
    "measured": "published runs that differ in it alone",
    "fitted": "parameters that published runs determine",
    "bound": "published runs that differ in more than it: at most this",
    "cited": "read outside the evidence",
    "recalled": "from memory, not read again",
    "none": "the evidence does not tell",
}
"""What a range rests on."""
NOT_ISOLATED = "not isolated in the evidence"


class Visibility(NamedTuple):
    """What one source tells of one cause: the kind, and by which events or fields, or why not."""

    kind: str
    how: str


class Range(NamedTuple):
    """How much a cause costs, as far as it is known: p10, median and p90, or the ends that a publication gives.

    ``unit`` is that of the three figures, ``1`` for shares; ``n`` counts the runs or pairs of runs, 0 where a
    publication does not say; ``of_what`` says what ran and what is compared; ``source`` is where the figures come
    from. ``kind`` is a key of :data:`EVIDENCE`.
    """

    factor: str
    quantity: str
    low: float | None
    median: float | None
    high: float | None
    unit: str
    n: int
    of_what: str
    source: str
    kind: str


class Factor(NamedTuple):
    """One cause: what it is, its sign in a profile, what usually mends it, what sources tell of it, and what it costs.

    ``twelve`` is true of the twelve causes that eta compresses, and false of the names beside them.
    """

    name: str
    title: str
    meaning: str
    sign: str
    mend: str
    twelve: bool
    status: Mapping[str, Visibility]
    ranges: tuple[Range, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the factor as plain data."""
        status = {source: seen._asdict() for source, seen in self.status.items()}
        return {**self._asdict(), "status": status, "ranges": [r._asdict() for r in self.ranges]}


def factors() -> tuple[Factor, ...]:
    """Return the twelve factors."""
    return tuple(f for f in causes().values() if f.twelve)


def factor(name: str) -> Factor:
    """Return a factor, or another cause that time may be attributed to, by its name in any spelling.

    Raises
    ------
    UnknownName
        No such cause.
    """
    key = next((known for known in causes() if normal(known) == normal(name)), None)
    if key is None:
        raise UnknownName("cause", name, nearest(name, causes()), "known: " + ", ".join(causes()))
    return causes()[key]


def visible(source: str) -> Mapping[str, Visibility]:
    """Return what a source tells, by the name of the cause.

    Raises
    ------
    UnknownName
        No such source.
    """
    if source not in SOURCES:
        raise UnknownName("source", source, nearest(source, SOURCES), "known: " + ", ".join(SOURCES))
    return {name: f.status[source] for name, f in causes().items()}


@cache
def causes() -> Mapping[str, Factor]:
    """Return the twelve and the causes beside them, by name."""
    seen: dict[str, dict[str, Visibility]] = {}
    for row in read_table(_PACKAGE, "factor_visibility.tsv"):
        seen.setdefault(row["factor"], {})[row["source"]] = Visibility(row["kind"], row["how"])
    costs: dict[str, list[Range]] = {}
    for found in ranges():
        costs.setdefault(found.factor, []).append(found)
    return {
        row["name"]: Factor(
            row["name"],
            row["title"],
            row["meaning"],
            row["sign"],
            row["mend"],
            row["twelve"] == "yes",
            seen[row["name"]],
            tuple(costs.get(row["name"], ())),
        )
        for row in read_table(_PACKAGE, "factors.tsv")
    }


@cache
def ranges() -> tuple[Range, ...]:
    """Return how much each cause costs in published runs, as far as they tell."""
    return tuple(map(_range, read_table(_PACKAGE, "factor_ranges.tsv")))


def _range(row: Row) -> Range:
    low, median, high = (float(row[k]) if row[k] else None for k in ("low", "median", "high"))
    unit, n = row["unit"], int(row["n"])
    return Range(row["factor"], row["quantity"], low, median, high, unit, n, row["of_what"], row["source"], row["kind"])
