"""What the name of a metric says that its values are: seconds a step, tokens or samples a second, an MFU.

Names in use: NeMo ``train_step_timing in s``; Megatron-LM ``iteration-time`` [s]; torchtitan ``throughput(tps)`` and
``mfu(%)`` of one device, ``time_metrics/end_to_end(s)``; Composer and OLMo ``throughput/device/tokens_per_sec``,
``throughput/samples_per_sec``; Lightning ``device/items_per_sec``, ``device/mfu``; nanoGPT ``mfu`` in percent.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple


class Metric(NamedTuple):
    """What the values of a metric are, and what turns them into SI; the first in order of ``rank`` is used."""

    rank: int
    quantity: str
    scale: float = 1.0
    unit: str = ""
    per_device: bool = False


_NOT = re.compile(
    r"(?<![a-z])(?:eval|val|valid|validation|test|data|loader|dataloader|forward|fwd|backward|bwd|optim|optimizer)(?![a-z])"
    r"|\.avg|data_|train_tokens_per_second$"  # means since the start, as the Trainer's, are no values of steps
)
_TIME = re.compile(
    r"(?:step|iter|iteration|batch)[ _/-]?(?:time|timing|duration|latency)"
    r"|(?:time|seconds|secs?|ms|duration)[ _]?(?:per|/)[ _]?(?:step|iter|iteration|batch)(?![a-z])|end_to_end\(s\)"
)
_MILLISECONDS = re.compile(r"(?<![a-z])(?:ms|msec|milliseconds?)(?![a-z])")
_PER_S = r"(?:[ _]?per[ _]?|/)s(?:ecs?|econds?)?(?![a-z])"
_TOKENS = re.compile(rf"tok(?:en)?s?{_PER_S}|(?<![a-z])tps(?![a-z])")
_SAMPLES = re.compile(rf"(?:samples?|items?|images?|imgs?|sequences?|seqs?|examples?){_PER_S}")
_MFU = re.compile(r"(?<![a-z])mfu(?![a-z])")
_ONE = re.compile(r"(?<![a-z])(?:device|gpu|chip|rank|tpu)(?![a-z])|\(tps\)")
PERCENT = re.compile(r"%|percent|(?<![a-z])pct(?![a-z])")


@lru_cache(maxsize=4096)
def metric_of(name: str) -> Metric | None:
    """Return what a metric of this name is, or None where it is none that calibrates."""
    known = name.rpartition(" - ")[2].lower()
    if _NOT.search(known):
        return None
    if _TIME.search(known):
        return Metric(0, "time_s", 1e-3 if _MILLISECONDS.search(known) else 1.0)
    one = bool(_ONE.search(known))
    if _TOKENS.search(known):
        return Metric(1, "throughput", unit="tokens/s", per_device=one)
    if _SAMPLES.search(known):
        return Metric(2, "throughput", unit="samples/s", per_device=one)
    if _MFU.search(known):
        return Metric(3, "efficiency", 0.01 if PERCENT.search(known) else 1.0)
    return None


_EVALUATION = re.compile(r"(?<![a-z])(?:eval|val|valid|validation|test)(?![a-z])")


@lru_cache(maxsize=4096)
def of_evaluation(name: str) -> bool:
    """Return whether a metric is one of an evaluation."""
    return bool(_EVALUATION.search(name.rpartition(" - ")[2].lower()))
