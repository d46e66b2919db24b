"""One table, four faces: for a terminal, for a spreadsheet, for a document, for a program."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any, TextIO

LONGEST_NAME = 24
"""The longest cell of the first column that a terminal may not break [characters]."""
WRAPPED = 12
"""The width that other text may be wrapped to [characters]."""


@dataclass(frozen=True, slots=True)
class Table:
    """A title, column heads and rows of text.

    ``right`` names the columns that hold numbers; ``beneath`` those whose sentences a terminal shows under the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[str] = frozenset()
    beneath: frozenset[str] = frozenset()
    caption: str = ""


def emit(output: str, data: Any, table: Table, file: TextIO | None = None) -> None:
    """Write an answer to standard output (or ``file``): ``data`` as JSON, or ``table`` in one of the other formats."""
    stream = file or sys.stdout
    {"json": _json, "csv": _csv, "markdown": _markdown, "table": _terminal}[output](data, table, stream)


def _json(data: Any, table: Table, stream: TextIO) -> None:  # noqa: ARG001  # the writers share a signature
    import json

    stream.write(json.dumps(data, indent=2, allow_nan=False) + "\n")


def _csv(data: Any, table: Table, stream: TextIO) -> None:  # noqa: ARG001
    """Write the data of the JSON answer, a row an item: numbers as numbers, ``time_s.low`` for what is nested."""
    import csv

    rows = [_flat(item) for item in (data if isinstance(data, list) else [data])]
    writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _flat(item: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, keys joined by points; a list becomes words, one of structures is left out."""
    found: dict[str, Any] = {}
    for key, value in item.items():
        if key == "defaults":  # what was not given differs from row to row; its values stand in columns of their own
            continue
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        elif not isinstance(value, (list, tuple)):
            found[prefix + key] = value
        elif key == "notes":
            found[prefix + key] = " ".join(note["code"] for note in value)
        elif all(isinstance(v, str) for v in value):
            found[prefix + key] = "; ".join(value)
    return found


def _markdown(data: Any, table: Table, stream: TextIO) -> None:  # noqa: ARG001
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |\n"

    marks = ["---:" if c in table.right else "---" for c in table.columns]
    stream.writelines([line(table.columns), line(marks), *(line(r) for r in table.rows)])


def _terminal(data: Any, table: Table, stream: TextIO) -> None:  # noqa: ARG001
    """Draw the table, or, where its numbers would be broken across lines, each row under its name."""
    from rich.console import Console

    wide = None if stream.isatty() else int(os.environ.get("COLUMNS") or 120)
    text = StringIO()
    console = Console(file=text, width=wide, highlight=False, force_terminal=stream.isatty())
    (_drawn if _least_width(table) <= console.width else _listed)(console, table)
    stream.writelines(line.rstrip() + "\n" for line in text.getvalue().splitlines())


def _shown(table: Table) -> list[int]:
    return [i for i, column in enumerate(table.columns) if column not in table.beneath]


def _least_width(table: Table) -> int:
    """Return the width at which no number and no short name is broken; other text may wrap to some words a line."""
    widths = []
    for i in _shown(table):
        whole = max([len(table.columns[i]), *(len(row[i]) for row in table.rows)])
        if table.columns[i] in table.right:
            widths.append(whole)
        else:
            widths.append(min(whole, LONGEST_NAME if i == 0 else WRAPPED))
    return sum(widths) + 3 * len(widths)


def _drawn(console: Any, table: Table) -> None:
    from rich import box
    from rich.padding import Padding
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for i in _shown(table):
        right = table.columns[i] in table.right
        drawn.add_column(Text(table.columns[i]), justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in table.rows:
        drawn.add_row(*(Text(row[i]) for i in _shown(table)))
    if table.title:
        console.print(Text(table.title, "bold"))  # not the table's own title, which wraps to its width
    console.print(drawn if table.rows else "")
    if table.caption:
        console.print(Text(table.caption, "italic"))
    for row in table.rows if table.beneath else ():
        console.print(Text(row[0], "bold"))
        for i in sorted(set(range(len(row))) - set(_shown(table))):
            console.print(Padding(Text.assemble((f"{table.columns[i]}: ", "dim"), row[i]), (0, 0, 0, 2)))


def _listed(console: Any, table: Table) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Text(table.title, "bold"))
    named = f"{table.columns[0]}: " if table.columns[0] in table.right else ""  # a number says nothing alone
    for row in table.rows:
        console.print()
        console.print(Text(named + row[0], "bold"))
        for column, cell in zip(table.columns[1:], row[1:], strict=True):
            if cell:
                console.print(Padding(Text.assemble((f"{column}: ", "dim"), cell), (0, 0, 0, 2)))
    if table.caption:
        console.print(Text(f"\n{table.caption}", "italic"))
