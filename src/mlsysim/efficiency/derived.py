"""Where the time of a solved question goes: from the answer to the ideal, one cause after another.

Each cause is the difference of what is left of the time before and after something is taken off, so that all of them
sum to it. What is left is never less than the roofline's floor, nor, in the end, than FLOPs over peak.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from mlsysim.efficiency.breakdown import Breakdown, NotVisible, hidden, ordered
from mlsysim.efficiency.equations import EQUATIONS
from mlsysim.efficiency.equations.plan import plan_of
from mlsysim.efficiency.factors import visible
from mlsysim.efficiency.losses import ARITHMETIC, LOSSES, MOVED, OVERLAPPING, SOFTWARE, Loss, Values, values_of
from mlsysim.efficiency.predict import Prediction, prediction
from mlsysim.efficiency.structure import structure
from mlsysim.models import TransformerSpec, Work
from mlsysim.physics.elementwise import binade
from mlsysim.results import Interval
from mlsysim.scenario import Scenario

if TYPE_CHECKING:
    from mlsysim.efficiency.basis import Basis

_SMALL = {"edge", "tinyml"}
"""Equations of one sample on machines that nothing of a server's remedies is for."""
_PLANNED = ("compute", "memory_bound", "kernel_launch", "pipeline_bubble")
"""Causes that follow from work, hardware, a stated fixed time and a stated plan, whatever eta is."""
_LEDGER = ("activations", "embedding", "optimizer", "kv_cache", "weights")
"""What is moved, in the order in which it is taken off."""


class Left(NamedTuple):
    """What is left of the time [s] once something is taken off: its cause, part and kind, and whose messages it is."""

    cause: str
    part: str
    kind: str
    seconds: float
    of: str = ""


class _Run(NamedTuple):
    """The numbers of an equation of each of the cases that an answer is between, with their weights in logarithms."""

    equation: str
    values: tuple[Values, ...]
    weights: tuple[float, ...]
    times: float

    def changed(self, loss: Loss) -> _Run:
        return self._replace(values=tuple({**v, **loss.ideal(v)} for v in self.values))

    def without(self, names: Iterable[str]) -> _Run:
        gone = dict.fromkeys(names, 0.0)
        return self._replace(values=tuple({**v, **gone} for v in self.values))

    def seconds(self) -> float:
        """Return the time that the equation gives [s]."""
        return self._between([self._timed(v) for v in self.values])

    def fixed(self) -> float:
        """Return the part of it that no faster hardware removes [s]."""
        nothing = {n: 0.0 for n in EQUATIONS[self.equation].NAMES if structure()[n].unit == "s"}
        return self._between([self._timed(v) - self._timed({**v, **nothing}) for v in self.values])

    def ideal(self) -> float:
        """Return the time where the longer of arithmetic and traffic hides the shorter [s]."""
        chosen = product(*OVERLAPPING[self.equation])
        return max(self.without(name for names in choice for name in names).seconds() for choice in chosen)

    def _timed(self, v: Values) -> float:
        return float(EQUATIONS[self.equation].seconds(v, v))

    def _between(self, times: Iterable[float]) -> float:
        return self.times * math.prod(math.pow(t, w) for t, w in zip(times, self.weights, strict=True))


def broken_down(basis: Basis) -> Breakdown:
    """Return where the time of an answer goes; every cause follows from work, hardware and equations, none was seen."""
    found = prediction_of(basis)
    parts, messages = _parts(basis, left(basis, found))
    causes = ordered(parts, basis.time_s)
    causes = tuple(c._replace(kind="unattributed") if c.name == SOFTWARE[0] else c for c in causes)
    s, small, eta = basis.scenario, found is not None and found.case.equation in _SMALL, basis.eta
    count = f"{s.devices:,} x {s.hardware.name}"
    return Breakdown(
        about=f"{s.model.name} {s.phase} on {count}, {s.precision}, batch {s.batch_size:,}",
        source="solve",
        measured_s=basis.time_s,
        ideal_s=parts["compute", "at the peak", "derived"],
        causes=causes,
        not_visible=hidden("solve", [c.name for c in causes], _not_told(basis, found)),
        devices=s.devices,
        purpose="training" if s.phase == "training" else "small" if small else "serving",
        facts={"eta_kind": eta.kind, "time_s": _time(basis)._asdict()},
        lines=tuple(basis.lines(found, messages)),
    )


def _time(basis: Basis) -> Interval:
    """Return the time with its interval [s], which is that of eta."""
    eta = Interval(basis.eta.achieved, basis.eta.low, basis.eta.high)
    if eta.low == eta.high or not eta.low:
        return Interval(basis.time_s, basis.time_s, basis.time_s)
    found = eta.reciprocal(basis.roof.compute_s)
    return Interval(basis.time_s, min(found.low, basis.time_s), max(found.high, basis.time_s))


def left(basis: Basis, found: Prediction | None) -> Iterator[Left]:
    """Yield what is left of the time of an answer, from its equation or without one; FLOPs over peak at the end."""
    if found is None:
        yield from _left_of_stated(basis)
        yield from _left_of_floor(basis)
    else:
        yield from _left_of_equation(basis, found)


def prediction_of(basis: Basis) -> Prediction | None:
    """Return the prediction that an answer is of; None where eta was stated or measured, or no equation answers."""
    if basis.eta.kind != "predicted":
        return None
    return prediction(basis.scenario, basis.setup, basis.work)


def _left_of_equation(basis: Basis, found: Prediction) -> Iterator[Left]:
    floor, name = basis.roof.floor_s, found.case.equation
    run = run_of(basis, found)
    for loss in LOSSES[name]:
        run = run.changed(loss)
        yield _left(loss, max(run.seconds(), floor + max(run.fixed(), 0.0)))
    if name not in OVERLAPPING:
        yield Left(*SOFTWARE, "unattributed", floor)
        yield from _left_of_floor(basis)
        return
    yield Left(*SOFTWARE, "unattributed", max(run.ideal(), floor))
    for loss in ARITHMETIC[name]:
        run = run.changed(loss)
        yield _left(loss, max(run.ideal(), floor))
    bytes_of = MOVED[name]
    alone = run.without(n for names in bytes_of.values() for n in names).ideal()
    beyond = max(alone - basis.roof.compute_s, 0.0)  # arithmetic on slower units, or on some of the devices
    yield Left(*SOFTWARE, "unattributed", max(run.ideal() - beyond, floor))
    for part, floor_s in _floors(basis):
        run = run.without(bytes_of.get(part, ()))
        yield Left("memory_bound", part, "derived", max(run.ideal() - beyond, floor_s))


def _left_of_stated(basis: Basis) -> Iterator[Left]:
    """Yield what is left where eta is one number: fixed time that is known, the plan's bubble, software."""
    floor, after = basis.roof.floor_s, basis.time_s - basis.overhead_s
    if basis.overhead_s:
        yield Left("kernel_launch", "fixed", "derived", max(after, floor))
    if bubble := _planned_bubble(basis):
        after -= basis.time_s * bubble / (1.0 + bubble)
        yield Left("pipeline_bubble", "waiting", "derived", max(after, floor))
    yield Left(*SOFTWARE, "unattributed", floor)


def _left_of_floor(basis: Basis) -> Iterator[Left]:
    for part, floor_s in _floors(basis):
        yield Left("memory_bound", part, "derived", floor_s)


def _left(loss: Loss, seconds: float) -> Left:
    kind = "unattributed" if (loss.cause, loss.part) == SOFTWARE else "derived"
    return Left(loss.cause, loss.part, kind, seconds, loss.of)


def run_of(basis: Basis, found: Prediction) -> _Run:
    """Return the numbers that losses are taken off from: those of the prediction itself, as asked."""
    s, name = basis.scenario, found.case.equation
    values = tuple(values_of(case, s, basis.setup, basis.work) for case, _ in found.parts)
    times = float(s.batch_size) if name in _SMALL else 1.0
    return _Run(name, values, tuple(float(weight) for _, weight in found.parts), times)


def _planned_bubble(basis: Basis) -> float:
    """Return the time that stages of a stated plan idle, over the time they are busy; 0 where none is stated.

    (p - 1) / (m v) (Narayanan et al., arXiv:2104.04473, section 2.2).
    """
    s, setup = basis.scenario, basis.setup
    if s.phase != "training" or setup.pp <= 1 or not isinstance(s.model, TransformerSpec):
        return 0.0
    plan = plan_of(s, setup)
    return (plan.pp - 1.0) / (plan.micro_batches * plan.vpp)


def _floors(basis: Basis) -> Iterator[tuple[str, float]]:
    """Yield the floor [s] after each kind of bytes is taken off, the last without any: FLOPs over peak."""
    roof, known = basis.roof, moved(basis.scenario, basis.work)
    bytes_left = roof.traffic_bytes
    for part in _LEDGER:
        bytes_left = bytes_left - known[part] if part != _LEDGER[-1] else 0.0
        yield part, max(bytes_left / roof.bandwidth, roof.compute_s)


def moved(scenario: Scenario, work: Work) -> Mapping[str, float]:
    """Return the bytes that must cross the memory bus, by what they are of [B]; they sum to those of the roofline.

    What the last-level cache holds is taken from weights and KV cache alike.
    """
    cache = scenario.hardware.cache.value if scenario.hardware.cache else 0.0
    found: dict[str, float] = dict.fromkeys(_LEDGER, 0.0)
    for op in work.operators:
        of = {"lookup": "embedding", "optimizer": "optimizer"}.get(op.kind, "weights")
        found[of] += float(op.weight_bytes)
        found["kv_cache"] += float(op.kv_bytes)
    kept = sum(found.values())
    share = max(kept - cache, 0.0) / kept if kept else 0.0
    return {k: v * share for k, v in found.items()} | {"activations": float(work.traffic(cache)) - kept * share}


def _parts(basis: Basis, states: Iterable[Left]) -> tuple[dict[tuple[str, str, str], float], dict[str, float]]:
    """Return the time of each cause, part and kind [s], and that of messages by what they are for.

    What is left is rounded to the spacing of floats at the whole, so that any sum of differences is exact.
    """
    parts: dict[tuple[str, str, str], float] = {}
    messages: dict[str, float] = {}
    before, coarse = basis.time_s, binade(basis.time_s)
    for cause, part, kind, seconds, of in states:
        now = min((seconds + coarse) - coarse, before)  # a unit in the last place is no time
        parts[cause, part, kind] = parts.get((cause, part, kind), 0.0) + before - now
        if of:
            messages[of] = before - now
        before = now
    parts["compute", "at the peak", "derived"] = before
    return parts, messages


def _not_told(basis: Basis, found: Prediction | None) -> list[NotVisible]:
    """Return the causes that a solved question may tell of, and this one does not."""
    if found is not None:
        known = {loss.cause for loss in LOSSES[found.case.equation]} | {"memory_bound"}
        why = "the equation of this kind of step has no term for it"
    else:
        known = {*_PLANNED} if basis.setup.pp > 1 else {*_PLANNED} - {"pipeline_bubble"}
        known -= set() if basis.overhead_s else {"kernel_launch"}
        stated = {"assumed": "eta was stated as one number", "measured": "eta was measured as one number"}
        why = "one block, software: " + stated.get(basis.eta.kind, "no equation answers for this device")
    told: Mapping[str, Any] = visible("solve")
    return [NotVisible(n, why) for n, seen in told.items() if seen.kind == "derived" and n not in {*known, "compute"}]
