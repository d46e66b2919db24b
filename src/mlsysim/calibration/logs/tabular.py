"""Tables in text: a header line, then a row a line, with commas, semicolons or tabs between the cells."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue

_BETWEEN = (",", ";", "\t")


def header_of(source: Source) -> list[str]:
    """Return the cells of the first line that is neither empty nor a comment; nothing where it is no table's."""
    for line in source.head.splitlines():
        if line.strip() and not line.startswith("#"):
            return _cells(line)
    return []


def _delimiter(line: str) -> str:
    return max(_BETWEEN, key=line.count)


def _cells(line: str) -> list[str]:
    """Return the names in a header line; a carriage return within it is no end of line."""
    text = line.strip("\r\n").replace("\r", " ")
    return [cell.strip() for cell in next(csv.reader([text], delimiter=_delimiter(text)), [])]


def rows_of(source: Source) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows below the header with their lines; cells that are not there are missing, not empty.

    Raises
    ------
    InvalidValue
        A cell that no table has: it is longer than 128 KB, say, since a quote was not closed.
    """
    lines = (line.decode("utf-8", "replace") for _, line in source.lines())
    line, start = "", 0
    for line in lines:
        start += 1
        if line.strip() and not line.startswith("#"):
            break
    header, reader = _cells(line), csv.reader(lines, delimiter=_delimiter(line))
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as problem:
            raise InvalidValue(
                f"{source.path}, line {start + reader.line_num}", "a row of a table", str(problem)
            ) from None
        if cells is None:
            return
        if cells and not cells[0].startswith("#"):
            yield start + reader.line_num, dict(zip(header, cells, strict=False))
