"""Whether two options can be told apart: the ratio of what they give, with its interval, and what would settle it.

Errors of two predictions are partly shared: the same equations, the same model, the same software. What is shared is
taken from pairs of published runs (:mod:`mlsysim.efficiency.deviations`); prices of two devices are independent, and
those of one device are one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mlsysim.calibration import Calibration, Profile
from mlsysim.calibration.expected import expectation
from mlsysim.calibration.transfer import Known, known_of
from mlsysim.efficiency.conditioning import left_unknown, tail_of
from mlsysim.efficiency.deviations import LEAST_NOISE, NORMAL_90, Point, moves, prior_of, share_of
from mlsysim.efficiency.regimes import regime_of
from mlsysim.results import Interval
from mlsysim.whatif.option import Option, Width

REPEATS = NORMAL_90 * math.sqrt(2.0) * LEAST_NOISE
"""Half-width of the 90 % interval of the ratio of two measured times [ln]: no measurement is better."""
EXACT, SHARED, APART = "stated", "partly shared", "taken as independent"
"""What is known of the errors of two times."""


class Errors(NamedTuple):
    """What two times have in common of their errors.

    ``kind`` is one of the three above. ``half`` is the half-width of the 90 % interval of the ratio of two times [ln],
    ``correlation`` that of their errors [1]; ``after_first`` and ``after_second`` are the half-widths that are left
    once either is measured. None where that is not known.
    """

    kind: str
    half: float | None = None
    correlation: float | None = None
    after_first: float | None = None
    after_second: float | None = None


class Ratio(NamedTuple):
    """A quantity of the second option over that of the first, with its 90 % interval, and what the interval is made of.

    ``parts`` are the widths of time, price and power [ln].
    """

    of: str
    interval: Interval
    parts: Mapping[str, Width]
    errors: Errors

    @property
    def distinguishable(self) -> bool:
        """Return whether the interval leaves 1 out."""
        return not self.interval.low <= 1.0 <= self.interval.high


class Pair(NamedTuple):
    """Two options held against each other: the ratio of the second to the first, and what would settle it."""

    first: str
    second: str
    ratio: Ratio
    settle: str

    @property
    def distinguishable(self) -> bool:
        """Return whether they are told apart."""
        return self.ratio.distinguishable

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        r = self.ratio
        return {
            "first": self.first,
            "second": self.second,
            "of": r.of,
            "ratio": r.interval._asdict(),
            "distinguishable": self.distinguishable,
            "errors": r.errors.kind,
            "correlation": r.errors.correlation,
            "settle": self.settle,
        }

    def __str__(self) -> str:
        """Return it in a sentence."""
        r = self.ratio.interval
        verdict = "is told apart from" if self.distinguishable else "cannot be told apart from"
        ends = f"{r.value:.3g} ({r.low:.3g} to {r.high:.3g}) times its {self.ratio.of}"
        return f"{self.second} {verdict} {self.first}: {ends}" + (f"; {self.settle}" if self.settle else "")


def pair(first: Option, second: Option, of: str) -> Pair:
    """Return two options held against each other by one quantity.

    Raises
    ------
    InvalidValue
        It is not known of one of them.
    """
    found = ratio(first, second, of)
    return Pair(first.label, second.label, found, "" if found.distinguishable else settled_by(first, second, found))


def ratio(first: Option, second: Option, of: str) -> Ratio:
    """Return a quantity of the second option over that of the first; raises as :func:`pair`."""
    value = second.value(of) / first.value(of)
    errors = errors_of(first, second)
    a, b = first.widths(of), second.widths(of)
    parts = {part: Width(math.hypot(b[part].down, a[part].up), math.hypot(b[part].up, a[part].down)) for part in b}
    if "time" in parts and errors.half is not None:
        half = errors.half * _of_time(first, second, a["time"], b["time"])
        parts["time"] = Width(min(parts["time"].down, half), min(parts["time"].up, half))
    if first.device == second.device:
        one = {"price": first.pay.same(second.pay), "power": True}
        parts |= {part: _left(a[part], b[part]) for part in parts if one.get(part)}
    down, up = (math.hypot(*(getattr(w, side) for w in parts.values())) for side in ("down", "up"))
    return Ratio(of, Interval(value, value * math.exp(-down), value * math.exp(up)), parts, errors)


def _of_time(first: Option, second: Option, a: Width, b: Width) -> float:
    """Return how wide what the times leave open of a quantity is, over how wide the times are: less for an energy."""
    whole = math.fsum(sum(o.widths("time_s")["time"]) for o in (first, second))
    return min(1.0, (sum(a) + sum(b)) / whole) if whole > 0 else 0.0


def _left(a: Width, b: Width) -> Width:
    """Return what is left of the widths of two that are one and the same."""
    return Width(*sorted((abs(b.down - a.down), abs(b.up - a.up))))


def errors_of(first: Option, second: Option) -> Errors:
    """Return what the errors of two times have in common."""
    stated = [o.question.stated for o in (first, second)]
    if all(o.question.number is not None for o in (first, second)):
        return Errors(EXACT, 0.0)
    points = [_point(o) for o in (first, second)]
    measured = _measured(stated)
    if points[0] is None or points[1] is None or measured is None:
        return Errors(APART)
    both = [points[0], points[1]]
    known, noise = [k.point for k in measured], [k.noise for k in measured]
    left = left_unknown(known, noise, both)
    correlation = float(left[0, 1]) / math.sqrt(float(left[0, 0] * left[1, 1]))
    after = [half_width(both, [*known, p], [*noise, 0.0]) for p in both]
    return Errors(SHARED, half_width(both, known, noise), correlation, *after)


def half_width(both: Sequence[Point], known: Sequence[Point] = (), noise: Sequence[float] = ()) -> float:
    """Return the half-width of the 90 % interval of the ratio of two times [ln], after some runs were measured.

    ``noise`` is the standard deviation of each measured run [ln].
    """
    return _half(left_unknown(known, noise, both), _tail(both, known))


def _half(left: Any, tail: float) -> float:
    """Return the half-width of the 90 % interval of a difference [ln]; two measurements differ too."""
    variance = float(left[0, 0] + left[1, 1] - 2.0 * left[0, 1])
    return max(NORMAL_90 * tail * math.sqrt(max(variance, 0.0)), REPEATS)


def _tail(both: Sequence[Point], known: Sequence[Point]) -> float:
    """Return by what the interval of a ratio is wider than a normal one: what the moves between the two have shown.

    And those from what was measured, of what was not measured itself. Of a move there and back the wider one counts:
    a ratio turned round is as uncertain.
    """
    regime = both[1].place.regime
    ways = (both, tuple(reversed(both)))
    between = [share_of(b.place.regime, move).tail for a, b in ways for move in moves(a.place, b.place)]
    places = [k.place for k in known]
    away = [tail_of(p, known) for p in both if places and p.place not in places]
    return max([*between, *away], default=prior_of(regime).tail)


def _point(o: Option) -> Point | None:
    """Return an option as a point of the deviations; None where no equation was fitted to its kind."""
    q = o.question
    roof = o.solution.roof
    found = expectation(q.scenario, roof, regime_of(q.scenario, roof), q.setup)
    return found.point if found.of == "equation" else None


def _measured(stated: Sequence[Any]) -> list[Known] | None:
    """Return the runs that both times rest on, none where they are predicted; None where they are different ones."""
    if stated[0] is None and stated[1] is None:
        return []
    if stated[0] != stated[1] or not isinstance(stated[0], (Calibration, Profile)):
        return None
    calibrations = tuple(stated[0])
    return None if any(c.scenario is None for c in calibrations) else known_of(calibrations)


def settled_by(first: Option, second: Option, r: Ratio) -> str:
    """Return what would tell two options apart if their values stay as they are."""
    gap = abs(math.log(r.interval.value))
    side = "down" if r.interval.value > 1.0 else "up"
    wide = {part: getattr(width, side) for part, width in r.parts.items()}
    for words, left in _measures(first, second, r.errors, wide):
        if math.hypot(*left.values()) < gap:
            return f"{words} would settle it, if the values stay"
    percent = 100.0 * math.expm1(gap)
    return f"they are {percent:.2g} % apart, which no measurement would settle: take what is at hand"


def _measures(
    first: Option, second: Option, errors: Errors, wide: dict[str, float]
) -> list[tuple[str, dict[str, float]]]:
    """Return what could be measured or asked, the least first, and the widths that would be left [ln]."""
    runs = []
    if wide.get("time"):
        ends = ((first, errors.after_first), (second, errors.after_second))
        after = sorted(((left, o.label) for o, left in ends if left is not None), key=lambda each: each[0])
        runs += [(f"a run of {label}, calibrated,", {"time": min(left, wide["time"])}) for left, label in after]
        power = {"power": 0.0} if "power" in wide else {}
        what = "runs of both, with their power," if power else "runs of both"
        runs.append((what, {"time": min(REPEATS, wide["time"]), **power}))
    found = [(words, {**wide, **left}) for words, left in runs]
    if wide.get("price"):
        found.append(("a quote for each price", {**wide, "price": 0.0}))
        found += [
            (f"{words.rstrip(',')}, and a quote for each price,", {**left, "price": 0.0}) for words, left in found[:-1]
        ]
    return found
