"""``mlsysim sweep FILE`` or ``mlsysim sweep --model A,B --hardware C,D``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from mlsysim.cli import options

if TYPE_CHECKING:
    from mlsysim.sweep.columns import Columns
    from mlsysim.sweep.run import Progress, Reduced, Stored

_KEPT = (
    "keep",
    "top",
    "by",
    "pareto",
    "summary",
    "quantiles_of",
    "where",
    "per",
    "uncertain",
    "quantiles",
    "draws",
)
"""Options that say what is kept."""
_KEEPING = (
    click.option("--keep", help="quantities to show, by name: time_s,tpot_s,usd_per_million"),
    click.option("--top", type=int, help="only so many, the best --by"),
    click.option("--by", help="what --top goes by, least first; -throughput for the most"),
    click.option("--pareto", help="only what no other beats: time_s,usd_per_million,-throughput"),
    click.option("--summary", help="only number, least, mean and most of some quantities"),
    click.option("--quantiles-of", help="only quantiles of some quantities over all points"),
    click.option("--where", help="only points that meet a condition: 'tpot_s < 50 ms and usd_per_million < 2'"),
    click.option("--per", help="--top, --summary and --quantiles-of for each: hardware,batch_size"),
    click.option("--uncertain", is_flag=True, help="carry intervals through: each answer with its 90 % interval"),
    click.option("--quantiles", help="levels to carry instead, in %: 10,90"),
    click.option("--draws", type=int, help="draws of what is uncertain  [default: 256]"),
)
_RUN = (
    click.option("--to", type=click.Path(), help="write all points to a folder of Parquet files"),
    click.option("--resume", is_flag=True, help="go on with what is in the folder"),
    click.option("--workers", type=int, help="processes that work at once  [default: threads of one]"),
    click.option("--dask", help="work on Dask: the address of a scheduler, tcp://HOST:PORT"),
    click.option("--yes", is_flag=True, help="do not ask before very many points"),
)


def _options(function: Any) -> Any:
    for option in reversed((*_KEEPING, *_RUN)):
        function = option(function)
    return function


@click.command("sweep", short_help="Answer every combination of what the fields hold.")
@click.argument("file", required=False)
@click.option("--model", help="models, separated by commas")
@click.option("--hardware", "--on", help="devices, separated by commas")
@options.question
@options.efficiency
@_options
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
    given.pop("strict")
    try:
        with _bar() as progress:
            questions = _questions(given)
            found = [
                (title, keep, sweep(progress=progress, confirm=confirm, **how)) for title, keep, sweep in questions
            ]
    except Interrupted as stopped:
        if stopped.result is not None:
            _emit(output, "until interrupted", None, stopped.result)
        raise KeyboardInterrupt from None
    codes = [_emit(output, title, keep, result) for title, keep, result in found]
    sys.exit(min(codes, default=0))


def _questions(given: dict[str, Any]) -> list[tuple[str, tuple[str, ...] | None, Any]]:
    """Return a title, the quantities to show and what answers, for each sweep that is asked for."""
    from functools import partial

    from mlsysim.engine import Engine

    kept = {name: given.pop(name) for name in _KEPT}
    file = given.pop("file")
    fields = {name: value for name, value in given.items() if value is not None}
    reduce, keep, more = _reductions(kept), _listed(kept["keep"]), _uncertain(kept)
    if file is None:
        return [("", keep, partial(Engine.sweep, **fields, keep=keep, reduce=reduce, **more))]
    from mlsysim.whatif.scenario_file import read_scenarios

    found = []
    for section in read_scenarios(file).scenarios:
        chosen = keep or section.keep
        stated = {"keep": chosen, "reduce": reduce or section.reduce or None, **more}
        ask = partial(Engine.sweep, **{**section.fields, **fields}, **stated)
        found.append((section.name, chosen, ask))
    return found


def _listed(text: str | None) -> tuple[str, ...] | None:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else None


def _uncertain(kept: dict[str, Any]) -> dict[str, Any]:
    if kept["quantiles"] is None and not kept["uncertain"]:
        return {"draws": kept["draws"]}
    levels = [float(options.number(part)) / 100.0 for part in _listed(kept["quantiles"]) or ("5", "95")]
    return {"quantiles": levels, "draws": kept["draws"]}


def _reductions(kept: dict[str, Any]) -> list[Any]:
    from mlsysim.whatif.reductions import reduction

    where = {"where": kept["where"]} if kept["where"] else {}
    per = {"per": list(_listed(kept["per"]) or ())} if kept["per"] else {}
    tables: list[dict[str, Any]] = []
    if kept["top"] is not None:
        tables.append({"top": kept["top"], "by": kept["by"] or "time_s", **where, **per})
    if kept["pareto"]:
        tables.append({"pareto": list(_listed(kept["pareto"]) or ()), **where})
    if kept["summary"]:
        tables.append({"summary": list(_listed(kept["summary"]) or ()), **where, **per})
    if kept["quantiles_of"]:
        of = list(_listed(kept["quantiles_of"]) or ())
        tables.append({"quantiles": [0.05, 0.5, 0.95], "of": of, **where, **per})
    return [reduction(table) for table in tables]


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


def _emit(output: str, title: str, keep: Sequence[str] | None, result: Columns | Reduced | Stored) -> int:
    """Print a result, and return the exit code: 1 where no point of it is feasible."""
    from mlsysim.report import sweeps
    from mlsysim.report.tables import emit
    from mlsysim.sweep.columns import Columns
    from mlsysim.sweep.run import Stored

    if isinstance(result, Stored):
        print(f"{result.points:,} points in {result.parts:,} files: {result.path}", file=sys.stderr)
        return 0
    kept = (result,) if isinstance(result, Columns) else result.kept
    empty = True
    for part in kept:
        if isinstance(part, Columns):
            empty = empty and not (part.points and bool(part["feasible"].any()))
            if output == "csv":
                sweeps.write_csv(part, sys.stdout)
                continue
            options.say_notes(part.notes)
            table = sweeps.columns_table(part, keep, title)
            emit(output, list(sweeps.columns_rows(part)) if output == "json" else [], table)
        else:
            empty = empty and not any(row["points"] for row in part)
            emit(output, part, sweeps.rows_table(part, title))
    if not isinstance(result, Columns):
        print(f"of {result.points:,} points", file=sys.stderr)
    return 1 if empty else 0
