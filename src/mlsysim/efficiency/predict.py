"""eta predicted: the ceiling times what is published for work of this kind, continuous in batch and length.

A pool is the published attainment of one regime on devices of the scenario's vendor, or on all where that vendor has
too few rows. Within a regime the median is taken as it is; between regimes no step is left for a sweep to fall over:

- decode between 1 and 32 sequences is interpolated over the logarithm of the batch;
- a prefill takes the longer of its arithmetic at compute-bound attainment and its bytes at memory-bound attainment;
- a feed-forward network on an accelerator takes the attainment of large batches and launches every operator.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

from mlsysim.efficiency.estimate import NO_OVERHEAD, Estimate, count_sources
from mlsysim.efficiency.evidence import Percentiles, evidence, parameters, percentiles
from mlsysim.efficiency.regimes import LARGE_BATCH, TITLES
from mlsysim.hardware import Hardware
from mlsysim.results import Interval, Note
from mlsysim.scenario import Roofline, Scenario
from mlsysim.units import si

ACCELERATORS = frozenset({"gpu", "tpu", "npu"})
"""Kinds of device that a host launches operators on."""
ENOUGH = 8
"""Published rows from which a vendor has a pool of its own: fewer have no tenth percentile to speak of."""


class Pool(NamedTuple):
    """The published attainment that a prediction rests on; ``whose`` is a vendor or "all vendors"."""

    regime: str
    whose: str
    seen: Percentiles
    kinds: frozenset[str]
    most_devices: int

    @property
    def interval(self) -> Interval:
        """Return median, p10 and p90."""
        return Interval(self.seen.median, self.seen.p10, self.seen.p90)


@cache
def pool(regime: str, vendor: str) -> Pool:
    """Return the pool of a regime for devices of a vendor."""
    rows = [e for e in evidence() if e.regime == regime]
    own = [e for e in rows if Hardware.row(e.hardware)["vendor"] == vendor]
    chosen, whose = (own, vendor) if len(own) >= ENOUGH else (rows, "all vendors")
    seen = percentiles([e.attainment for e in chosen], [e.group for e in chosen])
    kinds = frozenset(Hardware.row(e.hardware)["kind"] for e in chosen)
    return Pool(regime, whose, seen, kinds, max(e.devices for e in chosen))


def predicted(scenario: Scenario, roof: Roofline, regime: str) -> Estimate:
    """Return the estimate that published measurements give for a scenario; its interval is their p10-p90."""
    reached, pools = _attainment(scenario, roof, regime)
    overhead = launches(scenario) if regime.startswith("network") else NO_OVERHEAD
    notes = [Note("predicted-from-evidence", _basis(reached, pools, overhead))]
    if scenario.hardware.kind not in {kind for p in pools for kind in p.kinds}:
        spread = math.exp(parameters()["move.other-memory-class"].value)
        reached = Interval(reached.value, reached.low / spread, reached.high * spread)
        notes.append(_other_kind_note(scenario, pools, spread))
    notes += _devices_note(scenario, pools)
    return Estimate("predicted", None, reached.capped(1.0), overhead, tuple(notes))


def launches(scenario: Scenario) -> Interval:
    """Return the time in which an accelerator is handed the operators of a step [s]; 0 on other machines.

    From compiled engines to eager frameworks, by what batch-1 runs of networks take for an operator.
    """
    if scenario.hardware.kind not in ACCELERATORS:
        return NO_OVERHEAD
    launch = parameters()["launch"]
    return Interval(launch.value, launch.low, launch.high) * scenario.model.operators


def _attainment(scenario: Scenario, roof: Roofline, regime: str) -> tuple[Interval, tuple[Pool, ...]]:
    vendor = scenario.hardware.vendor
    if regime.startswith("network"):
        found = pool("network-batch", vendor)
        return found.interval, (found,)
    if regime == "decode-small":
        ends = pool("decode-1", vendor), pool("decode-large", vendor)
        share = math.log(scenario.batch_size) / math.log(LARGE_BATCH)
        few, many = (p.interval for p in ends)
        between = [a ** (1 - share) * b**share for a, b in zip(few, many, strict=True)]
        return Interval(*between), ends
    if regime.startswith("prefill"):
        ends = pool("prefill", vendor), pool("prefill-short", vendor)
        compute, memory = (p.interval for p in ends)
        slower = [max(roof.compute_s / a, roof.memory_s / b) for a, b in zip(compute, memory, strict=True)]
        return Interval(*(roof.floor_s / time_s for time_s in slower)), ends
    found = pool(regime, vendor)
    return found.interval, (found,)


def _basis(reached: Interval, pools: tuple[Pool, ...], overhead: Interval) -> str:
    """Return what the prediction rests on, in a sentence."""
    rows = " and ".join(f"{count_sources(p.seen)} of '{TITLES[p.regime]}' ({p.whose})" for p in pools)
    medians = "the median of" if len(pools) == 1 else "from the medians of"
    span = f"{si(overhead.value, 's')} ({si(overhead.low, 's')} to {si(overhead.high, 's')})"
    launched = f", plus {span} to launch its operators" if overhead.value else ""
    return (
        f"attainment {reached.value:.3g}, {medians} {rows}{launched}; the interval is p10-p90"
        f" ({reached.low:.3g}-{reached.high:.3g})"
    )


def _other_kind_note(scenario: Scenario, pools: tuple[Pool, ...], spread: float) -> Note:
    kinds = ", ".join(sorted({kind for p in pools for kind in p.kinds}))
    message = (
        f"nothing usable is published for a {scenario.hardware.kind} in this regime: the measurements are of {kinds},"
        f" and the interval is widened by a factor of {spread:.2g} either way"
    )
    return Note("evidence-of-other-machines", message)


def _devices_note(scenario: Scenario, pools: tuple[Pool, ...]) -> list[Note]:
    most = max(p.most_devices for p in pools)
    if scenario.devices <= most:
        return []
    message = (
        f"{scenario.devices:,} devices are more than the {most:,} of any measurement behind this prediction: the time"
        " that they spend on each other is not in it"
    )
    return [Note("more-devices-than-evidence", message)]
