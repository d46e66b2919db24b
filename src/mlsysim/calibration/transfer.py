"""A measured eta under other conditions: what is carried is attainment, and the interval widens with the distance."""

from __future__ import annotations

import math
from typing import NamedTuple

from mlsysim.calibration.calibration import Calibration
from mlsysim.efficiency.estimate import NO_OVERHEAD, Estimate, above_ceiling
from mlsysim.efficiency.evidence import parameters
from mlsysim.efficiency.published import ACCELERATORS, launches, published_range
from mlsysim.efficiency.regimes import TITLES
from mlsysim.hardware import HardwareSpec
from mlsysim.hardware.spec import MEASURED
from mlsysim.precision import SPARSE
from mlsysim.results import Interval, Note
from mlsysim.scenario import Roofline, Scenario
from mlsysim.units import si

NEAREST = {
    "decode-small": "decode-1",
    "decode-large": "decode-1",
    "prefill-short": "prefill",
    "network-1": "network-batch",
    "network-small": "network-batch",
    "training-small": "training",
}
"""The regime whose pairs of measurements stand in where a regime has too few of its own."""


class Move(NamedTuple):
    """One way in which a question differs from the calibration; ``spread`` is the 90 % half-width of ln attainment.

    ``spread`` is None where published measurements say nothing about the move: little carries over.
    """

    what: str
    spread: float | None


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


def moved(calibration: Calibration, scenario: Scenario, roof: Roofline, regime: str) -> Estimate:
    """Return the estimate that a calibration gives for a scenario.

    Under the same conditions it is the measurement itself. Elsewhere attainment is carried over, not eta; the spread
    of each move, from published pairs, widens the interval (independent moves add in squares); and where little
    carries over the interval takes in the published range of the regime as well.
    """
    if calibration.scenario is None or calibration.roof is None:
        return _eta_only(calibration, roof)
    home = Step(calibration.scenario, calibration.roof, calibration.time_s.value)
    net = _net_attainment(calibration, home.roof)
    if _same(home.scenario, scenario):
        return Estimate("measured", None, net, _point(calibration.overhead_s), calibration.notes)
    moves = _moves(home.scenario, scenario, regime, calibration.overhead_s is not None)
    reached = _widened(net, moves)
    overhead = _overhead(calibration, home.scenario.hardware, scenario)
    there = Step(scenario, roof, roof.time_s(reached.value, overhead.value))
    (seen, covered), notes = published_range(scenario, roof, regime), []
    if any(move.spread is None for move in moves):
        reached = Interval(reached.value, min(reached.low, seen.low), max(reached.high, seen.high))
        notes.append(_little_note(moves, regime))
    if covered and seen.low <= net.value <= seen.high:
        # Measured among what is published: moved, it may narrow that range, not reach beyond it.
        low, high = min(seen.low, net.low), max(seen.high, net.high)
        reached = Interval(reached.value, max(reached.low, low), min(reached.high, high))
    notes.insert(0, _moved_note(home, there, reached, moves, calibration.overhead_s))
    notes += _overhead_note(home, there, calibration, overhead)
    notes += _measured_peak_note(home.scenario, scenario)
    notes += _absolute_note(home, there)
    return Estimate("measured", None, reached, overhead, tuple(notes))


def _net_attainment(calibration: Calibration, roof: Roofline) -> Interval:
    """Return floor / (time - overhead): attainment of the part of the step that scales with the hardware."""
    fixed = calibration.overhead_s or 0.0
    return Interval(*(roof.floor_s / max(roof.compute_s / e - fixed, roof.floor_s) for e in calibration.efficiency))


def _same(a: Scenario, b: Scenario) -> bool:
    return a.replace(defaults={}) == b.replace(defaults={})


def _moves(home: Scenario, there: Scenario, regime: str, overhead_known: bool) -> list[Move]:
    batch = "batch-overhead-known" if overhead_known else "batch"
    found = []
    if there.hardware != home.hardware:
        found.append(_hardware_move(home.hardware, there.hardware, regime))
    if there.phase != home.phase:
        found.append(Move(f"phase {home.phase} to {there.phase}", None))
    if there.model != home.model:
        found.append(_move(f"model {home.model.name} to {there.model.name}", "model", regime))
    if there.precision != home.precision:
        what = f"precision {home.precision} to {there.precision}"
        both = home.precision.endswith(SPARSE) == there.precision.endswith(SPARSE)
        found.append(_move(what, "precision", regime) if both else Move(f"{what}, dense to sparse or back", None))
    for field in ("batch_size", "seq_len", "context", "devices"):
        old, new = getattr(home, field), getattr(there, field)
        if old and new and old != new:
            move = _move(f"{field} {old} to {new}", "devices" if field == "devices" else batch, regime)
            # Published neighbours differ by a factor of two or more; a smaller step is that much less of a move.
            found.append(move._replace(spread=(move.spread or 0) * min(1.0, abs(math.log2(new / old)))))
    return found


def _move(what: str, kind: str, regime: str) -> Move:
    """Return a move with the spread published for its regime, the nearest one, or all, where pairs are too few."""
    known = parameters()
    names = (f"move.{kind}.{regime}", f"move.{kind}.{NEAREST.get(regime, regime)}", f"move.{kind}")
    return Move(what, next(known[name].value for name in names if name in known))


def _hardware_move(a: HardwareSpec, b: HardwareSpec, regime: str) -> Move:
    what = f"hardware {a.name} to {b.name}"
    if a.kind != b.kind:
        return Move(f"{what} (another kind of machine: {a.kind} to {b.kind})", None)
    if a.memory_class == b.memory_class:
        return _move(f"{what} (same memory class)", "same-memory-class", regime)
    classes = f"memory class {a.memory_class or 'unknown'} to {b.memory_class or 'unknown'}"
    return _move(f"{what} ({classes})", "other-memory-class", regime)


def _widened(reached: Interval, moves: list[Move]) -> Interval:
    spread = math.sqrt(sum(m.spread**2 for m in moves if m.spread is not None))
    low = reached.value * math.exp(-math.hypot(spread, math.log(reached.value / reached.low)))
    high = reached.value * math.exp(math.hypot(spread, math.log(reached.high / reached.value)))
    return Interval(reached.value, low, high).capped(1.0)


def _overhead(calibration: Calibration, home: HardwareSpec, there: Scenario) -> Interval:
    """Return the fixed part of a step elsewhere [s].

    On a machine of the same kind, or between accelerators, it is what was measured. An accelerator launches every
    operator, of which a run on a processor knows nothing.
    """
    if home.kind == there.hardware.kind or {home.kind, there.hardware.kind} <= ACCELERATORS:
        return _point(calibration.overhead_s)
    return launches(there)


def _point(value: float | None) -> Interval:
    return Interval(value or 0.0, value or 0.0, value or 0.0)


def _eta_only(calibration: Calibration, roof: Roofline) -> Estimate:
    eta = calibration.efficiency
    reached = Interval(*(min(1.0, e / roof.ceiling) for e in eta))
    message = (
        f"the calibration knows eta {eta.value:.4g} and its FLOPs per token, but neither model nor ceiling: eta itself"
        " is used here, and holds only for the model and hardware it was measured on"
    )
    notes = (*calibration.notes, Note("efficiency-moved", message), *above_ceiling(eta.value, roof))
    return Estimate("measured", None, reached, NO_OVERHEAD, notes)


def _moved_note(home: Step, there: Step, reached: Interval, moves: list[Move], overhead: float | None) -> Note:
    apart = " (fixed overhead taken apart)" if overhead else ""
    changes = "; ".join(m.what for m in moves)
    message = (
        f"measured elsewhere ({changes}): attainment {reached.value:.3g}{apart} is carried over, not eta;"
        f" the ceiling goes from {home.roof.ceiling:.3g} to {there.roof.ceiling:.3g}, and the interval runs from"
        f" {reached.low / reached.value:.2g} to {reached.high / reached.value:.2g} times it"
    )
    return Note("efficiency-moved", message)


def _little_note(moves: list[Move], regime: str) -> Note:
    lost = "; ".join(m.what for m in moves if m.spread is None)
    message = (
        f"little carries over ({lost}): the memory system, the kernels and the software differ, so the interval"
        f" takes in all that is published for '{TITLES[regime]}'"
    )
    return Note("little-carries-over", message)


def _overhead_note(home: Step, there: Step, calibration: Calibration, overhead: Interval) -> list[Note]:
    """Say that eta falls where a fixed part of the step meets faster hardware, and where that part comes from."""
    if not overhead.value or there.attainment >= home.attainment:
        return []
    span = f"{si(overhead.low, 's')} to {si(overhead.high, 's')}"
    origin = "" if overhead.value == calibration.overhead_s else f" (launching its operators, published: {span})"
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
