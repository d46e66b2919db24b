"""Tables of an SQLite file, row by row: what Nsight Systems exports."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue

MAGIC = "SQLite format 3\0"
"""What every file of SQLite begins with (sqlite.org, Database File Format, section 1.3)."""
_ROWS = 65_536
"""Rows between two reports of progress."""


class Tables:
    """The tables of one file. A table or a column that is missing is empty.

    ``broken`` counts tables that break off before their end.
    """

    def __init__(
        self, connection: sqlite3.Connection, size: int, progress: Callable[[int], None] | None = None
    ) -> None:
        self._connection, self._size, self._progress = connection, size, progress
        self.broken: Counter[str] = Counter()
        names = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
        self.columns = {name: self._columns(name) for (name,) in names}
        self._seen = 0
        self._texts: dict[int, str] = {}

    def _columns(self, table: str) -> frozenset[str]:
        quoted = table.replace('"', '""')
        return frozenset(row[1] for row in self._connection.execute(f'PRAGMA table_info("{quoted}")'))

    def __contains__(self, table: object) -> bool:
        return table in self.columns

    def filled(self, table: str) -> bool:
        """Return whether a table is there and has a row: an export may hold all tables, most of them empty."""
        return next(self.rows(table, ("rowid",)), None) is not None

    def rows(
        self, table: str, columns: Sequence[str], only: tuple[str, Sequence[int]] | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a table, each with the columns asked for: None where the table has no such column.

        ``only`` names a column and the values that it may have.
        """
        known = self.columns.get(table)
        if not known or (only and only[0] not in known):
            return
        asked = ", ".join(f'"{column}"' if column in known else "NULL" for column in columns)
        values = ", ".join(str(int(value)) for value in only[1]) if only else ""
        where = f' WHERE "{only[0]}" IN ({values})' if only else ""
        try:
            for number, row in enumerate(self._connection.execute(f'SELECT {asked} FROM "{table}"{where}'), 1):
                yield row
                if number % _ROWS == 0:
                    self._report(_ROWS)
        except sqlite3.DatabaseError:
            self.broken[table] += 1

    def text(self, number: int | None) -> str:
        """Return a string of the table ``StringIds``; empty where it has none of this number."""
        if number is None:
            return ""
        found = self._texts.get(number)
        if found is None:
            row = next(self.rows("StringIds", ("value",), ("id", (number,))), None)
            found = self._texts[number] = str(row[0]) if row and row[0] is not None else ""
        return found

    def _report(self, rows: int) -> None:
        """Tell how far the reading has come, as bytes: a row of a busy table takes about a hundred."""
        self._seen = min(self._seen + rows * 100, self._size)
        if self._progress:
            self._progress(self._seen)

    def finish(self) -> None:
        """Report that all was read."""
        if self._progress:
            self._progress(self._size)


@contextmanager
def opened(source: Source, progress: Callable[[int], None] | None = None) -> Iterator[Tables]:
    """Open a file for reading; a packed one is unpacked beside the temporary files first.

    Raises
    ------
    InvalidValue
        The file is no database, or is cut off.
    """
    path, temporary = _on_disk(source)
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
            yield Tables(connection, path.stat().st_size, progress)
        finally:
            connection.close()
    except sqlite3.DatabaseError as problem:
        hint = f"SQLite says: {problem}; copy the file again, or export it again: nsys export --type sqlite"
        raise InvalidValue("trace", "a whole SQLite file", str(source.path), hint) from None
    finally:
        if temporary:
            path.unlink(missing_ok=True)


def _on_disk(source: Source) -> tuple[Path, bool]:
    """Return where a file lies unpacked, and whether that is a copy made here."""
    if source.path.is_file():
        with source.path.open("rb") as file:
            if file.read(len(MAGIC)) == MAGIC.encode():
                return source.path, False
    handle, name = tempfile.mkstemp(suffix=".sqlite")
    with os.fdopen(handle, "wb") as copy:
        for piece in source.pieces():
            copy.write(piece)
    return Path(name), True
