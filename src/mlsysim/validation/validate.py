"""Every row of a table predicted without its measured value, and how far off that is."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlsysim.efficiency.deviations import Point, priors
from mlsysim.efficiency.fit import Anchor, Array, Model, Sample, components
from mlsysim.efficiency.fitted import combined, seconds_of, seen, spreads
from mlsysim.efficiency.predict import slopes_of
from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.evidence.base import packaged
from mlsysim.evidence.lock import locked
from mlsysim.evidence.measurement import Measurement
from mlsysim.evidence.tables import Refusal, read_measurements
from mlsysim.registry import nearest
from mlsysim.validation.deployments import best_priors, judged_deployments, tails_of_deployments
from mlsysim.validation.handed_over import ARBITRARY, CHOICES, calibrated
from mlsysim.validation.held_out import (
    KINDS,
    Mask,
    Names,
    groups_of,
    new_names,
    quantiles_of,
    residuals_without,
    samples_of,
    spread_of,
)
from mlsysim.validation.places import place_of
from mlsysim.validation.score import Predicted, Score, score, scores
from mlsysim.validation.transferred import ALONE_WORDS, read_pairs, transferred

LOCKED = "locked"
SPLITS = (*KINDS, LOCKED)
Progress = Callable[[str], None]


class Report(NamedTuple):
    """How a table was predicted: all rows, by group, and row by row."""

    path: str
    kind: str
    split: str
    calibrated: int
    total: Score
    groups: list[Score]
    regimes: list[Score]
    predicted: list[Predicted]
    refused: list[Refusal]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON: the score of all rows, of groups and of regimes, with the same keys."""
        whole = self.total.to_dict()
        del whole["name"]
        return {
            "file": self.path,
            "kind": self.kind,
            "split": self.split or None,
            "calibrate": self.calibrated,
            **whole,
            "groups": [g.to_dict() for g in self.groups],
            "regimes": [g.to_dict() for g in self.regimes],
        }


def validate(
    path: Path,
    split: str = "",
    calibrate: int = 0,
    progress: Progress = lambda _: None,
    choose: str = ARBITRARY,
) -> Report:
    """Predict every row of a table of measurements and say how far off that is.

    Parameters
    ----------
    path
        A CSV file in the columns of a table of training, inference or serving measurements.
    split
        Refit without each ``source``, ``hardware``, ``model`` or ``engine`` in turn, or without the ``locked`` tenth.
        Empty: the packaged fit answers, which has seen the rows that it was fitted to.
    calibrate
        Rows of each deployment (all but batch and lengths alike; on boards any network; in training any plan of one
        source, device and model) that are handed over as measurements first, and not scored.
    choose
        Which rows these are: ``arbitrary`` (by their ids), or ``suggested`` (those that would tell most, measured or
        not).

    Raises
    ------
    UnknownName
        A split or a choice that is none of these.
    InvalidValue
        No such file or kind of table; a negative number of rows.
    """
    if split and split not in SPLITS:
        raise UnknownName("split", split, nearest(split, SPLITS), "known: " + ", ".join(SPLITS))
    if choose not in CHOICES:
        raise UnknownName("choice", choose, nearest(choose, CHOICES), "known: " + ", ".join(CHOICES))
    if calibrate < 0:
        raise InvalidValue("calibrate", "a number of rows, 0 or more", calibrate)
    pairs = read_pairs(path)
    if pairs is not None:
        return _of_pairs(path, pairs, split, calibrate, progress)
    table = read_measurements(path)
    measurements, samples, unanswered = samples_of(table.measurements)
    refused = [*table.refused, *_whole_rows(unanswered, measurements)]
    predicted = _refitted(measurements, samples, split, progress) if split else _packaged(measurements, samples)
    if split == LOCKED:
        predicted = [p for p in predicted if locked(*_names(p.measurement))]
    if calibrate:
        predicted = _after_some(
            predicted, dict(zip((m.id for m in measurements), samples, strict=True)), calibrate, split, choose
        )
    return Report(
        str(path),
        table.kind,
        split,
        calibrate,
        score("all", predicted, refused),
        scores(predicted, refused, "group"),
        scores(predicted, [], "regime"),
        predicted,
        refused,
    )


def _after_some(
    predicted: list[Predicted], samples: dict[str, Sample], count: int, split: str, choose: str
) -> list[Predicted]:
    """Hand some rows of each deployment over; what deviations are expected is learned from other groups."""
    points = {
        p.measurement.id: Point(place_of(p.measurement), slopes_of(((samples[p.measurement.id].case, 1.0),)))
        for p in predicted
    }
    if split not in KINDS:
        return calibrated(predicted, points, count, {"": priors()}, choose)
    these = [p.measurement for p in predicted]
    here = [points[m.id] for m in these]
    residuals = np.array([math.log(p.measurement.seconds / p.seconds) for p in predicted])
    judged = list(judged_deployments(these, here, residuals))
    learned = {}
    for name in sorted({getattr(m, split) for m in these}):
        others = [i for i, m in enumerate(these) if getattr(m, split) != name]
        part = ([these[i] for i in others], [here[i] for i in others], residuals[others])
        learned[name] = tails_of_deployments([part], best_priors(judged, name) if others else priors())
    return calibrated(predicted, points, count, learned, choose)


def _of_pairs(path: Path, rows: list[dict[str, str]], split: str, calibrate: int, progress: Progress) -> Report:
    """Predict one run of each pair from the other; a pair is a measurement handed over, and its device held out."""
    for field, value in (("split", split), ("calibrate", calibrate)):
        if value:
            hint = "each pair is predicted without its second device, from its first"
            raise InvalidValue(field, "left out for a table of pairs", value, hint)
    predicted, refused = transferred(rows, progress)
    both = score("all", [p for p in predicted if not p.measurement.group.endswith(ALONE_WORDS)], refused)
    groups, devices = scores(predicted, refused, "group"), scores(predicted, [], "regime")
    return Report(str(path), "pairs", "hardware", 1, both, groups, devices, predicted, refused)


def _whole_rows(unanswered: list[Refusal], answered: Sequence[Measurement]) -> list[Refusal]:
    """Return one refusal a row: a row of which one quantity is answered is not refused."""
    known = {m.id.partition("/")[0] for m in answered}
    rows = {r.id.partition("/")[0]: r for r in unanswered}
    return [r._replace(id=row) for row, r in rows.items() if row not in known]


def _names(m: Measurement) -> tuple[str, str, str]:
    return m.source, m.model, m.hardware


def _packaged(measurements: list[Measurement], samples: list[Sample]) -> list[Predicted]:
    """Predict with the packaged fit; names that it has not seen widen the interval."""
    known, table = seen(), spreads()
    out = []
    for m, s in zip(measurements, samples, strict=True):
        seconds = seconds_of(s.case)
        low, high = combined(m.regime, new_names(m, known), table)
        out.append(Predicted(m, seconds, seconds * float(np.exp(low)), seconds * float(np.exp(high))))
    return out


def _refitted(
    measurements: list[Measurement], samples: list[Sample], split: str, progress: Progress
) -> list[Predicted]:
    """Predict each group by a fit to all other rows, of the table and of the packaged evidence."""
    ids = {m.id for m in measurements}
    more, more_samples, _ = samples_of([m for m in packaged() if m.id not in ids])
    everything, all_samples = [*measurements, *more], [*samples, *more_samples]
    out: list[Predicted] = []
    for part in components(all_samples):
        if any(i < len(measurements) for i in part):
            scored = np.array([i < len(measurements) for i in part])
            these = [everything[i] for i in part]
            out += _part(these, Model([all_samples[i] for i in part]), scored, split, progress)
    return out


def _part(these: list[Measurement], model: Model, scored: Mask, split: str, progress: Progress) -> list[Predicted]:
    """Predict the scored rows of equations that share parameters."""
    progress("all rows")
    if split == LOCKED:
        groups = np.array([LOCKED if locked(*_names(m)) else "" for m in these])
        if (groups != "")[scored].sum() == 0:
            return []
        theta, spread, _, _ = model.fit(groups == "")
        residuals = model.y - model.predict(theta)[0]
        return _with_nested_intervals(these, model, residuals, groups, scored, theta, spread, progress)
    theta, spread, _, _ = model.fit()
    groups = groups_of(these, split)
    residuals = residuals_without(model, groups, scored, theta, spread, progress)
    return _with_intervals(these, model, residuals, groups, scored)


def _with_intervals(
    everything: list[Measurement], model: Model, residuals: Array, groups: Names, scored: Mask
) -> list[Predicted]:
    """Give each row the quantiles of the residuals of all other groups of its regime."""
    out: list[Predicted | None] = [None] * int(scored.sum())
    regimes = np.array([m.regime for m in everything])
    for regime in sorted(set(regimes[scored])):
        here = scored & (regimes == regime)
        for name in sorted(set(groups[here])):
            spread = spread_of(residuals[here], groups[here], name)
            for i in np.flatnonzero(here & (groups == name)):
                seconds = float(np.exp(model.y[i] - residuals[i]))
                ends = seconds * float(np.exp(spread.low)), seconds * float(np.exp(spread.high))
                out[i] = Predicted(everything[i], seconds, *ends)
    return [p for p in out if p is not None]


def _with_nested_intervals(
    everything: list[Measurement],
    model: Model,
    residuals: Array,
    groups: Names,
    scored: Mask,
    theta: Array,
    spread: dict[tuple[str, str], float],
    progress: Progress,
) -> list[Predicted]:
    """Give each locked row the quantiles of its regime, widened by what of it the other rows have not seen."""
    free = groups == ""
    table = nested(model, groups_by_kind(everything), free, theta, spread, progress)
    known = {
        kind: {getattr(m, kind) for m, f in zip(everything, free, strict=True) if f}
        for kind in ("source", "model", "hardware")
    }
    out = []
    for i in np.flatnonzero(scored & ~free):
        m, seconds = everything[i], float(np.exp(model.y[i] - residuals[i]))
        low, high = combined(m.regime, new_names(m, known), table)
        out.append(Predicted(m, seconds, seconds * float(np.exp(low)), seconds * float(np.exp(high))))
    return out


def groups_by_kind(measurements: Sequence[Measurement]) -> dict[str, Names]:
    """Return the groups of measurements by each kind that may be new."""
    return {kind: groups_of(measurements, kind) for kind in ("source", "model", "hardware")}


def nested(
    model: Model,
    groups: dict[str, Names],
    used: Mask,
    theta: Array,
    spread: dict[tuple[str, str], float],
    progress: Progress = lambda _: None,
) -> dict[tuple[str, str], Any]:
    """Return quantiles by regime and what is new, from fits without each group of each kind; '' is nothing new."""
    table: dict[tuple[str, str], Any] = {}
    anchor = model.anchor(theta, spread, used)
    here = {"": np.where(used, model.y - model.predict(theta)[0], np.nan)}
    for kind, names in groups.items():
        here[kind] = _without(model, anchor, names, lambda name, k=kind: progress(f"{k} {name}"))  # type: ignore[misc]
    for regime in sorted(set(model.regimes)):
        rows = model.regimes == regime
        for kind, residuals in here.items():
            found = spread_of(residuals[rows], groups[kind][rows]) if kind else quantiles_of(residuals[rows])
            table[regime, kind] = found
    return table


def _without(model: Model, anchor: Anchor, names: Names, progress: Progress) -> Array:
    used = anchor.used
    out = np.full(len(model.samples), np.nan)
    for name in sorted(set(names[used])):
        progress(name)
        held = names == name
        at = model.without(anchor, held)
        out[held & used] = (model.y - model.predict(at)[0])[held & used]
    return out


def predictions_csv(report: Report) -> str:
    """Return every row as CSV: measured, predicted with its interval, or the reason of its refusal."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "group", "measured", "predicted", "low", "high", "ape", "given", "repair", "refused"])
    for p in report.predicted:
        m = p.measurement
        numbers = [f"{v:.6g}" for v in (m.value, p.value, *p.ends, abs(p.ratio - 1))]
        writer.writerow([m.id, m.group, *numbers, "yes" if p.given else "", m.repair, ""])
    for r in report.refused:
        writer.writerow([r.id, r.group, "", "", "", "", "", "", "", r.reason])
    return text.getvalue()
