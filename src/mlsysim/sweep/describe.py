"""What a sweep is, in words and numbers: by it a folder of its parts is told from another's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from mlsysim.sweep import pieces
from mlsysim.sweep.axes import Axis, Spaced
from mlsysim.sweep.grid import Grid

_LISTED = 64
"""Values up to which a list is written out; of a longer one the ends and a digest are."""


def about(grid: Grid, keep: Sequence[str]) -> dict[str, Any]:
    """Return what decides the parts of a sweep, ready for JSON: fields, quantities, and how the grid is cut."""
    drawn = grid.uncertain
    return {
        "fields": {
            **{name: _words(values) for name, values in grid.words.items()},
            **{name: _axis(axis) for name, axis in grid.numbers.items()},
            **({name: repr(value) for name, value in drawn.fields.items()} if drawn else {}),
        },
        "points": grid.points,
        **({"draws": drawn.draws, "quantiles": list(drawn.levels)} if drawn else {}),
        "quantities": list(keep),
        "pieces": [pieces.BOX, pieces.FAR * pieces.TASK, pieces.TASK_BOXES],
        "version": import_module("mlsysim").__version__,
    }


def _words(values: Sequence[tuple[str, Any]]) -> list[Any]:
    """Return the labels of words, with a digest of what a name alone does not say."""
    return [f"{label} {_digest(repr(value))}" if _made(value) else label for label, value in values]


def _made(value: Any) -> bool:
    return hasattr(value, "__dataclass_fields__")


def _axis(axis: Axis) -> Any:
    if isinstance(axis, Spaced):
        return {"from": axis.low, "count": axis.count, "step": axis.step, "factor": axis.factor, "to": axis.last}
    values = [float(v) for v in axis.values(0, len(axis))]
    if len(values) <= _LISTED:
        return values
    return {"from": values[0], "to": values[-1], "count": len(values), "digest": _digest(repr(values))}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
