"""What an answer is sensitive to: elasticities to every input, what more of each buys, and what is uncertain."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mlsysim.errors import InvalidValue
from mlsysim.results import Interval, Note, Result
from mlsysim.units import parse
from mlsysim.whatif.asked import asked, bound_of, getter, phase_of, quantity, shown, unit_of
from mlsysim.whatif.inputs import Input, inputs_of
from mlsysim.whatif.question import Question, carried_of
from mlsysim.whatif.slopes import Slope, elasticity, ratio
from mlsysim.whatif.uncertain import Uncertain, uncertain_of
from mlsysim.whatif.worth import Worth, worth_of

NEGLIGIBLE = 1e-4
"""An elasticity below this is shown as no effect."""
APART = "halved and doubled"
"""How a whole number is varied of which no number between two whole ones means anything."""
_PARAMETER = 0.01
"""A fitted parameter with an elasticity below this has no row in print."""


class Row(NamedTuple):
    """One input and what the output does with it.

    ``elasticity`` is d ln(output) / d ln(input) [1], ``below`` and ``above`` those of the two sides, which differ at a
    kink such as the ridge of the roofline; None where there is no such side. ``low`` and ``high`` are the output where
    the input is ``at_low`` and ``at_high``; None where the input cannot be so, or the step would not fit. ``way`` says
    how: ``derivative``, ``real-valued`` (of a whole number, taken as a real one) or ``halved and doubled``.
    """

    input: str
    title: str
    unit: str
    kind: str
    value: float
    elasticity: float | None
    below: float | None
    above: float | None
    at_low: float
    at_high: float
    low: float | None
    high: float | None
    way: str

    @property
    def kink(self) -> bool:
        """Return whether the elasticities of the two sides differ."""
        return self.below is not None and self.above is not None and self.below != self.above

    @property
    def strength(self) -> float:
        """Return the larger size of the elasticities of both sides [1]."""
        return max((abs(s) for s in (self.elasticity, self.below, self.above) if s is not None), default=0.0)


@dataclass(frozen=True, slots=True, repr=False)
class Sensitivity:
    """How the quantity ``of`` an answer depends on its inputs; ``rows`` strongest first.

    ``value`` is the quantity with the ends that the interval of eta gives it, in ``unit``; ``change`` the relative
    change of ``low`` and ``high``; ``worth`` what more of each buys; ``uncertain`` what is not known of the inputs
    themselves; ``result`` the answer.
    """

    of: str
    unit: str
    value: Interval
    change: float
    bound: str
    rows: tuple[Row, ...]
    worth: tuple[Worth, ...]
    uncertain: tuple[Uncertain, ...]
    notes: tuple[Note, ...]
    result: Result

    def __getitem__(self, name: str) -> Row:
        """Return the row of an input.

        Raises
        ------
        UnknownName
            There is none of that name.
        """
        from mlsysim.errors import UnknownName
        from mlsysim.registry import nearest

        for row in self.rows:
            if row.input == name:
                return row
        known = [row.input for row in self.rows]
        raise UnknownName("input", name, nearest(name, known), "known: " + ", ".join(known))

    @property
    def shown_rows(self) -> tuple[Row, ...]:
        """Return the rows that are worth a line: not those of no effect, and of fitted parameters those that matter."""
        return tuple(r for r in self.rows if r.strength >= (_PARAMETER if "." in r.input else NEGLIGIBLE))

    @property
    def without_effect(self) -> tuple[str, ...]:
        """Return the inputs that do nothing here, fitted parameters left out."""
        return tuple(r.input for r in self.rows if r.strength < NEGLIGIBLE and "." not in r.input)

    def plot(self, path: str) -> None:
        """Write a tornado plot to a file; its ending says in which format.

        Raises
        ------
        MissingExtra
            matplotlib is not installed.
        """
        from importlib import import_module

        import_module("mlsysim.report.tornado").save(self, path)  # the layer above draws

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, ready for JSON."""
        return {
            "of": self.of,
            "unit": self.unit,
            "value": self.value._asdict(),
            "change": self.change,
            "bound": self.bound,
            "rows": [row._asdict() for row in self.rows],
            "worth": [w._asdict() for w in self.worth],
            "uncertain": [u._asdict() for u in self.uncertain],
            "notes": [note._asdict() for note in self.notes],
            "result": self.result.to_dict(),
        }

    def __str__(self) -> str:
        """Return the rows as lines, and what more of each buys."""
        r, (value, low, high) = self.result, (shown(v, self.unit) for v in self.value)
        on = f"{r.model} {r.phase} on {r.devices} x {r.hardware}, {r.precision}, batch {r.batch_size}"
        lines = [f"{self.of} of {on}: {value} ({low} to {high}), bound by {self.bound}"]
        lines += [f"  {row.input:<20} {shown(row.value, row.unit):>14}  {told(row):>18}" for row in self.shown_rows]
        lines += [f"  {w.text}" for w in self.worth]
        return "\n".join(lines)

    def __repr__(self) -> str:
        first = self.rows[0]
        return f"<Sensitivity of {self.of}: {first.input} {told(first)}, ...>"


def told(row: Row) -> str:
    """Return an elasticity in words: both sides at a kink, and the one that there is at an edge."""
    sides = [f"{s:+.3f}" if s is not None else "none" for s in (row.below, row.above)]
    if row.elasticity is None:
        return "a jump"
    if row.kink or (row.below is None) != (row.above is None):
        return f"{sides[0]} / {sides[1]}"
    return f"{row.elasticity:+.3f}"


def sensitivity(
    model: Any,
    hardware: Any,
    *,
    of: str = "time_s",
    change: float | str = 0.1,
    phase: str | None = None,
    **question: Any,
) -> Sensitivity:
    """Return how a quantity of an answer depends on each of its inputs.

    Parameters
    ----------
    model, hardware, question
        As for :meth:`Engine.solve`; and ``tokens``, what a training run reads in all, and ``hold``: ``eta`` or
        ``attainment``, what of a stated eta stays as it is when hardware or sizes change.
    of
        Any quantity of a sweep, or of a training run: ``run_s``, ``run_usd`` or ``run_j``.
    change
        The relative change for which outputs are worked out beside the elasticity [1]: ``0.1`` or ``"10 %"``.
    phase
        As for :meth:`Engine.solve`; if not given, the one that alone has the quantity.

    Returns
    -------
    :class:`Sensitivity`. Elasticities are differences of the functions that answer any question, with steps of 1e-4 of
    an input, less where a kink is near. A run that was measured keeps what it took over what is predicted for it.

    Raises
    ------
    UsageError
        A field breaks a rule, or the question has no such quantity.
    """
    share = parse(change, "1", "change")
    if share >= 1:
        raise InvalidValue("change", "a share below 1", change)
    name = quantity(of)
    q, result = asked(model, hardware, phase=phase_of((name,), phase), **question)
    base = q.but(carried=carried_of(q))
    output = getter(name)
    value = output(base)
    if value <= 0:
        raise InvalidValue("of", "a quantity above 0 here", f"{name} = {value:g}")
    solution = base.solve()
    unit, inputs, bound = unit_of(name, solution), inputs_of(base), bound_of(solution)
    rows = sorted((_row(base, i, output, share) for i in inputs), key=lambda row: -row.strength)
    ends = sorted(output(base.but(end=end)) for end in ("low", "high"))
    return Sensitivity(
        name,
        unit,
        Interval(value, ends[0], ends[1]),
        share,
        bound,
        tuple(rows),
        tuple(worth_of(base, inputs, name, unit, share, bound)),
        tuple(uncertain_of(base, name)),
        (*_held_notes(q, result), *result.notes),
        result,
    )


def _row(q: Question, i: Input, output: Callable[[Question], float], change: float) -> Row:
    def function(value: float) -> float:
        return output(i.at(value))

    if i.apart:
        at_low, at_high, way = i.value / 2, i.value * 2, APART
        slope = _doubled(function, i)
    else:
        at_low, at_high = i.value * (1.0 - change), i.value * (1.0 + change)
        way = "real-valued" if i.whole else "derivative"
        slope = elasticity(function, i.value, i.least, i.most)
    fits = bool(q.solve().memory.fits)
    ends = [_end(i, value, function, fits) for value in (at_low, at_high)]
    about = (i.name, i.title, i.unit, i.kind, i.value)
    return Row(*about, *slope, at_low, at_high, ends[0], ends[1], way)


def _doubled(function: Callable[[float], float], i: Input) -> Slope:
    half = i.value / 2
    below = ratio(function, i.value, half) if half.is_integer() and half >= i.least else None
    above = ratio(function, i.value, 2 * i.value)
    known = [side for side in (below, above) if side is not None]
    return Slope(math.fsum(known) / len(known), below, above)


def _end(i: Input, value: float, function: Callable[[float], float], fits: bool) -> float | None:
    """Return the output at one end; None where the input cannot be so, or what fitted would not fit."""
    if not i.least <= value <= i.most or (i.apart and not value.is_integer()):
        return None
    return function(value) if not fits or i.at(value).solve().memory.fits else None


def _held_notes(q: Question, result: Result) -> Sequence[Note]:
    """Say what a stated eta that is kept hides: where memory limits it, that bandwidth counts."""
    eta = result.efficiency
    if q.number is None or q.held is not None or eta.ceiling >= 1.0 or q.number >= eta.ceiling:
        return []
    message = (
        f"eta {q.number:g} is kept as it is when hardware or sizes change; the ceiling here is {eta.ceiling:.3g}, set"
        " by memory, so that what carries over is attainment: hold = 'attainment' keeps that"
    )
    return [Note("eta-held", message)]
