"""Conditions over the quantities of an answer: ``tpot_s < 50 ms and usd_per_million < 2``.

Numbers may have units; words stand in quotes (``hardware == 'h100-sxm'``). What is written is read as Python's grammar
reads it, and nothing but names, numbers, words, comparisons, ``and or not in``, ``+ - * /``, ``min max abs`` is taken.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from mlsysim.errors import InvalidValue, UnknownName, UsageError
from mlsysim.registry import nearest
from mlsysim.sweep.literals import FLAGS, LITERAL, SLIPS, WORDS, quoted, units_of, with_unit
from mlsysim.sweep.quantities import QUANTITIES, base_of
from mlsysim.sweep.terms import (
    OPPOSITES,
    All,
    Any_,
    Arithmetic,
    Chosen,
    Coded,
    Comparison,
    Condition,
    Flag,
    Limit,
    Name,
    Not,
    Number,
    OneOf,
    Term,
    Truth,
    Values,
    names_in,
    quiet,
)
from mlsysim.sweep.words import SPELT, canonical

__all__ = ["Coded", "Expression", "Limit", "Truth", "parse"]

LONGEST = 1000
"""Characters of the longest condition that is read."""
_RULE = "a condition such as 'tpot_s < 50 ms and devices <= 8'"
_UNITS = "a condition with units such as 50 ms, 30 days, 80 GB, 3 USD, 40 %"
_SIGNS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_OPERATIONS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition that was read. Call it with values by name: numbers, arrays that broadcast, words.

    ``text`` is what was written; ``names`` the quantities and fields that it looks at.
    """

    text: str
    condition: Condition
    names: frozenset[str]

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """Return where it holds; where a quantity is not known (NaN, None) it does not."""
        return self.truth(values).holds

    def truth(self, values: Values) -> Truth:
        """Return where it holds and where it fails; where it does neither, what it needs is not known."""
        with quiet():
            return self.condition.truth(values)

    @property
    def parts(self) -> tuple[Expression, ...]:
        """Return what it joins by ``and``: each must hold; itself where it joins nothing."""
        if not isinstance(self.condition, All):
            return (self,)
        return tuple(Expression(str(part), part, names_in(part)) for part in self.condition.parts)

    def limit(self, values: Values) -> Limit | None:
        """Return what is compared with what; None for words and where several things are asked."""
        found = self.condition
        if isinstance(found, Not) and isinstance(found.part, Comparison):
            found = found.part._replace(sign=OPPOSITES[found.part.sign])
        if not isinstance(found, Comparison):
            return None
        left, sign, right = found
        if not names_in(left) and names_in(right):  # 0.1 <= efficiency: the bound is the number
            left, sign, right = right, _MIRRORED[sign], left
        with quiet():
            unit = next(iter(sorted(units_of(left) or units_of(right) or {""})))
            return Limit(str(left), left.of(values), sign, right.of(values), unit)

    def margin(self, values: Values) -> Any:
        """Return by how much of its bound one comparison holds, negative where it fails [1]; None for other conditions.

        ``tpot_s < 50 ms`` has 0.2 at 40 ms and -0.2 at 60 ms.
        """
        found = self.limit(values)
        if found is None:
            return None
        with quiet():
            return found.margin

    def __str__(self) -> str:
        return self.text


def parse(text: str, known: Collection[str], field: str = "where") -> Expression:
    """Read a condition over the names in ``known``.

    Raises
    ------
    InvalidValue, UnknownName
        It cannot be read; units that are unknown or do not fit; a name that is not known, with the nearest.
    """
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
        raise InvalidValue(field, _RULE, text if not isinstance(text, str) else text[:LONGEST])
    reader = _Reader(text, frozenset(known), field)
    try:
        if re.search("[&|]", reader.bare):  # Python's own meaning of them would read the rest in another order
            raise SyntaxError
        tree = ast.parse(reader.replaced.strip(), mode="eval").body
        condition = reader.condition(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        if isinstance(problem, UsageError):
            raise
        hint = next((said for slip, said in SLIPS if slip.search(reader.bare)), "")
        raise InvalidValue(field, _RULE, text, hint) from None
    return Expression(text, condition, names_in(condition))


class _Reader:
    """One text, its numbers with units set apart, and the way from its grammar to terms."""

    def __init__(self, text: str, known: frozenset[str], field: str) -> None:
        self.text, self.known, self.field = text, known, field
        self.literals: dict[str, tuple[str, Number]] = {}
        self.bare = re.sub(r"'[^']*'|\"[^\"]*\"", "''", text)
        self.replaced = LITERAL.sub(self._set_apart, text)

    def _set_apart(self, match: re.Match[str]) -> str:
        """Put a name in place of a number with a unit, which is no Python."""
        if match["quoted"] is not None:
            return match[0]
        number, unit, rest = float(match["number"].replace("_", "")), match["unit"], ""
        found = with_unit(number, unit)
        if found is None and "/" in unit:  # 80 GB/devices divides
            unit, slash, after = unit.partition("/")
            found, rest = with_unit(number, unit), slash + after
        if found is None:
            raise InvalidValue(self.field, _UNITS, self.text, f"unknown unit {match['unit']!r}")
        name = f"ʉ{len(self.literals)}"
        self.literals[name] = (f"{match['number']} {unit}", found)
        return f" {name} {rest}"

    def refuse(self, node: ast.AST, hint: str = "") -> InvalidValue:
        """Return the error for a part that is not taken."""
        said = re.sub(r"ʉ\d+", lambda m: self.literals[m[0]][0], ast.unparse(node))
        return InvalidValue(self.field, _RULE, self.text, hint or f"{said!r} cannot be part of one")

    def condition(self, node: ast.expr) -> Condition:
        """Return what a part that is true or false stands for."""
        if isinstance(node, ast.BoolOp):
            parts = tuple(self.condition(part) for part in node.values)
            return All(_flat(parts)) if isinstance(node.op, ast.And) else Any_(parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return Not(self.condition(node.operand))
        if isinstance(node, ast.Compare):
            ends = [node.left, *node.comparators]
            links = tuple(self.link(a, op, b, node) for a, op, b in zip(ends, node.ops, ends[1:], strict=False))
            return links[0] if len(links) == 1 else All(links)
        if isinstance(node, ast.Name) and node.id not in self.literals:
            name = self.name(node).name
            if name in QUANTITIES or name in WORDS:
                raise self.refuse(node, f"{name} is compared with something: '{name} {_example(name)}'")
            return Flag(name)
        raise self.refuse(node, "" if _taken(node) else f"{ast.unparse(node)!r} is no comparison")

    def link(self, left: ast.expr, op: ast.cmpop, right: ast.expr, whole: ast.Compare) -> Condition:
        """Return one comparison, of numbers or of words."""
        if isinstance(op, (ast.In, ast.NotIn)):
            listed = right.elts if isinstance(right, (ast.Tuple, ast.List, ast.Set)) else [right]
            return self.among(left, listed, whole, isinstance(op, ast.NotIn))
        if type(op) not in _SIGNS:
            raise self.refuse(whole, "'==' compares")
        sign = _SIGNS[type(op)]
        for name, other in ((left, right), (right, left)):
            if isinstance(name, ast.Name) and self.of_words(name, other):
                if sign not in {"==", "!="}:
                    raise self.refuse(whole, f"{name.id} is a word, and is only == or != to another")
                return self.among(name, [other], whole, sign == "!=")
        terms = self.term(left), self.term(right)
        self.sameunits_of(terms, whole)
        return Comparison(terms[0], sign, terms[1])

    def of_words(self, name: ast.Name, other: ast.expr) -> bool:
        """Return whether a name is compared as a word: it always is one, or stands beside one in quotes."""
        always = _always_word(name.id)
        if always or not _is_word(other):
            return always
        return (
            name.id not in QUANTITIES
            and name.id not in FLAGS
            and name.id not in self.literals
            and _quantity(other) is None
        )

    def among(self, left: ast.expr, listed: list[ast.expr], whole: ast.Compare, other: bool) -> Condition:
        """Return that a name is one of several words, or a number one of several numbers."""
        if not isinstance(left, ast.Name) or not (listed and all(map(_is_word, listed))):
            if isinstance(left, ast.Name) and listed and self.of_words(left, listed[0]):
                raise self.refuse(whole, f"words stand in quotes: {left.id} == {ast.unparse(listed[0])!r}")
            terms = [(self.term(left), self.term(each)) for each in listed]
            for pair in terms:
                self.sameunits_of(pair, whole)
            found: Condition = Any_(tuple(Comparison(a, "==", b) for a, b in terms))
            return Not(found) if other else found
        name = self.name(left).name
        words = [str(each.value) for each in listed if isinstance(each, ast.Constant)]
        possible = QUANTITIES[name].words if name in QUANTITIES else ()
        for word in words:
            if possible and word not in possible:
                raise UnknownName(f"{name} in {self.field}:", word, nearest(word, possible), ", ".join(possible))
            if name in SPELT:
                SPELT[name](word, f"{name} in {self.field}")
        one = OneOf(name, frozenset(canonical(name, word) for word in words))
        return Not(one) if other else one

    def name(self, node: ast.Name) -> Name:
        """Return a known name."""
        if node.id not in self.known and base_of(node.id) not in self.known:  # a quantile of what is known is too
            near = nearest(node.id, sorted(self.known))
            listed = "`mlsysim schema --quantities` lists all" if near else "known: " + ", ".join(sorted(self.known))
            raise UnknownName(f"quantity in {self.field}:", node.id, near, listed)
        return Name(node.id)

    def term(self, node: ast.expr) -> Term:
        """Return what a part that is a number stands for."""
        if isinstance(node, ast.Name):
            if _always_word(node.id):
                raise self.refuse(node, f"{node.id} is a word, and no number")
            return self.literals[node.id][1] if node.id in self.literals else self.name(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return Number(float(node.value))
        if _is_word(node) and (found := _quantity(node)) is not None:
            return found
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            inner = self.term(node.operand)
            return inner if isinstance(node.op, ast.UAdd) else Arithmetic("-", Number(0.0), inner)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            sign, terms = _OPERATIONS[type(node.op)], (self.term(node.left), self.term(node.right))
            if sign in {"+", "-"}:
                self.sameunits_of(terms, node)
            return Arithmetic(sign, *terms)
        if isinstance(node, ast.Call):
            return self.call(node)
        raise self.refuse(node)

    def call(self, node: ast.Call) -> Term:
        """Return what ``min``, ``max`` or ``abs`` is asked of."""
        function = node.func.id if isinstance(node.func, ast.Name) else ""
        least = {"abs": 1, "min": 2, "max": 2}.get(function)
        if least is None or node.keywords or len(node.args) < least or (function == "abs" and len(node.args) > 1):
            raise self.refuse(node, "" if least else f"{ast.unparse(node.func)!r} is not one of min, max, abs")
        return Chosen(function, tuple(self.term(each) for each in node.args))

    def sameunits_of(self, terms: tuple[Term, Term], node: ast.expr) -> None:
        """Refuse two numbers of which one is, say, a time and the other a size."""
        first, second = (units_of(term) for term in terms)
        if first and second and not first & second:
            one, other = (" or ".join(u or "pure numbers" for u in sorted(units)) for units in (first, second))
            raise self.refuse(node, f"one side is in {one}, the other in {other}")


def _flat(parts: tuple[Condition, ...]) -> tuple[Condition, ...]:
    return tuple(p for part in parts for p in (part.parts if isinstance(part, All) else (part,)))


def _always_word(name: str) -> bool:
    return name in WORDS or bool(name in QUANTITIES and QUANTITIES[name].words)


def _is_word(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _taken(node: ast.expr) -> bool:
    return not isinstance(node, (ast.Constant, ast.BinOp, ast.Name))


def _quantity(node: ast.expr) -> Number | None:
    """Return the number with a unit that stands in quotes, None where it is a word."""
    return quoted(str(node.value)) if isinstance(node, ast.Constant) else None


def _example(name: str) -> str:
    words = QUANTITIES[name].words if name in QUANTITIES else ("...",)
    return f"== '{words[0]}'" if words else "< ..."
