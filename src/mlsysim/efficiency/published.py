"""What is published for work of one kind, as percentiles of attainment, continuous in batch, length and devices.

A pool is the published attainment of one regime, on one device or on several, of the scenario's vendor; where such rows
are too few, the vendor's, then all. Within a pool the median is taken as it is; between pools no step is left for a
sweep to fall over:

- from 1 to 8 devices, and for decode from 1 to 32 sequences, attainment is interpolated over the logarithm;
- a prefill takes the longer of its arithmetic at compute-bound attainment and its bytes at memory-bound attainment;
- a feed-forward network on an accelerator takes the attainment of large batches and launches every operator.
"""

from __future__ import annotations

import math
from functools import cache, partial
from typing import NamedTuple

from mlsysim.efficiency.estimate import NO_OVERHEAD, Estimate
from mlsysim.efficiency.evidence import Percentiles, evidence, parameters, percentiles
from mlsysim.efficiency.regimes import LARGE_BATCH, TITLES, regime_of
from mlsysim.hardware import Hardware
from mlsysim.precision import roles
from mlsysim.results import Interval, Note
from mlsysim.scenario import MANY_DEVICES, Roofline, Scenario

ACCELERATORS = frozenset({"gpu", "tpu", "npu"})
"""Kinds of device that a host launches operators on."""
ENOUGH = 8
"""Published rows from which a vendor has a pool of its own: fewer have no tenth percentile to speak of."""


class Pool(NamedTuple):
    """The published attainment that a prediction rests on; ``whose`` says of which devices."""

    regime: str
    whose: str
    seen: Percentiles
    kinds: frozenset[str]

    @property
    def wide(self) -> Interval:
        """Return median, p5 and p95: 90 % of what is published."""
        return Interval(self.seen.median, self.seen.p5, self.seen.p95)


@cache
def pool(regime: str, vendor: str, several: bool = False, weights: str = "plain") -> Pool:
    """Return the pool of a regime for one device of a vendor, or for several: the narrowest with enough rows.

    ``weights`` is what :func:`arithmetic` says of the precision; runs of another kind reach another share of their
    ceiling, and stand in only where there are too few, those on rounded activations never.
    """
    rows = [e for e in evidence() if e.regime == regime]
    alike = [e for e in rows if arithmetic(e.precision) == weights]
    rows = alike if len(alike) >= ENOUGH else [e for e in rows if arithmetic(e.precision) != "rounded"]
    own = [e for e in rows if Hardware.row(e.hardware)["vendor"] == vendor]
    as_many = [e for e in own if (e.devices > 1) == several]
    choices = ((as_many, f"{vendor}, {'several devices' if several else 'one device'}"), (own, vendor))
    chosen, whose = next((c for c in choices if len(c[0]) >= ENOUGH), (rows, "all vendors"))
    seen = percentiles([e.attainment for e in chosen], [e.group for e in chosen])
    kinds = frozenset(Hardware.row(e.hardware)["kind"] for e in chosen)
    return Pool(regime, whose, seen, kinds)


@cache
def arithmetic(precision: str) -> str:
    """Return how weights meet arithmetic: ``plain``, ``converted`` first, or with activations ``rounded`` to 8 bits."""
    r = roles(precision)
    if not r.dequantized:
        return "plain"
    return "rounded" if r.compute[0] == "int8" else "converted"


def published_range(scenario: Scenario, roof: Roofline, regime: str) -> tuple[Interval, bool]:
    """Return the attainment published for a scenario (90 % between the ends), and whether for its kind of machine."""
    reached, pools = _attainment(scenario, roof, regime)
    return reached.capped(1.0), _covered(scenario, pools)


def _covered(scenario: Scenario, pools: tuple[Pool, ...]) -> bool:
    return scenario.hardware.kind in {kind for p in pools for kind in p.kinds}


def launches(scenario: Scenario) -> Interval:
    """Return the time in which an accelerator is handed the operators of a step [s]; 0 on other machines.

    From compiled engines to eager frameworks, by what batch-1 runs of networks take for an operator.
    """
    if scenario.hardware.kind not in ACCELERATORS:
        return NO_OVERHEAD
    launch = parameters()["launch"]
    return Interval(launch.value, launch.low, launch.high) * scenario.model.operators


def _attainment(scenario: Scenario, roof: Roofline, regime: str) -> tuple[Interval, tuple[Pool, ...]]:
    """Return the attainment of a scenario from its pools, 90 % of what is published between the ends."""
    if regime.startswith("network"):
        return _of(scenario, "network-batch")
    if regime == "decode-small":
        few, few_pools = _of(scenario, "decode-1")
        many, many_pools = _of(scenario, "decode-large")
        return _between(few, many, math.log(scenario.batch_size) / math.log(LARGE_BATCH)), few_pools + many_pools
    if regime.startswith("prefill"):
        compute, compute_pools = _of(scenario, "prefill")
        memory, memory_pools = _of(scenario, "prefill-short")
        slower = [max(roof.compute_s / a, roof.memory_s / b) for a, b in zip(compute, memory, strict=True)]
        return Interval(*(roof.floor_s / time_s for time_s in slower)), compute_pools + memory_pools
    return _of(scenario, regime)


def _of(scenario: Scenario, regime: str) -> tuple[Interval, tuple[Pool, ...]]:
    """Return the published attainment of a regime on as many devices as the scenario has, and its pools."""
    kind = arithmetic(scenario.precision)
    one, several = (pool(regime, scenario.hardware.vendor, many, kind) for many in (False, True))
    share = min(1.0, math.log(scenario.devices) / math.log(MANY_DEVICES))
    used = tuple(dict.fromkeys(p for p, weight in ((one, 1 - share), (several, share)) if weight > 0))
    return _between(one.wide, several.wide, share), used


def _between(a: Interval, b: Interval, share: float) -> Interval:
    """Return what lies a share of the way from a to b, in logarithms."""
    return Interval(*(x ** (1 - share) * y**share for x, y in zip(a, b, strict=True)))


def pooled(scenario: Scenario, roof: Roofline) -> Estimate:
    """Return the estimate that percentiles of published attainment give where no equation answers: their p5 to p95."""
    regime = regime_of(scenario, roof)
    reached, pools = _attainment(scenario, roof, regime)
    overhead = launches(scenario) if regime.startswith("network") else NO_OVERHEAD
    notes = partial(_pooled_notes, scenario, reached.value, pools)
    if not _covered(scenario, pools):
        reached = Interval(reached.value, reached.low / _apart(), reached.high * _apart())
    return Estimate("predicted", None, reached.capped(1.0), overhead, notes)


def _apart() -> float:
    """Return the factor by which attainment lies apart between machines of other kinds."""
    return math.exp(parameters()["other-memory-class"].value)


def _pooled_notes(scenario: Scenario, attainment: float, pools: tuple[Pool, ...]) -> list[Note]:
    rows, sources = sum(p.seen.n for p in pools), max(p.seen.sources for p in pools)
    message = (
        f"attainment {attainment:.3g}, the median of {rows} published measurements from {sources} sources"
        f" ('{TITLES[pools[0].regime]}', {pools[0].whose}): no fitted equation answers for {scenario.hardware.name}"
    )
    notes = [Note("predicted-from-evidence", message)]
    if not _covered(scenario, pools):
        kinds = ", ".join(sorted({kind for p in pools for kind in p.kinds}))
        message = (
            f"nothing usable is published for a {scenario.hardware.kind} in this regime: the measurements are of"
            f" {kinds}, and the interval is widened by a factor of {_apart():.2g} either way"
        )
        notes.append(Note("evidence-of-other-machines", message))
    return notes
