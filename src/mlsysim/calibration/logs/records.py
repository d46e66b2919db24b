"""Results as records: each is read by itself, what cannot be used is left out, all must be of one model."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from mlsysim.calibration.logs.documents import Documents
from mlsysim.calibration.logs.log import LeftOut, Log, Reading, merged
from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue
from mlsysim.results import Note
from mlsysim.setup import UNKNOWN, Setup
from mlsysim.units import LARGEST

Fields = Mapping[str, Any]
_SHOWN = 20
"""Lines left out that are told one by one."""


class Unusable(Exception):
    """What a part of a log, from which nothing can be read, is raised with; a user meets it as a line left out."""


class Record(NamedTuple):
    """What one result holds."""

    readings: tuple[Reading, ...]
    model: str = ""
    hardware: str = ""
    setup: Setup = UNKNOWN
    notes: tuple[Note, ...] = ()
    left_out: tuple[str, ...] = ()


def read_records(source: Source, name: str, read: Callable[[Fields], Record]) -> Log:
    """Return the log of a file of JSON results, each read by ``read``.

    Raises
    ------
    InvalidValue
        No result could be used, or results of several models or devices stand in one file.
    """
    documents = Documents(source)
    return log_of(source, name, documents, documents.left_out, read)


def log_of(
    source: Source,
    name: str,
    found: Iterable[tuple[int, Fields]],
    left_out: list[LeftOut],
    read: Callable[[Fields], Record],
) -> Log:
    """Return the log of results that stand on the given lines; see :func:`read_records`."""
    records: list[Record] = []
    seen: dict[str, str] = {}
    for line, fields in found:
        try:
            record = read(fields)
        except Unusable as reason:
            left_out.append(LeftOut(line, str(reason)))
            continue
        _refuse_another(source, line, record, seen)
        left_out += [LeftOut(line, reason) for reason in record.left_out]
        records.append(record)
    if source.cut:
        left_out.append(LeftOut(0, "the packed file breaks off; what stands before is used"))
    readings = merged(reading for record in records for reading in record.readings)
    if not readings:
        raise nothing_usable(source, left_out)
    setups = [record.setup for record in records if record.setup != UNKNOWN]
    return Log(
        name,
        readings,
        seen.get("model", ""),
        seen.get("hardware", ""),
        setups[0] if setups else UNKNOWN,
        shortened(left_out),
        tuple(dict.fromkeys(note for record in records for note in record.notes)),
    )


def shortened(left_out: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """Return what was left out in the order of lines, of many the first."""
    found = sorted(left_out)
    if len(found) > _SHOWN:
        more = LeftOut(found[_SHOWN].line, f"{len(found) - _SHOWN} more could not be used, of which this is the first")
        found = [*found[:_SHOWN], more]
    return tuple(found)


def nothing_usable(source: Source, left_out: Iterable[LeftOut]) -> InvalidValue:
    """Return the error that says why no part of a file could be used."""
    why = "; ".join(f"line {line}: {reason}" for line, reason in list(left_out)[:3])
    return InvalidValue("log", "a log with at least one usable result", str(source.path), why or "it holds none")


def _refuse_another(source: Source, line: int, record: Record, seen: dict[str, str]) -> None:
    for what, value in (("model", record.model), ("hardware", record.hardware)):
        if value and seen.setdefault(what, value) != value:
            rule = f"{seen[what]!r}, as in the results before it"
            raise InvalidValue(f"{source.path}, line {line}: {what}", rule, value, f"calibrate each {what} by itself")


def dig(fields: Fields, path: str) -> Any:
    """Return what lies at a path such as ``"performance.total_latency_ms"``, None where there is nothing."""
    found: Any = fields
    for name in path.split("."):
        if isinstance(found, list):
            found = found[0] if found else None
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def positive(fields: Fields, path: str) -> float:
    """Return the number at a path, which is finite and above 0.

    Raises
    ------
    Unusable
        It is missing, no number, not above 0, or more than :data:`LARGEST`.
    """
    value = dig(fields, path)
    if value is None:
        raise Unusable(f"{path} is missing" if "." in path or path not in fields else f"{path} is null")
    number = finite(value)
    if number is None:
        raise Unusable(f"{path} is {value!r}, not a finite number")
    if number <= 0:
        raise Unusable(f"{path} is {value!r}: nothing was measured")
    if number > LARGEST:
        raise Unusable(f"{path} is {value!r}: more than is ever measured")
    return number


def finite(value: object) -> float | None:
    """Return a value as a float where it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def optional(fields: Fields, path: str) -> float | None:
    """Return the number at a path where there is one that is finite and above 0, else None."""
    number = finite(dig(fields, path))
    return number if number and number > 0 else None


def count(value: object) -> int:
    """Return a degree of parallelism or a count that a log states, 0 where it states none."""
    try:
        number = float(value) if isinstance(value, (int, float, str)) else 0.0
    except (OverflowError, ValueError):
        return 0
    return int(number) if 1 <= number <= 1e9 else 0


def model_name(value: object) -> str:
    """Return a model's name, of a path on a disk its last part, empty where none is stated."""
    name = text(value)
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1] if re.match(r"[/~.\\]|[A-Za-z]:\\", name) else name


def text(value: object) -> str:
    """Return a text that a log states, empty where it states none."""
    return value.strip() if isinstance(value, str) else ""
