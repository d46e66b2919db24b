"""What a field of a sweep may hold: one value, a list, or a range that is made piece by piece.

In files and on the command line a range is written as text: ``1..256*2`` (each twice the last), ``1024..8192+1024`` (in
steps), ``1..64`` (all whole numbers) or ``0.3..0.5/101`` (so many, evenly); or as a table, ``{from = 1, to = 256,
factor = 2}``.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.registry import nearest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_FORMS = "'1..256*2' (a factor), '1..256+16' (a step) or '0.3..0.5/101' (a count)"
_ENDS = ("from", "to")
_STEPS = ("step", "factor", "count")
_ROUNDING = 16 * math.ulp(1.0)
"""Relative error of the steps of a range: its ends and step are rounded to floats, and so is their quotient."""
_LARGEST = sys.float_info.max
MOST = 2**53
"""Values that a range may have: they are numbered in floats."""


class Axis(Protocol):
    """The values of one field, in order."""

    def __len__(self) -> int:
        """Return how many there are."""

    def values(self, start: int, stop: int) -> Sequence[Any] | npt.NDArray[Any]:
        """Return those from ``start`` to ``stop`` (not included)."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Values as they were given."""

    given: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.given)

    def values(self, start: int, stop: int) -> Sequence[Any]:
        """Return a part of the values."""
        return self.given[start:stop]


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Numbers as they were given."""

    given: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.given)

    def values(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return a part of the values."""
        return self.given[start:stop]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of other values: ``count`` of them from ``start``."""

    axis: Axis
    start: int
    count: int

    def __len__(self) -> int:
        return self.count

    def values(self, start: int, stop: int) -> Sequence[Any] | npt.NDArray[Any]:
        """Return a part of the part."""
        return self.axis.values(self.start + start, self.start + stop)


@dataclass(frozen=True, slots=True)
class Spaced:
    """``count`` numbers from ``low``, ``step`` apart or each ``factor`` times the last; made when asked for.

    The last one is ``end`` where that is given: not what rounded steps come to.
    """

    low: float
    count: int
    step: float = 0.0
    factor: float = 1.0
    end: float | None = None

    def __len__(self) -> int:
        return self.count

    def values(self, start: int, stop: int) -> npt.NDArray[np.float64]:
        """Return a part of the values."""
        import numpy as np

        n = np.arange(start, stop, dtype=float)
        found = self.low * self.factor**n if self.factor != 1.0 else self.low + n * self.step
        if self.end is not None and start < self.count <= stop:
            found[self.count - 1 - start] = self.end
        return found

    @property
    def whole(self) -> bool:
        """Return whether all values are whole numbers."""
        return all(float(v).is_integer() for v in (self.low, self.step, self.factor))

    @property
    def last(self) -> float:
        """Return the last value."""
        return float(self.values(self.count - 1, self.count)[0])


def linear(low: float, high: float, count: int) -> Spaced:
    """Return ``count`` numbers, evenly from ``low`` to ``high``, both included."""
    return _spaced("range", {"from": low, "to": high, "count": count}, {"low": low, "high": high, "count": count})


def geometric(low: float, high: float, factor: float) -> Spaced:
    """Return numbers from ``low`` up to ``high`` at most, each ``factor`` times the last."""
    return _spaced("range", {"from": low, "to": high, "factor": factor}, {"low": low, "high": high, "factor": factor})


def axis_of(value: object, field: str) -> Axis | None:
    """Return the values that a field is given, None where it is one value.

    Sets are taken in ascending order: theirs is another one each time Python starts.

    Raises
    ------
    InvalidValue, UnknownName
        An empty list, or a range that is reversed, has no step, or ends that are no numbers.
    """
    if isinstance(value, (Listed, Spaced)):
        return value
    if isinstance(value, str):
        return _written(value, field)
    if isinstance(value, Mapping):
        return _spaced(field, value, value)
    if isinstance(value, range):
        return _of_range(value, field)
    for listing in ("tolist", "to_list"):  # arrays and series
        if hasattr(value, listing):
            value = getattr(value, listing)()
            break
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=lambda one: (isinstance(one, str), str(one) if isinstance(one, str) else one))
    if not isinstance(value, (list, tuple)) or hasattr(value, "_fields"):  # an interval or a plan is one value
        return None
    return _listed(value, field, value)


def _listed(values: Sequence[Any], field: str, shown: object) -> Listed:
    if not values:
        raise InvalidValue(field, "one value or more", shown)
    for one in values:
        if isinstance(one, float) and not math.isfinite(one):
            raise InvalidValue(field, "finite numbers", one)
    return Listed(tuple(values))


def _of_range(value: range, field: str) -> Spaced:
    if not value or value.step < 0:
        raise InvalidValue(field, "a range that goes up", value)
    return Spaced(float(value.start), _counted((value[-1] - value[0]) // value.step, field, value), float(value.step))


def _written(text: str, field: str) -> Axis | None:
    if ".." in text and not re.search("[/\\\\]\\.\\.|\\.\\.[/\\\\]", text):
        if plain := re.fullmatch(r"\s*(\d+)\s*\.\.\s*(\d+)\s*", text):
            return _spaced(field, {"from": plain[1], "to": plain[2], "step": 1}, text)
        match = re.fullmatch(r"\s*(\S+?)\s*\.\.\s*(\S+?)\s*([*x+/])\s*(\S+)\s*", text)
        if match is None:
            raise InvalidValue(field, f"a range such as {_FORMS}", text)
        low, high, sign, by = match.groups()
        kind = {"*": "factor", "x": "factor", "+": "step", "/": "count"}[sign]
        return _spaced(field, {"from": low, "to": high, kind: by}, text)
    if "," in text and field != "plan":  # a plan is one text, commas or not
        parts = [part.strip() for part in text.split(",") if part.strip()]
        for part in parts:
            if re.fullmatch(r"0\d+", part):
                raise InvalidValue(field, "numbers without leading zeros, a comma between each two", text)
        return _listed([_number(part) for part in parts], field, text)
    return None


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _spaced(field: str, table: Mapping[Any, Any], shown: object) -> Spaced:
    """Return a range from its ends and one of step, factor and count."""
    known = (*_ENDS, *_STEPS)
    for key in table:
        if key not in known:
            raise UnknownName(f"key of {field}", str(key), nearest(str(key), known), "known: " + ", ".join(known))
    given = [key for key in _STEPS if key in table]
    if len(given) != 1 or any(end not in table for end in _ENDS):
        raise InvalidValue(field, "a range with from, to and one of step, factor and count", shown)
    low, high, by = (_finite(table[key], f"{field}.{key}", shown) for key in (*_ENDS, given[0]))
    if high < low:
        raise InvalidValue(field, "a range that goes up", shown, f"{high:g} to {low:g} is the same, upwards")
    if not math.isfinite(high - low) or (given[0] == "factor" and low > 0 and math.isinf(high / low)):
        raise InvalidValue(field, "a range of numbers that are not that far apart", shown)
    if given[0] == "count":
        count = int(by)
        if count != by or count < 1 or (count == 1 and high > low):
            raise InvalidValue(f"{field}.count", "a whole number of at least 2 for two ends", table["count"])
        return Spaced(low, _counted(count - 1, field, shown), (high - low) / max(1, count - 1), end=high)
    if given[0] == "step":
        if by <= 0:
            raise InvalidValue(f"{field}.step", "greater than 0", table["step"])
        steps, slack = (high - low) / by, _ROUNDING * max(abs(low), abs(high)) / by
        return _to_end(Spaced(low, _counted(steps + slack, field, shown), step=by), high)
    if by <= 1 or low <= 0:
        rule = "greater than 1" if by <= 1 else "that of a range that starts above 0"
        raise InvalidValue(f"{field}.factor", rule, table["factor"] if by <= 1 else shown)
    steps = (math.log(high) - math.log(low)) / math.log(by)
    slack = _ROUNDING * (1 + max(abs(math.log(high)), abs(math.log(low)))) / math.log(by)
    return _to_end(Spaced(low, _counted(steps + slack, field, shown), factor=by), high)


def _counted(steps: float, field: str, shown: object) -> int:
    """Return the number of values of a range that takes so many steps."""
    if not steps < MOST:
        raise InvalidValue(field, f"a range of at most {MOST:.1e} values", shown)
    return int(steps) + 1


def _to_end(axis: Spaced, high: float) -> Spaced:
    """Return a range whose last value is the end that was written, where rounding alone keeps it from that."""
    near = not axis.whole and math.isclose(axis.last, high, rel_tol=1e-12, abs_tol=1e-12 * axis.step)
    return replace(axis, end=high) if near or axis.last > high else axis


def _finite(value: object, field: str, shown: object) -> float:
    number = _number(value) if isinstance(value, str) else value
    if isinstance(number, (int, float)) and not isinstance(number, bool) and -_LARGEST <= number <= _LARGEST:
        return float(number)
    raise InvalidValue(field, "a finite number", value, f"in {shown}" if shown is not value else "")
