"""A sweep on disk: a folder of Parquet files, one a task, each whole or not there, and what the sweep was.

Any reader of Parquet reads the folder as one table. A run that was cut short goes on where it stopped: parts that are
there are kept, and the rest is worked out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysim.errors import InvalidValue, MissingExtra, MlsysimError
from mlsysim.files import write_whole

if TYPE_CHECKING:
    import pyarrow

ABOUT = "_sweep.json"
"""What a folder's parts are of; readers of Parquet pass over names that start so."""
_PART = "part-{:07d}.parquet"


class NotWritten(MlsysimError):
    """A part could not be written; the parts before it are whole."""

    code = "not-written"


class Store:
    """A folder of parts. ``about`` describes the sweep: a folder takes the parts of one sweep alone."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser()

    def open(self, about: Mapping[str, Any], resume: bool) -> None:
        """Begin or go on.

        Raises
        ------
        InvalidValue
            The folder holds something else; or a sweep, and ``resume`` was not asked for.
        NotWritten
            The folder cannot be made.
        """
        _pyarrow()
        known = self.path / ABOUT
        if known.exists():
            self._same(json.loads(known.read_text()), about, resume)
            return
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise InvalidValue("to", "an empty or new folder", str(self.path), "there is something else in it")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(known, (json.dumps(about, indent=1) + "\n").encode())
        except OSError as error:
            raise NotWritten(f"cannot write to {self.path}: {error.strerror}") from None

    def _same(self, held: Mapping[str, Any], about: Mapping[str, Any], resume: bool) -> None:
        about = json.loads(json.dumps(about))
        if held != about:
            keys = sorted({*held, *about}, key=str)
            differ = next(k for k in keys if held.get(k) != about.get(k))
            was, wanted = _short(held.get(differ)), _short(about.get(differ))
            hint = f"it holds another sweep: its {differ} is {was}, not {wanted}"
            raise InvalidValue("to", "an empty or new folder", str(self.path), hint)
        if not resume and any(self.path.glob("part-*.parquet")):
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
        return sorted(self.path.glob("part-*.parquet"))

    def write(self, task: int, tables: Iterator[pyarrow.Table]) -> int:
        """Write a part, table by table, and return its rows.

        Raises
        ------
        NotWritten
            The disk is full, or may not be written to; nothing is left of the part.
        """
        return _write(self.part(task), tables)


def write_table(table: pyarrow.Table, path: str | os.PathLike[str]) -> None:
    """Write a table as one Parquet file, whole or not at all.

    Raises
    ------
    NotWritten
        It cannot be written.
    """
    _write(Path(path).expanduser(), iter([table]))


def _write(path: Path, tables: Iterator[pyarrow.Table]) -> int:
    parquet = _pyarrow()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    rows = 0
    try:
        first = next(tables)
        with parquet.ParquetWriter(temporary, first.schema, compression="zstd", compression_level=1) as writer:
            table: pyarrow.Table | None = first
            while table is not None:
                writer.write_table(table)
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


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _pyarrow() -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("pyarrow", "tables", "a sweep on disk") from None
    return parquet
