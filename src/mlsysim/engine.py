"""The path of an answer: models -> work -> ceiling -> efficiency -> time -> Result."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, TypeAlias, Unpack

from mlsysim.calibration import Calibration, Profile, moved
from mlsysim.efficiency.basis import Basis
from mlsysim.efficiency.estimate import Estimate, assumed, checked_efficiency
from mlsysim.efficiency.predict import predicted
from mlsysim.efficiency.regimes import regime_of
from mlsysim.errors import Checks
from mlsysim.fitting import remedies
from mlsysim.hardware import HardwareSpec
from mlsysim.models import ModelSpec, Work
from mlsysim.results import Eta, Interval, Memory, Note, Result
from mlsysim.scenario import Roofline, Scenario
from mlsysim.units import parse, si
from mlsysim.workload import Modified

if TYPE_CHECKING:
    from mlsysim.hardware import Cluster

Stated: TypeAlias = float | Calibration | Profile | None


class Engine:
    """Answers questions; holds no state."""

    @staticmethod
    def solve(
        model: ModelSpec | str | os.PathLike[str],
        hardware: HardwareSpec | Cluster | str,
        *,
        phase: str | None = None,
        batch_size: int | None = None,
        seq_len: int | None = None,
        context: int | None = None,
        precision: str | None = None,
        efficiency: Stated = None,
        devices: int | None = None,
        usd_per_hour: float | str | None = None,
        strict: bool = False,
        **modified: Unpack[Modified],
    ) -> Result:
        """Answer one question: how long a step takes, at what eta, what bounds it, and whether it fits.

        Parameters
        ----------
        model, hardware
            A spec or a name, in any letter case; for a model also the path of its file or folder, for hardware also a
            node or cluster, whose devices share the work.
        phase
            ``forward`` (a prefill pass for a language model), ``decode`` (one token for each sequence), ``training``
            (one optimizer step); ``forward`` if not given.
        batch_size
            Prompts, sequences in flight, or the global training batch; 1 if not given.
        seq_len
            Tokens of each prompt or training sequence, or of what an encoder reads; 2,048 for a language model if not
            given.
        context
            Tokens already in the KV cache at decode; 2,048 if not given.
        precision
            Number format of weights, activations, cache and arithmetic; one name for all (``fp8``) or one that states
            roles (``w4a16kv8``, ``q4_k_m``). If not given, that of the model's file where it is quantized, else the
            device's 16-bit format.
        efficiency
            A float is the end-to-end eta, in (0, 1]: it absorbs communication, bubbles and overhead, and nothing is
            charged twice. A :class:`Calibration` is used as measured, and moved where the question differs; of a
            :class:`Profile`, all points together. None predicts.
        devices
            Identical devices that share the work; peak, bandwidth and memory are summed. 1 if not given.
        usd_per_hour
            Price of one device, in place of the one in the registry; most have none there.
        strict
            Raise instead of answering with the floor where the stated eta is above the ceiling.
        modified
            What makes the step other than the plain one. ``recompute`` (``none``, ``selective`` or ``full``, the
            default), ``lora_rank`` and ``freeze`` in training; ``draft`` (a smaller model, or ``"mtp"`` for the
            model's own modules), ``draft_tokens`` and ``acceptance`` for speculative decoding; ``target_len``, tokens
            on the decoder's side of a model with encoder; ``steps`` of a diffusion model.

        Raises
        ------
        UsageError
            Fields that break a rule, all told at once.
        Infeasible
            ``strict`` and the stated eta is above the roofline ceiling.
        """
        checks = Checks()
        stated = checks(stated_efficiency, efficiency)
        price = None if usd_per_hour is None else checks(parse, usd_per_hour, "USD/h", "usd_per_hour")
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
        regime = regime_of(scenario, roof)
        estimate = _estimate(stated, scenario, roof, regime, strict, work)
        time_s, parts = _time(roof, estimate)
        eta = _efficiency(roof, estimate, time_s)
        memory = scenario.memory()
        changes = remedies(scenario, memory)
        throughput = time_s.reciprocal(work.items)
        notes = [*estimate.notes, *_memory_notes(memory, changes), *_price_notes(scenario, price), *scenario.notes()]
        return Result(
            model=scenario.model.name,
            hardware=scenario.hardware.name,
            phase=scenario.phase,
            precision=scenario.precision,
            batch_size=scenario.batch_size,
            seq_len=scenario.seq_len,
            context=scenario.context,
            devices=scenario.devices,
            time_s=time_s,
            throughput=throughput,
            throughput_unit=f"{work.unit}/s",
            efficiency=eta,
            bound=_bound(roof, parts),
            breakdown_s=parts,
            flops=roof.flops,
            traffic_bytes=roof.traffic_bytes,
            peak_flops=roof.peak_flops,
            memory=memory,
            energy_j=_energy(scenario, time_s.value),
            cost_usd=_cost(scenario, time_s.value, price),
            defaults=scenario.defaults,
            notes=tuple(notes),
            remedies=changes,
            modifiers=scenario.modifiers.to_dict(),
            basis=Basis(scenario, roof, regime, eta, time_s.value, work),
        )


def _estimate(
    efficiency: Stated, scenario: Scenario, roof: Roofline, regime: str, strict: bool, work: Work
) -> Estimate:
    if efficiency is None:
        return predicted(scenario, roof, regime, work)
    if isinstance(efficiency, (Calibration, Profile)):
        return moved(tuple(efficiency), scenario, roof, regime)
    return assumed(efficiency, roof, regime, strict)


def stated_efficiency(efficiency: object) -> Stated:
    """Return what was stated of eta: a float in (0, 1], a calibration, or None.

    Raises
    ------
    InvalidValue
        Anything else.
    """
    if efficiency is None or isinstance(efficiency, (Calibration, Profile)):
        return efficiency
    return checked_efficiency(parse(efficiency, "1", "efficiency"), efficiency)


def _time(roof: Roofline, estimate: Estimate) -> tuple[Interval, dict[str, float]]:
    """Return the step time with its interval, and its parts, which sum to it exactly in any order.

    Each part is rounded to the spacing of floats at the total, so that every partial sum is exact.
    """
    reached, fixed = estimate.attainment, estimate.overhead
    total = roof.time_s(reached.value, fixed.value)
    grain = math.ulp(total)
    parts = {"compute": roof.compute_s, "memory": roof.floor_s - roof.compute_s, "overhead": fixed.value}
    parts = {name: round(part / grain) * grain for name, part in parts.items()}
    parts["software"] = max(0.0, round((total - sum(parts.values())) / grain) * grain)
    value = sum(parts.values())
    low, high = roof.time_s(reached.high, fixed.low), roof.time_s(reached.low, fixed.high)
    return Interval(value, min(low, value), max(high, value)), parts


def _efficiency(roof: Roofline, estimate: Estimate, time_s: Interval) -> Eta:
    eta = time_s.reciprocal(roof.compute_s).capped(roof.ceiling)
    if estimate.asked is not None and estimate.asked <= roof.ceiling:
        eta = Interval(estimate.asked, estimate.asked, estimate.asked)  # as stated, without rounding
    return Eta(estimate.kind, estimate.asked, roof.ceiling, eta.value, eta.value / roof.ceiling, eta.low, eta.high)


def _bound(roof: Roofline, parts: dict[str, float]) -> str:
    """Return what binds: fixed overhead where it is the larger part, else the roofline's own bound."""
    if parts["overhead"] > roof.floor_s + parts["software"]:
        return "overhead"
    return "memory" if roof.memory_s > roof.compute_s else "compute"


def _energy(scenario: Scenario, seconds: float) -> float | None:
    """Return the energy of a step at the rated power of the devices [J], an upper estimate."""
    power = scenario.hardware.tdp_w
    return scenario.devices * power.value * seconds if power else None


def _cost(scenario: Scenario, seconds: float, usd_per_hour: float | None) -> float | None:
    """Return the rent of the devices for a step [USD]."""
    known = scenario.hardware.usd_per_hour
    price = usd_per_hour if usd_per_hour is not None else known.value if known else None
    return None if price is None else scenario.devices * price / 3600.0 * seconds


def _price_notes(scenario: Scenario, stated: float | None) -> list[Note]:
    """Say which price a cost rests on, where it is not the caller's own."""
    known = scenario.hardware.usd_per_hour
    if stated is not None or known is None:
        return []
    return [
        Note("price-taken", f"{known.value:g} USD/h for one {scenario.hardware.name}: {known.note or known.source}")
    ]


def _memory_notes(memory: Memory, changes: tuple[str, ...]) -> list[Note]:
    if memory.fits:
        return []
    room = si(memory.capacity, "B") + (f" and {si(memory.flash, 'B')} of flash for weights" if memory.flash else "")
    would = f" Any of these would fit: {'; '.join(changes)}" if changes else " No change of one field would make it fit"
    message = f"needs {si(memory.total, 'B')} and there are {room}: {si(memory.missing, 'B')} missing.{would}"
    return [Note("does-not-fit", message)]
