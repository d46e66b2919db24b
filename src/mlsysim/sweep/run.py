"""A sweep from its fields to its result: columns, what reductions keep, or a folder of files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, NamedTuple

from mlsysim.errors import Checks, InvalidValue, UnknownName
from mlsysim.registry import nearest
from mlsysim.sweep import pieces
from mlsysim.sweep.assembly import Assembly
from mlsysim.sweep.columns import Columns
from mlsysim.sweep.describe import about
from mlsysim.sweep.evaluate import Values, evaluate
from mlsysim.sweep.fields import DRAWS, grid_of
from mlsysim.sweep.grid import Block, Grid
from mlsysim.sweep.grouping import ALL_QUANTITIES, condition
from mlsysim.sweep.points import single
from mlsysim.sweep.pools import opened, ordered
from mlsysim.sweep.quantities import ENDS, QUANTITIES
from mlsysim.sweep.reduce import Pareto, Reduction, Top
from mlsysim.sweep.slips import unmatched
from mlsysim.sweep.store import Store
from mlsysim.sweep.words import is_known
from mlsysim.sweep.work import Job, Outcome, merge

MANY = 10**10
"""Points from which a sweep is confirmed before it starts: minutes to hours on one machine."""
IN_MEMORY = 0.5
"""Share of this machine's memory that columns may take."""
Progress = Callable[[int, int], None]
"""What is told how many points are done, of how many."""


class Stored(NamedTuple):
    """A sweep on disk: its folder, its points, and its parts."""

    path: str
    points: int
    parts: int


@dataclass(frozen=True)
class Reduced:
    """What reductions kept of a sweep, in the order in which they were asked for.

    A :class:`Top` or :class:`Pareto` gives columns of points, the others rows. ``points`` were worked out of
    ``planned``: fewer where the sweep was interrupted.
    """

    kept: tuple[Columns | list[dict[str, Any]], ...]
    points: int
    planned: int


class Interrupted(KeyboardInterrupt):
    """A sweep was interrupted; ``result`` is what it had, of whole tasks."""

    def __init__(self, result: Reduced | Stored | None) -> None:
        self.result = result
        super().__init__("interrupted")


def sweep(
    models: object,
    hardware: object,
    fields: Mapping[str, object],
    *,
    keep: str | Sequence[str] | None = None,
    reduce: Reduction | Sequence[Reduction] | None = None,
    to: str | PathLike[str] | None = None,
    resume: bool = False,
    executor: Executor | None = None,
    workers: int | None = None,
    dask: str | None = None,
    progress: Progress | None = None,
    confirm: bool | Callable[[int], bool] = False,
    quantiles: Sequence[float] | None = None,
    draws: int = DRAWS,
) -> Columns | Reduced | Stored:
    """Answer every combination of what the fields hold; see :meth:`Engine.sweep`."""
    if resume and to is None:
        raise InvalidValue("resume", "left out where no folder is given (to)", resume)
    grid = grid_of(models, hardware, fields, quantiles, draws)
    job = Job(grid, _kept(keep, grid), _reductions(reduce), None if to is None else Store(to))
    _matched(grid, job.reductions)
    _allowed(grid, job, confirm)
    if job.store is not None:
        job.store.open(about(grid, job.keep), resume)
    runner = _Runner(job, progress)
    try:
        with opened(executor, workers, dask) as (pool, count, anew):
            if pool is None or isinstance(pool, ThreadPoolExecutor):  # workers share this memory
                job = replace(job, assembly=runner.assembly)
            far = pieces.FAR if job.store is not None or dask is not None else 1
            for outcome in ordered(job, grid.tasks(far), pool, count, anew):
                runner.take(outcome)
    except KeyboardInterrupt:
        raise Interrupted(runner.partial()) from None
    return runner.result()


class _Runner:
    """What has come back so far."""

    def __init__(self, job: Job, progress: Progress | None) -> None:
        self.job, self.progress = job, progress
        self.assembly = Assembly(job.grid)
        self.states: list[Any] = []
        self.points = 0

    def take(self, outcome: Outcome) -> None:
        """Take what a task gave."""
        for box, values in outcome.answers:
            self.assembly.add(box, values)
        if outcome.states:
            merge(self.job.reductions, self.states, outcome.states)
        self.points += outcome.points
        if self.progress:
            self.progress(self.points, self.job.grid.points)

    def partial(self) -> Reduced | Stored | None:
        """Return what can be used of a sweep that was cut short."""
        found = None if self.job.store is None and not self.job.reductions else self.result()
        return None if isinstance(found, Columns) else found

    def result(self) -> Columns | Reduced | Stored:
        """Return the result."""
        job = self.job
        if job.reductions:
            kept = tuple(_finished(job, r, s) for r, s in zip(job.reductions, self.states, strict=False))
            return Reduced(kept, self.points, job.grid.points)
        if job.store is not None:
            return Stored(str(job.store.path), self.points, len(job.store.parts()))
        return Columns(job.grid, self.assembly.parts, job.keep)


def _finished(job: Job, reduction: Reduction, state: Any) -> Columns | list[dict[str, Any]]:
    """Return what a reduction kept: points are worked out again, with all their columns."""
    if not isinstance(reduction, (Top, Pareto)):
        rows: list[dict[str, Any]] = reduction.rows(state)  # type: ignore[attr-defined]
        return rows
    parts: list[tuple[Block, Values]] = []
    for number, at in reduction.rows(state):
        block = job.grid.block(number)
        box = single(block, at)
        parts.append((block.part(box), evaluate(job.grid, box, job.keep)))
    return Columns(job.grid, parts, job.keep)


def _reductions(reduce: Reduction | Sequence[Reduction] | None) -> tuple[Reduction, ...]:
    if reduce is None:
        return ()
    given = tuple(reduce) if isinstance(reduce, Sequence) and not isinstance(reduce, str) else (reduce,)
    for one in given:
        if not hasattr(one, "merged"):
            raise InvalidValue("reduce", "one or several of Top, Pareto, Quantiles and Summary", one)
    return given


def _kept(keep: str | Sequence[str] | None, grid: Grid) -> tuple[str, ...]:
    """Return the quantities that columns are made of, all by default; ends of intervals where there are no quantiles.

    Raises
    ------
    UnknownName
        There is no quantity of that name.
    """
    if isinstance(keep, str):
        return _kept([keep], grid)
    if keep is None:
        return tuple(name for name in QUANTITIES if not grid.uncertain or name not in ENDS)
    for name in keep:
        if name not in QUANTITIES:
            raise UnknownName("quantity", name, nearest(name, QUANTITIES), ALL_QUANTITIES)
    return tuple(dict.fromkeys(keep))


def _matched(grid: Grid, reductions: Sequence[Reduction]) -> None:
    """Refuse conditions on a word that no point has and nothing is called.

    Raises
    ------
    UsageError
        With all of them.
    """
    checks = Checks()
    labels = {name: [str(label) for label, _ in values] for name, values in grid.words.items()}
    conditions = [found for one in reductions if (found := condition(getattr(one, "where", "")))]
    for slip in unmatched(conditions, labels, "in this sweep"):
        if not is_known(slip.kind.partition(" ")[0], slip.name):
            checks.add(slip)
    checks.done()


def _allowed(grid: Grid, job: Job, confirm: bool | Callable[[int], bool]) -> None:
    """Refuse a sweep that nobody meant: very many points unconfirmed, or more columns than memory holds.

    Raises
    ------
    InvalidValue
        With what to do instead.
    """
    points = grid.points
    if points >= MANY and not (confirm(points) if callable(confirm) else confirm):
        most = sorted(grid.swept, key=lambda n: -len(grid.numbers.get(n, grid.words.get(n, ()))))[:3]
        hint = f"the longest fields are {', '.join(most)}; confirm=True (--yes) starts it all the same"
        raise InvalidValue("points", f"confirmed from {MANY:.0e} on", f"{float(points):.3g}", hint)
    size, room = 8.0 * points * len(job.keep), IN_MEMORY * memory_bytes()
    if job.store is None and not job.reductions and size > room:
        hint = "keep fewer quantities (keep), reduce them on the way (reduce), or write them to disk (to)"
        rule = f"at most {room / 8 / len(job.keep):,.0f} in memory"
        raise InvalidValue("points", rule, points, f"they take {size / 1e9:,.0f} GB; {hint}")


def memory_bytes() -> float:
    """Return the memory of this machine [B]; 8 GB where it does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return 8e9
