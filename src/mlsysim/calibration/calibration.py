"""Calibration: a measured throughput turned back into eta, checked against physics."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from mlsysim.calibration.causes import causes_for_flops, causes_for_scenario
from mlsysim.efficiency.evidence import parameters
from mlsysim.errors import ImpossibleMeasurement, InvalidValue, MlsysimError, UsageError, raise_all
from mlsysim.hardware import HardwareSpec
from mlsysim.models import ModelSpec, NetworkSpec
from mlsysim.physics import performance
from mlsysim.precision import parse_precision
from mlsysim.results import Interval, Note
from mlsysim.scenario import Roofline, Scenario, hardware_of
from mlsysim.units import parse, positive, si, whole

Measured: TypeAlias = float | str | Sequence[float | str] | Interval
_T95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812)
"""95 % quantiles of Student's t for 1 to 10 degrees of freedom (NIST/SEMATECH e-Handbook 1.3.6.7.2)."""
_NETWORK_CONVENTION = "model FLOPs: 2 x the multiply-accumulates of every operator, 3 x forward in training"
_CONVENTION = {
    "forward": "model FLOPs of a forward pass: 2 a weight and token, causal attention, LM head on the last token",
    "decode": "model FLOPs of one token a sequence: 2 a weight, attention over the cache, LM head",
    "training": "model FLOPs: 3 x forward (6 a weight and token), causal attention, no recomputation counted",
}


@dataclass(frozen=True, slots=True)
class Calibration:
    """A measured eta: a value, the conditions it holds for, and how it was counted.

    ``scenario`` is None where FLOPs per item were stated in place of a model. ``overhead_s`` is the part of
    ``time_s`` that no faster hardware removes (None where it was not measured). ``roof`` is what physics allows there.
    """

    scenario: Scenario | None
    roof: Roofline | None
    efficiency: Interval
    ceiling: float
    peak_flops: float
    throughput: Interval
    unit: str
    flops_per_item: float
    convention: str
    overhead_s: float | None = None
    notes: tuple[Note, ...] = ()

    @property
    def attainment(self) -> Interval:
        """Return eta / ceiling with its interval."""
        return self.efficiency * (1.0 / self.ceiling)

    @property
    def time_s(self) -> Interval:
        """Return the measured time of one step [s].

        Raises
        ------
        InvalidValue
            FLOPs per item were stated in place of a model, so there is no step.
        """
        if self.roof is None:
            raise InvalidValue("calibration", "made from a model to have a step", "FLOPs per item")
        return self.efficiency.reciprocal(self.roof.compute_s)

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as plain data, ready for JSON."""
        s = self.scenario
        fields = ("phase", "batch_size", "seq_len", "context", "precision", "devices")
        conditions = (
            {"model": s.model.name, "hardware": s.hardware.name, **{f: getattr(s, f) for f in fields}} if s else {}
        )
        return {
            "efficiency": self.efficiency._asdict(),
            "attainment": self.attainment._asdict(),
            "ceiling": self.ceiling,
            "convention": self.convention,
            "peak_flops": self.peak_flops,
            "flops_per_item": self.flops_per_item,
            "throughput": {**self.throughput._asdict(), "unit": self.unit},
            "overhead_s": self.overhead_s,
            "conditions": conditions,
            "defaults": dict(s.defaults) if s else {},
            "notes": [n._asdict() for n in self.notes],
        }


def calibrate(
    *,
    throughput: Measured | None = None,
    time_s: Measured | None = None,
    model: ModelSpec | str | None = None,
    hardware: HardwareSpec | str | None = None,
    phase: str = "forward",
    batch_size: int | None = None,
    seq_len: int | None = None,
    context: int | None = None,
    precision: str | None = None,
    devices: int | None = None,
    flops_per_token: float | str | None = None,
    peak_flops: float | str | None = None,
    overhead_s: float | None = None,
) -> Calibration:
    """Turn a measurement into eta: achieved FLOPs over peak, refused where physics excludes it.

    Parameters
    ----------
    throughput
        Tokens or samples per second of all ``devices``: a number, a string such as ``"2100 tok/s"``, several
        repeats, or an :class:`Interval`. At decode, generated tokens of all sequences.
    time_s
        Seconds a step, in place of ``throughput``.
    model, hardware, phase, batch_size, seq_len, context, precision, devices
        As for :meth:`Engine.solve`.
    flops_per_token
        FLOPs per token or sample, in place of ``model``.
    peak_flops
        Dense peak of all devices [FLOP/s], in place of ``hardware``; only with ``flops_per_token``.
    overhead_s
        Part of a step that no faster hardware removes [s], if you measured it.

    Raises
    ------
    ImpossibleMeasurement
        eta above 1 or above the roofline ceiling; its ``causes`` say what would explain it.
    UsageError
        Fields that break a rule, or are missing, or contradict each other.
    """
    if (throughput is None) == (time_s is None):
        raise InvalidValue("throughput", "given, or time_s in its place (one of the two)", throughput)
    if (model is None) == (flops_per_token is None):
        raise InvalidValue("model", "given, or flops_per_token in its place (one of the two)", model)
    if model is None:
        if time_s is not None:
            raise InvalidValue("time_s", "left out where flops_per_token stands for a model", time_s, "give throughput")
        return _from_flops(throughput, flops_per_token, hardware, peak_flops, precision, devices)
    if hardware is None:
        raise InvalidValue("hardware", "a device", None, "peak_flops can stand for it only beside flops_per_token")
    if peak_flops is not None:
        raise InvalidValue(
            "peak_flops", "left out where hardware is given", peak_flops, "use hardware.replace(peaks=...)"
        )
    scenario = Scenario.of(
        model,
        hardware,
        phase=phase,
        batch_size=batch_size,
        seq_len=seq_len,
        context=context,
        precision=precision,
        devices=devices,
    )
    work = scenario.work()
    roof = scenario.roofline(work)
    if time_s is not None:
        rate, notes = measured(time_s, "s", "time_s")
        rate = rate.reciprocal(work.items)
    else:
        rate, notes = measured(throughput, "1/s", "throughput")
    efficiency = rate * performance.fit_efficiency(roof.flops / work.items, roof.peak_flops, 1.0)
    if efficiency.value > roof.ceiling:
        limit = "eta cannot exceed 1, and its ceiling" if efficiency.value > 1 else "the roofline ceiling"
        raise ImpossibleMeasurement(efficiency.value, roof.ceiling, limit, causes_for_scenario(scenario, rate.value))
    spare = roof.compute_s / efficiency.value - roof.floor_s
    if overhead_s is not None and not (overhead_s == 0 or 0 < overhead_s < spare):
        raise InvalidValue("overhead_s", "at least 0 and less than the measured step without its floor", overhead_s)
    return Calibration(
        scenario,
        roof,
        efficiency.capped(roof.ceiling),
        roof.ceiling,
        roof.peak_flops,
        rate,
        f"{work.unit}/s",
        roof.flops / work.items,
        _NETWORK_CONVENTION if isinstance(scenario.model, NetworkSpec) else _CONVENTION[scenario.phase],
        overhead_s,
        notes,
    )


def _from_flops(
    throughput: Any, flops_per_token: Any, hardware: Any, peak_flops: Any, precision: str | None, devices: Any
) -> Calibration:
    """Calibrate against stated FLOPs per token and a peak that is stated or a device's."""
    if (hardware is None) == (peak_flops is None):
        raise InvalidValue("hardware", "given, or peak_flops in its place (one of the two)", hardware)
    problems: list[MlsysimError] = []

    def check(function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except UsageError as problem:
            problems.append(problem)
            return None

    found = check(measured, throughput, "1/s", "throughput")
    work = check(parse, flops_per_token, "FLOP", "flops_per_token")
    count = check(whole, 1 if devices is None else devices, "devices")
    device = None if hardware is None else check(hardware_of, hardware)
    chosen = check(parse_precision, precision) if precision else device and device.default_precision
    figure = check(device.peak, chosen) if device and chosen else None
    stated = None if peak_flops is None else check(parse, peak_flops, "FLOP/s", "peak_flops")
    raise_all(problems)
    rate, notes = found
    total: float = stated or count * (figure.value if figure else 1)
    efficiency = rate * performance.fit_efficiency(work, total, 1.0)
    if efficiency.value > 1:
        causes = causes_for_flops(efficiency.value, device, chosen, count)
        raise ImpossibleMeasurement(efficiency.value, 1.0, "the limit of achieved / peak", causes)
    note = Note("ceiling-unknown", "FLOPs were stated, not a model: bytes are unknown, so the ceiling is taken as 1")
    eta, counted = efficiency.capped(1.0), "FLOPs per token as stated by the caller"
    return Calibration(None, None, eta, 1.0, total, rate, "tokens/s", work, counted, None, (*notes, note))


def measured(value: Any, dimension: str, field: str) -> tuple[Interval, tuple[Note, ...]]:
    """Turn what was measured into an SI value with a 90 % interval, and say where the interval comes from.

    Repeats give Student's t interval of their mean; a single number takes the published spread of repeated runs.

    Raises
    ------
    InvalidValue
        Not a positive finite quantity of this dimension.
    """
    if isinstance(value, Interval):
        for end in value:
            positive(end, field)
        return value, ()
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if not isinstance(value, (list, tuple)):
        number = parse(value, dimension, field)
        spread = parameters()["repeat"]
        message = (
            f"one number has no spread of its own: the interval is that of repeated published runs, a factor of"
            f" {math.exp(spread.value):.3g} either way (n = {spread.n}); give several runs for your own"
        )
        return Interval(number, number * math.exp(-spread.value), number * math.exp(spread.value)), (
            Note("interval-assumed", message),
        )
    numbers = [parse(v, dimension, field) for v in value]
    n = len(numbers)
    mean = sum(numbers) / n
    error = math.sqrt(sum((x - mean) ** 2 for x in numbers) / (n - 1) / n)
    half = (_T95[n - 2] if n - 2 < len(_T95) else 1.645 + 1.8 / (n - 1)) * error
    return Interval(mean, max(mean - half, min(numbers) * 0.5), mean + half), ()


def describe(calibration: Calibration) -> str:
    """Return the calibration in one sentence."""
    eta, rate = calibration.efficiency, calibration.throughput
    return (
        f"{si(rate.value, calibration.unit)} x {si(calibration.flops_per_item, 'FLOP')} a"
        f" {calibration.unit.split('/')[0].removesuffix('s')} over {si(calibration.peak_flops, 'FLOP/s')}"
        f" = eta {eta.value:.4g} ({eta.low:.4g} to {eta.high:.4g})"
    )
