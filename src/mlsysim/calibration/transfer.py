"""Measured runs under other conditions: what is carried over is how far they lie from what is predicted for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from mlsysim.calibration.calibration import Calibration
from mlsysim.calibration.expected import Expectation, expectation
from mlsysim.calibration.moved_notes import Move, Step, moved_notes
from mlsysim.calibration.question import question_of
from mlsysim.efficiency.conditioning import Deviation, expected
from mlsysim.efficiency.deviations import LEAST_NOISE, Point, moves
from mlsysim.efficiency.estimate import NO_OVERHEAD, Estimate, above_ceiling
from mlsysim.efficiency.published import ACCELERATORS
from mlsysim.efficiency.regimes import regime_of
from mlsysim.errors import InvalidValue
from mlsysim.results import NORMAL_90, Interval, Note
from mlsysim.scenario import Roofline, Scenario
from mlsysim.workload.named import phase_of


class Known(NamedTuple):
    """A measured run beside what is expected of it: ln(measured / expected), and the standard deviation of that."""

    calibration: Calibration
    expectation: Expectation
    residual: float
    noise: float

    @property
    def point(self) -> Point:
        """Return the run as a point of the deviation model."""
        return self.expectation.point

    @property
    def step(self) -> Step:
        """Return the measured step."""
        c = self.calibration
        assert c.scenario is not None
        assert c.roof is not None
        return Step(c.scenario, c.roof, c.time_s.value)


@dataclass(frozen=True, slots=True, repr=False)
class Transferred:
    """What is expected elsewhere after a calibration: eta, attainment and time with 90 % intervals, and why."""

    scenario: Scenario
    roof: Roofline
    estimate: Estimate

    @property
    def time_s(self) -> Interval:
        """Return the expected time of a step [s]."""
        reached, fixed = self.estimate.attainment, self.estimate.overhead
        ends = ((reached.value, fixed.value), (reached.high, fixed.low), (reached.low, fixed.high))
        return Interval(*(self.roof.time_s(a, o) for a, o in ends))

    @property
    def efficiency(self) -> Interval:
        """Return the expected eta [1]."""
        return self.time_s.reciprocal(self.roof.compute_s).capped(self.roof.ceiling)

    @property
    def attainment(self) -> Interval:
        """Return the expected eta / ceiling [1]."""
        return self.efficiency * (1.0 / self.roof.ceiling)

    @property
    def why(self) -> str:
        """Return what was carried over, and why the interval is as wide as it is."""
        return "; ".join(note.message for note in self.estimate.notes())

    def __repr__(self) -> str:
        s, eta = self.scenario, self.efficiency
        of = f"{s.model.name} {s.phase} on {s.devices} x {s.hardware.name}"
        return f"<Transferred {of}: eta {eta.value:.4g}, {eta.low:.4g} to {eta.high:.4g}>"


def to(calibrations: Sequence[Calibration], **changes: Any) -> Transferred:
    """Return what calibrations say of the first of them with other hardware, or whatever else is changed.

    Raises
    ------
    UsageError
        A field breaks a rule, or FLOPs were stated in place of a model.
    """
    return transferred(calibrations, changed(calibrations[0], **changes))


def changed(calibration: Calibration, **changes: Any) -> Scenario:
    """Return the scenario of a calibration with some fields changed.

    Raises
    ------
    UsageError
        A field breaks a rule, or FLOPs were stated in place of a model.
    """
    home = calibration.scenario
    if home is None:
        hint = "FLOPs per item were stated: neither other hardware nor another batch can be asked of them"
        raise InvalidValue("calibration", "made from a model to be used elsewhere", "FLOPs per item", hint)
    asked = {"model": home.model, "hardware": home.hardware, **question_of(home)}
    asked |= {name: value for name, value in changes.items() if value is not None}
    return Scenario.of(asked.pop("model"), asked.pop("hardware"), **_of_phase(asked, home.phase))


def _of_phase(asked: dict[str, Any], was: str) -> dict[str, Any]:
    """Return a question without the length that another phase has no use for: the prompt of one is the cache of one."""
    phase = phase_of(asked["phase"])
    if phase != was:
        for old, new in (("seq_len", "context"), ("context", "seq_len")):
            if old in asked and new not in asked and (phase == "decode") == (new == "context"):
                asked[new] = asked.pop(old)
    return asked


def transferred(calibrations: Sequence[Calibration], scenario: Scenario) -> Transferred:
    """Return what calibrations say of a scenario."""
    roof = scenario.roofline(scenario.work())
    return Transferred(scenario, roof, moved(calibrations, scenario, roof))


def moved(calibrations: Sequence[Calibration], scenario: Scenario, roof: Roofline) -> Estimate:
    """Return the estimate that calibrations give for a scenario.

    Under the conditions of one of them it is the measurement itself, of several their mean. Elsewhere the deviation
    from what is predicted is carried over, shrunk by what is carried over such moves, and never with an interval wider
    than the prediction's own.
    """
    alone = calibrations[0]
    if alone.scenario is None:
        return _eta_only(alone, roof)
    same = [c for c in calibrations if c.scenario is not None and _same(c.scenario, scenario)]
    if same:
        notes = tuple(dict.fromkeys(note for c in same for note in c.notes))
        reached = pooled([net_attainment(c, roof) for c in same])
        return Estimate("measured", None, reached, _point(same[0].overhead_s), lambda: notes)
    known = known_of(calibrations)
    stated = _overhead_there(known[0], scenario)
    regime = regime_of(scenario, roof)
    asked = expectation(scenario, roof, regime, known[0].calibration.setup, stated is not None)
    points, residuals, noise = [k.point for k in known], [k.residual for k in known], [k.noise for k in known]
    deviation = expected(points, residuals, noise, [asked.point])[0]
    nearest = min(known, key=lambda k: len(moves(k.point.place, asked.point.place)))
    faster, slower = (min(end, deviation.half) for end in (asked.faster, asked.slower))
    overhead = _point(stated) if stated is not None else _predicted_overhead(asked, deviation, (faster, slower))
    value = min(1.0, roof.floor_s / (asked.moving_s * math.exp(deviation.mean)))
    reached = Interval(value, value * math.exp(-slower), min(1.0, value * math.exp(faster)))
    there = Step(scenario, roof, roof.time_s(value, overhead.value))
    move = Move(nearest.step, there, residuals, deviation, nearest.expectation, asked, overhead, stated)
    return Estimate("measured", None, reached, overhead, partial(moved_notes, move))


def known_of(calibrations: Sequence[Calibration]) -> list[Known]:
    """Return calibrations beside what is expected of them."""
    return [_known(c) for c in calibrations]


def _known(c: Calibration) -> Known:
    assert c.scenario is not None
    assert c.roof is not None
    found = expectation(c.scenario, c.roof, regime_of(c.scenario, c.roof), c.setup, c.overhead_s is not None)
    net = net_attainment(c, c.roof)
    residual = math.log(c.roof.floor_s / net.value / (found.moving_s + found.overhead_s))
    noise = math.log(net.high / net.low) / 2 / NORMAL_90 if net.high > net.low else 0.0
    return Known(c, found, residual, noise)


def pooled(measured: Sequence[Interval]) -> Interval:
    """Return the mean of several measurements of one thing, the surer ones counting more.

    Weights are inverse variances of logarithms. Where the measurements lie farther apart than their intervals say, the
    interval takes in all of their values.
    """
    if len(measured) == 1:
        return measured[0]
    weights = [max(math.log(m.high / m.low) / 2 / NORMAL_90, LEAST_NOISE) ** -2 for m in measured]
    total = math.fsum(weights)
    value = math.exp(math.fsum(w * math.log(m.value) for w, m in zip(weights, measured, strict=True)) / total)
    half = math.exp(NORMAL_90 / math.sqrt(total))
    values = [m.value for m in measured]
    return Interval(value, min(value / half, *values), max(value * half, *values)).capped(1.0)


def net_attainment(calibration: Calibration, roof: Roofline) -> Interval:
    """Return floor / (time - overhead): attainment of the part of the step that scales with the hardware."""
    fixed = calibration.overhead_s or 0.0
    return Interval(*(roof.floor_s / max(roof.compute_s / e - fixed, roof.floor_s) for e in calibration.efficiency))


def _same(a: Scenario, b: Scenario) -> bool:
    return a.replace(defaults={}) == b.replace(defaults={})


def _overhead_there(known: Known, there: Scenario) -> float | None:
    """Return the fixed part of a step that was measured, where it is the same elsewhere [s]; else None.

    It is the host's, and stays on the same device and between accelerators; another processor has one of its own, and
    an accelerator launches every operator, of which a run on a processor knows nothing.
    """
    home = known.step.scenario.hardware
    if home == there.hardware or {home.kind, there.hardware.kind} <= ACCELERATORS:
        return known.calibration.overhead_s
    return None


def _predicted_overhead(asked: Expectation, deviation: Deviation, ends: tuple[float, float]) -> Interval:
    """Return the fixed part of a step as it is predicted, as far off as the rest of it [s]."""
    fixed, (faster, slower) = asked.overhead_s * math.exp(deviation.mean), ends
    return Interval(fixed, fixed * math.exp(-faster), fixed * math.exp(slower)) if fixed > 0 else NO_OVERHEAD


def _point(value: float | None) -> Interval:
    return Interval(value or 0.0, value or 0.0, value or 0.0)


def _eta_only(calibration: Calibration, roof: Roofline) -> Estimate:
    eta = calibration.efficiency
    reached = Interval(*(min(1.0, e / roof.ceiling) for e in eta))
    return Estimate("measured", None, reached, NO_OVERHEAD, partial(_eta_only_notes, calibration, roof))


def _eta_only_notes(calibration: Calibration, roof: Roofline) -> list[Note]:
    eta = calibration.efficiency
    message = (
        f"the calibration knows eta {eta.value:.4g} and its FLOPs per token, but neither model nor ceiling: eta itself"
        " is used here, and holds only for the model and hardware it was measured on"
    )
    return [*calibration.notes, Note("efficiency-moved", message), *above_ceiling(eta.value, roof)]
