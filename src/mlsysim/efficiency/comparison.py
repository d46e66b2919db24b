"""Two runs held against each other: what changed in the mean step, cause by cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mlsysim.efficiency.breakdown import Breakdown


class Change(NamedTuple):
    """One cause before and after, and the difference [s]."""

    name: str
    before_s: float
    after_s: float
    change_s: float


class Comparison(NamedTuple):
    """Two runs: the difference of their mean steps, cause by cause; the changes sum to it."""

    before: Breakdown
    after: Breakdown
    changes: tuple[Change, ...]
    parts: tuple[Change, ...]

    @property
    def change_s(self) -> float:
        """Return the time of the second less that of the first [s]."""
        return self.after.measured_s - self.before.measured_s

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain data."""
        return {
            "change_s": self.change_s,
            "changes": [c._asdict() for c in self.changes],
            "parts": [c._asdict() for c in self.parts],
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
        }

    def __str__(self) -> str:
        """Return the comparison as text: a bar for each change."""
        from mlsysim.efficiency.bars import compared_text

        return compared_text(self)


def compared(before: Breakdown, after: Breakdown) -> Comparison:
    """Return what changed from one run to another, the largest change first."""
    one, other = ({c.name: c.seconds for c in b.causes} for b in (before, after))
    fine, finer = ({f"{c.name}/{p.name}": p.seconds for c in b.causes for p in c.parts} for b in (before, after))
    return Comparison(before, after, _changes(one, other), _changes(fine, finer))


def _changes(before: Mapping[str, float], after: Mapping[str, float]) -> tuple[Change, ...]:
    names = dict.fromkeys((*before, *after))
    found = [Change(n, b := before.get(n, 0.0), a := after.get(n, 0.0), a - b) for n in names]
    return tuple(sorted(found, key=lambda c: -abs(c.change_s)))
