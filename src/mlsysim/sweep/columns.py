"""The result of a sweep: columns, a row a point, with the coordinates of each point among them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.errors import InvalidValue, MissingExtra, UnknownName
from mlsysim.registry import nearest
from mlsysim.results import Note
from mlsysim.sweep.evaluate import FEASIBLE, Values
from mlsysim.sweep.grid import NUMBERS, Block, Grid
from mlsysim.sweep.notes import notes_of
from mlsysim.sweep.points import ASKED, COUNTED, Array
from mlsysim.sweep.quantities import QUANTITIES, base_of

if TYPE_CHECKING:
    from os import PathLike

    import pandas
    import polars
    import pyarrow
    import xarray

REASON = "reason"
"""Why a point is infeasible; empty where it is not."""
NO_ROOM = "does not fit in memory"
WHOLE = ("batch_size", "seq_len", "context", *COUNTED)
"""Coordinates that are whole numbers; 0 where a field is not used."""
_FIELD = {column: field for field, column in ASKED.items()}


class Columns(Mapping[str, Array]):
    """Columns by name; iterating gives the names. Words are kept as codes, and columns made when asked for.

    Coordinates come first (``efficiency_asked`` is the eta that was stated), then ``feasible`` and ``reason``, then
    quantities. Where a point is infeasible its answers are NaN, and the reason says why.
    """

    def __init__(self, grid: Grid, parts: Sequence[tuple[Block, Values]], keep: Sequence[str]) -> None:
        self._grid, self._parts = grid, parts
        self._keep = grid.uncertain.expanded(keep) if grid.uncertain else tuple(keep)
        self._made: dict[str, Array] = {}
        self._flat: dict[int, Array] = {}
        self._coordinates = tuple(
            [ASKED.get(name, name) for name in grid.words if _told(grid, name)]
            + [ASKED.get(name, name) for name in NUMBERS if name in grid.numbers]
        )

    def __iter__(self) -> Iterator[str]:
        return iter((*self._coordinates, FEASIBLE, REASON, *self._keep))

    def __len__(self) -> int:
        return len(self._coordinates) + 2 + len(self._keep)

    def __contains__(self, name: object) -> bool:
        return name in tuple(self)

    def __getitem__(self, name: str) -> Array:
        if name not in self._made:
            if name not in tuple(self):
                raise UnknownName("column", name, nearest(name, tuple(self)), "there are " + ", ".join(self))
            self._made[name] = self._words(name) if self.is_words(name) else self._numbers(name)
        return self._made[name]

    def _words(self, name: str) -> Array:
        codes, words = self.codes(name)
        if not any(codes.strides):  # one word in all rows is kept once
            return np.broadcast_to(np.array(words, dtype=object)[codes[:1]], codes.shape)
        return np.array(words, dtype=object)[codes]

    def __repr__(self) -> str:
        masked = self.points - int(self[FEASIBLE].sum())
        also = f", {masked:,} of them infeasible" if masked else ""
        return f"<Columns of {self.points:,} points{also}: {', '.join(self)}>"

    @property
    def points(self) -> int:
        """Return the number of rows."""
        return sum(math.prod(block.shape) for block, _ in self._parts)

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Return the names of the columns that say which point a row is."""
        return self._coordinates

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        """Return what must be said about the points: what was not given, which prices they rest on."""
        return notes_of(self._grid)

    @property
    def levels(self) -> tuple[float, ...]:
        """Return the levels of quantiles that stand beside medians; none where nothing was drawn."""
        return self._grid.uncertain.levels if self._grid.uncertain else ()

    def unit(self, name: str) -> str:
        """Return the unit of a column; empty for words and pure numbers."""
        if base := base_of(name):
            return QUANTITIES[base].unit
        return {"seq_len": "tokens", "context": "tokens", "usd_per_hour": "USD/h"}.get(name, "")

    def is_words(self, name: str) -> bool:
        """Return whether a column is of words."""
        if base := base_of(name):
            return bool(QUANTITIES[base].words)
        field = _FIELD.get(name, name)
        return name == REASON or (field in self._grid.words and field not in COUNTED)

    def codes(self, name: str) -> tuple[Array, tuple[str, ...]]:
        """Return a column of words as codes into its words."""
        if name in QUANTITIES:
            return self._numbers(name), (*QUANTITIES[name].words, "")  # -1, an infeasible point, is the last
        if name == REASON:
            return self._reasons()
        words: dict[str, int] = {}
        each = [words.setdefault(str(block.word(_FIELD.get(name, name))), len(words)) for block, _ in self._parts]
        if len(words) == 1:
            return np.broadcast_to(np.int32(0), (self.points,)), tuple(words)
        return np.repeat(np.array(each, dtype=np.int32), self._sizes()), tuple(words)

    def _reasons(self) -> tuple[Array, tuple[str, ...]]:
        words = {"": 0, NO_ROOM: 1}
        if self._parts and all(np.all(values[FEASIBLE]) for _, values in self._parts):
            return np.broadcast_to(np.int32(0), (self.points,)), tuple(words)
        codes = []
        for block, values in self._parts:
            why = words.setdefault(block.reason, len(words)) if block.reason else 1
            fits = np.broadcast_to(values[FEASIBLE], block.shape).reshape(-1)
            codes.append(np.where(fits, 0, why).astype(np.int32))
        return _joined(codes, np.int32), tuple(words)

    def _numbers(self, name: str) -> Array:
        if self._parts and self._single and base_of(name) in self._keep:
            return np.array([_plain(values[name]) for _, values in self._parts])
        if len(self._parts) == 1 and name in self._parts[0][1]:  # quantities that are one array stay one
            block, values = self._parts[0]
            key = id(values[name])
            if key not in self._flat:
                self._flat[key] = np.broadcast_to(values[name], block.shape).reshape(-1)
            return self._flat[key]
        parts = [self._shaped(block, values, name).reshape(-1) for block, values in self._parts]
        kind = bool if name == FEASIBLE else int if self.is_words(name) or name in WHOLE else float
        return parts[0] if len(parts) == 1 else _joined(parts, kind)

    def _shaped(self, block: Block, values: Values, name: str) -> Array:
        if name in values:
            return np.broadcast_to(values[name], block.shape)
        if name in COUNTED:
            return np.broadcast_to(np.int64(block.word(name) or 0), block.shape)
        for n, (field, axis) in enumerate(block.axes):
            if ASKED.get(field, field) == name:
                along = np.asarray(axis.values(0, len(axis)))
                along = along.astype(np.int64) if name in WHOLE else along.astype(float)
                shape = [-1 if m == n else 1 for m in range(len(block.shape))]
                return np.broadcast_to(along.reshape(shape), block.shape)
        return np.broadcast_to(0 if name in WHOLE else np.nan, block.shape)

    @cached_property
    def _single(self) -> bool:
        """Return whether every part is one point."""
        return all(size == 1 for size in self._sizes())

    def _sizes(self) -> list[int]:
        return [math.prod(block.shape) for block, _ in self._parts]

    def masked(self, name: str) -> np.ma.MaskedArray[Any, Any]:
        """Return a column with infeasible points masked."""
        return np.ma.MaskedArray(self[name], mask=~self[FEASIBLE])

    def to_arrow(self) -> pyarrow.Table:
        """Return a table of Apache Arrow; words are dictionaries, units are in the fields' metadata.

        Raises
        ------
        MissingExtra
            pyarrow is not installed.
        """
        pa = _library("pyarrow", "an Arrow table")
        arrays, fields = [], []
        for name in self:
            if self.is_words(name):
                codes, words = self.codes(name)
                codes = np.where(codes < 0, len(words) - 1, codes).astype(np.int32)
                made = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(words))
            else:
                made = pa.array(self[name])
            unit = self.unit(name)
            arrays.append(made)
            fields.append(pa.field(name, made.type, metadata={"unit": unit} if unit else None))
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

    def to_pandas(self) -> pandas.DataFrame:
        """Return a DataFrame of pandas; words are categories.

        Raises
        ------
        MissingExtra
            pandas is not installed.
        """
        pd = _library("pandas", "a DataFrame")
        found: dict[str, Any] = {}
        for name in self:
            if self.is_words(name):
                codes, words = self.codes(name)
                codes = np.where(codes < 0, len(words) - 1, codes)
                found[name] = pd.Categorical.from_codes(codes, categories=list(words))
            else:
                found[name] = self[name]
        return pd.DataFrame(found)

    def to_polars(self) -> polars.DataFrame:
        """Return a DataFrame of polars.

        Raises
        ------
        MissingExtra
            polars or pyarrow is not installed.
        """
        return _library("polars", "a DataFrame").from_arrow(self.to_arrow())

    def to_xarray(self) -> xarray.Dataset:
        """Return a Dataset whose dimensions are the fields with several values.

        Raises
        ------
        MissingExtra
            xarray is not installed.
        InvalidValue
            The points are no regular grid: some models or phases do not use all lengths.
        """
        xr = _library("xarray", "a Dataset")
        shapes = {tuple((name, len(axis)) for name, axis in block.axes) for block, _ in self._parts}
        if len(shapes) != 1 or self.points != self._grid.points:
            hint = "ask of each phase apart, or take to_pandas()"
            raise InvalidValue("points", "a regular grid for to_xarray", "points with different fields", hint)
        words = {
            ASKED.get(name, name): [int(label) if name in COUNTED else label for label, _ in values]
            for name, values in self._grid.words.items()
        }
        lengths = dict(shapes.pop())
        order = {**{n: len(w) for n, w in words.items()}, **{ASKED.get(n, n): size for n, size in lengths.items()}}
        several = [n for n, size in order.items() if size > 1]
        shape = [order[n] for n in several]
        block = self._parts[0][0]
        coords: dict[str, Any] = {n: words[n] for n in several if n in words}
        for field, axis in block.axes:
            name = ASKED.get(field, field)
            if name in several:
                coords[name] = np.asarray(axis.values(0, len(axis)))
        data = {}
        for name in (FEASIBLE, REASON, *self._keep):
            data[name] = (several, self[name].reshape(shape), {"unit": self.unit(name)} if self.unit(name) else {})
        return xr.Dataset(data, coords=coords)

    def to_parquet(self, path: str | PathLike[str]) -> None:
        """Write one Parquet file, whole or not at all.

        Raises
        ------
        MissingExtra
            pyarrow is not installed.
        """
        from mlsysim.sweep.store import write_table

        write_table(self.to_arrow(), path)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _joined(parts: Sequence[Array], kind: type) -> Array:
    """Return the values of all parts, none where there are no parts."""
    return np.concatenate(parts) if parts else np.empty(0, dtype=kind)


def _told(grid: Grid, name: str) -> bool:
    """Return whether a field of words is worth a column: the question itself, and what was given."""
    return name in {"model", "hardware", "phase", "precision", "devices"} or grid.words[name][0][0] is not None


def _library(name: str, purpose: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise MissingExtra(name, "tables", purpose) from None
