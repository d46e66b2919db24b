"""The causes that eta compresses: what each is, how it is seen, what usually mends it, and where it is visible.

``factors.tsv`` holds the twelve, and beside them what else an attribution of time may name; ``factor_visibility.tsv``
what each source of a measurement tells of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from mlsysim.errors import UnknownName
from mlsysim.registry import nearest, normal, read_table

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


class Visibility(NamedTuple):
    """What one source tells of one cause: the kind, and by which events or fields, or why not."""

    kind: str
    how: str


class Factor(NamedTuple):
    """One cause: what it is, its sign in a profile, what usually mends it, and what each source tells of it.

    ``twelve`` is true of the twelve causes that eta compresses, and false of the names beside them.
    """

    name: str
    title: str
    meaning: str
    sign: str
    mend: str
    twelve: bool
    status: Mapping[str, Visibility]


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
    return {
        row["name"]: Factor(
            row["name"],
            row["title"],
            row["meaning"],
            row["sign"],
            row["mend"],
            row["twelve"] == "yes",
            seen[row["name"]],
        )
        for row in read_table(_PACKAGE, "factors.tsv")
    }
