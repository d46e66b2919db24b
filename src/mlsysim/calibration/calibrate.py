"""A measured throughput turned back into eta, checked against physics: the inverse of a solve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, Unpack, cast

from mlsysim.calibration.calibration import Calibration
from mlsysim.calibration.causes import causes_for_flops, causes_for_scenario
from mlsysim.calibration.measured import Measured, measured
from mlsysim.efficiency.estimate import checked_efficiency, outside_evidence
from mlsysim.efficiency.evidence import attainment_of
from mlsysim.efficiency.regimes import regime_of
from mlsysim.errors import Checks, ImpossibleMeasurement, InvalidValue, UnknownName
from mlsysim.hardware import HardwareSpec
from mlsysim.models import ModelSpec, NetworkSpec
from mlsysim.models.conventions import CONVENTIONS, converted
from mlsysim.physics import performance
from mlsysim.precision import parse_precision
from mlsysim.registry import nearest
from mlsysim.results import Interval, Note
from mlsysim.scenario import Roofline, Scenario, hardware_of
from mlsysim.units import parse, si, whole
from mlsysim.workload import Modified, model_of

_Found: TypeAlias = tuple[Interval, tuple[Note, ...]]
_ROUNDING = 1e-12
"""Relative error that a measurement at its limit may carry from being computed in floats."""
_SAME = 5e-4
"""Share by which two conventions may differ and be told as the same."""
_NETWORK_CONVENTION = "model FLOPs: 2 x the multiply-accumulates of every operator, 3 x forward in training"
_ENCODER_CONVENTION = "model FLOPs of a forward pass: 2 a weight and token, attention over all pairs"
_CONVENTION = {
    "forward": "model FLOPs of a forward pass: 2 a weight and token, causal attention, LM head on the last token",
    "decode": "model FLOPs of one token a sequence: 2 a weight, attention over the cache, LM head",
    "training": "model FLOPs: 3 x forward (6 a weight and token), causal attention, no recomputation counted",
}


def calibrate(
    *,
    throughput: Measured | None = None,
    time_s: Measured | None = None,
    efficiency: Measured | None = None,
    model: ModelSpec | str | None = None,
    hardware: HardwareSpec | str | None = None,
    phase: str | None = None,
    batch_size: int | None = None,
    seq_len: int | None = None,
    context: int | None = None,
    precision: str | None = None,
    devices: int | None = None,
    flops_per_token: float | str | None = None,
    peak_flops: float | str | None = None,
    overhead_s: float | str | None = None,
    convention: str | None = None,
    **modified: Unpack[Modified],
) -> Calibration:
    """Turn a measurement into eta: achieved FLOPs over peak, refused where physics excludes it.

    Parameters
    ----------
    throughput
        Tokens or samples per second of all ``devices``: a number, a string such as ``"2100 tok/s"``, several
        repeats, or an :class:`Interval`. At decode, generated tokens of all sequences.
    time_s
        Seconds a step, in place of ``throughput``.
    efficiency
        An eta or MFU that you read elsewhere, in place of ``throughput``.
    convention
        How its FLOPs were counted: ``causal`` (as here, the default), ``full-attention``, ``6n`` or ``hardware``, which
        counts what ``recompute`` says; see :mod:`mlsysim.models.conventions`. It is converted.
    model, hardware, phase, batch_size, seq_len, context, precision, devices, modified
        As for :meth:`Engine.solve`.
    flops_per_token
        FLOPs per token or sample, in place of ``model``.
    peak_flops
        Dense peak of all devices [FLOP/s], in place of ``hardware``; only beside ``flops_per_token``.
    overhead_s
        Part of a step that no faster hardware removes, if you measured it: seconds, or a string such as ``"2 ms"``.

    Raises
    ------
    ImpossibleMeasurement
        eta above 1 or above the roofline ceiling; its ``causes`` say what would explain it.
    UsageError
        Fields that break a rule, or are missing, or contradict each other.
    """
    _refuse_contradictions(throughput, time_s, efficiency, model, flops_per_token, hardware, peak_flops)
    if model is None:
        unused = {
            "phase": phase,
            "batch_size": batch_size,
            "seq_len": seq_len,
            "context": context,
            **modified,
        }
        refused = {"overhead_s": overhead_s, "time_s": time_s, "efficiency": efficiency}
        return _from_flops(throughput, flops_per_token, hardware, peak_flops, precision, devices, unused, refused)
    checks = Checks()
    fixed = checks(_overhead, overhead_s)
    found = checks(_measured, throughput, time_s, efficiency, checks(model_of, model), phase)
    checks(_checked_convention, convention, efficiency)
    scenario = Scenario.of(
        model,
        hardware,
        phase=phase,
        batch_size=batch_size,
        seq_len=seq_len,
        context=context,
        precision=precision,
        devices=devices,
        checks=checks,
        **modified,
    )
    work = scenario.work()
    roof = scenario.roofline(work)
    (rate, notes), flops_per_item = cast("_Found", found), roof.flops / work.items
    if time_s is not None:
        rate = rate.reciprocal(work.items)
    if efficiency is not None:
        counted = scenario.flops_by_convention()
        factor = 1.0 if convention is None else converted(1.0, counted, convention)
        rate = rate * (factor * roof.peak_flops / flops_per_item)
        notes = (*notes, _convention_note(scenario, counted, convention))
    eta = rate * performance.fit_efficiency(flops_per_item, roof.peak_flops, 1.0)
    if eta.value > roof.ceiling * (1 + _ROUNDING):
        raise ImpossibleMeasurement(eta.value, roof.ceiling, causes_for_scenario(scenario, rate.value))
    rate = rate.capped(rate.value * roof.ceiling / eta.value) if eta.high > roof.ceiling else rate
    if fixed and fixed > roof.compute_s / eta.value - roof.floor_s * (1 - _ROUNDING):
        raise InvalidValue("overhead_s", "no more than the measured step without its floor", overhead_s)
    return Calibration(
        scenario=scenario,
        roof=roof,
        efficiency=eta.capped(roof.ceiling),
        ceiling=roof.ceiling,
        peak_flops=roof.peak_flops,
        throughput=rate,
        unit=f"{work.unit}/s",
        flops_per_item=flops_per_item,
        convention=_convention(scenario),
        overhead_s=fixed,
        notes=(
            *notes,
            *outside_evidence(eta.value, roof, regime_of(scenario, roof)),
            *_one_device_note(eta.value, scenario, roof),
            *_room_notes(scenario),
        ),
    )


def _refuse_contradictions(
    throughput: object,
    time_s: object,
    efficiency: object,
    model: object,
    flops_per_token: object,
    hardware: object,
    peak_flops: object,
) -> None:
    """Refuse what is missing or said twice; all such problems at once."""
    checks = Checks()
    for alternatives in (
        {"throughput": throughput, "time_s": time_s, "efficiency": efficiency},
        {"model": model, "flops_per_token": flops_per_token},
        {"hardware": hardware, "peak_flops": peak_flops},
    ):
        first, *others = alternatives
        given = [name for name, value in alternatives.items() if value is not None]
        if not given:
            checks.add(InvalidValue(first, f"given, or {' or '.join(others)} in its place", None))
        for name in given[1:]:
            checks.add(InvalidValue(name, f"left out where {given[0]} is given", alternatives[name]))
    if model is not None and hardware is None and peak_flops is not None:
        hint = "it can stand for hardware only beside flops_per_token"
        checks.add(InvalidValue("peak_flops", "left out where model is given", peak_flops, hint))
    checks.done()


def _overhead(value: object) -> float | None:
    if value is None or value == 0:
        return None if value is None else 0.0
    return parse(value, "s", "overhead_s")


def _measured(throughput: Any, time_s: Any, efficiency: Any, model: ModelSpec | None, phase: object) -> _Found | None:
    """Return whichever was measured, in its own unit; None where an unknown model leaves the unit open.

    A throughput in the other kind of item is refused.
    """
    if time_s is not None:
        return measured(time_s, "s", "time_s")
    if efficiency is not None:
        eta, notes = measured(efficiency, "1", "efficiency")
        checked_efficiency(eta.value, eta.value)
        return eta, notes
    if model is None:
        return None
    samples = isinstance(model, NetworkSpec) or (model.fixed and phase != "decode")
    return measured(throughput, "samples/s" if samples else "tokens/s", "throughput")


def _convention(scenario: Scenario) -> str:
    """Return in words how the FLOPs of a scenario are counted."""
    model, phase = scenario.model, scenario.phase
    if isinstance(model, NetworkSpec):
        return _NETWORK_CONVENTION
    return _ENCODER_CONVENTION if phase == "forward" and not model.decodes else _CONVENTION[phase]


def _checked_convention(convention: object, efficiency: object) -> None:
    if convention is None:
        return
    if efficiency is None:
        hint = "a throughput is no share of anything: it needs no convention"
        raise InvalidValue("convention", "left out where no efficiency is given", convention, hint)
    if convention not in CONVENTIONS:
        near = nearest(str(convention), CONVENTIONS)
        raise UnknownName("convention", str(convention), near, "known: " + ", ".join(CONVENTIONS))


def _convention_note(scenario: Scenario, counted: Mapping[str, float], convention: str | None) -> Note:
    """Say how a stated eta was taken to be counted, and what it would be by the other conventions."""
    if convention is not None:
        factor = converted(1.0, counted, convention)
        message = f"the stated eta was counted as '{convention}': times {factor:.3f}, as counted here"
        return Note("convention-converted", f"{message} ({_convention(scenario)})")
    others = {name: converted(1.0, counted, name) for name in CONVENTIONS[1:]}
    apart = ", ".join(f"'{name}' times {factor:.3f}" for name, factor in others.items() if abs(factor - 1) > _SAME)
    message = f"the stated eta is taken as counted here ({_convention(scenario)})"
    return Note(
        "convention-assumed", message + (f"; state its convention where it is another: {apart}" if apart else "")
    )


def _one_device_note(efficiency: float, scenario: Scenario, roof: Roofline) -> tuple[Note, ...]:
    """Ask whether the number is that of one device where eta would be a usual one if it were."""
    seen = attainment_of(regime_of(scenario, roof))
    all_of_them = efficiency * scenario.devices
    low, high = seen.p5 * roof.ceiling, min(1.0, seen.p95) * roof.ceiling
    if scenario.devices == 1 or efficiency >= low or not low <= all_of_them <= high:
        return ()
    message = (
        f"if the number is that of one of the {scenario.devices} devices, eta is {all_of_them:.3g}, as others have it:"
        " state the throughput of all devices"
    )
    return (Note("per-device", message),)


def _room_notes(scenario: Scenario) -> tuple[Note, ...]:
    """Say where the run, as stated, has no room: then something of the statement is not as it was."""
    memory = scenario.memory()
    if memory.fits:
        return ()
    message = (
        f"the run as stated does not fit: it needs {si(memory.total, 'B')} and there are {si(memory.capacity, 'B')}."
        " Were there more devices, a narrower format, a smaller batch or a shorter context?"
    )
    return (Note("does-not-fit", message),)


def _from_flops(
    throughput: Any,
    flops_per_token: Any,
    hardware: Any,
    peak_flops: Any,
    precision: Any,
    devices: Any,
    unused: Mapping[str, object],
    refused: Mapping[str, object],
) -> Calibration:
    """Calibrate against stated FLOPs per token and a peak that is stated or a device's."""
    check = Checks()
    for field, value in refused.items():
        if value is not None:
            check.add(InvalidValue(field, "left out where flops_per_token stands for a model", value))
    found = check(measured, throughput, "tokens/s", "throughput")
    work = check(parse, flops_per_token, "FLOP", "flops_per_token")
    count = check(whole, 1 if devices is None else devices, "devices")
    device = None if hardware is None else check(hardware_of, hardware)
    chosen = check(parse_precision, precision) if precision else device and device.default_precision
    figure = check(device.peak, chosen) if device and chosen else None
    stated = None if peak_flops is None else check(parse, peak_flops, "FLOP/s", "peak_flops")
    check.done()
    (rate, notes), flops, n = cast("Any", (found, work, count))
    total: float = stated or n * (figure.value if figure else 1)
    efficiency = rate * performance.fit_efficiency(flops, total, 1.0)
    if efficiency.value > 1:
        raise ImpossibleMeasurement(efficiency.value, 1.0, causes_for_flops(efficiency.value, device, figure, n))
    ceiling = Note("ceiling-unknown", "FLOPs were stated, not a model: bytes are unknown, so the ceiling is taken as 1")
    idle = ", ".join(name for name, value in unused.items() if value is not None)
    message = f"{idle}: not used, since the stated FLOPs per token hold all that they would change"
    extra = (ceiling, Note("fields-not-used", message)) if idle else (ceiling,)
    return Calibration(
        scenario=None,
        roof=None,
        efficiency=efficiency.capped(1.0),
        ceiling=1.0,
        peak_flops=total,
        throughput=rate,
        unit="tokens/s",
        flops_per_item=flops,
        convention="FLOPs per token as stated by the caller",
        notes=(*notes, *extra),
    )
