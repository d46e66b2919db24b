"""What must be said about a calibration that is used under other conditions than its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from mlsysim.calibration.expected import Expectation
from mlsysim.efficiency.conditioning import Deviation
from mlsysim.efficiency.deviations import carried, moves, share_of
from mlsysim.hardware.spec import MEASURED
from mlsysim.precision import SPARSE
from mlsysim.results import Interval, Note
from mlsysim.scenario import Roofline, Scenario
from mlsysim.units import si

LITTLE = 0.25
"""Share of a deviation below which little is said to carry over."""
_RESTS_ON = {
    "equation": "what equations fitted to published runs predict",
    "equation of other machines": "what equations of accelerators give, for none was fitted to machines of this kind",
    "percentiles": "what published attainment gives, for no equation answers",
}


class Step(NamedTuple):
    """A step before or after a move: what is asked, what physics allows there, and how long it takes [s]."""

    scenario: Scenario
    roof: Roofline
    time_s: float

    @property
    def efficiency(self) -> float:
        """Return eta [1]."""
        return self.roof.compute_s / self.time_s

    @property
    def attainment(self) -> float:
        """Return eta / ceiling, overhead included [1]."""
        return self.roof.floor_s / self.time_s

    @property
    def throughput(self) -> str:
        """Return what the step yields per second, for people."""
        work = self.scenario.work()
        return si(work.items / self.time_s, f"{work.unit}/s")


class Move(NamedTuple):
    """A move from a measured run to a question: what is said of runs, how they deviate, and what of that is carried."""

    home: Step
    there: Step
    residuals: Sequence[float]
    deviation: Deviation
    nearest: Expectation
    expectation: Expectation
    overhead: Interval
    overhead_measured: float | None

    @property
    def share(self) -> float:
        """Return the share of the nearest run's deviation that is carried."""
        return carried(self.nearest.point.place, self.expectation.point.place)


def moved_notes(move: Move) -> tuple[Note, ...]:
    """Return the notes on a moved calibration, the carried deviation first."""
    return (
        _carried_note(move),
        *_little_note(move),
        *_overhead_note(move),
        *_measured_peak_note(move.home.scenario, move.there.scenario),
        *_absolute_note(move.home, move.there),
    )


def changes(a: Scenario, b: Scenario) -> list[str]:
    """Return in words what differs between two scenarios."""
    found = []
    if a.hardware != b.hardware:
        found.append(_hardware_change(a, b))
    if a.phase != b.phase:
        found.append(f"phase {a.phase} to {b.phase}")
    if a.model != b.model:
        found.append(f"model {a.model.name} to {b.model.name}")
    if a.precision != b.precision:
        both = a.precision.endswith(SPARSE) == b.precision.endswith(SPARSE)
        found.append(f"precision {a.precision} to {b.precision}{'' if both else ', dense to sparse or back'}")
    for field in ("batch_size", "seq_len", "context", "devices"):
        old, new = getattr(a, field), getattr(b, field)
        if old and new and old != new:
            found.append(f"{field} {old} to {new}")
    return found or ["the workload"]


def _hardware_change(a: Scenario, b: Scenario) -> str:
    one, other = a.hardware, b.hardware
    what = f"hardware {one.name} to {other.name}"
    if one.kind != other.kind:
        return f"{what} (another kind of machine: {one.kind} to {other.kind})"
    if one.memory_class == other.memory_class:
        family = "same family" if one.generation == other.generation else "another family, same memory class"
        return f"{what} ({family})"
    return f"{what} (memory class {one.memory_class or 'unknown'} to {other.memory_class or 'unknown'})"


def _carried_note(move: Move) -> Note:
    listed = "; ".join(changes(move.home.scenario, move.there.scenario))
    count, own = len(move.residuals), move.deviation
    ratios = sorted(math.exp(r) for r in move.residuals)
    took = f"{ratios[0]:.3g}" if count == 1 else f"{ratios[0]:.3g} to {ratios[-1]:.3g}"
    runs = "the run" if count == 1 else f"the {count} runs"
    message = (
        f"measured elsewhere ({listed}): {runs} took {took} times {_RESTS_ON[move.nearest.of]}; of that a factor of"
        f" {math.exp(own.mean):.3g} is carried over{_pairs(move)}, not eta: the ceiling goes from"
        f" {move.home.roof.ceiling:.3g} to {move.there.roof.ceiling:.3g}, attainment from {move.home.attainment:.3g} to"
        f" {move.there.attainment:.3g}"
    )
    return Note("efficiency-moved", message)


def _pairs(move: Move) -> str:
    """Say by how many published pairs the share is known that is carried over each kind of move."""
    place = move.expectation.point.place
    kinds = moves(move.nearest.point.place, place) if move.share else []
    shares = [(kind, share_of(place.regime, kind)) for kind in kinds]
    told = [f"{s.value:.0%} over '{kind}' ({s.pairs:,} published pairs)" for kind, s in shares if s.pairs]
    return f" ({', '.join(told)})" if told else ""


def _little_note(move: Move) -> list[Note]:
    if move.share >= LITTLE:
        return []
    listed = "; ".join(changes(move.home.scenario, move.there.scenario))
    message = f"little carries over ({listed}): the answer is nearly that of a prediction"
    return [Note("little-carries-over", message)]


def _overhead_note(move: Move) -> list[Note]:
    """Say that eta falls where a fixed part of the step meets faster hardware, and where that part comes from."""
    home, there, overhead = move.home, move.there, move.overhead
    if not overhead.value or there.attainment >= home.attainment or there.efficiency >= home.efficiency:
        return []
    span = f"{si(overhead.low, 's')} to {si(overhead.high, 's')}"
    measured = move.overhead_measured
    origin = ""
    if measured is None:
        origin = " (predicted: launches and the like)"
    elif overhead.value != measured:
        origin = f" (launching its operators, published: {span})"
    message = (
        f"{si(overhead.value, 's')} a step is fixed overhead{origin} that faster hardware does not remove,"
        f" {overhead.value / there.time_s:.0%} of the time on {there.scenario.hardware.name}: attainment goes"
        f" from {home.attainment:.3g} to {there.attainment:.3g}, and eta from {home.efficiency:.3g} to"
        f" {there.efficiency:.3g}"
    )
    return [Note("overhead-lowers-efficiency", message)]


def _measured_peak_note(home: Scenario, there: Scenario) -> list[Note]:
    """Say where an eta against a measured peak meets a peak from paper, which is higher."""
    measured, nominal = home.hardware.peak(home.precision).source, there.hardware.peak(there.precision).source
    if not measured.startswith(MEASURED) or nominal.startswith(MEASURED):
        return []
    message = (
        f"eta was measured against a peak that was itself measured; that of {there.hardware.name} is on paper, and no"
        " software reaches all of it: expect less"
    )
    return [Note("peak-was-measured", message)]


def _absolute_note(home: Step, there: Step) -> list[Note]:
    """Put latency and throughput beside eta where a narrower format or a larger batch changes what eta means."""
    narrower = there.scenario.value_bytes < home.scenario.value_bytes
    if not narrower and there.scenario.batch_size <= home.scenario.batch_size:
        return []
    why = (
        "a narrower format has a higher peak and other answers"
        if narrower
        else "a larger batch makes each request wait longer"
    )
    message = (
        f"eta is not speed ({why}): eta {home.efficiency:.3g} to {there.efficiency:.3g}, latency"
        f" {si(home.time_s, 's')} to {si(there.time_s, 's')} a step, throughput {home.throughput} to {there.throughput}"
    )
    return [Note("efficiency-is-not-speed", message)]
