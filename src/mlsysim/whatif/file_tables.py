"""The shape of a scenario file: its keys and what each may hold.

These dataclasses are the one description: files are validated against them, and the JSON Schema is made from them. What
a value means (is there such a model, does a range go up) is checked where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Word: TypeAlias = str | list[str]
"""One word or several."""
Table: TypeAlias = dict[str, Any]
"""A range, a distribution or a calibration."""
Number: TypeAlias = float | str | list[float | str | Table] | Table
"""One number, several, a range (``"1..256*2"``), or a table."""
Whole: TypeAlias = int | str | list[int | str] | Table
"""One whole number, several, a range, or a table."""


def _key(name: str) -> str:
    """Return the key of a field: ``assert_`` and ``for_`` are words of Python."""
    return name.rstrip("_")


_CONFIG = {"extra": "forbid", "strict": True, "alias_generator": _key, "use_attribute_docstrings": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertionTable:
    """What must hold, where, and why."""

    __pydantic_config__ = _CONFIG

    that: str
    """The condition, such as "tpot_s < 50 ms and usd_per_million < 2"."""
    for_: Literal["all", "any", "best"] | float = "all"
    """At which feasible points: all of them, any one, the best by `by`, or a share of them such as 0.95."""
    by: str | None = None
    """What the best point has least of (most of, with a minus: "-throughput"); if left out, what `reduce` ranks by."""
    why: str | None = None
    """Why it must hold: said where it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReductionTable:
    """What to keep in place of all points: one of top, pareto, quantiles and summary."""

    __pydantic_config__ = _CONFIG

    top: int | None = None
    """How many of the best points to keep."""
    by: str | None = None
    """For top: what the best have least of (most of, with a minus: "-throughput")."""
    pareto: list[str] | None = None
    """Keep the points that no other beats in all of these: the least of each, the most of those with a minus."""
    quantiles: list[float] | None = None
    """Levels from 0 to 1."""
    of: Word | None = None
    """For quantiles: the quantities."""
    summary: Word | None = None
    """Number, least, mean and most of these quantities."""
    where: str | None = None
    """A condition that points must meet."""
    per: Word | None = None
    """Fields: each group of points apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionTable:
    """A question or a sweep, and what must hold."""

    __pydantic_config__ = _CONFIG

    name: str | None = None
    """What the scenario is called."""
    description: str | None = None
    """What it is about, for people."""
    model: Word | None = None
    """A model by its name, or its file, relative to this one."""
    models: Word | None = None
    """The same as model, for several."""
    hardware: Word | None = None
    """A device, node or cluster by its name, or the file of a device, relative to this one."""
    phase: Word | None = None
    """forward (a prefill pass), decode (one token a sequence), or training (one optimizer step)."""
    batch_size: Whole | None = None
    """Prompts, sequences in flight, or the global training batch; 1 if left out."""
    seq_len: Whole | None = None
    """Tokens of each prompt or training sequence."""
    context: Whole | None = None
    """Tokens already in the KV cache at decode."""
    precision: Word | None = None
    """Number format: fp8, w4a16kv8, q4_k_m and others; the 16-bit format of the device if left out."""
    efficiency: Number | None = None
    """End-to-end eta in (0, 1], "predicted", a calibration, or the log of a run; predicted if left out."""
    devices: Whole | None = None
    """Identical devices that share the work; 1 if left out."""
    plan: Word | None = None
    """How devices share it, and under which engine: "tp8 pp4", "engine=vllm tp=2"."""
    usd_per_hour: Number | None = None
    """Price of one device [USD/h]."""
    region: Word | None = None
    """Where it runs, for carbon and water: a country, a state or a cloud region."""
    pue: Number | None = None
    """What the building takes beside the equipment: the energy at the wall over that of the equipment."""
    recompute: Word | None = None
    """In training: none, selective or full."""
    lora_rank: Whole | None = None
    """In training: the rank of low-rank adapters beside frozen weights."""
    freeze: Word | None = None
    """In training: what is not trained, encoder or body."""
    target_len: Whole | None = None
    """Tokens on the decoder's side of a model with encoder."""
    steps: Whole | None = None
    """Denoising steps of a diffusion model."""
    draft: Word | None = None
    """Speculative decoding: a smaller model, or mtp for the model's own modules."""
    draft_tokens: Whole | None = None
    """Tokens drafted a step."""
    acceptance: Number | None = None
    """Share of drafted tokens that is kept, in (0, 1]."""
    quantiles: list[float] | None = None
    """Levels: all that is uncertain is drawn, and answers come as medians with these quantiles, `time_s_p95`."""
    draws: int | None = None
    """How many times that is drawn; 256 if left out."""
    assert_: str | list[str | AssertionTable] | None = None
    """What must hold: conditions, at every feasible point unless a table says for which."""
    keep: Word | None = None
    """Quantities that a sweep keeps; all if left out."""
    reduce: ReductionTable | list[ReductionTable] | None = None
    """What a sweep keeps in place of all points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTable(SectionTable):
    """A scenario file of mlsysim: a question or a sweep and what must hold, or several that share fields."""

    __pydantic_config__ = _CONFIG

    scenario: list[SectionTable] | None = None
    """Several scenarios: each has the fields above it in the file, or its own in their place; assertions are added."""


SCHEMA = "$schema"
"""The key by which a JSON file names its schema to editors."""
OWN = (SCHEMA, "name", "description", "quantiles", "draws", "assert", "keep", "reduce", "scenario")
"""Keys that are no fields of a question."""


def listed(value: Any) -> list[Any]:
    """Return what may be one or several as a list."""
    return [] if value is None else value if isinstance(value, list) else [value]
