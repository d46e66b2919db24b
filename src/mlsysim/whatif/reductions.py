"""What a scenario file keeps of a sweep: the tables of ``reduce`` as reductions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from mlsysim.errors import InvalidValue
from mlsysim.sweep.reduce import Pareto, Quantiles, Summary, Top
from mlsysim.whatif.file_tables import listed

Conditional: TypeAlias = Top | Pareto | Quantiles | Summary
"""A reduction of the points that meet a condition."""


def reduction(table: Mapping[str, Any]) -> Conditional:
    """Return what a table of ``reduce`` keeps.

    Raises
    ------
    InvalidValue, UnknownName
        None or several of its kinds are given; a name that is not known.
    """
    where, per, by = table.get("where", ""), tuple(listed(table.get("per"))), table.get("by", "")
    made: Mapping[str, Callable[[], Conditional]] = {
        "top": lambda: Top(table["top"], by.removeprefix("-"), by.startswith("-"), where, per),
        "pareto": lambda: Pareto(tuple(table["pareto"]), where),
        "quantiles": lambda: Quantiles(tuple(listed(table["of"])), tuple(table["quantiles"]), per, where),
        "summary": lambda: Summary(tuple(listed(table["summary"])), per, where),
    }
    kinds = [kind for kind in made if kind in table]
    if len(kinds) != 1:
        raise InvalidValue("", f"a table with one of {', '.join(made)}", dict(table))
    needed, allowed = _BESIDE[kinds[0]]
    for key in table:
        if key not in (*kinds, *needed, *allowed):
            raise InvalidValue(key, f"left out beside {kinds[0]}", table[key])
    for key in needed:
        if key not in table:
            raise InvalidValue(key, f"given beside {kinds[0]}", None)
    return made[kinds[0]]()


_BESIDE = {
    "top": (("by",), ("where", "per")),
    "pareto": ((), ("where",)),
    "quantiles": (("of",), ("where", "per")),
    "summary": ((), ("where", "per")),
}
"""What else a table of each kind must have and may have."""
