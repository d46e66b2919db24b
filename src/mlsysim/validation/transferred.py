"""Pairs of runs on two devices: the second predicted from the first, by a fit that never saw its device."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlsysim.efficiency.conditioning import Deviation, expected
from mlsysim.efficiency.deviations import Place, Point, priors
from mlsysim.efficiency.fit import Anchor, Array, Model, components
from mlsysim.errors import InvalidValue
from mlsysim.evidence.base import packaged
from mlsysim.evidence.measurement import Measurement
from mlsysim.evidence.tables import Refusal
from mlsysim.validation.carrying import MACHINE, Pair, pair_of, shares_of, weights_of, worth_of_shares
from mlsysim.validation.held_out import Mask, samples_of
from mlsysim.validation.places import points_of
from mlsysim.validation.score import Predicted

NEEDED = ("pair_id", "kind", "row_a", "row_b")
"""Columns of a table of pairs; the rows are those of packaged measurements."""


STARVED, BACKWARDS = ", memory-starved", ", read backwards"
"""Of a group: the table says that there was little room for the cache; the pair is listed the other way round."""
ALONE_WORDS = ", nothing carried"
"""What the group of a prediction is called that does not look at the first run."""


class Asked(NamedTuple):
    """A pair of a table: the indices of its rows, whether it is listed in this order, whether memory was short."""

    pair: str
    a: int
    b: int
    forward: bool
    starved: bool


def device_pairs(
    measurements: Sequence[Measurement], points: Sequence[Point], model: Model, anchor: Anchor
) -> Iterator[Pair]:
    """Yield the pairs of one source that differ in the device alone, in both orders.

    Residuals of a pair are those of a fit without the device of its second run.
    """
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for i, m in enumerate(measurements):
        groups[m.source, m.setup, points[i].place._replace(machine=None)].append(i)  # type: ignore[arg-type]
    into: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for rows in groups.values():
        for i in rows:
            for j in rows:
                if points[i].place.machine != points[j].place.machine:
                    into[measurements[j].hardware].append((i, j))
    for name, pairs in sorted(into.items()):
        residual = residuals_without_device(measurements, model, anchor, name)
        yield from (pair_of(measurements, points, residual, i, j, MACHINE) for i, j in pairs)


def residuals_without_device(measurements: Sequence[Measurement], model: Model, anchor: Anchor, name: str) -> Array:
    """Return ln(measured / predicted) of all rows, from a fit that has not seen a device."""
    held = np.array([m.hardware == name for m in measurements])
    found: Array = model.y - model.predict(model.without(anchor, held))[0]
    return found


def read_pairs(path: Path) -> list[dict[str, str]] | None:
    """Return the strict pairs of a table, None where a file is no table of pairs."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not set(NEEDED) <= set(reader.fieldnames or []):
                return None
            return [row for row in reader if row["kind"] == "strict"]
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise InvalidValue("file", "a CSV file of measurements", str(path), str(problem)) from None


def transferred(
    rows: Iterable[dict[str, str]], progress: Callable[[str], None] = lambda _: None
) -> tuple[list[Predicted], list[Refusal]]:
    """Predict the second run of every pair, and the first from the second, each by a fit without its device.

    What is carried is estimated from all other packaged pairs: those of which neither device is the judged one. Beside
    each, under a group of its own, stands the prediction alone, which does not look at the first run.
    """
    measurements, samples, _ = samples_of(packaged())
    index = {m.id: i for i, m in enumerate(measurements)}
    asked: dict[int, list[Asked]] = defaultdict(list)
    refused = []
    for line, row in enumerate(rows, start=2):
        a, b = index.get(row["row_a"]), index.get(row["row_b"])
        if a is None or b is None:
            refused.append(Refusal(line, row["pair_id"], "a run that is not among the packaged ones", row["regime"]))
            continue
        starved = row.get("mem_starved", "").lower() == "true"
        asked[b].append(Asked(row["pair_id"], a, b, True, starved))
        asked[a].append(Asked(row["pair_id"], b, a, False, starved))
    out: list[Predicted] = []
    for part in components(samples):
        if any(i in asked for i in part):
            out += _part(part, measurements, Model([samples[i] for i in part]), asked, progress)
    return out, refused


def _part(
    part: list[int],
    measurements: Sequence[Measurement],
    model: Model,
    asked: dict[int, list[Asked]],
    progress: Callable[[str], None],
) -> list[Predicted]:
    progress("all rows")
    these = [measurements[i] for i in part]
    where = {i: n for n, i in enumerate(part)}
    theta, spreads, _, _ = model.fit()
    anchor = model.anchor(theta, spreads)
    points = points_of(these, model, anchor.derivative)
    everything = list(device_pairs(these, points, model, anchor))
    known = priors()
    worth, weights = worth_of_shares(everything, known), weights_of(everything)
    out: list[Predicted] = []
    for name in sorted({m.hardware for m in these}):
        judged = [pair for n, m in enumerate(these) if m.hardware == name for pair in asked.get(part[n], ())]
        if not judged:
            continue
        progress(name)
        machine = points[where[judged[0].b]].place.machine.name
        table = shares_of(everything, known, worth, weights, _without(machine, everything), source_known=True)
        residual = residuals_without_device(these, model, anchor, name)
        for pair in judged:
            i, j = where[pair.a], where[pair.b]
            deviation = expected([points[i]], [residual[i]], [0.0], [points[j]], known, table)[0]
            m = named(these[j], pair, points[i].place, points[j].place)
            out.append(_predicted(m, residual[j], deviation))
            alone = m._replace(group=m.group + ALONE_WORDS, regime=m.regime + ALONE_WORDS)
            out.append(_predicted(alone, residual[j], deviation._replace(mean=0.0)))
    return out


def _without(machine: str, pairs: Sequence[Pair]) -> Mask:
    """Return which pairs have nothing to do with a device."""
    return np.array([machine not in (p.a.place.machine.name, p.b.place.machine.name) for p in pairs])


def named(m: Measurement, pair: Asked, a: Place, b: Place) -> Measurement:
    """Return the second run of a pair under the pair's id, its memory classes as group, its devices as regime."""
    classes = " -> ".join(p.machine.memory_class or p.machine.kind for p in (a, b))
    devices = " -> ".join(p.machine.name for p in (a, b))
    way = (STARVED if pair.starved else "") + ("" if pair.forward else BACKWARDS)
    return m._replace(id=pair.pair, group=f"{m.regime}: {classes}{way}", regime=f"{m.regime}: {devices}{way}")


def _predicted(m: Measurement, residual: float, deviation: Deviation) -> Predicted:
    seconds = m.seconds * math.exp(deviation.mean - residual)
    width = math.exp(deviation.half)
    return Predicted(m, seconds, seconds / width, seconds * width)
