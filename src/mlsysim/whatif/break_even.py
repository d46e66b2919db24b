"""Where two options change places: the use, price, batch or length from which the second is better than the first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.registry import nearest
from mlsysim.results import Interval
from mlsysim.whatif.apart import ratio
from mlsysim.whatif.asked import better_if_more, quantity, shown
from mlsysim.whatif.feasible import Range, ranges
from mlsysim.whatif.lines import OVER, Line, label_over, line_of
from mlsysim.whatif.option import Option, option, width_of

_SIDES = {"value": 0, "low": 1, "high": 2}


@dataclass(frozen=True, slots=True, repr=False)
class BreakEven:
    """Where the second option becomes better than the first by one quantity.

    ``side`` is ``from`` (it is better from ``value`` on), ``up to``, ``between`` (from ``value`` up to ``until``),
    ``always`` or ``never``. ``interval`` holds the values from which it may be better and from which it surely is, over
    90 % intervals: None where there is none. ``reason`` says why there is no crossing, ``ratio`` is the second's
    quantity over the first's at the value (where there is none: at its best).
    """

    over: str
    unit: str
    of: str
    first: str
    second: str
    side: str
    value: float | None
    until: float | None
    interval: tuple[float | None, float | None]
    elsewhere: tuple[Range, ...]
    ratio: Interval
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        plain = ("over", "unit", "of", "first", "second", "side", "value", "until", "reason")
        ends = [None if end is None or math.isinf(end) else end for end in self.interval]
        return {
            **{name: getattr(self, name) for name in plain},
            "interval": {"maybe": ends[0], "surely": ends[1]},
            "elsewhere": [r._asdict() for r in self.elsewhere],
            "ratio": self.ratio._asdict(),
        }

    def __str__(self) -> str:
        """Return it in a sentence or two."""
        better = "more" if better_if_more(self.of) else "less"
        head = f"{self.second} has {better} {self.of} than {self.first}"
        if self.over == "tokens":
            head = f"{self.second} costs less in all than {self.first}"
        if self.value is None:
            return f"{head} {self.side}: {self.reason}"
        words = {"from": "from {} on", "up to": "up to {}", "between": "from {} up to {}"}[self.side]
        found = words.format(*(self.told(v) for v in (self.value, self.until) if v is not None))
        lines = [f"{head} {found}" if self.over == "tokens" else f"{head}, by {self.over.replace('_', ' ')}, {found}"]
        if self.interval != (self.value, self.value):
            maybe, surely = self.interval
            side = "up to" if self.side == "up to" else "from"
            sure = "surely nowhere" if surely is None else f"surely {side} {self.told(surely)}"
            lines.append(f"maybe {side} {self.told(maybe)}, {sure}" if maybe is not None else sure)
        return "; ".join([*lines, *([self.reason] if self.reason else [])])

    def told(self, value: float) -> str:
        """Return a value of what is varied, for people."""
        if self.over == "tokens":
            return shown(value, self.unit)
        if self.over == "utilisation":
            return f"{value:.3g} ({24 * value:.3g} hours a day)"
        return f"{value:,.4g}{f' {self.unit}' if self.unit else ''}"

    def __repr__(self) -> str:
        return f"<BreakEven over {self.over}: {self.side} {self.value}>"


def break_even(
    first: Option | Mapping[str, Any],
    second: Option | Mapping[str, Any],
    *,
    over: str = "utilisation",
    of: str = "usd_per_million",
) -> BreakEven:
    """Return from where on the second option is better than the first by one quantity.

    Parameters
    ----------
    first, second
        Options, or the arguments of :func:`~mlsysim.whatif.option.option`: a model, hardware, how it is paid for.
    over
        What is varied, one of :data:`OVER`, all else as it is. ``utilisation`` is that of what is owned; rent is paid
        for hours of use alone. Where both are rented it is that of the second: of the hours paid for, those in use.
    of
        The quantity that is to be less, or more where more is better.

    Raises
    ------
    UsageError
        A name is not known, a field breaks a rule, or the options have no such input.
    """
    if over not in OVER:
        raise UnknownName("over", str(over), nearest(str(over), OVER), "known: " + ", ".join(OVER))
    name = quantity(of)
    a, b = (o if isinstance(o, Option) else option(**o) for o in (first, second))
    if over == "tokens":
        return _paid_back(a, b)
    line = line_of(over, a, b)
    labels = label_over(a, over), label_over(b, over)
    if labels[0] == labels[1]:
        labels = f"{labels[0]} (first)", f"{labels[1]} (second)"
    return _crossing(line, over, name, labels)


def _crossing(line: Line, over: str, of: str, labels: tuple[str, str]) -> BreakEven:
    sign = -1.0 if better_if_more(of) else 1.0

    @cache
    def found(value: float) -> tuple[float, float, float] | None:
        """Return ln of the ratio, with its ends; below 0 the second is better. None where one of them does not fit."""
        pair = line.at(value)
        if not all(o.result.fits for o in pair):
            return None
        logs = [sign * math.log(end) for end in ratio(*pair, of).interval]
        return logs[0], min(logs), max(logs)

    def better(end: str) -> list[Range]:
        def holds(value: float) -> bool:
            here = found(value)
            return here is not None and here[_SIDES[end]] < 0

        return ranges(holds, line.points, line.whole)

    fitting = [p for p in line.points if found(p) is not None]
    if not fitting:
        raise InvalidValue(over, "one at which both options fit into memory", f"up to {line.points[-1]:g}")
    at_value = better("value")
    best = min(fitting, key=lambda p: (found(p) or (0.0,))[0])
    unit = OVER[over][0]
    if not at_value:
        reason = _never(over, unit, of, best, _ratio(found(best), sign), better("low"))
        return BreakEven(
            over, unit, of, *labels, "never", None, None, (None, None), (), _ratio(found(best), sign), reason
        )
    first = max(at_value, key=lambda r: (r.last, r.high - r.low))
    starts, ends = first.low > fitting[0], first.high < fitting[-1]
    if not starts and not ends:
        sure = better("high") == at_value
        reason = f"at every value from {fitting[0]:g} to {fitting[-1]:g} that was looked at"
        reason += ", over the whole intervals" if sure else ", though not over the whole intervals"
        ends_there = (None, None)
        return BreakEven(
            over, unit, of, *labels, "always", None, None, ends_there, (), _ratio(found(best), sign), reason
        )
    side, value = ("from", first.low) if starts and not ends else ("up to", first.high)
    if starts and ends:
        side, value = "between", first.low
    until = first.high if side == "between" else None
    others = tuple(r for r in at_value if r is not first)
    interval = _ends(side, value, better("low"), better("high"), fitting)
    there = _ratio(found(value), sign)
    return BreakEven(over, unit, of, *labels, side, value, until, interval, others, there, _beside(over, line, value))


def _ends(
    side: str, value: float, maybe: list[Range], surely: list[Range], fitting: Sequence[float]
) -> tuple[float | None, float | None]:
    """Return from where the second option may be better, and from where it surely is, on the side of the crossing."""
    around = next((r for r in maybe if r.low <= value <= r.high), None)
    if side == "up to":
        certain = [r.high for r in surely if r.high <= value]
        return (min(around.high, fitting[-1]) if around else None), max(certain, default=None)
    certain = [r.low for r in surely if r.low >= value]
    return (around.low if around else None), min(certain, default=None)


def _ratio(logs: tuple[float, float, float] | None, sign: float) -> Interval:
    assert logs is not None
    ends = sorted(math.exp(sign * end) for end in logs[1:])
    return Interval(math.exp(sign * logs[0]), ends[0], ends[1])


def _never(over: str, unit: str, of: str, best: float, there: Interval, maybe: list[Range]) -> str:
    """Say why the second option is nowhere better: how near it comes, and whether it may be within the intervals."""
    where = f"{best:,.4g}{f' {unit}' if unit else ''}"
    near = f"it comes nearest at {over.replace('_', ' ')} {where}, with {there.value:.3g} times the {of} there"
    return f"{near}; within the intervals it may" if maybe else f"{near}; nor is it within the intervals"


def _beside(over: str, line: Line, value: float) -> str:
    """Return what else to say of a crossing: of a price, how it compares with that of the first option."""
    if over != "price":
        return ""
    first, _ = line.at(value)
    price = first.solution.price
    return "" if price is None else f"{value / price.value:.3g} times the price of the first, {price.value:.4g} USD/h"


def _paid_back(a: Option, b: Option) -> BreakEven:
    """Return the tokens from which what the second option costs once is paid back by what it costs less by the token.

    T = (F2 - F1) / (c1 - c2). Its ends take those of the ratio c2 / c1, and the width of c1 beside them in squares.
    """
    once = b.fixed_usd - a.fixed_usd
    if once <= 0:
        raise InvalidValue("fixed_usd", "more for the second option than for the first", b.fixed_usd)
    of = "usd_per_million"
    each, found = a.interval(of), ratio(a, b, of).interval
    labels = (a.label, b.label)
    if found.value >= 1.0:
        reason = f"a million tokens cost {found.value:.3g} times as much ({found.low:.3g} to {found.high:.3g})"
        return BreakEven("tokens", "tokens", of, *labels, "never", None, None, (None, None), (), found, reason)

    def tokens(r: float) -> float:
        return once * 1e6 / (each.value * (1.0 - r)) if r < 1.0 else math.inf

    middle, width = tokens(found.value), width_of(each)
    soon = middle * math.exp(-math.hypot(math.log(middle / tokens(found.low)), width.up))
    late = tokens(found.high)
    if late < math.inf:
        late = middle * math.exp(math.hypot(math.log(late / middle), width.down))
    reason = f"{once:,.0f} USD once, {each.value * (1.0 - found.value):,.4g} USD less a million tokens"
    ends = (soon, late if late < math.inf else None)
    return BreakEven("tokens", "tokens", of, *labels, "from", middle, None, ends, (), found, reason)
