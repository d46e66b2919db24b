"""Two measurements of one thing: whether eta has moved, and whether a prediction holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from mlsysim.calibration.calibration import Calibration
from mlsysim.calibration.profile import Profile
from mlsysim.calibration.question import question_of
from mlsysim.calibration.transfer import transferred
from mlsysim.errors import InvalidValue
from mlsysim.results import NORMAL_90, Interval

NEAR = 0.16
"""How far batch and context of two measurements may be apart to be held against each other: 7 and 8 are [ln]."""
_WIDTHLESS = 1e-3
"""Standard deviation of a measurement that came without an interval [ln]."""


class Moved(NamedTuple):
    """How far eta went between two measurements of one point: later over earlier, with a 90 % interval."""

    point: str
    earlier: Interval
    later: Interval
    ratio: Interval

    @property
    def moved(self) -> bool:
        """Return whether the interval of the ratio leaves 1 out."""
        return not self.ratio.low <= 1.0 <= self.ratio.high

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        intervals = {name: getattr(self, name)._asdict() for name in ("earlier", "later", "ratio")}
        return {"point": self.point, **intervals, "moved": self.moved}


class Verified(NamedTuple):
    """A prediction of a calibration beside a new measurement [s]."""

    point: str
    predicted: Interval
    measured: Interval

    @property
    def held(self) -> bool:
        """Return whether the intervals of prediction and measurement overlap."""
        return self.predicted.low <= self.measured.high and self.measured.low <= self.predicted.high

    @property
    def error(self) -> float:
        """Return predicted / measured - 1 [1]."""
        return self.predicted.value / self.measured.value - 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        both = {"predicted_s": self.predicted._asdict(), "measured_s": self.measured._asdict()}
        return {"point": self.point, **both, "error": self.error, "held": self.held}


def named(c: Calibration) -> str:
    """Return a point in words: what ran on what, and its sizes."""
    if c.scenario is None:
        return "stated FLOPs per item"
    s = c.scenario
    asked = question_of(s)
    elsewhere = {"phase", "precision", "devices"}
    sizes = ", ".join(f"{name} {value}" for name, value in asked.items() if name not in elsewhere)
    return f"{s.model.name} {s.phase} on {s.devices} x {s.hardware.name}, {s.precision}, {sizes}"


def moved_between(earlier: Profile, later: Profile) -> list[Moved]:
    """Return how far eta went at each point that both have.

    The batch of a server is a mean that is rounded, and seldom twice the same: where the earlier has a point of nearly
    the later's sizes, eta is held against what that one gives at the later's.

    Raises
    ------
    InvalidValue
        They have no point in common.
    """
    before = {named(c): c for c in earlier}
    pairs = [(before.get(named(c)) or _near(earlier, c), c) for c in later]
    found = [_moved(a, c) for a, c in pairs if a is not None]
    if not found:
        hint = f"one has {', '.join(before)}; the other {', '.join(map(named, later))}"
        raise InvalidValue("calibrations", "of at least one common point to be compared", "none", hint)
    return found


def _near(earlier: Profile, c: Calibration) -> Calibration | None:
    """Return the point that differs from one in its batch and context alone, and by little; the nearest of several."""
    known = [(_distance(a, c), n) for n, a in enumerate(earlier)]
    distance, nearest = min(known)
    return list(earlier)[nearest] if distance <= NEAR else None


def _distance(a: Calibration, b: Calibration) -> float:
    """Return how far batch or context of two points are apart [ln]; infinite where anything else differs."""
    if a.scenario is None or b.scenario is None:
        return math.inf
    asked, other = question_of(a.scenario), question_of(b.scenario)
    sizes = [(asked.pop(name, 1), other.pop(name, 1)) for name in ("batch_size", "context")]
    same = (a.scenario.model, a.scenario.hardware, asked) == (b.scenario.model, b.scenario.hardware, other)
    return max(abs(math.log(one / another)) for one, another in sizes) if same else math.inf


def _moved(a: Calibration, b: Calibration) -> Moved:
    before = a.efficiency
    if b.scenario is not None and named(a) != named(b):
        before = transferred((a,), b.scenario).efficiency
    value = b.efficiency.value / before.value
    sd = math.hypot(_sd(before), _sd(b.efficiency))
    half = math.exp(NORMAL_90 * sd)
    return Moved(named(b), before, b.efficiency, Interval(value, value / half, value * half))


def _sd(interval: Interval) -> float:
    return max(math.log(interval.high / interval.low) / 2 / NORMAL_90, _WIDTHLESS)


def verified(known: Profile, new: Sequence[Calibration]) -> list[Verified]:
    """Return what a profile predicts for the points of a new measurement, beside what was measured.

    Raises
    ------
    InvalidValue
        A point without a model: there is nothing to predict.
    """
    found = []
    for c in new:
        if c.scenario is None:
            raise InvalidValue("log", "of a model, to be predicted", "stated FLOPs per item")
        found.append(Verified(named(c), transferred(tuple(known), c.scenario).time_s, c.time_s))
    return found
