"""What is read in a condition before its grammar: numbers with units (``50 ms``, ``40 %``), kinds of names, slips."""

from __future__ import annotations

import re

from mlsysim.errors import UsageError
from mlsysim.sweep.quantities import QUANTITIES, base_of
from mlsysim.sweep.terms import Chosen, Name, Number, Term
from mlsysim.units import scale

FLAGS = ("feasible", "fits")
"""What is true or false by itself."""
WORDS = ("model", "hardware", "phase", "precision", "plan", "recompute", "freeze", "draft", "region", "reason")
"""Fields of words, which are compared with words in quotes."""
SLIPS = (
    (re.compile(r"(?<![<>=!])=(?!=)"), "'==' compares, '=' does not"),
    (re.compile(r"&&|&"), "join conditions with 'and'"),
    (re.compile(r"\|"), "join conditions with 'or'"),
    (re.compile(r"!(?!=)"), "say 'not'"),
    (re.compile(r"[≤≥≠]"), "write <=, >= and !="),
)
"""What is often written in place of Python's words, and what to write."""
LITERAL = re.compile(
    r"""(?P<quoted>'[^']*'|"[^"]*")"""
    r"""|(?<![\w.])(?P<number>(?>(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))\s*"""
    r"""(?!(?:and|or|not|in|is|if|else)\b)(?P<unit>%|(?:[kMGT]\s)?[^\W\d_$]+(?:/[^\W\d_$]+)?|\$(?:/[^\W\d_]+)?)(?![\w$])"""
)
"""A number with a unit in a text, or a part of it that stands in quotes."""
_DIMENSIONS = ("s", "B", "B/s", "FLOP", "FLOP/s", "tokens/s", "samples/s", "USD", "USD/h", "W", "Hz", "1")
_SAME = {"tokens/s": "1/s", "samples/s": "1/s", "1": "", "tokens": ""}
_ENERGY = {"J": 1.0, "kJ": 1e3, "MJ": 1e6, "GJ": 1e9, "Wh": 3.6e3, "kWh": 3.6e6, "MWh": 3.6e9}
"""1 Wh is 3,600 J by definition."""
_FIELDS = {"usd_per_hour": "USD/h"}
_QUANTITY = re.compile(r"\s*([+-]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S.*?)?\s*")


def with_unit(number: float, unit: str) -> Number | None:
    """Return a number in SI with the units it may be in, None where there is no such unit."""
    if unit in _ENERGY:
        return Number(number * _ENERGY[unit], frozenset({"J"}))
    found = {}
    for dimension in _DIMENSIONS:
        try:
            found[_SAME.get(dimension, dimension)] = scale(unit, dimension)
        except UsageError:
            continue
    return Number(number * next(iter(found.values())), frozenset(found)) if found else None


def quoted(word: str) -> Number | None:
    """Return the number that stands in quotes, None where it is a word."""
    match = _QUANTITY.fullmatch(word)
    if match is None:
        return None
    number = float(match[1].replace(",", "").replace("_", ""))
    return Number(number) if match[2] is None else with_unit(number, match[2])


def units_of(term: Term) -> frozenset[str]:
    """Return the units that a number may be in; none where that is not known."""
    if isinstance(term, Number):
        return term.units
    if isinstance(term, Name):
        base = base_of(term.name)
        unit = QUANTITIES[base].unit if base else _FIELDS.get(term.name)
        return frozenset() if unit is None else frozenset({_SAME.get(unit, unit)})
    if isinstance(term, Chosen):
        return next((units for units in map(units_of, term.among) if units), frozenset())
    left, right = units_of(term.left), units_of(term.right)
    if term.sign in {"+", "-"}:
        return left or right
    pure = [isinstance(side, Number) and not side.units for side in (term.left, term.right)]
    return left if pure[1] else right if pure[0] and term.sign == "*" else frozenset()
