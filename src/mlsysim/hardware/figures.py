"""A figure with its source and date, and the packaged tables that hold one figure a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from mlsysim.registry import read_text
from mlsysim.units import scale


class Figure(NamedTuple):
    """One figure in SI units, with where and when it was read; ``of`` says which memory or unit it is of."""

    value: float
    source: str
    retrieved: str
    note: str = ""
    of: str = ""

    @property
    def unverified(self) -> bool:
        """Return whether the figure comes from memory: no document was found that gives it."""
        return "recalled" in self.source

    @property
    def follows(self) -> bool:
        """Return whether the figure was computed from a peak, so that it cannot confirm the peak."""
        return self.source.startswith("derived") and any(of in self.source for of in ("peak /", "figure /", "peak of "))


class FigureTable:
    """A packaged table of figures: owner, quantity, of, value, unit, source, retrieved, note.

    The rows of an owner stand together, blank lines around them, so that one owner is read without the others.
    ``dimensions`` gives the SI unit of each quantity; a unit belongs to one of them.
    """

    def __init__(self, package: str, name: str, dimensions: Mapping[str, str]) -> None:
        self._package, self._name, self._dimensions = package, name, dimensions
        self._factors: dict[str, float] = {}
        self._next = 0

    @cached_property
    def _text(self) -> str:
        return read_text(self._package, self._name)

    def of(self, owner: str) -> Iterator[tuple[str, str, Figure]]:
        """Yield quantity, what it is of, and figure for every row of an owner."""
        text, start, factors = self._text, f"{owner}\t", self._factors
        # Owners are mostly read in the order of the table: then the next block is the one wanted.
        at = self._next if text.startswith(start, self._next) else text.find(f"\n\n{start}") + 2
        if at < 2:
            return
        end = text.index("\n\n", at)
        self._next = end + 2
        new = tuple.__new__  # what Figure(...) calls, without the call between: thousands are built at once
        for line in text[at:end].split("\n"):
            _, quantity, of, value, unit, source, retrieved, note = line.split("\t")
            factor = factors.get(unit) or factors.setdefault(unit, scale(unit, self._dimensions[quantity]))
            yield quantity, of, new(Figure, (float(value) * factor, source, retrieved, note, of))
