"""The path of an answer: models -> work -> ceiling -> efficiency -> time -> Result."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack

from mlsysim.calibration import Calibration, Profile
from mlsysim.efficiency.basis import Basis
from mlsysim.efficiency.estimate import above_ceiling, checked_efficiency
from mlsysim.errors import Checks, InvalidValue
from mlsysim.fitting import remedies
from mlsysim.hardware import HardwareSpec
from mlsysim.models import ModelSpec
from mlsysim.results import Interval, Memory, Note, Result
from mlsysim.scenario import Scenario
from mlsysim.setup import UNKNOWN, Setup, laid_out, setup_of
from mlsysim.solution import BOUNDS, Solution
from mlsysim.units import parse, si
from mlsysim.workload import Modified

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from mlsysim.costs.regions import Region
    from mlsysim.costs.site import Site
    from mlsysim.hardware import Cluster
    from mlsysim.sweep.reduce import Reduction
    from mlsysim.sweep.run import Progress

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
        usd_per_hour: float | str | Interval | None = None,
        plan: Setup | str | None = None,
        region: str | Region | None = None,
        pue: float | str | None = None,
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
            Price of one device, or an interval of it, in place of the range of published ones.
        plan
            How devices share the work and what runs it, for predictions: ``"tp8 pp4"``, ``"engine=vllm tp=2"``.
        region, pue
            Where it runs, for carbon and water: a country, a state or a cloud region; and what the building takes
            beside the equipment, that of the region's operator if not given.
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
        price = checks(stated_price, usd_per_hour)
        setup = UNKNOWN if plan is None else checks(setup_of, plan)
        site = checks(stated_site, region, pue)
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
        assert setup is not None
        if setup is not UNKNOWN:
            laid_out(setup, scenario.devices)
        solution = Solution(scenario, stated, price, setup, site)
        roof, eta, time_s, memory = solution.roof, solution.efficiency, solution.time_s, solution.memory
        if strict and stated is not None and not isinstance(stated, (Calibration, Profile)):
            above_ceiling(stated, roof, strict)
        changes = remedies(scenario, memory)
        notes = [
            *solution.estimate.notes(),
            *_memory_notes(memory, changes),
            *solution.cost_notes(),
            *scenario.notes(),
        ]
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
            throughput=solution.throughput,
            throughput_unit=f"{solution.work.unit}/s",
            efficiency=eta,
            bound=BOUNDS[solution.bound],
            breakdown_s=solution.breakdown_s,
            flops=roof.flops,
            traffic_bytes=roof.traffic_bytes,
            peak_flops=roof.peak_flops,
            memory=memory,
            defaults=scenario.defaults,
            notes=tuple(notes),
            remedies=changes,
            modifiers=scenario.modifiers.to_dict(),
            basis=Basis(scenario, roof, eta, time_s.value, solution.work, setup, solution.breakdown_s["overhead"]),
            costs=solution,
        )

    @staticmethod
    def sweep(
        models: object = None,
        hardware: object = None,
        *,
        keep: Sequence[str] | None = None,
        reduce: Reduction | Sequence[Reduction] | None = None,
        to: str | os.PathLike[str] | None = None,
        resume: bool = False,
        executor: Executor | None = None,
        workers: int | None = None,
        dask: str | None = None,
        progress: Progress | None = None,
        confirm: bool | Callable[[int], bool] = False,
        quantiles: Sequence[float] | None = None,
        draws: int | None = None,
        **fields: object,
    ) -> Any:
        """Answer many questions at once: every combination of what the fields hold.

        Parameters
        ----------
        models, hardware
            One or a list; a spec, a name or a file each.
        fields
            Fields of :meth:`solve`: ``phase``, ``batch_size``, ``seq_len``, ``context``, ``precision``, ``devices``,
            ``efficiency``, ``plan``, ``usd_per_hour`` and the modifiers. Each holds one value, a list, an array, a
            ``range``, text such as ``"1..256*2"``, or, of numbers, a distribution of ``mlsysim.sweep.distributions``.
            A length that a phase does not use is no field of its points.
        keep
            Quantities to keep, by name; all of ``mlsysim.sweep.quantities.QUANTITIES`` if not given.
        reduce
            What to keep instead of all points: one or several of ``Top``, ``Pareto``, ``Quantiles`` and ``Summary``.
        to, resume
            A folder for Parquet files, and whether to go on with those that are in it.
        executor, workers, dask
            Who works it out: an executor of ``concurrent.futures``, a number of processes, or the address of a Dask
            scheduler; threads by default, one a processor. The numbers are the same to the bit.
        progress
            Called with the points that are done and all points.
        confirm
            True, or what is asked with the number of points, where a sweep has ten thousand million or more.
        quantiles, draws
            Levels of quantiles: eta's interval, the spread of power and the range of prices are drawn, as distributions
            of fields are, and each answer comes as its median with these quantiles (``time_s_p95``) in place of ends
            of intervals. 0.05 and 0.95 if a field is a distribution; 256 draws.

        Returns
        -------
        :class:`~mlsysim.sweep.columns.Columns`, a row a point: infeasible points are among them, masked as NaN, with
        the reason. With ``reduce`` what it keeps, with ``to`` what was written.

        Raises
        ------
        UsageError
            Fields that break a rule, all told at once; more points than memory holds, or than were confirmed.
        """
        from mlsysim.sweep.run import sweep

        one = fields.pop("model", None)
        if models is not None and one is not None:
            raise InvalidValue("model", "left out where models are given", one)
        chosen = models if models is not None else one
        return sweep(
            chosen,
            hardware,
            fields,
            keep=keep,
            reduce=reduce,
            to=to,
            resume=resume,
            executor=executor,
            workers=workers,
            dask=dask,
            progress=progress,
            confirm=confirm,
            quantiles=quantiles,
            **({} if draws is None else {"draws": draws}),
        )


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


def stated_price(price: object) -> float | Interval | None:
    """Return the price of one device [USD/h]: a number, an interval, or None.

    Raises
    ------
    InvalidValue
        Not positive, or not in USD/h.
    """
    if price is None or isinstance(price, Interval):
        return price
    return parse(price, "USD/h", "usd_per_hour")


def stated_site(region: str | Region | None, pue: float | str | None) -> Site | None:
    """Return where it runs, None where that was not said.

    Raises
    ------
    InvalidValue, UnknownName
        No such region; a PUE without one, or out of range.
    """
    if region is not None:
        from mlsysim.costs.site import site_of

        return site_of(region, pue)
    if pue is not None:
        raise InvalidValue("pue", "left out where no region is given", pue, "energy_j is that of the devices alone")
    return None


def _memory_notes(memory: Memory, changes: tuple[str, ...]) -> list[Note]:
    if memory.fits:
        return []
    room = si(memory.capacity, "B") + (f" and {si(memory.flash, 'B')} of flash for weights" if memory.flash else "")
    would = f" Any of these would fit: {'; '.join(changes)}" if changes else " No change of one field would make it fit"
    message = f"needs {si(memory.total, 'B')} and there are {room}: {si(memory.missing, 'B')} missing.{would}"
    return [Note("does-not-fit", message)]
