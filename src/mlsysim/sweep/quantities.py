"""What a sweep, an assertion or a plot may ask of an answer: each quantity by name, with its unit and its source.

A quantity is worked out from a :class:`~mlsysim.solution.Solution`: a number, an array of the sweep's shape, a word,
or None where a figure that it needs is not known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mlsysim.physics.elementwise import all_finite, where
from mlsysim.solution import Solution


class Quantity(NamedTuple):
    """One quantity: its unit (empty for words and pure numbers), what it means, and how it follows from an answer.

    ``masked`` says that it is not given where a point is infeasible; ``words`` what its codes stand for.
    """

    unit: str
    meaning: str
    of: Callable[[Solution], Any]
    masked: bool = True
    words: tuple[str, ...] = ()


def _held(purpose: str) -> Callable[[Solution], Any]:
    return lambda s: s.memory.needed.get(purpose, 0.0)


def _part(name: str) -> Callable[[Solution], Any]:
    return lambda s: s.breakdown_s[name]


def _of(name: str, end: str = "value") -> Callable[[Solution], Any]:
    """Return one end of an interval of an answer, None where that is not known."""

    def found(s: Solution) -> Any:
        interval = getattr(s, name)
        return None if interval is None else getattr(interval, end)

    return found


def _each(name: str, end: str = "value", of: float = 1.0) -> Callable[[Solution], Any]:
    """Return one end of an interval, for ``of`` tokens, images or samples."""
    total = _of(name, end)

    def found(s: Solution) -> Any:
        value = total(s)
        return None if value is None else value * (of / s.work.items)

    return found


def _footprint(name: str, of: float | None = None) -> Callable[[Solution], Any]:
    """Return what a step emits or drinks, or what ``of`` tokens, images or samples do."""

    def found(s: Solution) -> Any:
        interval = getattr(s.footprint, name) if s.footprint else None
        if interval is None or of is None:
            return None if interval is None else interval.value
        return interval.value * (of / s.work.items)

    return found


def _overhead(s: Solution) -> Any:
    """Return the fixed part; it may be the same for all points, and is not known of one without an answer."""
    overhead, time_s = s.breakdown_s["overhead"], s.time_s.value
    return overhead if not s.masked or all_finite(time_s) else where(time_s > 0, overhead, math.nan)


def _tpot(s: Solution) -> Any:
    decode = s.scenario.phase == "decode"
    return s.time_s.value * (s.scenario.batch_size / s.work.items) if decode else None


QUANTITIES: Mapping[str, Quantity] = {
    "time_s": Quantity("s", "time of a step", lambda s: s.time_s.value),
    "time_low_s": Quantity("s", "lower end of its 90 % interval", lambda s: s.time_s.low),
    "time_high_s": Quantity("s", "upper end of its 90 % interval", lambda s: s.time_s.high),
    "throughput": Quantity("1/s", "tokens, images or samples a second", lambda s: s.throughput.value),
    "throughput_low": Quantity("1/s", "lower end of its 90 % interval", lambda s: s.throughput.low),
    "throughput_high": Quantity("1/s", "upper end of its 90 % interval", lambda s: s.throughput.high),
    "tpot_s": Quantity("s", "time per output token of a sequence, in decode", _tpot),
    "ttft_s": Quantity(
        "s",
        "time to first token of a prompt that waits for nothing, in prefill",
        lambda s: s.time_s.value if s.scenario.phase == "forward" else None,
    ),
    "efficiency": Quantity("", "achieved eta", lambda s: s.efficiency.achieved),
    "efficiency_low": Quantity("", "lower end of its interval", lambda s: s.efficiency.low),
    "efficiency_high": Quantity("", "upper end of its interval", lambda s: s.efficiency.high),
    "efficiency_ceiling": Quantity("", "what the roofline allows of eta", lambda s: s.roof.ceiling, masked=False),
    "attainment": Quantity("", "achieved eta over its ceiling", lambda s: s.efficiency.attainment),
    "bound": Quantity("", "what binds", lambda s: s.bound, words=("compute", "memory", "overhead")),
    "compute_s": Quantity("s", "part of the time: FLOPs over peak", _part("compute")),
    "memory_s": Quantity("s", "part of the time: what traffic adds", _part("memory")),
    "overhead_s": Quantity("s", "part of the time: fixed", _overhead),
    "software_s": Quantity("s", "part of the time: all the rest", _part("software")),
    "flops": Quantity("FLOP", "work of a step", lambda s: s.roof.flops, masked=False),
    "traffic_bytes": Quantity("B", "bytes that memory must move", lambda s: s.roof.traffic_bytes, masked=False),
    "peak_flops": Quantity("FLOP/s", "peak of all devices", lambda s: s.roof.peak_flops, masked=False),
    "achieved_flops": Quantity("FLOP/s", "achieved rate of all devices", lambda s: s.roof.flops / s.time_s.value),
    "weights_bytes": Quantity("B", "held: weights", _held("weights"), masked=False),
    "kv_cache_bytes": Quantity("B", "held: KV cache and recurrent states", _held("kv_cache"), masked=False),
    "activations_bytes": Quantity("B", "held: activations", _held("activations"), masked=False),
    "workspace_bytes": Quantity("B", "held: workspace of the operator at work", _held("workspace"), masked=False),
    "gradients_bytes": Quantity("B", "held: gradients", _held("gradients"), masked=False),
    "optimizer_bytes": Quantity("B", "held: optimizer states", _held("optimizer"), masked=False),
    "memory_bytes": Quantity("B", "held in all", lambda s: s.memory.total, masked=False),
    "capacity_bytes": Quantity("B", "memory of all devices", lambda s: s.memory.capacity, masked=False),
    "power_w": Quantity("W", "power of one device", _of("power_w")),
    "energy_j": Quantity("J", "energy of a step, of the devices alone", _of("energy_j")),
    "energy_low_j": Quantity("J", "lower end of its 90 % interval", _of("energy_j", "low")),
    "energy_high_j": Quantity("J", "upper end of its 90 % interval", _of("energy_j", "high")),
    "joules_per_item": Quantity("J", "energy of a token, image or sample", _each("energy_j")),
    "cost_usd": Quantity("USD", "rent of the devices for a step", _of("cost_usd")),
    "cost_low_usd": Quantity("USD", "lower end of its 90 % interval", _of("cost_usd", "low")),
    "cost_high_usd": Quantity("USD", "upper end of its 90 % interval", _of("cost_usd", "high")),
    "usd_per_million": Quantity("USD", "rent for a million tokens, images or samples", _each("cost_usd", of=1e6)),
    "usd_per_million_low": Quantity("USD", "lower end of its 90 % interval", _each("cost_usd", "low", 1e6)),
    "usd_per_million_high": Quantity("USD", "upper end of its 90 % interval", _each("cost_usd", "high", 1e6)),
    "carbon_kg": Quantity("kg", "CO2e of a step at the wall, where a region is given", _footprint("carbon_kg")),
    "kg_per_million": Quantity(
        "kg", "CO2e of a million tokens, images or samples, where a region is given", _footprint("carbon_kg", 1e6)
    ),
    "water_l": Quantity("L", "water of a step, where a region is given", _footprint("water_l")),
}
"""All quantities, in the order of columns."""


_QUANTILE = re.compile(r"(.+)_p(\d+(?:\.\d+)?)")


def quantile(name: str, level: float) -> str:
    """Return the name of a quantile of a quantity: ``time_s_p95``."""
    return f"{name}_p{100 * level:g}"


def base_of(name: str) -> str:
    """Return the quantity that a name is of, or that it is a quantile of; empty where there is none."""
    if name in QUANTITIES:
        return name
    match = _QUANTILE.fullmatch(name)
    return match[1] if match and match[1] in QUANTITIES and varies(match[1]) else ""


def varies(name: str) -> bool:
    """Return whether a quantity is an answer in numbers: what may have quantiles."""
    return QUANTITIES[name].masked and not QUANTITIES[name].words


ENDS = tuple(name for name in QUANTITIES if re.search("_(low|high)(_|$)", name))
"""Quantities that are ends of intervals."""
