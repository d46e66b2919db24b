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
from mlsysim.errors import InvalidValue, UsageError
from mlsysim.results import Interval, Note
from mlsysim.scenario import Scenario, hardware_of
from mlsysim.setup import UNKNOWN, Setup
from mlsysim.workload import model_of

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
    _refuse_lost(c.scenario, names)
    return {**names, **question_of(c.scenario), "time_s": list(c.time_s), **common}


def _refuse_lost(scenario: Scenario, names: Mapping[str, str]) -> None:
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


def calibration_of(record: Mapping[str, Any], where: str = "calibration") -> Calibration:
    """Return the calibration of a record; work, ceiling and eta are counted anew.

    Raises
    ------
    UsageError
        The record is not whole, or names what is no longer there.
    """
    try:
        found = _measured(record)
    except (KeyError, TypeError) as problem:
        hint = "the file was edited by hand, or written by a later version"
        raise InvalidValue(where, "a whole record of a calibration", str(problem), hint) from None
    setup = Setup(**{k: v for k, v in record.get("setup", {}).items() if k in Setup._fields})
    notes = (*_kept(found.notes), *_changed(record, found))
    return replace(found, setup=setup or UNKNOWN, origin=_origin(record.get("origin")), notes=notes)


def _measured(record: Mapping[str, Any]) -> Calibration:
    if "time_s" not in record:
        return calibrate(
            throughput=Interval(*record["throughput"]),
            flops_per_token=record["flops_per_item"],
            peak_flops=record["peak_flops"],
        )
    derived = {"time_s", "eta", "ceiling", "peak_flops", "flops_per_item", "convention", "setup", "origin"}
    asked = {name: value for name, value in record.items() if name not in derived}
    return calibrate(time_s=Interval(*record["time_s"]), **asked)


def _kept(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    """Leave out what was said of the number when it was typed: here it comes with its interval."""
    return tuple(note for note in notes if note.code != "interval-assumed")


def _changed(record: Mapping[str, Any], now: Calibration) -> list[Note]:
    """Say where work or peak were other ones when the measurement was recorded: then eta is another one too."""
    notes = []
    for field, words in (("flops_per_item", "FLOPs per item"), ("peak_flops", "peak")):
        was, is_now = float(record.get(field, 0.0)), float(getattr(now, field))
        if was and abs(is_now / was - 1) > CHANGED:
            message = (
                f"{words} were {was:.6g} when this was recorded and are {is_now:.6g} now: the measured time is the"
                f" same, eta goes from {record['eta'][0]:.4g} to {now.efficiency.value:.4g}"
            )
            notes.append(Note("facts-changed", message))
    return notes


def _origin_record(origin: Origin) -> dict[str, Any]:
    found = origin.to_dict()
    left = found.pop("left_out")
    steady = found.pop("steady_state")
    return {**found, **({"steady": steady} if steady else {}), **({"left_out": left} if left else {})}


def _origin(record: Mapping[str, Any] | None) -> Origin | None:
    if record is None:
        return None
    known = record.get("steady")
    steady = None
    if known:
        pauses = tuple(Pause(**pause) for pause in known.get("pauses", ()))
        steady = Steady(**{**known, "step_s": Interval(**known["step_s"]), "pauses": pauses})
    left_out = tuple(LeftOut(**part) for part in record.get("left_out", ()))
    return Origin(record["format"], record["samples"], steady, left_out, record.get("label", ""))
