"""What one worker does: the boxes of a task, one after another, kept, reduced or written to disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mlsysim.sweep import pieces
from mlsysim.sweep.allocator import keep_freed_memory
from mlsysim.sweep.assembly import Assembly
from mlsysim.sweep.columns import Columns
from mlsysim.sweep.evaluate import Values, evaluate
from mlsysim.sweep.grid import Grid
from mlsysim.sweep.pieces import Box, Task
from mlsysim.sweep.points import Points, quantities_of
from mlsysim.sweep.reduce import Reduction
from mlsysim.sweep.store import Store

if TYPE_CHECKING:
    import pyarrow


class Outcome(NamedTuple):
    """What a task gives: the answers of its boxes, the state of each reduction, and its points."""

    answers: list[tuple[Box, Values]]
    states: list[Any]
    points: int


@dataclass(frozen=True)
class Job:
    """A sweep as workers see it. Calling it with a task does the task.

    ``keep`` are the quantities of columns; ``store`` where they are written, else they are returned unless there are
    ``reductions``: at once into ``assembly`` where workers share memory.
    """

    grid: Grid
    keep: tuple[str, ...]
    reductions: tuple[Reduction, ...] = ()
    store: Store | None = None
    assembly: Assembly | None = None

    @property
    def wanted(self) -> tuple[str, ...]:
        """Return the quantities that must be worked out of each point."""
        needs = [name for reduction in self.reductions for name in reduction.needs]
        kept = self.keep if self.store or not self.reductions else ()
        return quantities_of([*kept, *needs])

    def __call__(self, task: Task) -> Outcome:
        """Return what a task gives."""
        keep_freed_memory()
        outcome = Outcome([], [], task.points)
        parts = self._boxes(task, outcome)
        if self.store is None:
            for _ in parts:
                pass
        elif not self.store.has(task.number):
            self.store.write(task.number, self._tables(parts))
        elif self.reductions:
            for _ in parts:
                pass
        return outcome

    def _boxes(self, task: Task, outcome: Outcome) -> Iterator[Points]:
        """Yield the points of each box, reduced already."""
        wanted = self.wanted
        for box in task.boxes:
            block = self.grid.block(box.block)
            points = Points(block, box, evaluate(self.grid, box, wanted))
            if self.reductions:
                merge(self.reductions, outcome.states, [reduction.of(points) for reduction in self.reductions])
            elif self.assembly is not None:
                self.assembly.add(box, points.values)
            elif self.store is None:
                outcome.answers.append((box, points.values))
            yield points

    def _tables(self, parts: Iterator[Points]) -> Iterator[pyarrow.Table]:
        """Yield tables of some boxes each: a Parquet file of many small ones would be large and slow."""
        held: list[Points] = []
        rows = 0
        for points in parts:
            held.append(points)
            rows += points.box.points
            if rows >= pieces.BOX:
                yield self._table(held)
                held, rows = [], 0
        if held:
            yield self._table(held)

    def _table(self, held: Sequence[Points]) -> pyarrow.Table:
        return Columns(self.grid, [(each.block.part(each.box), each.values) for each in held], self.keep).to_arrow()


def merge(reductions: Sequence[Reduction], states: list[Any], more: Sequence[Any]) -> None:
    """Merge further states, one a reduction, into those so far."""
    if not states:
        states.extend(more)
        return
    for n, (reduction, state) in enumerate(zip(reductions, more, strict=True)):
        states[n] = reduction.merged(states[n], state)
