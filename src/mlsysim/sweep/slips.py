"""Words in conditions that no point has: by a slip, a condition would hold nowhere, or everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mlsysim.errors import UnknownName
from mlsysim.sweep.expressions import Expression
from mlsysim.sweep.terms import words_in
from mlsysim.sweep.words import canonical


def unmatched(
    conditions: Iterable[Expression], labels: Mapping[str, Sequence[str]], here: str
) -> Iterator[UnknownName]:
    """Yield what a condition says of a field that none of its ``labels`` is; fields that are not listed are free."""
    for condition in dict.fromkeys(conditions):
        for one in words_in(condition.condition):
            known = list(dict.fromkeys(labels.get(one.name, ())))
            for word in one.words - {canonical(one.name, label) for label in known} if known else ():
                yield UnknownName(f"{one.name} in {condition.text!r}:", word, (), f"it is {', '.join(known)} {here}")
