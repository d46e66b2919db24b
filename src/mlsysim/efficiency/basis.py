"""What an answer rests on: the nearest published measurements, and what costs the time that the ceiling does not."""

from __future__ import annotations

import math
from typing import NamedTuple

from mlsysim.efficiency.evidence import KIN, Evidence, evidence
from mlsysim.efficiency.regimes import regime_of
from mlsysim.hardware import Hardware
from mlsysim.models import Work
from mlsysim.results import Eta
from mlsysim.scenario import Roofline, Scenario
from mlsysim.units import si

NEAREST = 8
"""Measurements that are shown beside an answer."""


class Basis(NamedTuple):
    """A question with its answer, from which evidence and explanation are worked out when they are asked for."""

    scenario: Scenario
    roof: Roofline
    eta: Eta
    time_s: float
    work: Work

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

    def explain(self) -> str:
        """Return the ceiling, what is reached of it, and for a prediction what each cause costs."""
        roof, eta = self.roof, self.eta
        longer = "arithmetic" if roof.compute_s >= roof.memory_s else "traffic"
        lines = [
            f"eta {eta.achieved:.4g} ({eta.kind}) = ceiling {eta.ceiling:.4g} x attainment {eta.attainment:.3g}",
            f"ceiling: {si(roof.flops, 'FLOP')} at {si(roof.peak_flops, 'FLOP/s')} take {si(roof.compute_s, 's')},"
            f" {si(roof.traffic_bytes, 'B')} at {si(roof.bandwidth, 'B/s')} take {si(roof.memory_s, 's')}:"
            f" {longer} sets the floor",
            f"time: {si(self.time_s, 's')}, of which the floor is {roof.floor_s / self.time_s:.0%}",
        ]
        if eta.kind == "predicted":
            lines += self._causes()
        return "\n".join(lines)

    def _causes(self) -> list[str]:
        from mlsysim.efficiency.explain import causes
        from mlsysim.efficiency.predict import prediction

        found = prediction(self.scenario, work=self.work)
        if found is None:
            return ["predicted from percentiles of what is published: no equation answers for this device"]
        lines = ["what an ideal value of each parameter alone would save:"]
        for c in causes(found.case):
            value = si(c.value, c.unit) if c.unit in {"s", "B"} else f"{c.value:.3g}"
            lines.append(f"  {c.share:5.0%}  {c.meaning}: {value} ({c.name})")
        return lines
