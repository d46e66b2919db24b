"""From the traces of a run to the breakdown of its mean step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlsysim.calibration.causes import causes_for_scenario
from mlsysim.calibration.from_log import device_titled
from mlsysim.efficiency.breakdown import Breakdown
from mlsysim.errors import Cause, ImpossibleMeasurement, InvalidValue
from mlsysim.hardware import HardwareSpec
from mlsysim.results import Note
from mlsysim.scenario import Scenario, cluster_of, hardware_of
from mlsysim.timeline.account import Account, Question, account, joined
from mlsysim.timeline.doubts import BEYOND, notes_on, why_no_ideal
from mlsysim.timeline.mean import common_steps, of_accounts
from mlsysim.timeline.ranks import skews
from mlsysim.timeline.runs import Progress, files, of_one_run, read
from mlsysim.timeline.trace import Trace
from mlsysim.timeline.unseen import seen
from mlsysim.units import si


def explain(
    traces: Sequence[Path | str] | Path | str,
    *,
    model: object = None,
    hardware: object = None,
    skip: int = 0,
    progress: Progress | None = None,
    **question: Any,
) -> Breakdown:
    """Return where the time of the mean step went, from the trace of a run, or from those of its ranks.

    Parameters
    ----------
    traces
        Files, or folders of them, of one run.
    model, question
        What ran, as for :meth:`Engine.solve` (``phase``, ``batch_size``, ``seq_len``, ``precision``, ``devices``...):
        its FLOPs are the ideal. Without a model they are taken from the sizes of operands, where those were recorded.
    hardware
        What it ran on; without it, what the trace names.
    skip
        Steps at the start that are left out.
    progress
        Called with a file and the bytes that were read of it.

    Raises
    ------
    UsageError
        A file that is no trace or holds nothing that takes time; a question that breaks a rule.
    ImpossibleMeasurement
        The FLOPs that are said to be done take longer at the peak than anything was computed.
    """
    given = [traces] if isinstance(traces, (Path, str)) else list(traces)
    paths, notes = files([Path(path).expanduser() for path in given])
    found = [trace for path in paths for trace in read(path, progress)]
    names = f" {paths[0].name}" if len(paths) == 1 else ""
    answer = broken_down(of_one_run(found), model=model, hardware=hardware, skip=skip, names=names, **question)
    return replace(answer, notes=(*answer.notes, *notes))


def broken_down(
    ranks: Sequence[Sequence[Trace]],
    *,
    model: object = None,
    hardware: object = None,
    skip: Any = 0,
    names: str = "",
    **question: Any,
) -> Breakdown:
    """Return the breakdown of the mean step of some ranks of a run, each of one or several traces: see :func:`explain`.

    ``names`` is what the traces are called, after their kind.
    """
    first = ranks[0][0]
    device, notes = device_of(first, hardware)
    skipped = _skipped(skip)
    asked, scenario = _asked(ranks, device, model, question)
    shown = [[seen(trace, device) for trace in same] for same in ranks]
    traces = [trace for same in shown for trace in same]
    late, of_ranks = skews(traces)
    accounts, asked, beyond = _accounts(shown, late, asked, scenario)
    steps = common_steps(accounts, skipped)
    facts = {"format": first.format, "hardware": device.name if device else None}
    facts |= {"model": scenario.model.name if scenario else None}
    return of_accounts(
        accounts,
        steps,
        about=_about(first, names, scenario, device, len(ranks)),
        traces=traces,
        known=asked.hardware is not None,
        no_ideal=why_no_ideal(accounts, asked, device, beyond),
        purpose=_purpose(first, scenario),
        facts=facts,
        notes=[*notes, *of_ranks, *notes_on(traces, accounts, asked, beyond)],
    )


def _accounts(
    ranks: Sequence[Sequence[Trace]], late: Sequence[Any], asked: Question, scenario: Scenario | None
) -> tuple[list[Account], Question, float]:
    """Return the account of each rank, what it is held against, and by how much sizes in the traces exceed the peak.

    What exceeds the peak was done in another precision, or elsewhere: then no ceiling is known.
    """
    skew = iter(late)
    waits = [[next(skew) for _ in same] for same in ranks]

    def all_of(question: Question) -> list[Account]:
        return [
            joined([account(t, question, w) for t, w in zip(*pair, strict=True)])
            for pair in zip(ranks, waits, strict=True)
        ]

    try:
        found = all_of(asked)
    except ImpossibleMeasurement as problem:
        plain = all_of(asked._replace(flops=None))
        raise _with_causes(problem, scenario, sum(one.counted for one in plain) / len(plain)) from None
    beyond = max(one.beyond for one in found)
    if asked.flops is None and beyond > BEYOND:
        asked = asked._replace(hardware=None)
        found = all_of(asked)
    return found, asked, beyond


def device_of(trace: Trace, hardware: object) -> tuple[HardwareSpec | None, list[Note]]:
    """Return the device that is stated, or that the trace names, and what is to be said of it."""
    title = trace.accelerator.name
    named = hardware_of(found) if title and (found := device_titled(title)) is not None else None
    if hardware is not None:
        cluster = cluster_of(hardware)
        device = cluster.device if cluster else hardware_of(hardware)
        if named is None or named.name == device.name:
            return device, []
        message = f"as stated, and not as in the trace: hardware {device.name} (the trace names {title}: {named.name})"
        return device, [Note("stated-over-log", message)]
    if named is not None:
        return named, [Note("device-of-trace", f"the trace was taken on {title}: {named.name}")]
    unknown = f"the trace names {title!r}, which is not in the registry" if title else "the trace does not name one"
    return None, [Note("device-unknown", f"no device is known, so that the ideal is not: {unknown}; state hardware")]


def _skipped(skip: Any) -> int:
    """Return how many steps are left out, checked."""
    if isinstance(skip, bool) or not isinstance(skip, int) or skip < 0:
        raise InvalidValue("skip", "a whole number of at least 0", skip)
    return skip


def _asked(
    ranks: Sequence[Sequence[Trace]], device: HardwareSpec | None, model: object, question: dict[str, Any]
) -> tuple[Question, Scenario | None]:
    """Return what the traces are held against: the FLOPs of a model on the devices, or those of the operators."""
    asked = {name: value for name, value in question.items() if value is not None}
    if model is None:
        for name, value in asked.items():
            raise InvalidValue(name, "left out where no model is given", value)
        return Question(device), None
    if device is None:
        raise InvalidValue("hardware", "given where a model is", None, "what the FLOPs of the model are held against")
    first = ranks[0][0]
    if first.training:
        asked.setdefault("phase", "training")
    asked.setdefault("devices", max(first.world, len(ranks)))
    scenario = Scenario.of(model, device, **asked)
    return Question(device, scenario.work().flops / scenario.devices, scenario.precision), scenario


def _with_causes(problem: ImpossibleMeasurement, scenario: Scenario | None, counted: float) -> ImpossibleMeasurement:
    """Return what is impossible with the likely mistakes in what was stated; ``counted`` are the trace's own FLOPs."""
    if scenario is None:
        return problem
    work = scenario.work()
    peak = scenario.roofline(work).peak_flops
    rate = work.items * problem.efficiency * peak / work.flops
    causes = list(causes_for_scenario(scenario, rate))
    share = counted * scenario.devices / work.flops
    if counted and share * problem.efficiency <= 1.0:
        message = f"another model, batch or length ran: products in the trace are {si(counted, 'FLOP')} a step and rank"
        causes.insert(0, Cause("model", message, share * problem.efficiency))
    return ImpossibleMeasurement(problem.efficiency, problem.limit, causes)


def _purpose(trace: Trace, scenario: Scenario | None) -> str:
    """Return what a run is for: where operators of PyTorch were recorded, a backward pass among them tells."""
    if trace.training or (scenario is not None and scenario.phase == "training"):
        return "training"
    return "serving" if scenario is not None or (trace.source.startswith("pytorch") and len(trace.host)) else "any"


def _about(trace: Trace, names: str, scenario: Scenario | None, device: HardwareSpec | None, ranks: int) -> str:
    what = f"{scenario.model.name} {scenario.phase}, " if scenario else ""
    on = f" on {device.name}" if device else ""
    several = f", {ranks} ranks" if ranks > 1 else ""
    return f"{what}{trace.format}{names}{on}{several}"
