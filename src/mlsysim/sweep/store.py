"""A sweep on disk: a folder of Parquet files, one a task, each whole or not there; each says of which sweep it is.

There is nothing else in the folder, so that any reader of Parquet reads it as one table. A run that was cut short goes
on where it stopped: parts that are there are kept, and the rest is worked out.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mlsysim.errors import InvalidValue, MissingExtra, MlsysimError

if TYPE_CHECKING:
    import pyarrow

ABOUT = b"mlsysim.sweep"
"""The key in a part's metadata under which it is said, in JSON, of which sweep it is."""
_PART = "part-{:07d}.parquet"
_PARTS = "part-*.parquet"
_NOTHING: Mapping[bytes, bytes] = MappingProxyType({})


class NotWritten(MlsysimError):
    """A part could not be written; the parts before it are whole."""

    code = "not-written"


class Store:
    """A folder of parts of one sweep. Open it before it is written to."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser()
        self._about = b"{}"

    def open(self, about: Mapping[str, Any], resume: bool) -> None:
        """Begin or go on; ``about`` describes the sweep, ready for JSON.

        Raises
        ------
        InvalidValue
            The folder holds something else; or a sweep, and ``resume`` was not asked for.
        NotWritten
            The folder cannot be made or written into.
        """
        _pyarrow()
        self._about = json.dumps(about).encode()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for left in self.path.glob(f".{_PARTS}.*"):  # of a process that was killed
                left.unlink(missing_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
            others = [one.name for one in self.path.iterdir() if not one.match(_PARTS)]
        except FileExistsError:
            raise InvalidValue("to", "an empty or new folder", str(self.path), "that is a file") from None
        except OSError as error:
            raise NotWritten(f"cannot write to {self.path}: {error.strerror}") from None
        if others:
            hint = f"there is something else in it, such as {min(others)}"
            raise InvalidValue("to", "an empty or new folder", str(self.path), hint)
        self._same(resume)

    def _same(self, resume: bool) -> None:
        """Refuse parts of another sweep, and those of this one that nobody said are to be kept."""
        parts, about = self.parts(), json.loads(self._about)
        for part in parts[:1]:
            held = _about(part)
            if held is None:
                raise InvalidValue("to", "an empty or new folder", str(self.path), f"{part.name} is no part of a sweep")
            if held != about:
                where, was, wanted = _difference(held, about)
                hint = f"it holds another sweep: its {where} is {_short(was)}, not {_short(wanted)}"
                raise InvalidValue("to", "an empty or new folder", str(self.path), hint)
        if parts and not resume:
            hint = "go on with resume=True (--resume), or name another folder"
            raise InvalidValue("to", "an empty or new folder", str(self.path), f"it holds parts of this sweep; {hint}")

    def has(self, task: int) -> bool:
        """Return whether a part is there, whole."""
        return self.part(task).exists()

    def part(self, task: int) -> Path:
        """Return the file of a task."""
        return self.path / _PART.format(task)

    def parts(self) -> Sequence[Path]:
        """Return the files that are there."""
        return sorted(self.path.glob(_PARTS))

    def write(self, task: int, tables: Iterator[pyarrow.Table]) -> int:
        """Write a part, table by table, and return its rows.

        Raises
        ------
        NotWritten
            The disk is full, or may not be written to; nothing is left of the part.
        """
        try:
            return _write(self.part(task), tables, {ABOUT: self._about})
        except NotWritten as problem:
            raise NotWritten(f"{problem}; what was written is whole: resume=True (--resume) goes on") from None


def write_table(table: pyarrow.Table, path: str | os.PathLike[str]) -> None:
    """Write a table as one Parquet file, whole or not at all.

    Raises
    ------
    NotWritten
        It cannot be written.
    """
    _write(Path(path).expanduser(), iter([table]))


def _write(path: Path, tables: Iterator[pyarrow.Table], metadata: Mapping[bytes, bytes] = _NOTHING) -> int:
    parquet = _pyarrow()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    rows = 0
    try:
        first = next(tables)
        schema = first.schema.with_metadata(dict(metadata))
        with parquet.ParquetWriter(temporary, schema, compression="zstd", compression_level=1) as writer:
            table: pyarrow.Table | None = first
            while table is not None:
                writer.write_table(table.cast(schema))
                rows += table.num_rows
                table = next(tables, None)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise NotWritten(f"cannot write {path}: {error.strerror or error}") from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return rows


def _about(part: Path) -> Any:
    """Return of which sweep a part is, None where it does not say or cannot be read."""
    try:
        metadata = _pyarrow().read_schema(part).metadata or {}
        return json.loads(metadata[ABOUT])
    except (OSError, ValueError, KeyError):
        return None


def _difference(held: Any, about: Any, at: str = "") -> tuple[str, Any, Any]:
    """Return where two sweeps differ first, and what each has there."""
    for key in dict.fromkeys([*about, *held]):
        one, other = held.get(key), about.get(key)
        if one != other and isinstance(one, dict) and isinstance(other, dict) and key == "fields":
            return _difference(one, other)
        if one != other:
            return key, one, other
    return at, held, about


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _pyarrow() -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("pyarrow", "tables", "a sweep on disk") from None
    return parquet
