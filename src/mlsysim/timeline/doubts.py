"""What must be said of traces: what of them is not used, how far they can be trusted, why an ideal is not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from mlsysim.hardware import HardwareSpec
from mlsysim.results import Note
from mlsysim.timeline.account import Account, Question
from mlsysim.timeline.trace import Trace
from mlsysim.units import si

TOLD = 0.95
"""Share of the time of products whose FLOPs must be known for the ideal to be taken without a word."""
BEYOND = 0.05
"""Share of the time of products by which their FLOPs may exceed the peak: clocks run above the rated one."""
_COMPARED = 0.5
"""Share of the time of products whose FLOPs must be known for them to be held against a model."""
_UNLIKE = 2.0
"""How many times the FLOPs of a model may be those of the trace, or the other way round, without a word."""


def notes_on(traces: Sequence[Trace], accounts: Sequence[Account], asked: Question, beyond: float) -> list[Note]:
    """Return what must be said of the traces of a run, each once."""
    return list(dict.fromkeys(_notes(traces, accounts, asked, beyond)))


def _notes(traces: Sequence[Trace], accounts: Sequence[Account], asked: Question, beyond: float) -> Iterator[Note]:
    left_out = sum((Counter(trace.left_out) for trace in traces), Counter())
    for why, n in left_out.items():
        many = f"{n:,} events" if n != 1 else "1 event"
        yield Note("events-left-out", f"{many} {why} {'are' if n != 1 else 'is'} left out")
    for one in accounts:
        yield from one.notes
    told = min(one.told for one in accounts)
    counted = sum(one.counted for one in accounts) / len(accounts)
    if asked.flops is None and asked.hardware is not None and 0 < told < TOLD:
        yield Note(
            "operators-unsized",
            f"the sizes of {told:.0%} of the time of matrix products are recorded: the ideal is that of these, and eta"
            " is at least what is said; give the model, or record shapes",
        )
    if asked.flops and told >= _COMPARED and not 1 / _UNLIKE <= counted / told / asked.flops <= _UNLIKE:
        yield Note(
            "model-differs",
            f"the matrix products in the trace are {si(counted, 'FLOP')} a step and rank, those of the model"
            f" {si(asked.flops, 'FLOP')}: is it the model, the batch and the length that ran?",
        )
    if asked.flops is None and beyond > BEYOND:
        yield Note(
            "beyond-peak",
            f"the sizes in the trace say that products are done faster than the peak of their precision allows, by"
            f" {beyond:.0%} of their time: they ran in another precision or on another device, and no ideal is taken",
        )
    world = max(trace.world for trace in traces)
    if world > len(accounts):
        yield Note(
            "ranks-missing",
            f"traces of {len(accounts)} of {world} ranks: how much of communication is waiting for the others is known"
            " for these alone",
        )
    if any(trace.source.startswith("pytorch") for trace in traces):
        message = "steps were timed under the profiler, which slows down small operators: a run without it is faster"
        yield Note("profiled", message)


def why_no_ideal(accounts: Sequence[Account], asked: Question, device: HardwareSpec | None, beyond: float) -> str:
    """Return why no ideal is known, where there is more to say than what to state; else nothing."""
    if asked.flops is not None or device is None:
        return ""
    if beyond > BEYOND:
        return (
            f"by the sizes in the trace, products ran faster than {device.name} can: they ran in another precision or"
            " on another device; state --model and --precision, or the hardware that it ran on"
        )
    without = sorted({name for one in accounts for name in one.without_peak})
    if without and any(one.counted for one in accounts):
        return f"{device.name} has no published peak in {', '.join(without)}, in which the operands are"
    return ""
