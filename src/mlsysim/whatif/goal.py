"""What is to be reached: limits on quantities, and why no value of an input reaches them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from mlsysim.errors import InvalidValue
from mlsysim.sweep.expressions import Expression, Limit, parse
from mlsysim.whatif.asked import MEANINGS, shown, unit_of, value_of
from mlsysim.whatif.feasible import ranges
from mlsysim.whatif.inputs import Input
from mlsysim.whatif.question import Question

_FITS = "memory_bytes <= capacity_bytes"
"""What the word ``fits`` of conditions is short for."""


class Goal(NamedTuple):
    """A condition, in the comparisons that it joins, and how to hold a question against it."""

    text: str
    parts: tuple[Expression, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the quantities that it looks at."""
        return tuple(sorted({name for part in self.parts for name in part.names}))

    def limits(self, question: Question) -> list[Limit]:
        """Return what each comparison finds."""
        solution = question.solve()
        values = {name: value_of(name, question, solution) for name in self.names}
        return [limit for part in self.parts if (limit := part.limit(values)) is not None]

    def reached(self, question: Question) -> bool:
        """Return whether an answer fits into memory and all comparisons hold."""
        if not question.scenario.memory().fits:
            return False
        solution = question.solve()
        values = {name: value_of(name, question, solution) for name in self.names}
        return all(bool(part(values)) for part in self.parts)


def goal_of(reach: str) -> Goal:
    """Return a goal that was written: comparisons of quantities, and ``fits``, joined by ``and``.

    Raises
    ------
    UsageError
        It cannot be read, or asks for equality or for words.
    """
    expression = parse(re.sub(r"\bfits\b", _FITS, reach), MEANINGS, "reach")
    parts = expression.parts
    values = dict.fromkeys(MEANINGS, 1.0)
    for part in parts:
        limit = part.limit(values)
        if limit is None or limit.sign in {"==", "!="}:
            raise InvalidValue("reach", "limits with <, <=, > or >=, joined by 'and'", reach)
    return Goal(reach.strip(), parts)


def why_none(goal: Goal, i: Input, points: Sequence[float]) -> str:
    """Say that no value of an input reaches a goal, the best there is, and what binds there."""
    room = ranges(lambda v: bool(i.at(v).scenario.memory().fits), points, i.whole)
    title = i.title.split(",")[0]
    none = "no number of devices" if i.name == "devices" else f"no {title}"
    if not room:
        question = i.at(points[0]).scenario
        held = question.memory()
        return (
            f"{none} reaches {goal.text}: {question.model.name} does not fit,"
            f" {shown(held.total, 'B')} where there are {shown(held.capacity, 'B')}"
        )
    fitting = [p for p in points if any(r.low <= p <= r.high for r in room)]

    def margin(point: float) -> float:
        return min((limit.margin for limit in goal.limits(i.at(point))), default=math.nan)

    best = max(sorted({*fitting, *(end for r in room for end in (r.low, r.high))}), key=margin)
    q = i.at(best)
    s = q.solve()
    values = ", ".join(f"{n} = {shown(value_of(n, q, s), unit_of(n, s), 4)}" for n in goal.names)
    part, seconds = max(s.breakdown_s.items(), key=lambda item: item[1])
    share = f"{part} takes {100 * seconds / s.time_s.value:.0f} % of the step"
    message = f"{none} reaches {goal.text}: the best is {values}, at {title} {shown(best, i.unit, 4)}, where {share}"
    if i.name == "eta":
        message += f"; the roofline allows no eta above {i.most:.4g}"
    if not room[0].first or not room[-1].last:
        message += f"; it fits into memory from {title} {shown(room[0].low, i.unit)} to {shown(room[-1].high, i.unit)}"
    return message
