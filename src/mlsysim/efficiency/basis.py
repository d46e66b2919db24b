"""What an answer rests on: the nearest published measurements, and what costs the time that the ceiling does not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from mlsysim.efficiency.evidence import KIN, Evidence, evidence
from mlsysim.efficiency.explain import WORTH_SAYING, savings
from mlsysim.efficiency.regimes import regime_of
from mlsysim.hardware import Hardware
from mlsysim.models import Work
from mlsysim.results import Eta
from mlsysim.scenario import Roofline, Scenario
from mlsysim.setup import UNKNOWN, Setup
from mlsysim.units import si

if TYPE_CHECKING:
    from mlsysim.efficiency.breakdown import Breakdown
    from mlsysim.efficiency.predict import Prediction

NEAREST = 8
"""Measurements that are shown beside an answer."""


class Basis(NamedTuple):
    """A question with its answer, from which evidence and explanation are worked out when they are asked for.

    ``overhead_s`` is the fixed part of the time [s].
    """

    scenario: Scenario
    roof: Roofline
    eta: Eta
    time_s: float
    work: Work
    setup: Setup = UNKNOWN
    overhead_s: float = 0.0

    def evidence(self) -> tuple[Evidence, ...]:
        """Return the published measurements of this regime that are nearest to the question, nearest first.

        Another device of one generation counts as half a step, another generation as one, another maker as two;
        another model as one, another precision as one; a factor of four in batch, length or devices as one.
        """
        regime = regime_of(self.scenario, self.roof)
        rows = [e for e in evidence() if e.regime in KIN.get(regime, (regime,))]
        return tuple(sorted(rows, key=self._distance)[:NEAREST])

    def _distance(self, e: Evidence) -> float:
        s, there = self.scenario, Hardware.row(e.hardware)
        apart = (
            0.0
            if e.hardware == s.hardware.name
            else 0.5
            if there["generation"] == s.hardware.generation
            else 1.0
            if there["vendor"] == s.hardware.vendor
            else 2.0
        )
        apart += (e.model != s.model.name) + (e.precision != s.precision)
        pairs = ((e.batch_size, s.batch_size), (e.seq_len, s.seq_len), (e.context, s.context), (e.devices, s.devices))
        return apart + sum(abs(math.log(a / b)) / math.log(4.0) for a, b in pairs if a and b)

    def explain(self) -> Breakdown:
        """Return where the time goes, cause by cause: what follows from work, hardware and equations."""
        from mlsysim.efficiency.derived import broken_down

        return broken_down(self)

    def lines(self, found: Prediction | None, messages: Mapping[str, float]) -> list[str]:
        """Return the ceiling, what is reached of it, and of a prediction what each parameter alone would save.

        ``messages`` is the time of those that nothing hides, by what they are for [s].
        """
        roof, eta = self.roof, self.eta
        lines = [
            f"eta {eta.achieved:.4g} ({eta.kind}) = ceiling {eta.ceiling:.4g} x attainment {eta.attainment:.3g}",
            f"ceiling: {si(roof.flops, 'FLOP')} at {si(roof.peak_flops, 'FLOP/s')} take {si(roof.compute_s, 's')},"
            f" {_traffic(roof)}",
            f"time: {si(self.time_s, 's')}, of which the floor is {roof.floor_s / self.time_s:.0%}",
        ]
        if told := [f"{of} {s / self.time_s:.0%}" for of, s in messages.items() if s >= WORTH_SAYING * self.time_s]:
            lines.append(f"messages that nothing hides: {', '.join(told)}")
        if eta.kind == "predicted":
            lines += _savings(found)
        return lines


def _traffic(roof: Roofline) -> str:
    """Return how long what is moved takes, and which of it and of arithmetic is the floor."""
    moved = si(roof.traffic_bytes, "B")
    if math.isinf(roof.bandwidth):
        return f"{moved} are moved, and no memory bandwidth is known: arithmetic alone sets the floor"
    longer = "arithmetic" if roof.compute_s >= roof.memory_s else "traffic"
    return f"{moved} at {si(roof.bandwidth, 'B/s')} take {si(roof.memory_s, 's')}: {longer} sets the floor"


def _savings(found: Prediction | None) -> list[str]:
    if found is None:
        return ["predicted from percentiles of what is published: no equation answers for this device"]
    worth = savings(found.parts)
    if not worth:
        return [f"an ideal value of no parameter alone would save {WORTH_SAYING:.0%}"]
    lines = ["what an ideal value of each parameter alone would save:"]
    for c in worth:
        value = si(c.value, c.unit) if c.unit in {"s", "B"} else f"{c.value:.3g}"
        lines.append(f"  {c.share:5.0%}  {c.meaning}: {value} ({c.name})")
    return lines
