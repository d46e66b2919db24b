"""Values of a scenario file that name files: models, devices, calibrations and logs, seen from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.registry import nearest

_FILES = ("model", "hardware", "draft")
"""Fields that may name files."""
_OF_LOG = ("model", "hardware")
"""What may stand beside a log: whose run it is."""


def resolved(name: str, value: Any, path: Path, given: Mapping[str, Any]) -> Any:
    """Return a value whose files are found from the folder of the scenario file, and whose calibrations are read."""
    if isinstance(value, list):
        return [resolved(name, one, path, given) for one in value]
    if name == "efficiency":
        return _efficiency(value, path, given)
    return (_near(value, path) or value) if name in _FILES else value


def _near(name: str, path: Path) -> str | None:
    """Return the path of what a file names, seen from its own folder; None where there is no such file."""
    from mlsysim.hardware import Hardware
    from mlsysim.models import Models

    if name in Hardware or name in Models:
        return None
    try:
        found = path.parent / Path(name).expanduser()
        return str(found) if found.exists() else None
    except (OSError, RuntimeError):  # a name that no file can have, or of the folder of a user who is none
        return None


def _efficiency(value: Any, path: Path, given: Mapping[str, Any]) -> Any:
    """Return eta as a sweep takes it: a saved calibration, or a log that is calibrated.

    Raises
    ------
    InvalidValue, UnknownName
        A key that neither has; a log that cannot be read, or nothing says whose run it is.
    """
    from mlsysim.calibration import store

    if isinstance(value, str) and (found := _near(value, path)):
        value = {"log": found}
    if not isinstance(value, Mapping):
        return value
    for kind, beside in (("calibration", ()), ("log", _OF_LOG)):
        if isinstance(value.get(kind), str):
            for key in value:
                if key not in (kind, *beside):
                    known = (kind, *beside)
                    raise UnknownName("key in efficiency:", key, nearest(key, known), "known: " + ", ".join(known))
    if isinstance(named := value.get("calibration"), str):
        return store.combined([_near(part.strip(), path) or part for part in named.split(",")])
    return _of_log(value, path, given) if isinstance(value.get("log"), str) else value


def _of_log(table: Mapping[str, Any], path: Path, given: Mapping[str, Any]) -> Any:
    """Return what a log says, of the model and hardware beside it, or of the one that the question is about."""
    from mlsysim.calibration.from_log import calibrate_log

    for name in _OF_LOG:
        if name in table and not isinstance(table[name], str):
            raise InvalidValue(f"efficiency.{name}", "a text", table[name])
    beside: dict[str, Any] = {name: _near(table[name], path) or table[name] for name in _OF_LOG if name in table}
    single = {name: one for name in _OF_LOG if isinstance(one := _only(given.get(name)), str)}
    try:
        return calibrate_log(_near(table["log"], path) or table["log"], **(single | beside))
    except InvalidValue as problem:
        name = problem.field
        if name not in _OF_LOG or (name in single and name not in beside):
            raise
        several = "" if name in beside else f"of several, say whose log it is: {{log = '...', {name} = '...'}}"
        hint = "; ".join(said for said in (problem.hint, several) if said)
        raise InvalidValue(f"efficiency.{name}", problem.rule, problem.value, hint) from None
    except UnknownName as problem:
        if problem.kind not in beside:
            raise
        listing = str(problem).rpartition(" (")[2].removesuffix(")")
        raise UnknownName(f"{problem.kind} in efficiency:", problem.name, problem.nearest, listing) from None


def _only(value: Any) -> Any:
    """Return the one value of a list that has one, and what is no list as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
