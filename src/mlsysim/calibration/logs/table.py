"""Plain CSV with named columns: the format for whatever no program writes.

A row is one measurement: ``time_s``, ``throughput`` or ``efficiency``, under the conditions in the columns beside it,
all of them optional: ``phase``, ``batch_size``, ``seq_len``, ``context``, ``precision``, ``devices``, ``recompute``,
``convention``, ``model``, ``hardware``. Units stand in the header (``time_ms``, ``time (ms)``) or in the cells
(``12 ms``). Rows under the same conditions are repeats, or steps where a column ``step`` numbers them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mlsysim.calibration.logs.log import Log, Reading
from mlsysim.calibration.logs.metrics import PERCENT, metric_of
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.source import Source
from mlsysim.calibration.logs.steps import Steps
from mlsysim.calibration.logs.tabular import header_of, rows_of
from mlsysim.errors import InvalidValue
from mlsysim.registry import nearest
from mlsysim.results import Note
from mlsysim.units import parse, whole

_ALIASES = {
    "batch_size": ("batch", "bs", "global_batch_size"),
    "seq_len": ("sequence_length", "seq_length", "seqlen", "prompt_len", "input_len", "isl"),
    "context": ("context_len", "context_length", "ctx", "ctx_len", "ctx_length", "kv_len"),
    "devices": ("gpus", "num_gpus", "n_gpus", "world_size", "num_devices"),
    "precision": ("dtype", "data_type"),
    "hardware": ("device", "gpu", "gpu_name", "gpu_type", "accelerator"),
    "step": ("iteration", "iter"),
    "time_s": ("time", "latency", "step_time", "time_per_step", "seconds", "duration"),
    "throughput": ("rate",),
    "efficiency": ("eta", "mfu"),
    "model": ("model_name", "model_id"),
    **dict.fromkeys(("phase", "recompute", "convention"), ()),
}
_KNOWN = {spelling: field for field, others in _ALIASES.items() for spelling in (field, *others)}
_WHOLE = ("batch_size", "seq_len", "context", "devices")
_TEXT = ("phase", "precision", "recompute", "convention")
_MEASURES = ("time_s", "throughput", "efficiency")
_DIMENSIONS = {"time_s": ("s",), "throughput": ("tokens/s", "samples/s"), "efficiency": ("1",)}
_UNIT = re.compile(r"^(.+?)(?:[ _]*[(\[]\s*([^)\]]+?)\s*[)\]]|_(ns|us|ms|min|h|pct))$")
_PLAIN = re.compile(r"^[\d.,eE+\-_]+$")
_LONGEST = 200
"""Characters in a cell; no number and no name has more."""
_NO_UNIT = {"a finite number", "greater than 0"}
"""Rules that a number breaks whatever its unit."""
_THOUSANDS = re.compile(r"^\d{1,3}(,\d{3})+(\.\d*)?$")


class _Column(NamedTuple):
    """A column: its name in the header, the field it is (empty: none that is known), and the unit the name has."""

    name: str
    field: str
    unit: str = ""
    per_device: bool = False


def _column(name: str) -> _Column:
    spelled = name.strip().lower().replace(" ", "_").replace("-", "_")
    if spelled in _KNOWN:
        return _Column(name, _KNOWN[spelled])
    if match := _UNIT.match(name.strip().lower()):
        base = _column(match[1])
        unit = match[2] or match[3]
        if base.field in _MEASURES:
            return base._replace(name=name, unit="%" if PERCENT.search(unit) else unit)
    if metric := metric_of(spelled):
        unit = "ms" if metric.scale == 1e-3 else metric.unit
        return _Column(name, metric.quantity, unit, metric.per_device)
    return _Column(name, "")


class _Row(NamedTuple):
    """What a row says: what it measures, under which conditions, at which step."""

    quantity: str
    value: float
    unit: str
    per_device: bool
    conditions: tuple[tuple[str, Any], ...]
    step: float | None


def _read(source: Source) -> Log:
    columns = _checked_columns([_column(name) for name in header_of(source)], source.path)
    taken: dict[tuple[Any, ...], Steps] = {}
    named: dict[str, dict[str, None]] = {"model": {}, "hardware": {}}
    refused = Steps(source.path, "a measurement")
    for line, cells in rows_of(source):
        try:
            row = _row(columns, cells)
            _note_names(columns, cells, named)
        except InvalidValue as problem:
            refused.leave_out(line, str(problem))
            continue
        if row is None:
            refused.leave_out(line, "nothing is measured in it")
            continue
        key = (row.quantity, row.unit, row.per_device, row.conditions)
        steps = taken.setdefault(key, Steps(source.path, row.quantity))
        steps.add(line, row.value, step=row.step)
    for field, names in named.items():
        if len(names) > 1:
            raise InvalidValue("log", f"a table of one {field}", ", ".join(names), "calibrate each by itself")
    if not taken:
        refused.reading("")  # which says why
    steps_numbered = any(c.field == "step" for c in columns)
    differing = _differing([dict(key[-1]) for key in taken])
    readings = tuple(_reading(key, steps, steps_numbered, differing) for key, steps in taken.items())
    left_out = tuple(sorted(part for steps in (refused, *taken.values()) for part in steps.left_out))
    model, hardware = (next(iter(named[field]), "") for field in ("model", "hardware"))
    return Log("CSV", readings, model, hardware, left_out=left_out, notes=_unknown(columns))


def _reading(key: tuple[Any, ...], steps: Steps, numbered: bool, differing: set[str]) -> Reading:
    _, unit, per_device, found = key
    conditions = dict(found)
    phase = str(conditions.pop("phase", ""))
    label = ", ".join(f"{name} {value}" for name, value in found if name in differing)
    reading = steps.reading(phase, conditions, unit=unit, per_device=per_device, label=label)
    return reading._replace(steps=numbered)


def _differing(points: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the conditions that tell the points of a table apart."""
    names = {name for point in points for name in point}
    return {name for name in names if len({point.get(name) for point in points}) > 1}


def _row(columns: Sequence[_Column], cells: Mapping[str, str]) -> _Row | None:
    """Return what a row says, or None where its measurement is an empty cell."""
    conditions: dict[str, Any] = {}
    step: float | None = None
    measure: tuple[str, float, str, bool] | None = None
    for column in columns:
        cell = cells.get(column.name, "").strip()
        if not cell or not column.field:
            continue
        if len(cell) > _LONGEST:
            raise InvalidValue(column.name, f"at most {_LONGEST} characters", cell[:20] + "...")
        if column.field in _WHOLE:
            conditions[column.field] = whole(_number(cell, column.name), column.name)
        elif column.field in _TEXT:
            conditions[column.field] = cell
        elif column.field == "step":
            step = _number(cell, column.name)
        elif column.field in _MEASURES and measure is None:
            value, unit = _measured(cell, column)
            measure = column.field, value, unit, column.per_device
    if measure is None:
        return None
    return _Row(*measure, tuple(sorted(conditions.items())), step)


def _measured(cell: str, column: _Column) -> tuple[float, str]:
    """Return a cell in SI, and for a throughput what it counts, where the cell or the header says so."""
    if plain := bool(_PLAIN.match(cell)):
        _number(cell, column.name)
    text = f"{cell} {column.unit}".strip() if plain else cell
    if column.field != "throughput" or (plain and not column.unit):
        dimension = _DIMENSIONS[column.field][0]
        return parse(text, dimension, column.name), ""
    tokens, samples = _DIMENSIONS["throughput"]
    try:
        return parse(text, tokens, column.name), tokens
    except InvalidValue as problem:
        if problem.rule in _NO_UNIT:
            raise
        return parse(text, samples, column.name), samples


def _number(cell: str, field: str) -> float:
    if "," in cell and not _THOUSANDS.match(cell):
        raise InvalidValue(field, "a number with a decimal point", cell, f"write {cell.replace(',', '.')}")
    try:
        return float(cell.replace(",", "").replace("_", ""))
    except ValueError:
        raise InvalidValue(field, "a number", cell) from None


def _note_names(columns: Sequence[_Column], cells: Mapping[str, str], named: Mapping[str, dict[str, None]]) -> None:
    for column in columns:
        if column.field in named and (cell := cells.get(column.name, "").strip()):
            named[column.field][cell] = None


def _checked_columns(columns: list[_Column], path: object) -> list[_Column]:
    """Return the columns with the best measure first, or refuse a table that has none."""
    order = {field: rank for rank, field in enumerate(_MEASURES)}
    if not any(column.field in order for column in columns):
        guesses = [f"{near[0]} for {c.name!r}" for c in columns if not c.field and (near := nearest(c.name, _MEASURES))]
        hint = (
            f"did you mean {', '.join(guesses)}?"
            if guesses
            else f"its columns are {', '.join(c.name for c in columns)}"
        )
        raise InvalidValue("log", "a table with a column time_s, throughput or efficiency", str(path), hint)
    return sorted(columns, key=lambda c: order.get(c.field, len(order)))


def _unknown(columns: Sequence[_Column]) -> tuple[Note, ...]:
    """Name the columns that are not known, each with the known name that is like it."""
    unknown = [column.name for column in columns if not column.field and column.name]
    if not unknown:
        return ()
    guesses = [f"{near[0]} for {name!r}" for name in unknown if (near := nearest(name, _ALIASES, 1))]
    guess = f"; did you mean {', '.join(guesses)}?" if guesses else ""
    return (Note("columns-unknown", f"not known, and not used: {', '.join(map(repr, unknown))}{guess}"),)


def _recognises(source: Source) -> bool:
    header = header_of(source)
    fields = [column.field for column in map(_column, header) if column.field]
    if any(field in _MEASURES for field in fields) or len(fields) > 1:
        return True
    table = source.path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv"))
    return table and any(re.search("[a-z]", name, re.I) for name in header)


FORMATS = (Format("CSV", "a header line with time_s, throughput or efficiency", _recognises, _read),)
