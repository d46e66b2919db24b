"""Scenario files held to what they assert: a verdict for each assertion of each scenario."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mlsysim.errors import InvalidValue
from mlsysim.sweep.expressions import Expression
from mlsysim.sweep.fields import LEVELS
from mlsysim.sweep.literals import FLAGS
from mlsysim.sweep.points import ASKED
from mlsysim.sweep.quantities import base_of
from mlsysim.whatif.assertions import ROOM, Assertion, Counts, Found, Tally
from mlsysim.whatif.scenario_file import ScenarioFile, Section, read_scenarios

HOLDS = "holds"
VALUE_ALONE = "holds at the value alone"
FAILS = "fails"
UNKNOWN = "not known"
NO_POINT = "no feasible point"
_NEEDS = {
    **dict.fromkeys(("cost_usd", "usd_per_million"), "a price: no seller of the device is known, state usd_per_hour"),
    **dict.fromkeys(("carbon_kg", "kg_per_million", "water_l"), "a region"),
    **dict.fromkeys(("energy_j", "joules_per_item", "power_w"), "the rated power of the device, which is not known"),
    "tpot_s": "phase decode",
    "ttft_s": "phase forward",
}
"""What quantities need that may not be known."""


class Finding(NamedTuple):
    """One part of an assertion at one point: what was found, and the bound if it is a number [SI, ``unit``].

    ``low`` and ``high`` are what is found at the ends of the 90 % interval.
    """

    part: str
    of: str
    found: Any
    low: Any
    high: Any
    sign: str
    bound: float | None
    unit: str
    holds: bool
    sure: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an assertion holds of a scenario, and where it is nearest to failing, or fails by most.

    ``status`` is one of ``holds``, ``holds at the value alone`` (and not over the whole 90 % interval), ``fails``,
    ``not known`` (a quantity that it needs is not known at some point) and ``no feasible point``. ``at`` are the
    coordinates of the point told of, those with several values; ``margin`` by how much of its bound it holds there,
    negative where it fails [1]. ``first`` are the coordinates of the first point where it does not hold. ``points`` are
    those it was asked of, ``holding`` and ``unknown`` of them; ``infeasible`` were left out. ``reason`` says what is
    missing where it is not known, and why the first point is infeasible where all are.
    """

    scenario: str
    assertion: str
    status: str
    points: int
    holding: int
    unknown: int
    infeasible: int
    at: Mapping[str, Any]
    findings: tuple[Finding, ...]
    margin: float | None
    first: Mapping[str, Any] | None
    reason: str = ""
    why: str = ""

    @property
    def holds(self) -> bool:
        """Return whether it holds at the value."""
        return self.status in {HOLDS, VALUE_ALONE}

    @property
    def sure(self) -> bool:
        """Return whether it holds over the whole 90 % interval."""
        return self.status == HOLDS

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as plain data, ready for JSON; what is not finite is None."""
        told = {name: getattr(self, name) for name in self.__slots__ if name not in {"findings", "margin"}}
        findings = [{key: _plain(value) for key, value in f._asdict().items()} for f in self.findings]
        return {**told, "holds": self.holds, "sure": self.sure, "margin": _plain(self.margin), "findings": findings}


def check(path: str | Path | ScenarioFile, **how: Any) -> list[Verdict]:
    """Return a verdict for each assertion of a scenario file, in the order of the file.

    ``how`` are arguments of :meth:`Engine.sweep` that say how it is worked out: ``workers``, ``executor``,
    ``progress``, ``confirm``.

    Raises
    ------
    UsageError
        The file has a problem, or asserts nothing.
    """
    file = path if isinstance(path, ScenarioFile) else read_scenarios(path)
    if not any(section.assertions for section in file.scenarios):
        hint = "a file that asserts nothing would always pass"
        raise InvalidValue(f"{file.path.name}: assert", "given, one condition or more", None, hint)
    return [verdict for section in file.scenarios for verdict in _verdicts(section, how)]


def _verdicts(section: Section, how: Mapping[str, Any]) -> Iterator[Verdict]:
    if not section.assertions:
        return
    levels = _levels(section)
    drawing = {"quantiles": levels} if levels else {}
    tallies = [Tally(asserted, drawn=bool(levels)) for asserted in section.assertions]
    kept = section.sweep(**drawing, keep=(), reduce=tallies, **how).kept
    swept = {ASKED.get(name, name) for name in section.grid.swept}
    for asserted, (counts,) in zip(section.assertions, kept, strict=True):
        yield _verdict(section.name, asserted, counts, swept)


def _levels(section: Section) -> list[float]:
    """Return the quantiles that assertions name, with the ends of intervals; none where nothing is to be drawn."""
    names = [name for a in section.assertions for name in a.that.names]
    named = {level for name in names if (level := _level(name)) is not None}
    if not named and section.grid.uncertain is None:
        return []
    return sorted({*named, *LEVELS})


def _level(name: str) -> float | None:
    """Return the level of a quantile that is named, ``time_s_p95``; None where none is."""
    return float(name.rpartition("_p")[2]) / 100 if base_of(name) not in {name, ""} else None


def _verdict(name: str, asserted: Assertion, counts: Counts, swept: set[str]) -> Verdict:
    status = _status(asserted, counts)
    point, margin = _told(asserted, counts, status)
    return Verdict(
        scenario=name,
        assertion=str(asserted),
        status=status,
        points=counts.points,
        holding=counts.holds,
        unknown=counts.unknown,
        infeasible=counts.asked - counts.points,
        at=_where(point, swept),
        findings=tuple(_findings(asserted.that, point)) if point else (),
        margin=margin,
        first=_where(counts.first, swept) if counts.first and status in {FAILS, UNKNOWN} else None,
        reason=counts.reason if status == NO_POINT else _why_unknown(point) if status == UNKNOWN else "",
        why=asserted.why,
    )


def _status(asserted: Assertion, c: Counts) -> str:
    if not c.points:
        return NO_POINT
    if asserted.where == "best":
        if c.best is None:
            return UNKNOWN
        truth, *ends = (asserted.that.truth(values) for values in c.best.point[1:])
        if not truth.holds:
            return FAILS if truth.fails else UNKNOWN
        return HOLDS if all(end.holds for end in ends) else VALUE_ALONE
    needed = 1 if asserted.where == "any" else c.points if asserted.where == "all" else _share(asserted.where, c.points)
    if c.holds >= needed:
        return HOLDS if c.sure >= needed else VALUE_ALONE
    return FAILS if c.holds + c.unknown < needed else UNKNOWN


def _why_unknown(point: Found | None) -> str:
    """Return what is missing at a point where a condition is not known."""
    values = point.value if point else {}
    missing = [name for name, value in values.items() if value is None or value != value]  # noqa: PLR0124
    return "; ".join(f"{name} needs {_NEEDS[name]}" if name in _NEEDS else f"{name} is not known" for name in missing)


def _share(share: Any, points: int) -> int:
    """Return how many points a share of them is, at least."""
    return math.ceil(float(share) * points * (1 - 1e-12))


def _told(asserted: Assertion, c: Counts, status: str) -> tuple[Found | None, float | None]:
    """Return the point to tell of and its margin.

    Where it fails, where it does so by most (of all points), or where it is nearest to holding (of any); where it
    holds, where it is nearest to failing; where an end of the interval fails, there.
    """
    if asserted.where == "best":
        point = c.best.point if c.best else None
        margin = None if point is None else asserted.that.margin(point.value)
        return point, margin
    if asserted.where == "any":
        ranked, sign = (c.nearest_edge if status == HOLDS else c.nearest), -1.0
    else:
        ranked, sign = (c.edge if status == VALUE_ALONE else c.worst), 1.0
    if status == UNKNOWN or ranked is None:
        return c.first or c.sample, None
    margin = asserted.that.margin(ranked.point.value)
    return ranked.point, sign * ranked.by if margin is None and math.isfinite(ranked.by) else margin


def _where(point: Found | None, swept: set[str]) -> dict[str, Any]:
    return {name: value for name, value in point.at.items() if name in swept} if point else {}


def _findings(that: Expression, point: Found) -> Iterator[Finding]:
    """Yield what was found at a point, a part of the condition each: those that do not hold, or else all."""
    found = [finding for part in that.parts for finding in _finding(part, point)]
    for wanted in ("holds", "sure"):
        if not all(getattr(finding, wanted) for finding in found):
            yield from (finding for finding in found if not getattr(finding, wanted))
            return
    yield from found


def _finding(part: Expression, point: Found) -> Iterator[Finding]:
    holds, *ends = (bool(part(values)) for values in point[1:])
    limit, *others = (part.limit(values) for values in point[1:])
    if limit is not None:
        numbers = [float(limit.found), *(float(other.found) for other in others if other)]
        low, high = min(numbers), max(numbers)
        yield Finding(
            part.text, limit.of, numbers[0], low, high, limit.sign, float(limit.bound), limit.unit, holds, all(ends)
        )
        return
    for name in sorted(part.names):
        value = point.value[name]
        if name in FLAGS and _of_room(point, value):
            needed, room = (float(point.value[n]) for n in ROOM)
            yield Finding(part.text, ROOM[0], needed, needed, needed, "<=", room, "B", holds, all(ends))
            continue
        yield Finding(part.text, name, value, value, value, "", None, "", holds, all(ends))


def _of_room(point: Found, fits: bool) -> bool:
    """Return whether it is room alone that decides whether a point is feasible: it can be asked, and has no flash."""
    needed, room = (point.value.get(name) for name in ROOM)
    return needed is not None and room is not None and (needed <= room) == fits and needed == needed  # noqa: PLR0124


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
