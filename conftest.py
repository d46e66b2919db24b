"""Documentation is run: every ``>>>`` and every ``$ mlsysim ...`` of the README and of docs/ is a test.

Each page runs in a folder of its own, which holds nothing but the logs and traces that the tests read,
where they lie here.
"""

from __future__ import annotations

import doctest
import io
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
from sybil import Document, Example, Region, Sybil
from sybil.evaluators.doctest import OutputChecker
from sybil.parsers.markdown import PythonCodeBlockParser
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

FLAGS = doctest.ELLIPSIS
ROOT = Path(__file__).parent
LOGS = (Path("tests/calibration/logs/files"), Path("tests/timeline/files"))


class Command(NamedTuple):
    """A line after a ``$`` and the output that is shown under it."""

    line: str
    shown: str


def commands(source: str) -> Iterator[Command]:
    """Split a console block into its commands."""
    for chunk in re.split(r"^\$ ", source, flags=re.MULTILINE)[1:]:
        line, _, shown = chunk.partition("\n")
        yield Command(line, shown.strip("\n") + "\n" if shown.strip() else "")


def output_of(line: str) -> tuple[str, int]:
    """Run ``mlsysim ...`` and return what it writes, standard output first, and its exit code."""
    from mlsysim.cli.app import main

    program, *arguments = shlex.split(line)
    if program != "mlsysim":
        raise ValueError(f"only `mlsysim ...` and `echo $?` are run in console blocks, not {line!r}")
    out, err, code = io.StringIO(), io.StringIO(), 0
    with mock.patch.object(sys, "argv", ["mlsysim", *arguments]), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    lines = [line.rstrip() for line in (out.getvalue() + err.getvalue()).splitlines()]
    return "\n".join(lines).strip("\n") + "\n", code


def run_console(source: str) -> Iterator[tuple[Command, str]]:
    """Run the commands of a console block in order and yield each with its output."""
    code = 0
    for command in commands(source):
        if command.line == "echo $?":
            got = f"{code}\n"
        else:
            got, code = output_of(command.line)
        yield command, got


def matches(shown: str, got: str) -> bool:
    """Return whether an output is the one shown, in which ``...`` stands for anything."""
    return OutputChecker().check_output(shown, got, FLAGS)


def check_console(example: Example) -> str | None:
    """Return what differs in the first command whose output is not the one shown, None if all agree."""
    for command, got in run_console(str(example.parsed)):
        if not matches(command.shown, got):
            return f"$ {command.line}\nshown:\n{command.shown}got:\n{got}"
    return None


@contextmanager
def scratch() -> Iterator[None]:
    """Work in a folder of one's own: a page saves calibrations, and neither sees nor touches those of its reader."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for logs in LOGS:
            shutil.copytree(ROOT / logs, Path(folder) / logs)
        stack.enter_context(mock.patch.dict(os.environ, MLSYSIM_CONFIG_DIR=str(Path(folder) / "user")))
        stack.enter_context(chdir(folder))
        yield


def begin(names: dict[str, Any]) -> None:
    """Begin a page."""
    names["_scratch"] = ExitStack()
    names["_scratch"].enter_context(scratch())


def end(names: dict[str, Any]) -> None:
    """End a page."""
    names["_scratch"].close()


class ConsoleParser:
    """Yield the console blocks of a page."""

    def __call__(self, document: Document) -> Iterable[Region]:
        """Return a region for each block."""
        for block in FencedCodeBlockLexer("console")(document):
            yield Region(block.start, block.end, block.lexemes["source"], check_console)


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(doctest_optionflags=FLAGS), ConsoleParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    setup=begin,
    teardown=end,
).pytest()


class Done(NamedTuple):
    """What a command left: its exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def data(self):
        """Return standard output as one JSON document; NaN is no JSON."""
        return json.loads(self.out, parse_constant=pytest.fail)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return what runs a command here, in an empty folder of a user who has saved nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLSYSIM_CONFIG_DIR", str(tmp_path / "user"))
    monkeypatch.setenv("COLUMNS", "160")

    from mlsysim.cli.app import main

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mlsysim", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Done(caught.value.code, out, err)

    return call
