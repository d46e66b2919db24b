"""Whether two options can be told apart: the ratio of what they give, with its interval, and what would settle it.

Errors of two predictions are partly shared: the same equations, the same model, the same software. What is shared is
taken from pairs of published runs (:mod:`mlsysim.efficiency.deviations`); prices of two devices are independent, and
those of one device are one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlsysim.efficiency.deviations import LEAST_NOISE
from mlsysim.results import NORMAL_90, Interval
from mlsysim.whatif.option import Option, Width
from mlsysim.whatif.shared import SHARED, Errors, errors_of, together

REPEATS = NORMAL_90 * math.sqrt(2.0) * LEAST_NOISE
"""Half-width of the 90 % interval of the ratio of two measured times [ln]: no measurement is better."""


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
            "correlation": r.errors.correlation if r.errors.kind == SHARED else None,
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
    if "time" in parts:
        parts["time"] = together(a["time"], b["time"], errors)
    if first.device == second.device:
        one = {"price": first.pay.same(second.pay), "power": True}
        parts |= {part: _left(a[part], b[part]) for part in parts if one.get(part)}
    down, up = (math.hypot(*(getattr(w, side) for w in parts.values())) for side in ("down", "up"))
    return Ratio(of, Interval(value, value * math.exp(-down), value * math.exp(up)), parts, errors)


def _left(a: Width, b: Width) -> Width:
    """Return what is left of the widths of two that are one and the same."""
    return Width(*sorted((abs(b.down - a.down), abs(b.up - a.up))))


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
