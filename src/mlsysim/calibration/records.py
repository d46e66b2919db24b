"""Calibrations as plain data that a file can hold, and back: what was measured and asked, not what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mlsysim.calibration.calibrate import calibrate
from mlsysim.calibration.calibration import Calibration
from mlsysim.calibration.logs.log import LeftOut
from mlsysim.calibration.origin import Origin
from mlsysim.calibration.question import question_of
from mlsysim.calibration.steady import Pause, Steady
from mlsysim.errors import InvalidValue, Problems, UnknownName, UsageError
from mlsysim.registry import nearest
from mlsysim.results import Interval, Note
from mlsysim.scenario import Scenario, hardware_of
from mlsysim.setup import UNKNOWN, Setup
from mlsysim.workload import Modified, model_of

_DERIVED = (
    *("model", "hardware", "time_s", "throughput"),
    *("eta", "ceiling", "peak_flops", "flops_per_item", "convention", "setup", "origin"),
)
_ASKED = (
    *("phase", "batch_size", "seq_len", "context", "precision", "devices", "overhead_s"),
    *Modified.__annotations__,
)
_EDITED = "the file was edited by hand, or written by a later version"
_TOLD = 50
"""Lines left out of a log that are kept with what it measured; of more, the number is."""
CHANGED = 1e-6
"""Relative difference beyond which work or peak are no longer those of the day of the measurement."""


def record_of(c: Calibration, model: str = "", hardware: str = "") -> dict[str, Any]:
    """Return a calibration as plain data.

    ``model`` and ``hardware`` are names or paths under which they are found again; their own names if not given.

    Raises
    ------
    InvalidValue
        The model or the hardware cannot be found again under its name: a spec that is in no registry and no file.
    """
    record = _record(c, model, hardware)
    again = calibration_of(record)
    if abs(again.flops_per_item / c.flops_per_item - 1) > CHANGED:
        hint = f"the run had {c.flops_per_item:.6g} FLOPs per item, and what its record says {again.flops_per_item:.6g}"
        raise InvalidValue("model", "the same when it is found again by its name", record.get("model"), hint)
    return record


def _record(c: Calibration, model: str, hardware: str) -> dict[str, Any]:
    common = {
        "eta": list(c.efficiency),
        "ceiling": c.ceiling,
        "peak_flops": c.peak_flops,
        "flops_per_item": c.flops_per_item,
        "convention": c.convention,
        **({} if c.overhead_s is None else {"overhead_s": c.overhead_s}),
        "setup": {name: value for name, value in c.setup._asdict().items() if value},
        **({"origin": _origin_record(c.origin)} if c.origin else {}),
    }
    if c.scenario is None:
        return {"throughput": list(c.throughput), **common}
    names = {"model": model or c.scenario.model.name, "hardware": hardware or c.scenario.hardware.name}
    found = _found_again(c.scenario, names)
    steps = getattr(c.scenario.model, "steps", None)
    denoised = {"steps": steps} if steps != getattr(found, "steps", None) else {}
    return {**names, **question_of(c.scenario), **denoised, "time_s": list(c.time_s), **common}


def _found_again(scenario: Scenario, names: Mapping[str, str]) -> object:
    """Return the model that is found under its name; refuse what is not found, the machine too."""
    models: list[object] = []
    for field, find, spec, how in (
        ("model", model_of, scenario.model, "give its config.json or ONNX file by its path"),
        (
            "hardware",
            hardware_of,
            scenario.hardware,
            "save the machine first: `mlsysim probe`, or a file of the device",
        ),
    ):
        try:
            found = find(names[field])
        except UsageError:
            found = None
        if found is None or found.name != spec.name:
            raise InvalidValue(field, "a name or a file that is found again", names[field], how)
        models.append(found)
    return models[0]


def calibration_of(record: Mapping[str, Any], where: str = "calibration") -> Calibration:
    """Return the calibration of a record; work, ceiling and eta are counted anew.

    Raises
    ------
    UsageError
        The record is not whole, or names what is no longer there.
    """
    try:
        _refuse_unknown(record)
        found = _measured(record)
        setup = Setup(**{k: v for k, v in _table(record, "setup").items() if k in Setup._fields})
        notes = (*_kept(found.notes), *_changed(record, found))
        return replace(found, setup=setup or UNKNOWN, origin=_origin(_table(record, "origin")), notes=notes)
    except UsageError as problem:
        raise _placed(problem, where) from None
    except KeyError as problem:
        raise InvalidValue(f"{where}: {problem.args[0]}", "given", None, _EDITED) from None
    except (TypeError, ValueError, AttributeError, IndexError) as problem:
        raise InvalidValue(where, "a whole record of a calibration", str(problem), _EDITED) from None


def _placed(problem: UsageError, where: str) -> UsageError:
    """Say where a problem is: in which file, revision and point."""
    parts = problem.problems if isinstance(problem, Problems) else (problem,)
    for part in parts:
        part.args = (f"{where}: {part}",)
    return Problems(parts) if isinstance(problem, Problems) else problem


def _refuse_unknown(record: Mapping[str, Any]) -> None:
    known = (*_DERIVED, *_ASKED)
    for field in record:
        if field not in known:
            raise UnknownName("field", field, nearest(field, known), "known: " + ", ".join(known))


def _measured(record: Mapping[str, Any]) -> Calibration:
    if "throughput" in record:
        return calibrate(
            throughput=_interval(record, "throughput"),
            flops_per_token=record["flops_per_item"],
            peak_flops=record["peak_flops"],
        )
    asked = {name: value for name, value in record.items() if name in _ASKED}
    return calibrate(time_s=_interval(record, "time_s"), model=record["model"], hardware=record["hardware"], **asked)


def _interval(record: Mapping[str, Any], field: str) -> Interval:
    ends = record[field]
    if not isinstance(ends, list) or len(ends) != 3 or not all(type(e) in {int, float} for e in ends):
        raise InvalidValue(field, "a list of three numbers: the value and the ends of its interval", ends)
    if not ends[1] <= ends[0] <= ends[2]:
        raise InvalidValue(field, "a value between the ends of its interval: [value, low, high]", ends)
    return Interval(*ends)


def _kept(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    """Leave out what was said of the number when it was typed: here it comes with its interval."""
    return tuple(note for note in notes if note.code != "interval-assumed")


def _changed(record: Mapping[str, Any], now: Calibration) -> list[Note]:
    """Say where work or peak were other ones when the measurement was recorded: then eta is another one too."""
    notes = []
    for field, words in (("flops_per_item", "FLOPs per item"), ("peak_flops", "peak")):
        was, is_now = record.get(field, 0.0), float(getattr(now, field))
        if type(was) not in {int, float}:
            raise InvalidValue(field, "a number", was)
        if was and abs(is_now / was - 1) > CHANGED:
            message = (
                f"{words} were {was:.6g} when this was recorded and are {is_now:.6g} now: the measured time is the"
                f" same, eta goes from {_interval(record, 'eta').value:.4g} to {now.efficiency.value:.4g}"
            )
            notes.append(Note("facts-changed", message))
    return notes


def _origin_record(origin: Origin) -> dict[str, Any]:
    found = origin.to_dict()
    left = found.pop("left_out")
    if len(left) > _TOLD:
        more = f"{len(left) - _TOLD:,} more lines are not used, of which nothing is kept"
        left = [*left[:_TOLD], {"line": left[_TOLD]["line"], "reason": more}]
    steady = found.pop("steady_state")
    return {**found, **({"steady": steady} if steady else {}), **({"left_out": left} if left else {})}


def _table(record: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    found = record.get(field, {})
    if not isinstance(found, dict):
        raise InvalidValue(field, "a table of fields", found)
    return found


def _origin(record: Mapping[str, Any]) -> Origin | None:
    if not record:
        return None
    known = _table(record, "steady")
    steady = None
    if known:
        pauses = tuple(Pause(*(pause[f] for f in Pause._fields)) for pause in known["pauses"])
        step = Interval(*(known["step_s"][f] for f in Interval._fields))
        steady = Steady(*(known[f] for f in Steady._fields))._replace(step_s=step, pauses=pauses)
    left_out = tuple(LeftOut(*(part[f] for f in LeftOut._fields)) for part in record.get("left_out", ()))
    return Origin(record["format"], record["samples"], steady, left_out, record.get("label", ""))
