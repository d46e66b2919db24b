"""From the traces of a run to the breakdown of its mean step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mlsysim.calibration.causes import causes_for_scenario
from mlsysim.calibration.from_log import device_titled
from mlsysim.calibration.logs.source import Source
from mlsysim.efficiency.breakdown import Breakdown
from mlsysim.errors import ImpossibleMeasurement, InvalidValue
from mlsysim.hardware import HardwareSpec
from mlsysim.precision import parse_precision
from mlsysim.results import Note
from mlsysim.scenario import Scenario, cluster_of, hardware_of
from mlsysim.timeline.account import Account, Question, account
from mlsysim.timeline.mean import common_steps, of_accounts
from mlsysim.timeline.ranks import skews
from mlsysim.timeline.recognise import is_trace, recognised
from mlsysim.timeline.trace import Trace
from mlsysim.timeline.unseen import seen
from mlsysim.units import whole

Progress = Callable[[Path, int], None]
TOLD = 0.95
"""Share of the time of products whose FLOPs must be known for the ideal to be taken without a word."""
BEYOND = 0.02
"""Share of the time of products by which their FLOPs may exceed the peak without a word: clocks above the rated one."""
_ENDINGS = (".json", ".json.gz", ".sqlite", ".sqlite.gz", ".log", ".txt")
"""What the traces in a folder end with."""


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
    given = [traces] if isinstance(traces, (Path, str)) else traces
    paths, notes = files([Path(path).expanduser() for path in given])
    read = [trace for path in paths for trace in _read(path, progress)]
    found = broken_down(_distinct(read), model=model, hardware=hardware, skip=skip, **question)
    return replace(found, notes=(*found.notes, *notes))


def runs(given: Sequence[Path]) -> list[Callable[..., Breakdown]]:
    """Return what explains each run among files and folders: two are two runs, unless they are ranks of one.

    Each takes what :func:`explain` takes beside the traces.

    Raises
    ------
    UsageError
        A file that is no trace.
    """
    several = len(given) == 2 and (any(path.is_dir() for path in given) or not _ranks_of_one(given))
    return [partial(explain, group) for group in ([[path] for path in given] if several else [list(given)])]


def _ranks_of_one(given: Sequence[Path]) -> bool:
    """Return whether two files say that they are of different ranks of one run, by what stands before their events."""
    said = [re.search(r'"rank": *(\d+)[^{}]*"world_size": *(\d+)', Source(path, "trace").head) for path in given]
    ranks, worlds = ({found[i] for found in said if found} for i in (1, 2))
    return all(said) and len(ranks) == len(given) and len(worlds) == 1


def files(given: Sequence[Path]) -> tuple[list[Path], list[Note]]:
    """Return files, and in place of folders the traces in them; and a note on what else lies there.

    Raises
    ------
    InvalidValue
        A folder without traces.
    """
    found: list[Path] = []
    other: list[Path] = []
    for path in given:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.rglob("*") if p.is_file() and p.name.endswith(_ENDINGS))
        traces = [p for p in inside if is_trace(Source(p, "trace"))]
        if not traces:
            listed = f"of its {len(inside)} files that end so none is one" if inside else "no file ends so"
            hint = f"{', '.join(_ENDINGS)}: {listed}"
            raise InvalidValue("trace", "a trace, or a folder with traces", str(path), hint)
        found += traces
        other += [p for p in inside if p not in traces]
    if not other:
        return list(dict.fromkeys(found)), []
    some = ", ".join(p.name for p in other[:3]) + (f" and {len(other) - 3} more" if len(other) > 3 else "")
    return list(dict.fromkeys(found)), [Note("files-left-out", f"files of the folder that are no traces: {some}")]


def _read(path: Path, progress: Progress | None) -> Sequence[Trace]:
    source = Source(path, "trace")
    return recognised(source).read_all(source, (lambda size: progress(path, size)) if progress else None)


def _distinct(traces: Sequence[Trace]) -> list[Trace]:
    """Return the traces by rank.

    Raises
    ------
    InvalidValue
        Two of the same rank.
    """
    ranks = Counter(trace.rank for trace in traces)
    twice = [rank for rank, times in ranks.items() if times > 1 and rank is not None]
    if twice:
        both = ", ".join(trace.path for trace in traces if trace.rank == twice[0])
        hint = "two runs are compared as `mlsysim explain A B`, each a file or a folder"
        raise InvalidValue("trace", "of different ranks of one run", both, f"both are of rank {twice[0]}; {hint}")
    return sorted(traces, key=lambda t: (t.rank is None, t.rank or 0, t.path))


def broken_down(
    traces: Sequence[Trace], *, model: object = None, hardware: object = None, skip: int = 0, **question: Any
) -> Breakdown:
    """Return the breakdown of the mean step of some ranks of a run; see :func:`explain`."""
    first = traces[0]
    device, notes = device_of(first, hardware)
    asked, scenario = _asked(traces, device, model, question)
    traces = [seen(trace, device) for trace in traces]
    late, of_ranks = skews(traces)
    try:
        accounts = [account(t, asked, skew) for t, skew in zip(traces, late, strict=True)]
    except ImpossibleMeasurement as problem:
        raise _with_causes(problem, scenario) from None
    steps = common_steps(accounts, 0 if skip == 0 else whole(skip, "skip"))
    notes = [*notes, *of_ranks, *_notes(traces, accounts, asked)]
    about = _about(first, scenario, device, len(traces))
    purpose = _purpose(first, scenario)
    facts = {"format": first.format, "hardware": device.name if device else None}
    facts |= {"model": scenario.model.name if scenario else None}
    return of_accounts(
        accounts, steps, about=about, traces=traces, known=bool(device), purpose=purpose, facts=facts, notes=notes
    )


def device_of(trace: Trace, hardware: object) -> tuple[HardwareSpec | None, list[Note]]:
    """Return the device that is stated, or that the trace names, and what is to be said of it."""
    if hardware is not None:
        cluster = cluster_of(hardware)
        return (cluster.device if cluster else hardware_of(hardware)), []
    title = trace.accelerator.name
    found = device_titled(title) if title else None
    if found is not None:
        device = hardware_of(found)
        return device, [Note("device-of-trace", f"the trace was taken on {title}: {device.name}")]
    named = f"the trace names {title!r}, which is not in the registry" if title else "the trace does not name one"
    message = f"no device is known, so that the ideal is not: {named}; state hardware"
    return None, [Note("device-unknown", message)]


def _asked(
    traces: Sequence[Trace], device: HardwareSpec | None, model: object, question: dict[str, Any]
) -> tuple[Question, Scenario | None]:
    """Return what the traces are held against: the FLOPs of a model on the devices, or those of the operators."""
    precision = question.get("precision")
    if model is None:
        given = [name for name, value in question.items() if value is not None and name != "precision"]
        if given:
            raise InvalidValue(given[0], "left out where no model is given", question[given[0]])
        return Question(device, None, parse_precision(precision) if precision else ""), None
    if device is None:
        raise InvalidValue("hardware", "given where a model is", None, "what the FLOPs of the model are held against")
    asked = {name: value for name, value in question.items() if value is not None}
    if traces[0].training:
        asked.setdefault("phase", "training")
    asked.setdefault("devices", max(traces[0].world, len(traces)))
    scenario = Scenario.of(model, device, **asked)
    return Question(device, scenario.work().flops / scenario.devices, scenario.precision), scenario


def _with_causes(problem: ImpossibleMeasurement, scenario: Scenario | None) -> ImpossibleMeasurement:
    """Return what is impossible with the likely mistakes in what was stated."""
    if scenario is None:
        return problem
    work = scenario.work()
    peak = scenario.roofline(work).peak_flops
    rate = work.items * problem.efficiency * peak / work.flops
    return ImpossibleMeasurement(problem.efficiency, problem.limit, causes_for_scenario(scenario, rate))


def _notes(traces: Sequence[Trace], accounts: Sequence[Account], asked: Question) -> list[Note]:
    """Return what must be said of the traces: what was left out, and how far they can be trusted."""
    left_out = sum((Counter(trace.left_out) for trace in traces), Counter())
    found = [Note("events-left-out", f"{n:,} events {why} are left out") for why, n in left_out.items() if n]
    found += [note for one in accounts for note in one.notes]
    told = min(one.told for one in accounts)
    if asked.flops is None and asked.hardware is not None and 0 < told < TOLD:
        message = (
            f"the sizes of {told:.0%} of the time of matrix products are recorded: the ideal is that of these;"
            " give the model, or record shapes"
        )
        found.append(Note("operators-unsized", message))
    beyond = max(one.beyond for one in accounts)
    if beyond > BEYOND:
        message = (
            f"products are done faster than the peak allows, by {beyond:.0%} of their time, which is all taken as the"
            " ideal: they compute in another precision than that of their operands, or on another device"
        )
        found.append(Note("beyond-peak", message))
    if any(trace.source.startswith("pytorch") for trace in traces):
        message = "steps were timed under the profiler, which slows down small operators: a run without it is faster"
        found.append(Note("profiled", message))
    return list(dict.fromkeys(found))


def _purpose(trace: Trace, scenario: Scenario | None) -> str:
    """Return what a run is for: where operators of PyTorch were recorded, a backward pass among them tells."""
    if trace.training or (scenario is not None and scenario.phase == "training"):
        return "training"
    return "serving" if scenario is not None or (trace.source.startswith("pytorch") and len(trace.host)) else "any"


def _about(trace: Trace, scenario: Scenario | None, device: HardwareSpec | None, ranks: int) -> str:
    what = f"{scenario.model.name} {scenario.phase}, " if scenario else ""
    on = f" on {device.name}" if device else ""
    several = f", {ranks} ranks" if ranks > 1 else ""
    return f"{what}{trace.format}{on}{several}"
