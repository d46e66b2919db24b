"""Inverse questions: which eta, bandwidth, batch, number of devices or price would reach a goal, or that none does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlsysim.engine import Engine
from mlsysim.errors import Infeasible, InvalidValue, UnknownName
from mlsysim.registry import nearest
from mlsysim.results import Note, Result
from mlsysim.whatif.asked import asked, phase_of, shown, unit_of, value_of
from mlsysim.whatif.feasible import Range, ranges, real_points, whole_points
from mlsysim.whatif.goal import Goal, goal_of, why_none
from mlsysim.whatif.inputs import Input, inputs_of
from mlsysim.whatif.question import Question
from mlsysim.whatif.slopes import elasticity, ratio

NEEDS = (
    "eta",
    "peak",
    "bandwidth",
    "memory",
    "cache",
    "link",
    "network",
    "batch",
    "seq_len",
    "context",
    "devices",
    "price",
)
"""What may be asked for, by short name."""
FARTHEST = 1e6
"""How many times more or less than what there is a figure of the hardware or a price is looked for."""
_MOST = {"devices": 1 << 20, "batch": 1 << 30, "seq_len": 1 << 30, "context": 1 << 30}
"""The largest whole numbers that are looked at."""
_LEAST_ETA = 1e-9
_FIELDS = {"batch": "batch_size", "seq_len": "seq_len", "context": "context"}


@dataclass(frozen=True, slots=True, repr=False)
class Need:
    """The value of one input that reaches a goal.

    ``side`` says which values do: ``at least`` the value, ``at most`` it, or ``any`` that was looked at. ``range`` is
    the range in which they do, which memory may end; ``elsewhere`` further ranges. ``whole`` says that the value is
    the whole number next to where the goal is met exactly. ``interval`` holds the values needed at the fast and at the
    slow end of eta's interval, None where none does. ``has`` is the value in the question, ``there`` the answer at the
    value needed, and ``found`` what the goal compares there. ``elasticity`` is that of the output to the input [1].
    """

    what: str
    title: str
    unit: str
    reach: str
    value: float
    side: str
    whole: bool
    has: float | None
    range: Range
    elsewhere: tuple[Range, ...]
    interval: tuple[float | None, float | None]
    elasticity: float | None
    found: tuple[tuple[str, float, str], ...]
    notes: tuple[Note, ...]
    there: Result
    question: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, ready for JSON."""
        plain = ("what", "title", "unit", "reach", "value", "side", "whole", "has", "elasticity")
        return {
            **{name: getattr(self, name) for name in plain},
            **({"value": int(self.value)} if self.whole else {}),
            "range": self.range._asdict(),
            "elsewhere": [r._asdict() for r in self.elsewhere],
            "interval": {"fast": self.interval[0], "slow": self.interval[1]},
            "found": [{"quantity": n, "value": v, "unit": u} for n, v, u in self.found],
            "notes": [note._asdict() for note in self.notes],
            "result": self.there.to_dict(),
        }

    def __str__(self) -> str:
        """Return the answer in a few lines."""
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """Return the answer in sentences."""
        value = shown(self.value, self.unit, 4)
        head = f"{self.reach} takes {self.title} of {self.side} {value}"
        if self.what == "devices":
            head = f"{self.reach} takes {self.side} {value} devices"
        if self.side == "any":
            head = f"{self.reach} holds whatever the {self.title}, from {value} on"
        elif self.has is not None:
            head += f", where the question has {shown(self.has, self.unit, 4)}"
        lines = [head]
        if self.side == "at least" and not self.range.last:
            lines.append(f"and holds up to {shown(self.range.high, self.unit, 4)}")
        lines += [f"it also holds from {shown(r.low, self.unit)} to {shown(r.high, self.unit)}" for r in self.elsewhere]
        lines.append("there: " + ", ".join(f"{n} = {shown(v, u, 4)}" for n, v, u in self.found))
        ends = [None if end is None else shown(end, self.unit, 4) for end in self.interval]
        if self.interval != (self.value, self.value):
            fast, slow = (end or "no value" for end in ends)
            lines.append(f"over the interval of eta: {fast} at its fast end, {slow} at its slow end")
        if self.elasticity:
            lines.append(f"there, 1 % more {self.title} changes {self.found[0][0]} by {self.elasticity:+.2g} %")
        return lines

    def __repr__(self) -> str:
        return f"<Need of {self.what}: {self.side} {shown(self.value, self.unit, 4)} for {self.reach}>"


def need(what: str, model: Any, hardware: Any, *, reach: str, phase: str | None = None, **question: Any) -> Need:
    """Return which value of one input reaches a goal, all else as in the question.

    Parameters
    ----------
    what
        One of :data:`NEEDS`: ``eta``, a figure of the hardware, a size, ``devices`` or ``price``.
    model, hardware, question
        As for :meth:`Engine.solve`; and ``tokens``, what a training run reads in all, and ``hold``: ``eta`` or
        ``attainment``, what of a stated eta stays as it is.
    reach
        A condition on quantities, ``"tpot_s <= 50 ms"``, ``"usd_per_million < 2 USD and tpot_s < 0.1"``.
    phase
        As for :meth:`Engine.solve`; if not given, the one that alone has a quantity of the goal.

    Returns
    -------
    :class:`Need`: the smallest value that does, or the largest where the goal holds for all small ones. It reaches the
    goal, and the next float, or whole number, beyond it does not. What does not fit into memory reaches nothing.

    Raises
    ------
    UsageError
        A field breaks a rule, the goal cannot be read, or the question has no such quantity.
    Infeasible
        No value does: with the best there is, and what binds there.
    """
    name = _known(what)
    goal = goal_of(reach)
    q, _ = asked(model, hardware, phase=phase_of(goal.names, phase), **question)
    i = _input(name, q)
    _checked(goal, q, name)
    points = _points(i, q)
    found = ranges(lambda v: goal.reached(i.at(v)), points, i.whole)
    if not found:
        raise Infeasible(why_none(goal, i, points))
    value, side = _chosen(found[0])
    at = i.at(value)
    fields = {k: v for k, v in question.items() if k not in {"tokens", "hold"} and v is not None}
    question_there = _asked_there(name, model, hardware, {**fields, "phase": q.scenario.phase}, at)
    solution = at.solve()
    seen = tuple((n, value_of(n, at, solution), unit_of(n, solution)) for n in goal.names)
    first = seen[0][0]
    there = Engine.solve(**question_there)
    return Need(
        name,
        i.title.split(",")[0],
        i.unit,
        goal.text,
        value,
        side,
        i.whole,
        _has(name, q),
        found[0],
        tuple(found[1:]),
        _ends(goal, i, q, points, (value, side)),
        None if side == "any" else _elasticity(lambda v: value_of(first, i.at(v), i.at(v).solve()), i, value),
        seen,
        there.notes,
        there,
        question_there,
    )


def _known(what: str) -> str:
    if what not in NEEDS:
        raise UnknownName("input", str(what), nearest(str(what), NEEDS), "known: " + ", ".join(NEEDS))
    return what


def _input(name: str, q: Question) -> Input:
    """Return the input that is asked for.

    Raises
    ------
    InvalidValue
        The question has none: no such length, no link on one device, a figure that is not known.
    """
    if name == "eta":
        ceiling = q.solve().roof.ceiling
        return Input("eta", "eta", "", "software", ceiling, lambda v: q.but(stated=v, held=None), most=ceiling)
    if name == "price":
        return Input("price", "price", "USD/h", "money", q.price or 1.0, lambda v: q.but(usd_per_hour=v))
    inputs = {i.name: i for i in inputs_of(q)}
    if name not in inputs:
        hint = "it has one device" if name in {"link", "network"} and q.scenario.devices == 1 else "see what it has"
        raise InvalidValue(
            "what", "an input of this question: " + ", ".join(n for n in NEEDS if n in inputs), name, hint
        )
    return inputs[name]


def _checked(goal: Goal, q: Question, name: str) -> None:
    """Raise where a quantity of the goal is not one of this question; a price that is asked for may be missing."""
    goal.limits(q.but(usd_per_hour=q.price or 1.0) if name == "price" else q)


def _has(name: str, q: Question) -> float | None:
    if name == "eta":
        return float(q.solve().efficiency.achieved)
    return q.price if name == "price" else next(i.value for i in inputs_of(q) if i.name == name)


def _points(i: Input, q: Question) -> list[float]:
    if i.whole:
        return whole_points(_MOST[i.name], i.value)
    if i.name == "eta":
        return real_points(_LEAST_ETA, i.most, q.solve().efficiency.achieved)
    return real_points(i.value / FARTHEST, i.value * FARTHEST, i.value)


def _chosen(found: Range) -> tuple[float, str]:
    if found.first:
        return (found.low, "any") if found.last else (found.high, "at most")
    return found.low, "at least"


def _ends(
    goal: Goal, i: Input, q: Question, points: list[float], answer: tuple[float, str]
) -> tuple[float | None, float | None]:
    """Return the values needed at the fast and at the slow end of the interval of the time."""
    if i.name == "eta" or q.number is not None:
        return answer[0], answer[0]
    ends = []
    for end in ("low", "high"):
        found = ranges(lambda v, end=end: goal.reached(i.at(v).but(end=end)), points, i.whole)  # type: ignore[misc]
        ends.append(_chosen(found[0])[0] if found else None)
    return ends[0], ends[1]


def _elasticity(function: Callable[[float], float], i: Input, at: float) -> float | None:
    if i.apart:
        return ratio(function, at, 2 * at)
    found = elasticity(function, at, i.least, i.most)
    return found.value


def _asked_there(name: str, model: Any, hardware: Any, fields: dict[str, Any], q: Question) -> dict[str, Any]:
    """Return the fields of ``Engine.solve`` that ask for the answer with the value needed."""
    s = q.scenario
    asked_there = {"model": model, "hardware": hardware, **fields}
    if name in _FIELDS:
        asked_there[_FIELDS[name]] = getattr(s, _FIELDS[name])
    elif name == "price":
        asked_there["usd_per_hour"] = q.usd_per_hour
    elif name != "eta":
        asked_there |= {"hardware": s.hardware, "devices": s.devices}
    if q.number is not None:
        asked_there["efficiency"] = float(q.solve().stated)  # type: ignore[arg-type]  # a number it is
    return asked_there
