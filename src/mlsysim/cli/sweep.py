"""``mlsysim sweep FILE`` or ``mlsysim sweep --model A,B --hardware C,D``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mlsysim.cli import options
from mlsysim.cli.keeping import NAMES, keeping, label, listed, reductions, uncertain
from mlsysim.errors import Checks, InvalidValue

if TYPE_CHECKING:
    from mlsysim.report.tables import Table
    from mlsysim.results import Note
    from mlsysim.sweep.columns import Columns
    from mlsysim.sweep.run import Progress, Reduced, Stored

_RUN = (
    click.option("--to", type=click.Path(), help="write all points to a folder of Parquet files"),
    click.option("--resume", is_flag=True, help="go on with what is in the folder of --to"),
    click.option("--workers", type=int, help="processes that work at once  [default: threads of one]"),
    click.option("--dask", help="work on Dask: the address of a scheduler, tcp://HOST:PORT"),
    click.option("--yes", is_flag=True, help="do not ask before very many points"),
)


class Asked(NamedTuple):
    """One sweep that is asked for: its title, the quantities to show, what is kept of it, and what answers it."""

    title: str
    keep: tuple[str, ...] | None
    labels: tuple[str, ...]
    sweep: Callable[..., Columns | Reduced | Stored]


def _run(function: Any) -> Any:
    for option in reversed(_RUN):
        function = option(function)
    return function


@click.command("sweep", short_help="Answer every combination of what the fields hold.")
@click.argument("file", required=False)
@click.option("--model", help="models, separated by commas")
@click.option("--hardware", "--on", help="devices with commas, a kind (gpu, tpu, npu, cpu, mcu) or all")
@options.question
@options.efficiencies
@keeping
@_run
@options.output
def command(output: str, **given: Any) -> None:
    """Answer every combination of what the fields hold.

    Fields are those of a scenario FILE, or options; each may be a list (1,8,64), or a range: 1..256*2 (a factor),
    1024..8192+1024 (a step), 0.3..0.5/5 (so many).

    Exit code 0; 1 if no point is feasible; 2 for a mistake; 130 if interrupted, with what there is so far.
    """
    from mlsysim.sweep.run import Interrupted

    how = {name: given.pop(name) for name in ("to", "resume", "workers", "dask")}
    confirm = given.pop("yes") or _confirmed
    asked = _asked(given)
    _check(asked, output, how)
    answer = Answer(output, many=sum(len(one.labels) for one in asked) > 1)
    try:
        with _bar() as progress:
            found = [(one, one.sweep(progress=progress, confirm=confirm, **how)) for one in asked]
    except Interrupted as stopped:
        if stopped.result is not None:
            answer.take(Asked("until interrupted", asked[0].keep, asked[0].labels, asked[0].sweep), stopped.result)
            answer.finish()
            if how["to"] is not None:
                print("--resume goes on with it", file=sys.stderr)
        raise KeyboardInterrupt from None
    for one, result in found:
        answer.take(one, result)
    sys.exit(answer.finish())


def _asked(given: dict[str, Any]) -> list[Asked]:
    """Return the sweeps that are asked for: one, or one for each scenario of a file.

    Raises
    ------
    InvalidValue, UnknownName, Problems
        Neither a file nor a model and hardware; what a file or the options may not hold.
    """
    from mlsysim.engine import Engine

    kept = {name: given.pop(name) for name in NAMES}
    file = given.pop("file")
    fields = {name: value for name, value in given.items() if value is not None}
    if "hardware" in fields:
        fields["hardware"] = _devices(fields["hardware"])
    reduce, keep = reductions(kept), listed(kept["keep"])
    drawing = {name: value for name, value in uncertain(kept).items() if value is not None}
    if file is None:
        checks = Checks()
        for name in ("model", "hardware"):
            if name not in fields:
                checks.add(InvalidValue(f"--{name}", "given, or a scenario file that holds it", None))
        checks.done()
        ask = partial(Engine.sweep, **fields, keep=keep, reduce=reduce, **drawing)
        return [Asked("", keep, _labels(reduce), ask)]
    from mlsysim.whatif.scenario_file import read_scenarios

    found = []
    for section in read_scenarios(file).scenarios:
        shown, what = keep or section.keep, reduce or section.reduce
        stated = {"keep": shown, "reduce": what or None, **section.drawing, **drawing}
        ask = partial(Engine.sweep, **{**section.fields, **fields}, **stated)
        found.append(Asked(section.name, shown, _labels(what), ask))
    return found


def _devices(text: str) -> Any:
    """Return the devices that kinds and ``all`` stand for among names with commas; names alone as they are."""
    from mlsysim.whatif.devices import KINDS, hardware_list

    names = {name.strip() for name in text.split(",")}
    return hardware_list(text) if names & {"all", *KINDS} else text


def _labels(reduce: Sequence[Any]) -> tuple[str, ...]:
    return tuple(map(label, reduce)) or ("",)


def _check(asked: Sequence[Asked], output: str, how: Mapping[str, Any]) -> None:
    """Refuse what would be found out only after the work.

    Raises
    ------
    InvalidValue, Problems
        ``--resume`` without a folder; one folder for several sweeps; several tables as one of CSV.
    """
    checks = Checks()
    if how["resume"] and how["to"] is None:
        checks.add(InvalidValue("--resume", "given with --to, the folder to go on in", True))
    if how["to"] is not None and len(asked) > 1:
        names = ", ".join(one.title for one in asked)
        checks.add(InvalidValue("--to", "a folder for one sweep", how["to"], f"the file has {len(asked)}: {names}"))
    tables = sum(len(one.labels) for one in asked)
    if output == "csv" and tables > 1:
        checks.add(InvalidValue("--output", "another than csv for several tables", output, f"there are {tables}"))
    checks.done()


def _confirmed(points: int) -> bool:
    return sys.stdin.isatty() and click.confirm(f"{float(points):.3g} points: go on?", err=True)


@contextmanager
def _bar() -> Iterator[Progress]:
    """Show how many points are done, how many a second, and the time that is left, once that is worth it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[done]}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    bars = Progress(*columns, console=Console(stderr=True), transient=True)
    shown: list[TaskID] = []

    def tell(done: int, planned: int) -> None:
        if planned < SHOWN_FROM:
            return
        if not shown:
            bars.start()
            shown.append(bars.add_task("", total=float(planned), done="", rate=""))
        speed = bars.tasks[0].speed
        rate = f"{speed / 1e6:.1f} M/s" if speed else ""
        bars.update(shown[0], completed=float(done), done=f"{done:,} of {planned:,}", rate=rate)

    try:
        yield tell
    finally:
        if shown:
            bars.stop()


SHOWN_FROM = 10**6
"""Points from which a bar shows how far it is."""


MOST_NOTES = 6
"""Notes of one code that are said one by one: over all devices there are as many prices."""


def _say_notes(notes: Sequence[Note]) -> None:
    """Write notes to standard error, of each code the first of them, and how many more there are."""
    for code in dict.fromkeys(note.code for note in notes):
        said = [note for note in notes if note.code == code]
        few = said if len(said) <= MOST_NOTES else said[: MOST_NOTES - 1]
        options.say_notes(few)
        if len(few) < len(said):
            print(f"[{code}] and {len(said) - len(few)} more of these", file=sys.stderr)


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"


class Answer:
    """What is printed: each table as it comes, and JSON as one document in the end."""

    def __init__(self, output: str, *, many: bool) -> None:
        self.output, self.many = output, many
        self.feasible = False
        self.told: list[dict[str, Any]] = []

    def take(self, asked: Asked, result: Columns | Reduced | Stored) -> None:
        """Print a result, or keep it where the format has one document."""
        from mlsysim.report import sweeps
        from mlsysim.sweep.columns import Columns
        from mlsysim.sweep.run import Stored

        if isinstance(result, Stored):
            held = f"{_counted(result.points, 'point')} in {_counted(result.parts, 'file')}"
            print(f"{held}: {result.path}", file=sys.stderr)
            self.feasible = True
            return
        for name, part in zip(asked.labels, (result,) if isinstance(result, Columns) else result.kept, strict=False):
            title = ": ".join(filter(None, (asked.title, name)))
            if isinstance(part, Columns):
                self.feasible |= bool(part.points and part["feasible"].any())
                self._columns(part, asked.keep, title)
            else:
                self.feasible |= any(row["points"] for row in part)
                self._emit(title, sweeps.plain_rows(part), sweeps.rows_table(part, title))
        if not isinstance(result, Columns):
            part_of = f"{result.points:,} of " if result.points < result.planned else ""
            print(f"of {part_of}{_counted(result.planned, 'point')}", file=sys.stderr)

    def _columns(self, part: Columns, keep: Sequence[str] | None, title: str) -> None:
        from mlsysim.report import sweeps

        _say_notes((*part.notes, *sweeps.clipped(part)))
        if self.output == "csv":
            sweeps.write_csv(part, sys.stdout)
            return
        rows = list(sweeps.columns_rows(part)) if self.output == "json" else []
        self._emit(title, rows, sweeps.columns_table(part, keep, title))

    def _emit(self, title: str, rows: list[dict[str, Any]], table: Table) -> None:
        from mlsysim.report.tables import emit

        if self.output == "json" and self.many:
            self.told.append({"table": title, "rows": rows})
        else:
            emit(self.output, rows, table)

    def finish(self) -> int:
        """Print what was kept, and return the exit code: 1 where no point is feasible."""
        if self.told:
            import json

            print(json.dumps(self.told, indent=2, allow_nan=False))
        return 0 if self.feasible else 1
