"""What a condition is made of: numbers, comparisons, words, and how they are joined; each works itself out.

A condition is true, false or not known. A quantity that is not known (NaN, None) is neither below a bound nor above
it, and what is not known stays so under ``not``.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from typing import Any, NamedTuple, TypeAlias

from mlsysim.errors import InvalidValue
from mlsysim.physics.elementwise import maximum, minimum, where
from mlsysim.sweep.words import canonical
from mlsysim.units import si

Values: TypeAlias = Mapping[str, Any]
"""A number, an array, a truth, or a word (``str`` or :class:`Coded`) by name."""


class Coded(NamedTuple):
    """Words as an array of codes: ``words[code]`` is the word, a negative code none."""

    codes: Any
    words: tuple[str, ...]


class Truth(NamedTuple):
    """Where a condition holds and where it fails; where it does neither it is not known."""

    holds: Any
    fails: Any


class Limit(NamedTuple):
    """What one comparison says in numbers: of what, what was found, its sign, and the bound it is held against."""

    of: str
    found: Any
    sign: str
    bound: Any
    unit: str

    @property
    def margin(self) -> Any:
        """Return by how much of the bound it holds, negative where it fails [1]; NaN beside a bound of 0."""
        gap = self.found - self.bound if self.sign[0] == ">" else self.bound - self.found
        if self.sign in {"==", "!="}:
            gap = abs(gap) * (-1.0 if self.sign == "==" else 1.0)
        size = abs(self.bound)
        return where(size == 0, float("nan"), gap / where(size == 0, 1.0, size))


class Number(NamedTuple):
    """A number in SI, and the units it may be in: none where it was written without."""

    value: float
    units: frozenset[str] = frozenset()

    def of(self, values: Values) -> Any:
        """Return the number."""
        return self.value

    def __str__(self) -> str:
        unit = min(self.units, default="")
        return f"{self.value:g}" if unit in {"", "1/s"} else si(self.value, unit)


class Name(NamedTuple):
    """A quantity or a field."""

    name: str

    def of(self, values: Values) -> Any:
        """Return its value as a number or an array of them; NaN where it is not known."""
        value = values[self.name]
        if value is None:
            return float("nan")
        if isinstance(value, Coded):
            import numpy as np

            known = np.array([*(_spelt(word) for word in value.words), float("nan")])
            return known[np.where(np.asarray(value.codes) < 0, len(value.words), value.codes)]
        return _spelt(value) if isinstance(value, str) else value

    def __str__(self) -> str:
        return self.name


class Arithmetic(NamedTuple):
    """Two numbers added, subtracted, multiplied or divided; a division by zero is not known."""

    sign: str
    left: Term
    right: Term

    def of(self, values: Values) -> Any:
        """Return the number."""
        left, right = self.left.of(values), self.right.of(values)
        if self.sign != "/":
            return _ARITHMETIC[self.sign](left, right)
        return where(right == 0, float("nan"), left / where(right == 0, 1.0, right))

    def __str__(self) -> str:
        return f"{self.left} {self.sign} {self.right}"


class Chosen(NamedTuple):
    """The least or the largest of several numbers, or the size of one: ``min``, ``max``, ``abs``."""

    function: str
    among: tuple[Term, ...]

    def of(self, values: Values) -> Any:
        """Return the number."""
        numbers = [term.of(values) for term in self.among]
        if self.function == "abs":
            return abs(numbers[0])
        return reduce(_least if self.function == "min" else _largest, numbers)

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.among))})"


class Comparison(NamedTuple):
    """Two numbers compared."""

    left: Term
    sign: str
    right: Term

    def truth(self, values: Values) -> Truth:
        """Return where it holds and fails."""
        left, right = self.left.of(values), self.right.of(values)
        return Truth(_COMPARED[self.sign](left, right), _COMPARED[OPPOSITES[self.sign]](left, right))

    def __str__(self) -> str:
        return f"{self.left} {self.sign} {self.right}"


class OneOf(NamedTuple):
    """A word that is one of several."""

    name: str
    words: frozenset[str]

    def truth(self, values: Values) -> Truth:
        """Return where it is and where it is another."""
        value = values[self.name]
        if value is None or isinstance(value, str):
            found = value is not None and canonical(self.name, value) in self.words
            return Truth(found, value is not None and not found)
        import numpy as np

        if not isinstance(value, Coded):
            known, codes = np.unique(np.asarray(value, dtype=str), return_inverse=True)
            value = Coded(codes, tuple(str(word) for word in known))
        ours = np.array([*(canonical(self.name, word) in self.words for word in value.words), False])
        codes = np.asarray(value.codes)
        return Truth(ours[np.where(codes < 0, -1, codes)], (codes >= 0) & ~ours[np.where(codes < 0, -1, codes)])

    def __str__(self) -> str:
        words = sorted(self.words)
        return f"{self.name} == {words[0]!r}" if len(words) == 1 else f"{self.name} in {tuple(words)!r}"


class Flag(NamedTuple):
    """A quantity that is itself true or false: ``feasible``."""

    name: str

    def truth(self, values: Values) -> Truth:
        """Return where it is true and where false."""
        value = Name(self.name).of(values)
        return Truth(value == 1, value == 0)

    def __str__(self) -> str:
        return self.name


class Not(NamedTuple):
    """What holds where a condition fails."""

    part: Condition

    def truth(self, values: Values) -> Truth:
        """Return where it holds and fails."""
        return Truth(*reversed(self.part.truth(values)))

    def __str__(self) -> str:
        return f"not ({self.part})"


class All(NamedTuple):
    """What holds where all parts do."""

    parts: tuple[Condition, ...]

    def truth(self, values: Values) -> Truth:
        """Return where it holds and fails."""
        found = [part.truth(values) for part in self.parts]
        return Truth(reduce(operator.and_, (f.holds for f in found)), reduce(operator.or_, (f.fails for f in found)))

    def __str__(self) -> str:
        return " and ".join(map(_bracketed, self.parts))


class Any_(NamedTuple):  # noqa: N801  # Any is a type
    """What holds where one part does."""

    parts: tuple[Condition, ...]

    def truth(self, values: Values) -> Truth:
        """Return where it holds and fails."""
        found = [part.truth(values) for part in self.parts]
        return Truth(reduce(operator.or_, (f.holds for f in found)), reduce(operator.and_, (f.fails for f in found)))

    def __str__(self) -> str:
        return " or ".join(map(_bracketed, self.parts))


Term: TypeAlias = Number | Name | Arithmetic | Chosen
Condition: TypeAlias = Comparison | OneOf | Flag | Not | All | Any_

OPPOSITES = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}
"""The comparison that holds where another fails."""
_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_COMPARED: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": lambda a, b: (a < b) | (a > b),  # unlike Python's, not of NaN
}


def names_in(part: Term | Condition) -> frozenset[str]:
    """Return the quantities and fields that are named."""
    if isinstance(part, (Name, Flag, OneOf)):
        return frozenset({part.name})
    inner = [p for f in part for p in (f if isinstance(f, tuple) and not hasattr(f, "_fields") else (f,))]
    return frozenset().union(*(names_in(p) for p in inner if hasattr(p, "_fields")))


def _bracketed(part: Condition) -> str:
    return f"({part})" if isinstance(part, (All, Any_)) else str(part)


def _least(a: Any, b: Any) -> Any:
    return where((a == a) & (b == b), minimum(a, b), float("nan"))  # noqa: PLR0124  # of NaN nothing is known


def _largest(a: Any, b: Any) -> Any:
    return where((a == a) & (b == b), maximum(a, b), float("nan"))  # noqa: PLR0124


def words_in(part: Condition) -> Iterator[OneOf]:
    """Yield the parts that compare words."""
    if isinstance(part, OneOf):
        yield part
    elif isinstance(part, Not):
        yield from words_in(part.part)
    elif isinstance(part, (All, Any_)):
        for inner in part.parts:
            yield from words_in(inner)


def _spelt(word: str) -> float:
    """Return the number that a word spells: devices are fields of words, and are compared as numbers."""
    try:
        return float(word)
    except ValueError:
        if word in {"", "None", "none"}:
            return float("nan")
        raise InvalidValue("condition", "one that compares words with words in quotes", word) from None


def quiet() -> AbstractContextManager[Any]:
    """Let what is not known pass through arithmetic in silence; numpy would warn of each NaN that it makes."""
    numpy = sys.modules.get("numpy")
    return numpy.errstate(all="ignore") if numpy else nullcontext()
