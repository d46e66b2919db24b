"""Measurements as points of the deviation model: what they are, and how their predicted times depend on parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlsysim.efficiency.deviations import Machine, Place, Point
from mlsysim.efficiency.fit import Array, Model
from mlsysim.evidence.measurement import Measurement

_SIZES = ("batch_size", "seq_len", "context", "prompt", "output", "concurrency")
_NOTHING = 1e-6
"""Slope below which a parameter does not matter to a run."""


def place_of(m: Measurement) -> Place:
    """Return what a measured run is, as far as it decides what it says of others."""
    q = m.question
    sizes = tuple(float(getattr(q, name, 0) or 0) for name in _SIZES)
    devices = int(getattr(q, "devices", 1))
    engine = getattr(q, "library", m.setup.engine)
    return Place(m.regime, _machine(q), m.model, str(getattr(q, "precision", "")), devices, engine, sizes)


def _machine(question: Any) -> Machine:
    board = getattr(question, "board", None)
    if board is not None:
        return Machine(board.name, "board", "", board.core.name, "")
    spec = question.hardware
    return Machine(spec.name, spec.kind, spec.vendor, spec.generation, spec.memory_class)


def points_of(measurements: Sequence[Measurement], model: Model, derivative: Array) -> list[Point]:
    """Return measurements as points; ``derivative`` is that of a model's predictions at its fit."""
    columns = [(name, i) for i, (name, factor, _) in enumerate(model.keys) if not factor]
    slopes = derivative[:, [i for _, i in columns]]
    return [
        Point(place_of(m), {n: float(s) for (n, _), s in zip(columns, row, strict=True) if abs(s) > _NOTHING})
        for m, row in zip(measurements, slopes, strict=True)
    ]
