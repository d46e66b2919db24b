"""One table, four faces: for a terminal, for a spreadsheet, for a document, for a program."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO


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
    {"json": _json, "csv": _csv, "markdown": _markdown, "table": _rich}[output](data, table, stream)


def _json(data: Any, table: Table, stream: TextIO) -> None:  # noqa: ARG001  # the writers share a signature
    import json

    stream.write(json.dumps(data, indent=2, allow_nan=False) + "\n")


def _csv(data: Any, table: Table, stream: TextIO) -> None:  # noqa: ARG001
    import csv

    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)


def _markdown(data: Any, table: Table, stream: TextIO) -> None:  # noqa: ARG001
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |\n"

    marks = ["---:" if c in table.right else "---" for c in table.columns]
    stream.writelines([line(table.columns), line(marks), *(line(r) for r in table.rows)])


def _rich(data: Any, table: Table, stream: TextIO) -> None:  # noqa: ARG001
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(
        title=Text(table.title, "bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        caption=table.caption or None,
        caption_justify="left",
    )
    shown = [i for i, column in enumerate(table.columns) if column not in table.beneath]
    for i in shown:
        right = table.columns[i] in table.right
        drawn.add_column(Text(table.columns[i]), justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in table.rows:
        drawn.add_row(*(Text(row[i]) for i in shown))
    console = Console(file=stream, width=None if stream.isatty() else 120, highlight=False)
    console.print(drawn)
    for row in table.rows if table.beneath else ():
        console.print(Text(row[0], "bold"))
        for i in sorted(set(range(len(row))) - set(shown)):
            console.print(Text(f"  {row[i]}"))
