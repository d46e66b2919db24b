"""How far predictions are from what was measured, by group."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from mlsysim.evidence.measurement import Measurement
from mlsysim.evidence.tables import Refusal, reasons


class Predicted(NamedTuple):
    """A measurement beside its prediction: seconds with the ends of the 90 % interval."""

    measurement: Measurement
    seconds: float
    low: float
    high: float
    given: bool = False
    """Whether the row was handed over as a measurement first: then it is not scored."""

    @property
    def ratio(self) -> float:
        """Return predicted over measured, in the published metric."""
        m = self.measurement
        return m.seconds / self.seconds if m.rate else self.seconds / m.seconds

    @property
    def value(self) -> float:
        """Return the prediction in the published metric."""
        return self.measurement.value * self.ratio

    @property
    def ends(self) -> tuple[float, float]:
        """Return the ends of the interval in the published metric."""
        m = self.measurement
        both = (
            (m.seconds / self.high, m.seconds / self.low) if m.rate else (self.low / m.seconds, self.high / m.seconds)
        )
        return m.value * both[0], m.value * both[1]

    @property
    def covered(self) -> bool:
        """Return whether the measurement is within the interval."""
        return self.low <= self.measurement.seconds <= self.high


class Score(NamedTuple):
    """Errors of a group as fractions; ``None`` where nothing was scored: rows that were given are not."""

    name: str
    rows: int
    answered: int
    scored: int
    refused: dict[str, int]
    median_ape: float | None
    mean_ape: float | None
    p90_ape: float | None
    bias: float | None
    coverage90: float | None
    width90: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return self._asdict()


def score(name: str, predicted: Sequence[Predicted], refused: Sequence[Refusal]) -> Score:
    """Return the errors of a group.

    APE is |predicted / measured - 1| of the published metric; ``bias`` the median of predicted / measured, less 1;
    ``coverage90`` the share of measurements within their interval; ``width90`` the median of its upper end over its
    lower one, less 1.
    """
    scored = [p for p in predicted if not p.given]
    answered = len({p.measurement.id.partition("/")[0] for p in predicted})
    rows, why = answered + len(refused), reasons(refused)
    if not scored:
        return Score(name, rows, answered, 0, why, None, None, None, None, None, None)
    errors = sorted(abs(p.ratio - 1) for p in scored)
    return Score(
        name,
        rows,
        answered,
        len({p.measurement.id for p in scored}),
        why,
        quantile(errors, 0.5),
        math.fsum(errors) / len(errors),
        quantile(errors, 0.9),
        quantile(sorted(p.ratio for p in scored), 0.5) - 1,
        sum(p.covered for p in scored) / len(scored),
        quantile(sorted(p.high / p.low for p in scored), 0.5) - 1,
    )


def scores(predicted: Iterable[Predicted], refused: Iterable[Refusal], by: str) -> list[Score]:
    """Return the score of each ``group`` or ``regime``, by name."""
    by_group: dict[str, tuple[list[Predicted], list[Refusal]]] = {}
    for p in predicted:
        by_group.setdefault(getattr(p.measurement, by), ([], []))[0].append(p)
    for r in refused:
        by_group.setdefault(r.group or "not recognised", ([], []))[1].append(r)
    return [score(name, *both) for name, both in sorted(by_group.items())]


def quantile(ordered: Sequence[float], q: float) -> float:
    """Return a quantile of ordered values, between neighbours by proportion."""
    at = q * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)
