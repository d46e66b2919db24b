"""NVTX ranges: which of them are steps, and which are operators of PyTorch.

Nothing says that a range is a step. Taken for steps are ranges of one thread whose text is a word and a number that
counts up, at least three of them, one after the other; of several such sets the one that covers most time.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from mlsysim.timeline.activity import MATH, Activity, activity
from mlsysim.timeline.spans import NO_LINK, SpanRows
from mlsysim.timeline.trace import Mark, Operator

FEWEST = 3
"""Ranges that make steps."""
_STEP = re.compile(r"\W*([A-Za-z][\w .\-/]*?)[\s#:=_\-/(\[]*(\d{1,15})\W*$")
_OPERATOR = re.compile(r"([A-Za-z_]\w*::[\w:.]+)(?:, |$)")
"""A text as PyTorch's ``emit_nvtx`` writes it: ``aten::mm, seq = 3, op_id = 7, sizes = [[2, 3], [3, 4]]``."""
_SIZES = re.compile(r"sizes = (\[.*?\])(?:, input_op_ids|$)")
_DIGITS = re.compile(r"\d+")

Lane = tuple[Any, Any]
"""A thread: its process and its number."""


class Steps(NamedTuple):
    """A set of ranges that count up on one thread."""

    lane: Lane
    word: str
    marks: tuple[Mark, ...]

    @property
    def covered(self) -> int:
        """Return the time that they cover [ns]."""
        return sum(mark.end - mark.start for mark in self.marks)


@dataclass(slots=True)
class Ranges:
    """Takes ranges one by one: those that may be steps, and those that go into a timeline of the host."""

    host: SpanRows
    training: bool = False
    counted: dict[tuple[Lane, str], array[int]] = field(default_factory=dict)

    def add(self, lane: Lane, text: str, start: int, end: int) -> None:
        """Add a range of a thread, from ``start`` to ``end`` [ns]."""
        if operator := _OPERATOR.match(text):
            self._operator(lane, operator[1], text, start, end)
            return
        self.count(lane, text, start, end)
        plain = _DIGITS.sub("#", text)
        kind = activity("mark", plain)
        if kind is not Activity.IGNORED:
            self.host.add(start, end, kind, lane, plain)

    def count(self, lane: Lane, text: str, start: int, end: int) -> None:
        """Keep a range that may be a step."""
        if step := _STEP.match(text):
            self.counted.setdefault((lane, step[1].strip()), array("q")).extend((start, end, int(step[2])))

    def _operator(self, lane: Lane, name: str, text: str, start: int, end: int) -> None:
        kind = activity("operator", name)
        self.training = self.training or "ackward" in name
        if kind is Activity.IGNORED:
            return
        sizes = _SIZES.search(text) if kind in MATH else None
        work = Operator(name, sizes[1].encode()) if sizes else None
        self.host.add(start, end, kind, lane, name, NO_LINK, None, work)

    def steps(self) -> list[Steps]:
        """Return the sets of ranges that count up, those that cover most time first."""
        found = (_counting(lane, word, rows) for (lane, word), rows in self.counted.items())
        return sorted((steps for steps in found if steps), key=lambda s: (-s.covered, s.lane, s.word))


def _counting(lane: Lane, word: str, rows: array[int]) -> Steps | None:
    """Return ranges as steps where they count up one after the other."""
    if len(rows) < 3 * FEWEST:
        return None
    table = np.array(rows, np.int64).reshape(-1, 3)
    start, end, number = table[np.lexsort((table[:, 1], table[:, 0]))].T
    if (np.diff(number) <= 0).any() or (start[1:] < end[:-1]).any():
        return None
    return Steps(lane, word, tuple(Mark(int(n), int(s), int(e)) for s, e, n in zip(start, end, number, strict=True)))
