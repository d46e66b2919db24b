"""What a scenario file keeps of a sweep: the tables of ``reduce`` as reductions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from mlsysim.errors import Checks, InvalidValue
from mlsysim.sweep.grouping import checked_groups, checked_name, condition
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
        "pareto": lambda: Pareto(tuple(listed(table["pareto"])), where),
        "quantiles": lambda: Quantiles(tuple(listed(table["of"])), tuple(listed(table["quantiles"])), per, where),
        "summary": lambda: Summary(tuple(listed(table["summary"])), per, where),
    }
    kinds = [kind for kind in made if kind in table]
    if len(kinds) != 1:
        raise InvalidValue("", f"a table with one of {', '.join(made)}", dict(table))
    checks = Checks()
    needed, allowed = _BESIDE[kinds[0]]
    for key in table:
        if key not in (*kinds, *needed, *allowed):
            checks.add(InvalidValue(key, f"left out beside {kinds[0]}", table[key]))
    missing = [key for key in needed if key not in table]
    for key in missing:
        checks.add(InvalidValue(key, f"given beside {kinds[0]}", None))
    for key in _NAMES[kinds[0]]:
        for name in listed(table.get(key)):
            checks(checked_name, name.removeprefix("-") if key in _SIGNED else name, key)
    checks(checked_groups, per)
    checks(condition, where)
    found = None if missing else checks(made[kinds[0]])  # the same again, and what is of the kind alone
    checks.done()
    assert found is not None
    return found


_BESIDE = {
    "top": (("by",), ("where", "per")),
    "pareto": ((), ("where",)),
    "quantiles": (("of",), ("where", "per")),
    "summary": ((), ("where", "per")),
}
"""What else a table of each kind must have and may have."""
_NAMES = {"top": ("by",), "pareto": ("pareto",), "quantiles": ("of",), "summary": ("summary",)}
"""Keys that hold quantities."""
_SIGNED = ("by", "pareto")
"""Those of them in which a minus asks for the most."""
