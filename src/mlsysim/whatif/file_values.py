"""Values of a scenario file that name files: models, devices, calibrations and logs, seen from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.registry import nearest

_FILES = ("model", "hardware", "draft")
"""Fields that may name files."""
_BESIDE: Mapping[str, Sequence[str]] = {"calibration": (), "log": ("model", "hardware")}
"""Tables that eta may be, and what may stand beside: of a log, whose run it is."""


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
    for kind, beside in _BESIDE.items():
        if kind in value:
            _check_keys(value, (kind, *beside))
    if "calibration" in value:
        return store.combined([_near(part.strip(), path) or part for part in value["calibration"].split(",")])
    return _of_log(value, path, given) if "log" in value else value


def _check_keys(table: Mapping[str, Any], known: Sequence[str]) -> None:
    for key, value in table.items():
        if key not in known:
            raise UnknownName("key in efficiency:", key, nearest(key, known), "known: " + ", ".join(known))
        if not isinstance(value, str):
            raise InvalidValue(f"efficiency.{key}", "a text", value)


def _of_log(table: Mapping[str, str], path: Path, given: Mapping[str, Any]) -> Any:
    """Return what a log says, of the model and hardware beside it, or of the one that the question is about."""
    from mlsysim.calibration.from_log import calibrate_log

    log, names = table["log"], _BESIDE["log"]
    beside = {name: _near(table[name], path) or table[name] for name in names if name in table}
    single = {name: one for name in names if isinstance(one := _only(given.get(name)), str)}
    stated: dict[str, Any] = {**single, **beside}
    try:
        return calibrate_log(_near(log, path) or log, **stated)
    except InvalidValue as problem:
        name, rule, hint = problem.field, problem.rule, problem.hint
        if name not in ("log", *names) or name in single.keys() - beside.keys():
            raise
        if name not in stated and isinstance(given.get(name), list):
            rule, said = "given", f'several are asked about: say whose log it is, {{log = "{log}", {name} = "..."}}'
            hint = f"{hint}; {said}" if hint else said
        raise InvalidValue(f"efficiency.{name}", rule, problem.value, hint) from None
    except UnknownName as problem:
        if problem.kind not in beside:
            raise
        listing = str(problem).rpartition(" (")[2].removesuffix(")")
        raise UnknownName(f"{problem.kind} in efficiency:", problem.name, problem.nearest, listing) from None


def _only(value: Any) -> Any:
    """Return the one value of a list that has one, and what is no list as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
