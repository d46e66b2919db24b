"""Deviations: by what factor one's own runs take longer than predicted, and what a few of them say of others.

The logarithm of measured over predicted time is taken as a Gaussian process. Its covariance has three parts: one common
to all runs (``scale``); one for every parameter of the equation (``shape``), so that runs in which the same parameters
matter deviate alike; and one of neighbours alone (``local``), halved by every doubling of a batch or length. One
measured run moves the scale, several move the shape; what is far from all of them goes back to the prediction. A share
of it is carried from one device, model, precision or number of devices to another: ``carried.tsv`` has it by kind of
move, estimated from pairs of published runs that differ in this alone (``tools/carried.py``). Rasmussen and Williams,
Gaussian Processes for Machine Learning (2006), sections 2.2 and 2.7.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from mlsysim.precision import SPARSE
from mlsysim.registry import read_table

if TYPE_CHECKING:
    import numpy as np

Array: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
LEAST_NOISE = 0.01
"""Standard deviation that any measured time is taken to have at least [ln]: an assumption, that keeps sums solvable."""


ALONE = ("model", "precision", "devices", "engine")
"""Fields of a place that are a kind of move each."""


class Machine(NamedTuple):
    """Of a device, what decides how much carries over to another."""

    name: str
    kind: str
    vendor: str
    generation: str
    memory_class: str


class Place(NamedTuple):
    """Of a run, what decides how much it says of another; ``sizes`` are its batch and its lengths."""

    regime: str
    machine: Machine
    model: str
    precision: str
    devices: int
    engine: str
    sizes: tuple[float, ...]


class Point(NamedTuple):
    """A run, with the slopes of ln of its predicted time by ln of each parameter."""

    place: Place
    slopes: Mapping[str, float]


class Prior(NamedTuple):
    """Standard deviations of a regime [ln], and how many normal ones in truth hold what one should."""

    scale: float
    shape: float
    local: float
    tail: float


class Share(NamedTuple):
    """The share that is carried over a kind of move, and how many normal standard deviations hold what one should."""

    value: float
    tail: float
    pairs: int


NOTHING_CARRIED = Share(0.0, 1.0, 0)
"""Where no published pair says anything of a move."""


@cache
def priors() -> dict[str, Prior]:
    """Return the standard deviations by regime; those of the empty name stand for every other."""
    return {
        r["regime"]: Prior(*(float(r[k]) for k in Prior._fields))
        for r in read_table("mlsysim.efficiency", "deviations.tsv")
    }


@cache
def shares() -> dict[tuple[str, str], Share]:
    """Return what is carried by regime and kind of move; those of the empty regime stand for every other."""
    return {
        (r["regime"], r["move"]): Share(float(r["share"]), float(r["tail"]), int(r["pairs"]))
        for r in read_table("mlsysim.efficiency", "carried.tsv")
    }


def prior_of(regime: str, known: Mapping[str, Prior] | None = None) -> Prior:
    """Return the standard deviations of a regime."""
    table = priors() if known is None else known
    return table.get(regime, table[""])


def moves(a: Place, b: Place) -> list[str]:
    """Return the kinds of move between two runs, from a list that a table has shares for."""
    found = []
    if a.machine != b.machine:
        found.append(distance(a.machine, b.machine))
    found += [field for field in ALONE if getattr(a, field) != getattr(b, field)]
    if a.precision.endswith(SPARSE) != b.precision.endswith(SPARSE):
        found.append("sparse")
    if _phase(a.regime) != _phase(b.regime):
        found.append("phase")
    return found


def distance(a: Machine, b: Machine) -> str:
    """Return how far one device is from another: family within memory class within kind of machine.

    Within a kind the memory class of the second bears on it (``same-family/hbm``): some are better known than others.
    """
    if a.kind != b.kind:
        return "other-kind"
    if a.memory_class != b.memory_class:
        within = "other-memory-class"
    else:
        within = "same-memory-class" if (a.vendor, a.generation) != (b.vendor, b.generation) else "same-family"
    return f"{within}/{b.memory_class}" if b.memory_class else within


def _phase(regime: str) -> str:
    """Return what regimes of one kind of work share: decode alone and under load, vision at any batch."""
    return {"decode_b1": "decode", "serving_throughput": "decode", "vision-1": "vision", "vision-batch": "vision"}.get(
        regime, regime
    )


def share_of(regime: str, move: str, known: Mapping[tuple[str, str], Share] | None = None) -> Share:
    """Return what is carried over a kind of move: in its regime and memory class, else over a farther one there.

    Where no such pairs are published, in its regime, else in all.
    """
    table = shares() if known is None else known
    wider, _, memory = move.partition("/")
    farther = f"same-memory-class/{memory}" if wider == "same-family" else move
    keys = ((regime, move), (regime, farther), (regime, wider), ("", wider))
    return next((table[key] for key in keys if key in table), NOTHING_CARRIED)


def carried(a: Place, b: Place, known: Mapping[tuple[str, str], Share] | None = None) -> float:
    """Return the share of a deviation that two runs have in common.

    A deviation is made of independent parts: one that all runs have, one of each memory class, family and device; and
    so for each other field, one that all its values have and one of each. What two runs have in common is the product
    over fields of the parts that both have, so that no set of runs can contradict itself. Nothing is common to two
    kinds of machine, to dense and sparse arithmetic, or to two kinds of work.
    """
    if _phase(a.regime) != _phase(b.regime) or a.precision.endswith(SPARSE) != b.precision.endswith(SPARSE):
        return 0.0
    found = _of_machines(a, b, known)
    for field in ALONE:
        here, there = (share_of(place.regime, field, known).value for place in (a, b))
        alike = 2 if getattr(a, field) == getattr(b, field) else 1
        found *= _inner((here, 1.0 - here), (there, 1.0 - there), alike)
    return found


def _of_machines(a: Place, b: Place, known: Mapping[tuple[str, str], Share] | None) -> float:
    one, other = a.machine, b.machine
    if one.kind != other.kind:
        return 0.0
    alike = 4
    if one != other:
        same_class = one.memory_class == other.memory_class
        same_family = (one.vendor, one.generation) == (other.vendor, other.generation)
        alike = 1 + same_class + (same_class and same_family)
    return _inner(_parts(a, known), _parts(b, known), alike)


def _parts(place: Place, known: Mapping[tuple[str, str], Share] | None) -> tuple[float, ...]:
    """Return what of a deviation is of all devices, of a memory class, of a family and of one device.

    What is farther away has no more in common, whatever the pairs of few devices say.
    """
    words = ("same-family", "same-memory-class", "other-memory-class")
    memory = f"/{place.machine.memory_class}" if place.machine.memory_class else ""
    family, within, everywhere = (share_of(place.regime, word + memory, known).value for word in words)
    within = min(within, family)
    everywhere = min(everywhere, within)
    return everywhere, within - everywhere, family - within, 1.0 - family


def _inner(a: Sequence[float], b: Sequence[float], count: int) -> float:
    return math.fsum(math.sqrt(x * y) for x, y in zip(a[:count], b[:count], strict=True))


def covariance(
    a: Point,
    b: Point,
    known: Mapping[str, Prior] | None = None,
    table: Mapping[tuple[str, str], Share] | None = None,
) -> float:
    """Return the covariance of the deviations of two runs."""
    alike = math.fsum(slope * b.slopes.get(name, 0.0) for name, slope in a.slopes.items())
    here, there = prior_of(a.place.regime, known), prior_of(b.place.regime, known)
    whole: float = _common(here, there, alike, near(a.place.sizes, b.place.sizes))
    return whole if a.place[:-1] == b.place[:-1] else carried(a.place, b.place, table) * whole


def _common(here: Prior, there: Prior, alike: Any, close: Any) -> Any:
    """Return what two runs of one place share: scale, the parameters that matter to both, and what neighbours do."""
    return here.scale * there.scale + here.shape * there.shape * alike + min(here.local, there.local) ** 2 * close


def covariances(
    a: Sequence[Point],
    b: Sequence[Point],
    known: Mapping[str, Prior] | None = None,
    table: Mapping[tuple[str, str], Share] | None = None,
) -> Array:
    """Return the covariances of the deviations of runs with others: one row for each of ``a``."""
    import numpy as np

    names = {n: i for i, n in enumerate(sorted({n for p in (*a, *b) for n in p.slopes}))}

    def slopes(points: Sequence[Point]) -> Array:
        found = np.zeros((len(points), len(names)))
        for row, p in enumerate(points):
            found[row, [names[n] for n in p.slopes]] = list(p.slopes.values())
        return found

    alike = slopes(a) @ slopes(b).T
    first, second = (np.array([p.place.sizes for p in points], float) for points in (a, b))
    both = (first[:, None] > 0) & (second[None] > 0)
    logs = [np.log2(np.where(sizes > 0, sizes, 1.0)) for sizes in (first, second)]
    close = 0.5 ** np.where(both, np.abs(logs[0][:, None] - logs[1][None]), 0.0).sum(axis=2)
    out = np.empty(alike.shape)
    rows, columns = _by_place(a), _by_place(b)
    for x, at in rows.items():
        for y, to in columns.items():
            block = np.ix_(at, to)
            here, there = prior_of(x.regime, known), prior_of(y.regime, known)
            out[block] = carried(x, y, table) * _common(here, there, alike[block], close[block])
    return out


def _by_place(points: Sequence[Point]) -> dict[Place, list[int]]:
    """Return the points, by index, of each place but for their sizes."""
    found: dict[Place, list[int]] = {}
    for i, p in enumerate(points):
        found.setdefault(p.place._replace(sizes=()), []).append(i)
    return found


def near(a: Sequence[float], b: Sequence[float]) -> float:
    """Return how near runs of two sizes are: a half for every doubling between them."""
    return float(0.5 ** sum(abs(math.log2(x / y)) for x, y in zip(a, b, strict=False) if x > 0 and y > 0))
