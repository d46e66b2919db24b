"""Which points a reduction looks at, in which groups, by which names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from mlsysim.errors import UnknownName
from mlsysim.registry import nearest
from mlsysim.sweep.expressions import Expression, parse
from mlsysim.sweep.grid import NUMBERS, WORDS
from mlsysim.sweep.points import ASKED, Array, Points, fixed_of, known_names
from mlsysim.sweep.quantities import QUANTITIES, base_of

Group = tuple[Any, ...]
"""Values of the fields that points are grouped by."""
ALL_QUANTITIES = "`mlsysim schema --quantities` lists all"
"""What is said where a quantity is not known: there are forty."""


def groups(points: Points, per: Sequence[str]) -> list[tuple[Group, tuple[Any, ...]]]:
    """Return the groups of the points of a box, each with the index of its part of the box."""
    found: list[tuple[Group, tuple[Any, ...]]] = [((), (slice(None),) * len(points.box.shape))]
    axes = {ASKED.get(field, field): n for n, (field, _) in enumerate(points.block.axes)}
    for name in per:
        if name not in axes:
            label = fixed_of(points.block, name)
            found = [((*group, label), part) for group, part in found]
            continue
        n = axes[name]
        values = points.block.axes[n][1].values(points.box.start[n], points.box.stop[n])
        found = [
            ((*group, _plain(value)), (*part[:n], slice(at, at + 1), *part[n + 1 :]))
            for group, part in found
            for at, value in enumerate(values)
        ]
    return found


def _plain(value: Any) -> Any:
    number = float(value)
    return int(number) if number.is_integer() else number


def meets(points: Points, where: str) -> Array:
    """Return which points are feasible and meet a condition, in the shape of the box."""
    feasible = points.feasible
    found = condition(where)
    return feasible if found is None else feasible & np.broadcast_to(found(points.known()), points.box.shape)


def listed(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return several names, or one that stands alone, as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


@lru_cache(maxsize=64)
def condition(where: str) -> Expression | None:
    """Return a condition that was written, None where it is empty."""
    return parse(where, known_names(), "where") if where else None


def names_of(where: str) -> tuple[str, ...]:
    """Return the names in a condition."""
    found = condition(where)
    return tuple(sorted(found.names)) if found else ()


def checked_name(name: str, field: str) -> str:
    """Return the name of a quantity or coordinate of numbers, of ``field`` or, in words, "quantity in ...".

    Raises
    ------
    UnknownName
        There is none of that name.
    """
    numbers = [ASKED.get(n, n) for n in NUMBERS]
    base = base_of(name)
    if name not in numbers and (not base or QUANTITIES[base].words):
        known = [n for n, quantity in QUANTITIES.items() if not quantity.words] + numbers
        kind = field if " " in field else f"quantity in {field}"
        raise UnknownName(f"{kind.removesuffix(':')}:", name, nearest(name, known), ALL_QUANTITIES)
    return name


def checked_groups(per: Sequence[str]) -> None:
    """Refuse fields that points cannot be grouped by."""
    known = [*WORDS, *(ASKED.get(n, n) for n in NUMBERS)]
    for name in per:
        if name not in known:
            raise UnknownName("per", name, nearest(name, known), "known: " + ", ".join(known))
