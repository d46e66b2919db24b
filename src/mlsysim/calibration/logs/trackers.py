"""Exports of experiment trackers: TensorBoard, Weights & Biases, MLflow.

- TensorBoard's page writes one scalar as CSV, ``Wall time,Step,Value``, or JSON ``[[wall_time, step, value], ...]``
  (tensorboard 2.21.0, plugins/scalar/scalars_plugin.py); the name of the scalar is in that of the file.
- W&B: rows of a run's history have ``_step``, ``_runtime`` [s] and ``_timestamp`` [s]; a chart's CSV has ``Step`` and
  columns ``run - metric``, each again with ``__MIN`` and ``__MAX``.
- MLflow: lines ``timestamp value step`` in a file named like the metric, or ``key``, ``value``, ``timestamp``, ``step``
  in a table or as JSON (mlflow, store/tracking/file_store.py); timestamps in ms.

Where no metric is one of speed, the clock of the rows is: the time between rows over the steps between them.
"""

from __future__ import annotations

import json
import math
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from statistics import median
from typing import Any, NamedTuple

from mlsysim.calibration.logs.json_parts import elements, number
from mlsysim.calibration.logs.log import LeftOut, Log
from mlsysim.calibration.logs.metrics import Metric, metric_of, of_evaluation
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.source import Source
from mlsysim.calibration.logs.steps import Steps
from mlsysim.calibration.logs.tabular import header_of, rows_of
from mlsysim.errors import InvalidValue
from mlsysim.results import Note
from mlsysim.units import LARGEST

_STEPS = ("train/global_step", "trainer/global_step", "global_step", "_step", "Step", "step")
_CLOCKS = {"_runtime": 1.0, "_timestamp": 1.0, "Wall time": 1.0, "timestamp": 1e-3, "Relative Time (Process)": 1.0}
_HELPERS = ("__MIN", "__MAX")
_DECODER = json.JSONDecoder()
_EMPTY = ("", None)
_SAME, _MOST = 0.01, 0.8
"""How near to their median, and what share of them, products of time and rate are that stand for one number."""
_OWN = frozenset((*_STEPS, *_CLOCKS))
_MLFLOW = re.compile(r"^\d{12,14} \S+ \d+\s*$", re.M)
_HISTORY = re.compile(r'^\s*\{\s*"metrics"\s*:\s*\[\s*\{[^{}]*"timestamp"')
_TRIPLES = re.compile(r"^\s*\[\s*\[\s*\d[\d.eE+]*\s*,\s*\d+\s*,\s*[-\d\"NI]")

Rows = Iterable[tuple[int, Mapping[str, Any]]]


class _Kept(NamedTuple):
    metric: Metric
    steps: Steps


class _Plan(NamedTuple):
    """Which columns are what; rows of one run have few sets of columns, and many rows of each.

    Of ``metrics`` only the best kind is kept; ``rates`` are tokens a second of all devices; ``others`` are all that are
    not of an evaluation.
    """

    steps: tuple[str, ...]
    clocks: tuple[str, ...]
    metrics: tuple[str, ...]
    evaluations: tuple[str, ...]
    others: tuple[str, ...]
    rates: tuple[str, ...]


@lru_cache(maxsize=1024)
def _plan(names: tuple[str, ...]) -> _Plan:
    rest = [name for name in names if name not in _OWN and not name.endswith(_HELPERS)]
    found = {name: metric for name in rest if (metric := metric_of(name))}
    metrics = tuple(name for name, m in found.items() if m.rank == min(other.rank for other in found.values()))
    evaluations = tuple(name for name in rest if of_evaluation(name))
    return _Plan(
        tuple(name for name in _STEPS if name in names),
        tuple(name for name in _CLOCKS if name in names),
        metrics,
        evaluations,
        tuple(name for name in rest if name not in evaluations),
        tuple(name for name, m in found.items() if m.unit == "tokens/s" and not m.per_device),
    )


class _Series:
    """Rows of an export, gathered by metric, and the times between them."""

    def __init__(self, path: object) -> None:
        self._path = path
        self._kept: dict[str, _Kept] = {}
        self._between = Steps(path, "time_s")
        self._before: tuple[float, float] | None = None
        self._tokens: dict[str, list[float]] = {}

    def take(self, line: int, row: Mapping[str, Any]) -> None:
        """Take a row: its metrics of speed, or else the time since the row before."""
        plan = _plan(tuple(row))
        step = next((n for name in plan.steps if (n := _number(row[name])) is not None), None)
        clock = next((n * _CLOCKS[name] for name in plan.clocks if (n := _number(row[name])) is not None), None)
        for name in plan.metrics:
            if (value := _number(row[name])) is not None:
                kept = self._kept.get(name) or self._new(name)
                kept.steps.add(line, value * kept.metric.scale, step=step, clock=clock)
                rate = _number(row[plan.rates[0]]) if plan.rates else None
                if kept.metric.quantity == "time_s" and rate is not None:
                    self._tokens.setdefault(name, []).append(rate * value * kept.metric.scale)
        if not plan.metrics and any(row[name] not in _EMPTY for name in plan.others):
            self._clock(line, step, clock)
        if any(row[name] not in _EMPTY for name in plan.evaluations):
            for steps in (self._between, *(kept.steps for kept in self._kept.values())):
                steps.pause("evaluation")

    def _new(self, name: str) -> _Kept:
        metric = metric_of(name) or Metric(0, "time_s")
        return self._kept.setdefault(name, _Kept(metric, Steps(self._path, metric.quantity)))

    def _clock(self, line: int, step: float | None, clock: float | None) -> None:
        if clock is None or step is None or (self._before is not None and step == self._before[1]):
            return  # several rows of one step: the time runs on from the first
        if self._before is not None:
            took = (clock - self._before[0]) / (step - self._before[1])
            self._between.add(line, took, step=step, clock=clock)
        self._before = clock, step

    def log(self, name: str) -> Log:
        """Return the log of the best metric there is."""
        usable = [(kept.metric.rank, key) for key, kept in self._kept.items() if kept.steps.values]
        if not usable:
            return self._by_clock(name)
        key = min(usable, key=lambda pair: pair[0])[1]
        rank = self._kept[key].metric.rank
        runs = {k.rpartition(" - ")[0] for r, k in usable if r == rank}
        if len(runs) > 1:
            listed = ", ".join(sorted(runs))
            raise InvalidValue("log", "an export of one run", listed, "export one run, or give one file for each")
        metric, steps = self._kept[key]
        if metric.quantity == "efficiency" and any(value > 1 for value in steps.values):
            steps.values = array("d", (value / 100 for value in steps.values))  # in percent, whatever the name says
        tokens = _one(self._tokens.get(key, ()))
        reading = steps.reading("training", per_device=metric.per_device, unit=metric.unit, tokens=tokens)
        told = {"time_s": "seconds a step", "efficiency": "an MFU"}.get(metric.quantity, metric.unit)
        of = " of one device" if metric.per_device else ""
        held = f", and times tokens a second as {tokens:,} tokens a step of all devices" if tokens else ""
        note = Note("metric-used", f"'{key}' is taken as {told}{of}{held}")
        return Log(name, (reading,), left_out=steps.left_out, notes=(note,))

    def _by_clock(self, name: str) -> Log:
        if not self._between.values:
            refused = next((kept.steps.left_out[0] for kept in self._kept.values() if kept.steps.left_out), None)
            hint = f"line {refused.line}: {refused.reason}" if refused else _NOTHING
            raise InvalidValue("log", "an export with times of steps", str(self._path), hint)
        reading = self._between.reading("training")
        message = "no metric is one of speed: the time between rows is taken, over the steps between them"
        return Log(name, (reading,), left_out=self._between.left_out, notes=(Note("clock-used", message),))


_NOTHING = "it needs a metric such as step_time, tokens_per_second or mfu, or at least two rows with a step and a time"


def _one(values: Sequence[float]) -> int:
    """Return the whole number that most values are to a hundredth, 0 where there is none."""
    middle = median(values) if values else 0.0
    near = sum(abs(value - middle) <= _SAME * middle for value in values)
    return round(middle) if 1 <= middle <= LARGEST and near > _MOST * len(values) else 0


def _number(cell: Any) -> float | None:
    """Return a cell as a number; None where it is empty or text."""
    if isinstance(cell, str):
        try:
            return float(cell) if cell else None
        except ValueError:
            return None
    return number(cell)


def _gathered(source: Source, name: str, rows: Rows) -> Log:
    series = _Series(source.path)
    for line, row in rows:
        series.take(line, row)
    return series.log(name)


def _scalar(source: Source, row: Mapping[str, str]) -> dict[str, Any]:
    return {"Wall time": row.get("Wall time"), "Step": row.get("Step"), _stem(source): row.get("Value")}


def _stem(source: Source) -> str:
    """Return the name of the metric in a file: its name without endings, and without the run before the tag."""
    return re.sub(r"(\.csv|\.json)?(\.gz)?$", "", source.path.name).rpartition("-tag-")[2]


def _tensorboard(source: Source) -> Log:
    if source.head.lstrip().startswith("["):
        text = source.text()
        found, whole = elements(text, text.index("["))
        triples = [(line, v) for line, v in found if isinstance(v, list) and len(v) == 3]
        stem = _stem(source)
        rows: Rows = ((line, {"Wall time": w, "Step": s, stem: _unquoted(x)}) for line, (w, s, x) in triples)
        return _cut(_gathered(source, "TensorBoard scalar", rows), whole)
    return _gathered(source, "TensorBoard scalar", ((line, _scalar(source, row)) for line, row in rows_of(source)))


def _unquoted(value: Any) -> Any:
    """Return NaN and Infinity, which TensorBoard's JSON has as text, as numbers."""
    return math.nan if isinstance(value, str) else value


def _cut(log: Log, whole: bool) -> Log:
    if whole:
        return log
    return log._replace(left_out=(*log.left_out, LeftOut(0, "the file breaks off: the rows before that are used")))


def _wandb(source: Source) -> Log:
    head = source.head.lstrip()
    if head.startswith("["):
        text = source.text()
        found, whole = elements(text, text.index("["))
        return _cut(_gathered(source, "W&B export", _objects(found)), whole)
    if head.startswith("{"):
        broken: list[int] = []
        log = _gathered(source, "W&B export", _json_lines(source, broken))
        return _cut(log, not broken)
    return _gathered(source, "W&B export", rows_of(source))


def _objects(found: Iterable[tuple[int, Any]]) -> Rows:
    return ((line, value) for line, value in found if isinstance(value, dict))


def _json_lines(source: Source, broken: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    for place, line in source.lines():
        try:
            row = _DECODER.decode(line.decode())
        except (ValueError, RecursionError):
            if line.strip():
                broken.append(place)
            continue
        if isinstance(row, dict):
            yield place, row


def _mlflow(source: Source) -> Log:
    head = source.head.lstrip()
    if head.startswith("{"):
        text = source.text()
        found, whole = elements(text, text.index("[", text.index('"metrics"')))
        return _cut(_gathered(source, "MLflow export", _long(_objects(found), _stem(source))), whole)
    if _MLFLOW.match(head):
        return _gathered(source, "MLflow export", _metric_file(source))
    return _gathered(source, "MLflow export", _long(rows_of(source), _stem(source)))


def _metric_file(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    name = _stem(source)
    for place, line in source.lines():
        parts = line.decode("utf-8", "replace").split()
        if len(parts) == 3:
            yield place, {"timestamp": parts[0], name: parts[1], "step": parts[2]}


def _long(rows: Rows, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Turn rows of one value each into rows with its key as a column; the clock is that of the first key."""
    first = None
    for line, row in rows:
        key = str(row.get("key") or row.get("metric") or name)
        first = key if first is None else first
        clock = {"timestamp": row.get("timestamp")} if key == first else {}
        yield line, {"step": row.get("step"), key: row.get("value"), **clock}


def _is_tensorboard(source: Source) -> bool:
    return header_of(source) == ["Wall time", "Step", "Value"] or bool(_TRIPLES.match(source.head))


def _is_wandb(source: Source) -> bool:
    if source.head.lstrip()[:1] in {"{", "["}:
        return "_step" in source.first_object and not {"_runtime", "_timestamp"}.isdisjoint(source.first_object)
    header = header_of(source)
    return "_step" in header or (header[:1] == ["Step"] and any(" - " in name for name in header))


def _is_mlflow(source: Source) -> bool:
    head = source.head
    return bool(_MLFLOW.match(head) or _HISTORY.match(head)) or {"value", "step", "timestamp"} <= set(header_of(source))


FORMATS = (
    Format("TensorBoard scalar", "Wall time,Step,Value", _is_tensorboard, _tensorboard),
    Format("W&B export", "_step, _runtime, _timestamp", _is_wandb, _wandb),
    Format("MLflow export", "timestamp value step", _is_mlflow, _mlflow),
)
