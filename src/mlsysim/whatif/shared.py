"""What the errors of two times have in common, and how wide that leaves their ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from mlsysim.calibration import Calibration, Profile
from mlsysim.calibration.expected import expectation
from mlsysim.calibration.transfer import Known, known_of
from mlsysim.efficiency.conditioning import left_unknown
from mlsysim.efficiency.deviations import Point, moves, prior_of, share_of
from mlsysim.efficiency.regimes import regime_of
from mlsysim.results import NORMAL_90
from mlsysim.whatif.option import Option, Width

EXACT, SHARED, APART = "stated", "partly shared", "taken as independent"
"""What is known of the errors of two times."""
HEAVY = frozenset({"model", "precision", "devices", "engine", "sparse", "phase"})
"""Moves over which pairs of published runs lie farther apart than what they share says."""


class Errors(NamedTuple):
    """What two times have in common of their errors.

    ``kind`` is one of the three above, ``correlation`` that of their errors [1]. ``at_least`` is the half-width of the
    90 % interval of their ratio that their moves ask for [ln], 0 where they ask for none. ``after_first`` and
    ``after_second`` are the half-widths that are left once either is measured, None where that is not known.
    """

    kind: str
    correlation: float = 0.0
    at_least: float = 0.0
    after_first: float | None = None
    after_second: float | None = None


def together(a: Width, b: Width, errors: Errors) -> Width:
    """Return the width of b / a, where ``a`` and ``b`` are the widths of two times with such errors [ln].

    A share r of both variances moves both to the same side, and leaves what one goes farther than the other; the rest
    moves each alone: u^2 = r max(u_b - u_a, d_a - d_b, 0)^2 + (1 - r) (u_b^2 + d_a^2). Where both sides of an interval
    are alike this is u_a^2 + u_b^2 - 2 r u_a u_b. Never wider than independent.
    """
    share = max(errors.correlation, 0.0)

    def side(ours: float, theirs: float, farther: float) -> float:
        apart = math.hypot(ours, theirs)
        left = math.sqrt(share * max(farther, 0.0) ** 2 + (1.0 - share) * apart**2)
        return max(left, min(errors.at_least, apart))

    up, down = b.up - a.up, b.down - a.down
    return Width(side(b.down, a.up, max(down, -up)), side(b.up, a.down, max(up, -down)))


def errors_of(first: Option, second: Option) -> Errors:
    """Return what the errors of two times have in common."""
    if all(o.question.number is not None for o in (first, second)):
        return Errors(EXACT)
    points = [_point(o) for o in (first, second)]
    measured = _measured([o.question.stated for o in (first, second)])
    if points[0] is None or points[1] is None or measured is None:
        return Errors(APART)
    return common([points[0], points[1]], [k.point for k in measured], [k.noise for k in measured])


def common(both: Sequence[Point], known: Sequence[Point] = (), noise: Sequence[float] = ()) -> Errors:
    """Return what the deviations of two runs have in common, after others were measured, with their noise [ln].

    Held against pairs of published runs: over a move to another device the correlation alone gives intervals that hold
    nine in ten. Over other moves the spread that such pairs have shown is asked for too.
    """
    left = left_unknown(known, noise, both)
    correlation = float(left[0, 1]) / math.sqrt(float(left[0, 0] * left[1, 1]))
    at_least = NORMAL_90 * _heavy_tail(*both) * _apart(left)
    after = [_after(both, known, noise, n) for n in (0, 1)]
    return Errors(SHARED, min(max(correlation, -1.0), 1.0), at_least, *after)


def _after(both: Sequence[Point], known: Sequence[Point], noise: Sequence[float], n: int) -> float:
    """Return the half-width of the ratio of two times once one of them is measured [ln], as a calibration gives it."""
    left = left_unknown([*known, both[n]], [*noise, 0.0], both)
    return NORMAL_90 * _tail(both[n], both[1 - n]) * _apart(left)


def _apart(left: Any) -> float:
    """Return the standard deviation of the difference of two deviations [ln]."""
    return math.sqrt(max(float(left[0, 0] + left[1, 1] - 2.0 * left[0, 1]), 0.0))


def _heavy_tail(a: Point, b: Point) -> float:
    """Return the widest tail of the heavy moves, there and back: a ratio turned round is as uncertain; 0 if none is."""
    heavy = HEAVY.intersection(moves(a.place, b.place))
    return max((share_of(p.place.regime, move).tail for move in heavy for p in (a, b)), default=0.0)


def _tail(a: Point, b: Point) -> float:
    """Return by what intervals are wider than normal ones that say of one run what another has shown."""
    regime = b.place.regime
    found = [share_of(regime, move).tail for move in moves(a.place, b.place)]
    return max(found, default=prior_of(regime).tail)


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
