"""From the readings of a log to calibrations: what the log says of the question, its steady part, eta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mlsysim.calibration.calibration import Calibration
from mlsysim.calibration.logs import LeftOut, Log, Reading, read_log
from mlsysim.calibration.logs.log import NOTHING
from mlsysim.calibration.origin import Origin
from mlsysim.calibration.own_count import calibrated
from mlsysim.calibration.profile import Profile
from mlsysim.calibration.steady import FEWEST_STEPS, NARROW, Steady, steady_state
from mlsysim.errors import ImpossibleMeasurement, InvalidValue, UsageError
from mlsysim.evidence.measurement import Refused
from mlsysim.evidence.names import device_named, language_model_of
from mlsysim.hardware import Hardware, HardwareSpec
from mlsysim.results import Note
from mlsysim.scenario import Scenario, hardware_of
from mlsysim.workload import model_of
from mlsysim.workload.named import phase_of

_MANY = 20
"""Times the length of a block that a steady part has at least to trust a wide interval."""
_HOLDS = {"time_s": "times of steps", "efficiency": "shares of a peak", "achieved_flops": "FLOP/s"}
_OF_THE_MEASUREMENT = {"overhead_s", "convention", "flops_per_token", "peak_flops"}
NARROW_OF_FEW = 0.01
"""Half-width, as a share of the value, beyond which a steady part of fewer blocks is called too short."""


def calibrate_log(
    log: Log | Path | str | Sequence[Path | str], otherwise: Mapping[str, Any] = NOTHING, **stated: Any
) -> Profile:
    """Turn a log into eta at each of its operating points.

    Parameters
    ----------
    log
        The file of a program in any format that :func:`read_log` knows, several files of one run, or what was read.
    otherwise
        Conditions that are taken where neither the log nor the caller says them, of a run in the same phase.
    stated
        As for :func:`calibrate`: ``model``, ``hardware`` and whatever the log does not say; what is stated goes before
        what the log says.

    Raises
    ------
    InvalidValue
        A log that cannot be read, or of another model; no model or no phase is known.
    ImpossibleMeasurement
        No point of it is possible; where some are, the others are left out, and said so.
    """
    known = log if isinstance(log, Log) else read_log([Path(p) for p in _listed(log)])
    known = known._replace(notes=(*known.notes, *_other_device(known, stated.get("hardware"))))
    given = {name: value for name, value in stated.items() if value is not None}
    if "model" in given:
        known = known._replace(notes=tuple(note for note in known.notes if note.code != "model-from-other-file"))
    given["model"] = _one_model(known, given.get("model"))
    given["hardware"] = _device(known, given.get("hardware"))
    if given["model"] is None and "flops_per_token" not in given:
        unknown = "".join(f"; {note.message}" for note in known.notes if note.code == "columns-unknown")
        raise InvalidValue(
            "model", "given, or flops_per_token in its place", None, f"the log does not name it{unknown}"
        )
    points: list[Calibration] = []
    refused: list[UsageError] = []
    left_out = list(known.left_out)
    for reading in known.readings:
        try:
            points.append(_point(known, reading, given, otherwise))
        except UsageError as problem:
            refused.append(problem)
            line = reading.lines[0] if reading.lines else 0
            left_out.append(LeftOut(line, f"{reading.label or reading.phase}: {_why(problem)}"))
    if not points:
        raise refused[0] if refused else InvalidValue("log", "a log with at least one usable reading", known.format)
    return Profile(tuple(_told(p, known, tuple(left_out)) for p in points))


def _why(problem: UsageError) -> str:
    """Return why a point is not used, in a line: of an impossible one with the likeliest cause."""
    line = str(problem).splitlines()[0]
    if not isinstance(problem, ImpossibleMeasurement) or not problem.causes:
        return line
    cause = problem.causes[0]
    return f"{line} Likeliest: {cause.message}, which would give eta = {cause.efficiency:.3g}"


def _listed(paths: Path | str | Sequence[Path | str]) -> Sequence[Path | str]:
    return [paths] if isinstance(paths, (str, Path)) else paths


def _one_model(log: Log, stated: Any) -> Any:
    """Return the model that is stated, or that of the log; they may not be two known ones."""
    named = _registered(log.model)
    if stated is None:
        if named is None and log.model:
            hint = f"the log calls it {log.model!r}, which is not in the registry; give its name or its config.json"
            raise InvalidValue("model", "given", None, hint)
        return named
    if named is not None and model_of(stated).name != named.name:
        hint = "one of the two is a slip: a log of another model gives an eta of neither"
        name = stated if isinstance(stated, str) else model_of(stated).name
        raise InvalidValue("model", f"the one that the log is of ({log.model})", name, hint)
    return stated


def _registered(name: str) -> Any:
    """Return the registered model of a name as programs spell it (``meta-llama/Llama-3.1-8B-Instruct``), or None."""
    if not name:
        return None
    try:
        return language_model_of(name)
    except (Refused, UsageError):
        pass
    try:
        return model_of(name)
    except UsageError:
        return None


def _device(log: Log, stated: Any) -> Any:
    if stated is not None or not log.hardware:
        return stated
    found = device_titled(log.hardware)
    if found is None:
        hint = f"the log calls it {log.hardware!r}, which is not in the registry"
        raise InvalidValue("hardware", "given", None, hint)
    return found


def device_titled(title: str) -> HardwareSpec | str | None:
    """Return the device that a program or a driver calls by a title, None where none is known or sure."""
    name = device_named(title)
    if name in Hardware:
        return name
    from mlsysim.hardware.probe.accelerator import recognised

    return recognised(title)


def _other_device(log: Log, stated: Any) -> list[Note]:
    """Say where the hardware that is stated is not that of the log."""
    if stated is None or not log.hardware:
        return []
    try:
        named, given = _device(log, None), hardware_of(stated)
    except UsageError:
        return []
    name = hardware_of(named).name
    if name == given.name:
        return []
    return [Note("stated-over-log", f"as stated, and not as logged: hardware {given.name} (the log says {name})")]


def _point(log: Log, reading: Reading, given: Mapping[str, Any], otherwise: Mapping[str, Any]) -> Calibration:
    """Return the calibration of one reading."""
    said = {"phase": reading.phase, **reading.conditions}
    question = {**{k: v for k, v in said.items() if v not in ("", None)}, **given}
    if question.get("phase", otherwise.get("phase")) == otherwise.get("phase"):
        question = {**otherwise, **question}
    if reading.tokens and reading.quantity == "time_s" and "batch_size" not in question:
        rates = tuple(reading.tokens / value for value in reading.values)
        reading = reading._replace(quantity="throughput", values=rates, unit="tokens/s")
    if log.setup.engine == "ollama" and "precision" not in question:
        hint = (
            "the log does not say, and most of Ollama's models are quantized: `ollama show MODEL` tells, as in q4_k_m"
        )
        raise InvalidValue("precision", "given", None, hint)
    _settle_phase(reading, question)
    unsettled = _settle_batch(reading, question)
    convention = question.pop("convention", None) if reading.quantity == "efficiency" else None
    steady = _steady(reading)
    value = {**_value(reading, steady, question), **({"convention": convention} if convention else {})}
    found = calibrated(reading, partial(_scenario, question), {**question, **value})
    origin = Origin(log.format, len(reading.values), steady, (), reading.label)
    notes = (*found.notes, *_conflicts(said, given), *unsettled, *_steady_notes(reading, steady))
    if steady is not None and found.roof is not None:
        steady = steady.scaled(found.time_s.value / steady.step_s.value)
        origin = origin._replace(steady=steady)
    return replace(found, setup=log.setup, origin=origin, notes=notes)


def _settle_phase(reading: Reading, question: dict[str, Any]) -> None:
    """Say which phase it is where only one can be, and refuse what stated FLOPs per token cannot answer."""
    if question["model"] is None:
        if reading.quantity != "throughput":
            hint = f"the log holds {_HOLDS[reading.quantity]}: how many tokens that is, the model says"
            raise InvalidValue("flops_per_token", "left out, and model given", question["flops_per_token"], hint)
    elif "phase" not in question:
        if getattr(model_of(question["model"]), "decodes", False):
            hint = "the log does not say what was timed"
            raise InvalidValue("phase", "given: forward, decode or training", None, hint)
        question["phase"] = "forward"  # what trains says so: a log that does not is of inference
    else:
        foreign = "seq_len" if phase_of(question["phase"]) == "decode" else "context"
        if reading.phase and foreign in reading.conditions:
            stated = str(question["phase"])
            raise InvalidValue("phase", f"that of what was measured ({reading.phase})", stated, "leave it out")


def _settle_batch(reading: Reading, question: dict[str, Any]) -> tuple[Note, ...]:
    """Say of how many sequences a training step is, where nobody does: by its tokens, and the length of a sequence."""
    settled = question["model"] is None or question["hardware"] is None or "batch_size" in question
    if settled or phase_of(question["phase"]) != "training" or not (reading.tokens or reading.quantity == "time_s"):
        return ()
    if not reading.tokens:
        message = "steps are timed, and nobody says of how many sequences: eta is as of one a step; state batch_size"
        return (Note("batch-unknown", message),)
    length = _scenario(question).seq_len
    if not length or reading.tokens % length:
        message = (
            f"a step is {reading.tokens:,} tokens; of how many sequences nobody says: state batch_size and seq_len"
        )
        return (Note("batch-unknown", message),)
    question["batch_size"] = reading.tokens // length
    if "seq_len" in question:
        return ()
    message = (
        f"a step is {reading.tokens:,} tokens, taken as {question['batch_size']:,} sequences of {length:,}: state"
        " seq_len where they were of another length"
    )
    return (Note("batch-unknown", message),)


def _steady(reading: Reading) -> Steady | None:
    """Return the steady part of a series of steps; None of a summary, and of fewer steps than an interval needs."""
    if not reading.steps or len(reading.values) < FEWEST_STEPS:
        return None
    times = reading.values if reading.quantity == "time_s" else [1.0 / value for value in reading.values]
    return steady_state(times, reading.pauses)


def _value(reading: Reading, steady: Steady | None, question: dict[str, Any]) -> dict[str, Any]:
    """Return what was measured by the name that :func:`calibrate` gives it, of all devices together."""
    if steady is not None:
        value: Any = steady.step_s if reading.quantity == "time_s" else steady.step_s.reciprocal(1.0)
    else:
        value = list(reading.values) if len(reading.values) > 1 else reading.values[0]
    factor = float(question.get("devices") or 1) if reading.per_device and reading.quantity == "throughput" else 1.0
    name = reading.quantity
    if name == "achieved_flops":
        name, factor = "efficiency", 1.0 / _peak(reading, question)
    if name == "throughput" and reading.unit == "samples/s" and question["model"] is not None:
        factor *= _tokens_a_sample(question)
    return {name: [v * factor for v in value] if isinstance(value, list) else value * factor}


def _peak(reading: Reading, question: Mapping[str, Any]) -> float:
    """Return the peak that achieved FLOP/s are a share of: of one device, or of all [FLOP/s]."""
    roof = _scenario(question)
    return roof.roofline(roof.work()).peak_flops / (roof.devices if reading.per_device else 1)


def _tokens_a_sample(question: Mapping[str, Any]) -> float:
    """Return what a sequence yields in the unit of a throughput: its tokens, or 1 of what reads samples."""
    scenario = _scenario(question)
    work = scenario.work()
    return work.items / scenario.batch_size if work.unit == "tokens" else 1.0


def _scenario(question: Mapping[str, Any]) -> Scenario:
    asked = {name: value for name, value in question.items() if name not in _OF_THE_MEASUREMENT}
    return Scenario.of(asked.pop("model"), asked.pop("hardware"), **asked)


def _conflicts(said: Mapping[str, Any], given: Mapping[str, Any]) -> list[Note]:
    """Say where what was stated differs from what the log says."""
    differ = [f"{n} {given[n]} (the log says {v})" for n, v in said.items() if n in given and v and given[n] != v]
    return [Note("stated-over-log", f"as stated, and not as logged: {', '.join(differ)}")] if differ else []


def _steady_notes(reading: Reading, steady: Steady | None) -> list[Note]:
    """Say what was set apart, and whether the run was long enough."""
    if steady is None:
        if not reading.steps:
            return []
        message = f"{len(reading.values)} steps: fewer than {FEWEST_STEPS} show neither a warm-up nor a steady part"
        return [Note("run-too-short", message)]
    notes = []
    if steady.pauses:
        listed = ", ".join(f"{p.steps} x {p.what} ({p.share:.1%} of the time)" for p in steady.pauses)
        notes.append(Note("pauses-apart", f"eta is that of the steps between; set apart: {listed}"))
    if steady.half_width > (NARROW if steady.kept >= _MANY * steady.block else NARROW_OF_FEW):
        message = (
            f"the interval is ± {steady.half_width:.1%} from {steady.kept} steady steps, alike in blocks of"
            f" {steady.block}: about {steady.more} more steps would halve it"
        )
        notes.append(Note("run-too-short", message))
    return notes


def _told(point: Calibration, log: Log, left_out: tuple[LeftOut, ...]) -> Calibration:
    """Add to a point what was said of the whole log."""
    assert point.origin is not None
    return replace(point, origin=point.origin._replace(left_out=left_out), notes=(*point.notes, *log.notes))
