"""The problems in the shape of a scenario file, each with its place, and the file without them.

What has the wrong shape is told, and what is well-shaped is checked all the same: a file tells all of its problems at
once. In place of a part that was told stands :data:`UNSOUND`, which no field takes, and of which nothing is told twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias

from mlsysim.errors import Checks, InvalidValue, Problems, UnknownName, UsageError
from mlsysim.registry import nearest
from mlsysim.whatif.file_tables import SCHEMA, AssertionTable, FileTable, ReductionTable, SectionTable

UNSOUND = "<unsound>"
"""Stands where a part was left out because its problem is told."""


class Told(Checks):
    """Checks that leave out what follows from a part whose problem is told."""

    def add(self, problem: UsageError) -> None:
        """Keep a problem, once, unless it is of an unsound part."""
        for each in problem.problems if isinstance(problem, Problems) else (problem,):
            if UNSOUND not in str(each) and isinstance(each, UsageError):
                super().add(each)


TABLES: Mapping[str, type[Any]] = {"assert": AssertionTable, "reduce": ReductionTable, "scenario": SectionTable}
"""The tables inside of a file, by the key that lists them."""
_KINDS = {
    "Word": "a text or a list of texts",
    "Whole": "a whole number, a list of them, a range such as '1..256*2' or a table",
    "Number": "a number, a list of them, a range such as '0.3..0.5/11' or a table",
}
_RULES = {
    "for": "'all', 'any', 'best' or a share such as 0.95",
    "assert": "a condition, or a list of conditions and tables such as {that = 'tpot_s < 50 ms', for = 'any'}",
    "reduce": "a list of tables such as {top = 10, by = 'usd_per_million'}",
    "scenario": "a list of tables: [[scenario]]",
    "top": "a whole number of at least 1",
    "draws": "a whole number",
    "pareto": "a list of quantities",
    "quantiles": "a list of levels from 0 to 1",
    "of": "a quantity or a list of them",
    "summary": "a quantity or a list of them",
    "per": "a field or a list of them",
}
_TRIED = ("int", "str", "float", "dict[str,any]", *(table.__name__ for table in TABLES.values()))
"""Steps of pydantic's places that are no keys: the kind of value that it tried."""
Place: TypeAlias = tuple[str | int, ...]


def sound(raw: Mapping[str, Any], path: Path, checks: Checks) -> dict[str, Any]:
    """Return a file without the parts that have a wrong shape, and add what is wrong with those to ``checks``."""
    found = _found(raw)
    kept = deepcopy(dict(raw))
    unknown = [at for at, problem in found.items() if problem["type"] == _UNKNOWN]
    meant = {(*at[:-1], *nearest(str(at[-1]), _keys_at(at))[:1]) for at in unknown}
    for at, problem in found.items():
        inside = any(other[: len(at)] == at and len(other) > len(at) for other in found)
        if not inside and not (problem["type"] == _MISSING and at in meant):
            checks.add(_problem(at, problem, path))
        if not inside and at not in unknown:
            _leave_out(kept, at)
    for at in unknown:
        _table_of(kept, at).pop(at[-1], None)
    for at in meant:
        _table_of(kept, at).setdefault(at[-1], UNSOUND)
    return {key: _without(key, value) for key, value in kept.items()}


_UNKNOWN, _MISSING = "unexpected_keyword_argument", "missing"
"""What pydantic calls these problems."""


def _found(raw: Mapping[str, Any]) -> dict[Place, Mapping[str, Any]]:
    """Return what is wrong with the keys of a file and the kinds of their values, by place."""
    import json

    from pydantic import TypeAdapter, ValidationError

    known = {key: value for key, value in raw.items() if key != SCHEMA}
    try:
        TypeAdapter(FileTable).validate_json(json.dumps(known, default=str))  # of JSON alone tables are taken strictly
    except ValidationError as problems:
        return {_place(problem["loc"], raw): problem for problem in problems.errors()}  # of one place the last
    return {}


def _table_of(kept: Any, at: Place) -> Any:
    """Return the table or list that holds a place; an empty one where that was left out itself."""
    for step in at[:-1]:
        if not isinstance(kept, (dict, list)):
            return {}
        kept = kept[step]  # type: ignore[index]
    return kept if isinstance(kept, (dict, list)) else {}


def _leave_out(kept: dict[str, Any], at: Place) -> None:
    """Put what stands for an unsound part in its place."""
    if at:
        _table_of(kept, at)[at[-1]] = UNSOUND


def _without(key: str, value: Any) -> Any:
    """Return a value without unsound items, but in lists of tables, whose numbers are told."""
    if isinstance(value, dict):
        return {name: _without(name, one) for name, one in value.items()}
    if not isinstance(value, list):
        return value
    if key in TABLES:
        return [_without("", one) for one in value]
    return [one for one in value if one != UNSOUND] or (UNSOUND if value else value)


def _place(steps: Place, raw: Any) -> Place:
    """Return the place in the file of a problem: its steps without the kinds of value that were tried there."""
    path: list[str | int] = []
    here: Any = raw
    for step in steps:
        known = step in here if isinstance(here, dict) else isinstance(here, list) and isinstance(step, int)
        if known:
            here = here[step]
        elif not isinstance(here, dict) or step != steps[-1] or _tried(step):
            continue
        path.append(step)
    return tuple(path)


def _tried(step: str | int) -> bool:
    return step in _TRIED or str(step).startswith("list[")


def _problem(at: Place, problem: Mapping[str, Any], path: Path) -> UsageError:
    """Return what is wrong at a place, in a sentence of ours."""
    if problem["type"] == _UNKNOWN:
        known, key = _keys_at(at), str(at[-1])
        where = f"{path.name}: {_written(at[:-1])}".rstrip(": ")
        return UnknownName(f"key in {where}:", key, nearest(key, known), "known: " + ", ".join(known))
    where = f"{path.name}: {_written(at)}"
    if problem["type"] == _MISSING:
        return InvalidValue(where, "given", None)
    return InvalidValue(where, _rule(at), problem["input"])


def _keys_at(at: Place) -> tuple[str, ...]:
    """Return the keys of the table that a place is in."""
    tables = [step for step in at[:-1] if step in TABLES]
    return tuple(f.name.rstrip("_") for f in fields(TABLES[str(tables[-1])] if tables else FileTable))


def _rule(at: Place) -> str:
    """Return what a value at a place in the file must be."""
    key = next((step for step in reversed(at) if isinstance(step, str)), "")
    kinds = {f.name.rstrip("_"): str(f.type).removesuffix(" | None") for f in fields(FileTable)}
    if key in TABLES and isinstance(at[-1], int):
        return "a table, or a condition" if key == "assert" else "a table"
    return _RULES.get(key) or _KINDS.get(kinds.get(key, ""), "a text")


def _written(at: Sequence[str | int]) -> str:
    """Write a place: ``scenario[1].assert[0].for``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at).removeprefix(".")


def placed(problem: Exception, place: str) -> UsageError:
    """Return a problem of a field told with the place of the field in a file, ``plan.toml: scenario[1].``."""
    if type(problem) is InvalidValue:
        return InvalidValue(f"{place}{problem.field}".rstrip("."), problem.rule, problem.value, problem.hint)
    if isinstance(problem, UnknownName):
        kind, _, inner = problem.kind.rstrip(":").partition(" in ")
        listing = str(problem).rpartition(" (")[2].removesuffix(")")
        return UnknownName(f"{kind} in {f'{place}{inner}'.rstrip('.: ')}:", problem.name, problem.nearest, listing)
    return UsageError(f"{place.rstrip('.: ')}: {problem}")
