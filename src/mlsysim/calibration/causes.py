"""Why a measurement may be impossible: mistakes that are often made, and the eta that each would give."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from mlsysim.efficiency.evidence import attainment_of
from mlsysim.efficiency.regimes import regime_of
from mlsysim.errors import Cause
from mlsysim.hardware import Figure, HardwareSpec
from mlsysim.precision import SPARSE
from mlsysim.scenario import Scenario
from mlsysim.workload import PLAIN

_USUAL = 0.4
"""Where no scenario is known, what a compute-bound run usually reaches: the low end of the classical training row."""

_SHARES = (0.25, 0.5, 0.75, 0.9, 0.95)
"""Shares of tokens that were perhaps never computed."""
_UNIT = "unit"
_LIKELY = math.log(4.0)
"""How far from the usual eta a slip of a thousand may lead [ln]: it fits only where what is left is an ordinary run."""
_POWERS = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_CROWDED = 1e3
"""How far a cause stands back under which the run would still not fit into memory [factor in eta]."""
_FREE_NUMBER = math.log(2.0)
"""How far a cause with a free number stands back in the ranking [ln of a factor in eta]."""
_FREE = {"devices": 1, "batch": 1, "padding": 2, "cache-hits": 2}
"""Causes with a free number, those that are seldom met further back."""


def causes_for_flops(
    efficiency: float, device: HardwareSpec | None, peak: Figure | None, devices: int
) -> tuple[Cause, ...]:
    """Return the mistakes that would explain an eta above 1 from stated FLOPs and peak, most plausible first."""
    found = [
        Cause("training-flops", "training FLOPs (6N a token) used for an inference run (2N)", efficiency / 3),
        Cause("sparse", "the run used 2:4 structured sparsity, the peak is dense", efficiency / 2),
        Cause(
            "macs",
            "multiply-accumulates mixed with FLOPs (the peak counts MACs, or the work was doubled twice)",
            efficiency / 2,
        ),
    ]
    found += [Cause("devices", _of_devices(n * devices), efficiency / n) for n in _POWERS]
    if device is not None and peak is not None:
        found += [
            Cause(
                "precision", f"the run computed in {other}, which has a higher peak", efficiency * peak.value / f.value
            )
            for other, f in device.peaks.items()
            if f.value > peak.value
        ]
    else:
        message = "the run computed in 8 bits, the peak is that of 16 bits (usually half)"
        found.append(Cause("precision", message, efficiency / 2))
    found += [
        Cause("unit", f"the peak was meant in {name}, and written without it", efficiency / scale)
        for name, scale in (("GFLOP/s", 1e9), ("TFLOP/s", 1e12), ("PFLOP/s", 1e15))
        if efficiency > scale / 1e3
    ]
    return _ranked((c, _USUAL) for c in found if c.efficiency <= 1)


def causes_for_scenario(scenario: Scenario, rate: float) -> tuple[Cause, ...]:
    """Return the changes of a scenario under which a ``rate`` [items/s] becomes possible, most plausible first."""
    return _ranked(_admitted(scenario, rate))


def _admitted(scenario: Scenario, rate: float) -> Iterator[tuple[Cause, float]]:
    for code, message, other, share in _alternatives(scenario):
        work = other.work()
        roof = other.roofline(work)
        efficiency = roof.compute_s * rate * share / work.items
        if efficiency <= roof.ceiling:
            usual = roof.ceiling * attainment_of(regime_of(other, roof)).median
            crowded = "" if other.memory().fits else " (it would still not fit)"
            yield Cause(code, message + crowded, efficiency), usual if other.memory().fits else usual * _CROWDED


def _alternatives(s: Scenario) -> Iterator[tuple[str, str, Scenario, float]]:
    """Yield (code, sentence, the scenario that was perhaps meant, items truly processed per item counted)."""
    if s.phase == "training":
        yield (
            "training-flops",
            "an inference run counted as training (6N for 2N)",
            s.replace(phase="forward", modifiers=PLAIN),
            1.0,
        )
    if s.phase == "forward" and s.seq_len is not None:
        yield from _not_computed(s)
    if s.phase == "training" and s.seq_len is not None:
        yield from _padded(s)
    if s.phase == "decode":
        yield "prompt-tokens", "prompt tokens counted as generated: these are prefill tokens", _as_prefill(s), 1.0
        said = "no batch size was given and 1 assumed" if "batch_size" in s.defaults else f"not {s.batch_size}"
        for batch in (n for n in _POWERS if n > s.batch_size):
            message = f"more sequences in flight, {batch} for example ({said})"
            yield "batch", message, s.replace(batch_size=batch), 1.0
    for precision in s.hardware.narrower(s.precision):
        yield "precision", f"the run used {precision}, not {s.precision}", s.replace(precision=precision), 1.0
    for n in _POWERS:
        yield "devices", _of_devices(s.devices * n), s.replace(devices=s.devices * n), 1.0
    if s.hardware.supports(s.precision + SPARSE):
        message = "the run used 2:4 structured sparsity, the peak is dense"
        yield "sparse", message, s.replace(precision=s.precision + SPARSE), 1.0
    yield _UNIT, "a number a thousand times too large, as where milliseconds were read as seconds", s, 1e-3
    yield "counted-twice", "items counted twice, as where prompt and generated tokens are added up", s, 0.5


def _not_computed(s: Scenario) -> Iterator[tuple[str, str, Scenario, float]]:
    """Yield what makes items cheap: padding that no kernel worked on, and prompts that a cache had already."""
    yield from _padded(s)
    for share in _SHARES:
        message = (
            f"prompts already in the prefix cache, {share:.0%} of them for example: their tokens were not computed"
        )
        yield "cache-hits", message, s, 1.0 - share


def _padded(s: Scenario) -> Iterator[tuple[str, str, Scenario, float]]:
    for share in _SHARES:
        message = f"padding counted as tokens, {share:.0%} of them for example: unpadded kernels skip it"
        yield "padding", message, s, 1.0 - share


def _as_prefill(s: Scenario) -> Scenario:
    return s.replace(phase="forward", seq_len=s.context, context=None, modifiers=PLAIN)


def _of_devices(count: int) -> str:
    return f"tokens of several devices, {count} for example, divided by the peak of fewer"


def _ranked(found: Iterable[tuple[Cause, float]]) -> tuple[Cause, ...]:
    """Sort causes by how near the eta they give is to the usual one; keep the best of each code.

    A cause with a number that can be chosen to fit (how many devices, which batch) explains less: it stands back.
    """
    best: dict[str, tuple[float, Cause]] = {}
    for cause, usual in found:
        free = 0 if "assumed" in cause.message else _FREE.get(cause.code, 0)
        distance = abs(math.log(cause.efficiency / usual)) + free * _FREE_NUMBER
        if cause.code == _UNIT and distance > _LIKELY:
            continue
        if cause.code not in best or distance < best[cause.code][0]:
            best[cause.code] = (distance, cause)
    return tuple(cause for _, cause in sorted(best.values(), key=lambda pair: pair[0]))
