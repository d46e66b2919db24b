"""What more of something buys: the shadow prices of what binds, in words and in money."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mlsysim.units import si
from mlsysim.whatif.asked import better_if_more, getter, shown
from mlsysim.whatif.inputs import Input
from mlsysim.whatif.question import Question

LEAST = 5e-4
"""What buys less than this [1] is said to buy nothing."""
_BINDS = {"compute": "peak", "memory": "bandwidth"}
_OF_AN_ITEM = ("usd_per_million", "joules_per_item")
_CENT = 5e-3
"""Money below this is not worth a word [USD/h]."""
MOST = 1 << 40
"""A batch that is larger than any: where it fits, memory does not limit the batch."""


class Worth(NamedTuple):
    """What a relative ``change`` of one input buys: ``gain`` [1] and in words.

    Of a time the gain is in speed, of what is better if there is more in that, of money and energy what is saved.
    ``usd_per_hour`` is what an hour of a device may cost more for it, at the same cost of an item; None where no price
    is known. ``binds`` says that the input is what the roofline is bound by.
    """

    input: str
    change: float
    gain: float
    usd_per_hour: float | None
    binds: bool
    text: str


def worth_of(question: Question, inputs: Sequence[Input], of: str, unit: str, change: float, bound: str) -> list[Worth]:
    """Return what more of each figure of the hardware, of memory and of software buys, what binds and most first."""
    found = [_one(question, i, of, unit, change, bound) for i in inputs if i.kind == "hardware" and i.name != "memory"]
    found += [_one(question, i, of, unit, change, bound) for i in inputs if i.name in {"eta", "attainment"}]
    found.sort(key=lambda w: (not w.binds, -w.gain))
    room = _memory(question, inputs, of, change)
    return [*found, *([room] if room else [])]


def gain_of(of: str, unit: str, before: float, after: float) -> float:
    """Return what is gained [1]: as :class:`Worth` counts it."""
    if better_if_more(of):
        return after / before - 1.0
    return before / after - 1.0 if unit == "s" else 1.0 - after / before


def _one(q: Question, i: Input, of: str, unit: str, change: float, bound: str) -> Worth:
    more = min(i.value * (1.0 + change), i.most)
    output = getter(of)
    before, after = output(q), output(i.at(more))
    gain = gain_of(of, unit, before, after)
    faster = q.solve().time_s.value / i.at(more).solve().time_s.value - 1.0
    money = None if q.price is None else q.price * faster
    title = i.title.split(",")[0].replace("memory bandwidth", f"{_memory_kind(q)} bandwidth")
    verb = "saves" if unit in {"USD", "J", "kg", "L"} else "buys"
    text = f"{_change(more / i.value - 1.0)} more {title} {_gained(verb, gain)}"
    if gain >= LEAST:
        text += f" ({shown(before, unit, 4)} to {shown(after, unit, 4)})"
        if money is not None and i.kind == "hardware" and money >= _CENT:
            text += f": worth up to {money:.2f} USD/h a device"
    return Worth(i.name, more / i.value - 1.0, gain, money, _BINDS.get(bound) == i.name, text)


def _gained(verb: str, gain: float) -> str:
    if abs(gain) < LEAST:
        return f"{verb} nothing"
    return (f"makes it {-gain:.1%} worse" if gain < 0 else f"{verb} {gain:.1%}").replace("%", " %")


def _change(share: float) -> str:
    return f"{100 * share:.3g} %"


def _memory_kind(q: Question) -> str:
    return "HBM" if q.scenario.hardware.memory_class == "hbm" else "memory"


def _memory(q: Question, inputs: Sequence[Input], of: str, change: float) -> Worth | None:
    """Return what more memory buys through the largest batch that fits; None where memory limits no batch."""
    memory = next((i for i in inputs if i.name == "memory"), None)
    batch = next(i for i in inputs if i.name == "batch")
    if memory is None:
        return None
    value = memory.value * (1.0 + change)
    before, after = largest_batch(q), largest_batch(memory.at(value))
    head = f"{_change(change)} more memory ({si(memory.value, 'B')} to {si(value, 'B')})"
    if before >= MOST:
        return None
    if before == 0:
        does = f"admits batch {after:,}, where nothing fits now" if after else "is not enough: nothing fits"
        return Worth("memory", change, 0.0, None, not q.solve().memory.fits, f"{head} {does}")
    if after == before:
        return Worth("memory", change, 0.0, None, False, f"{head} admits no larger batch than {before:,}")
    name = of if better_if_more(of) or of in _OF_AN_ITEM else "throughput"
    here, there = batch.at(before), memory.at(value).with_scenario(batch_size=after)
    gain = gain_of(name, "", *map(getter(name), (here, there)))
    faster = gain_of("throughput", "", *map(getter("throughput"), (here, there)))
    gained = _gained("buys" if better_if_more(name) else "saves", gain)
    text = f"{head} admits batch {after:,} instead of {before:,}, which {gained} {'' if gain < LEAST else 'of ' + name}"
    money = None if q.price is None else q.price * faster
    return Worth("memory", change, gain, money, q.scenario.batch_size >= before, text.strip())


def largest_batch(q: Question) -> int:
    """Return the largest batch whose step fits into memory, 0 if none does, :data:`MOST` if all do."""
    return largest(lambda batch: bool(q.scenario.replace(batch_size=batch).memory().fits), MOST)


def largest(holds: Callable[[int], bool], most: int) -> int:
    """Return the largest whole number up to ``most`` that a property holds for which holds for all below; else 0."""
    if not holds(1):
        return 0
    low = 1
    while low < most and holds(min(2 * low, most)):
        low = min(2 * low, most)
    high = min(2 * low, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
