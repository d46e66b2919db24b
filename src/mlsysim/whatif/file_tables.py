"""The shape of a scenario file: its keys and what each may hold; every problem of a file with its place.

These dataclasses are the one description: files are validated against them, and the JSON Schema is made from them. What
a value means (is there such a model, does a range go up) is checked where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias

from mlsysim.errors import InvalidValue, UnknownName, UsageError
from mlsysim.registry import nearest

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

TABLES: Mapping[str, type[Any]] = {"assert": AssertionTable, "reduce": ReductionTable, "scenario": SectionTable}
"""The tables inside of a file, by the key that lists them."""
_KINDS = {
    "Word": "a text or a list of texts",
    "Whole": "a whole number, a list of them, a range such as '1..256*2' or a table",
    "Number": "a number, a list of them, a range such as '0.3..0.5/11' or a table",
}
_RULES = {
    "for": "'all', 'any', 'best' or a share such as 0.95",
    "assert": "a condition, or a list of conditions and tables such as {that = 'tpot_s < 50 ms', for = 'any'}",
    "reduce": "a list of tables such as {top = 10, by = 'usd_per_million'}",
    "scenario": "a list of tables: [[scenario]]",
    "top": "a whole number of at least 1",
    "draws": "a whole number",
    "pareto": "a list of quantities",
    "quantiles": "a list of levels from 0 to 1",
    "of": "a quantity or a list of them",
    "summary": "a quantity or a list of them",
    "per": "a field or a list of them",
}
_TRIED = ("int", "str", "float", "dict[str,any]", *(table.__name__ for table in TABLES.values()))
"""Steps of pydantic's places that are no keys: the kind of value that it tried."""
Place: TypeAlias = tuple[str | int, ...]


def problems_of(raw: Mapping[str, Any], path: Path) -> Iterator[UsageError]:
    """Yield what is wrong with the keys of a file and the kinds of their values."""
    import json

    from pydantic import TypeAdapter, ValidationError

    try:
        known = {key: value for key, value in raw.items() if key != SCHEMA}
        TypeAdapter(FileTable).validate_json(json.dumps(known, default=str))  # of JSON alone tables are taken strictly
    except ValidationError as problems:
        found = {_place(problem["loc"], raw): problem for problem in problems.errors()}  # of one place the last
        for at, problem in found.items():
            inside = any(other[: len(at)] == at and len(other) > len(at) for other in found)
            if not inside:
                yield _problem(at, problem, path)


def _place(steps: Place, raw: Any) -> Place:
    """Return the place in the file of a problem: its steps without the kinds of value that were tried there."""
    path: list[str | int] = []
    here: Any = raw
    for step in steps:
        known = step in here if isinstance(here, dict) else isinstance(here, list) and isinstance(step, int)
        if known:
            here = here[step]
        elif not isinstance(here, dict) or step != steps[-1] or _tried(step):
            continue
        path.append(step)
    return tuple(path)


def _tried(step: str | int) -> bool:
    return step in _TRIED or str(step).startswith("list[")


def _problem(at: Place, problem: Mapping[str, Any], path: Path) -> UsageError:
    """Return what is wrong at a place, in a sentence of ours."""
    if problem["type"] == "unexpected_keyword_argument":
        tables = [step for step in at[:-1] if step in TABLES]
        known, key = _keys(TABLES[str(tables[-1])] if tables else FileTable), str(at[-1])
        where = f"{path.name}: {_written(at[:-1])}".rstrip(": ")
        return UnknownName(f"key in {where}:", key, nearest(key, known), "known: " + ", ".join(known))
    where = f"{path.name}: {_written(at)}"
    if problem["type"] == "missing":
        return InvalidValue(where, "given", None)
    return InvalidValue(where, _rule(at), problem["input"])


def _keys(table: type[Any]) -> tuple[str, ...]:
    return tuple(_key(f.name) for f in fields(table))


def _rule(at: Place) -> str:
    """Return what a value at a place in the file must be."""
    key = next((step for step in reversed(at) if isinstance(step, str)), "")
    kinds = {_key(f.name): str(f.type).removesuffix(" | None") for f in fields(FileTable)}
    if key in TABLES and isinstance(at[-1], int):
        return "a table, or a condition" if key == "assert" else "a table"
    return _RULES.get(key) or _KINDS.get(kinds.get(key, ""), "a text")


def _written(at: Sequence[str | int]) -> str:
    """Write a place: ``scenario[1].assert[0].for``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at).removeprefix(".")


def placed(problem: Exception, place: str) -> UsageError:
    """Return a problem of a field told with the place of the field in a file, ``plan.toml: scenario[1].``."""
    if type(problem) is InvalidValue:
        return InvalidValue(f"{place}{problem.field}".rstrip("."), problem.rule, problem.value, problem.hint)
    if isinstance(problem, UnknownName):
        kind, _, inner = problem.kind.rstrip(":").partition(" in ")
        listing = str(problem).rpartition(" (")[2].removesuffix(")")
        return UnknownName(f"{kind} in {f'{place}{inner}'.rstrip('.: ')}:", problem.name, problem.nearest, listing)
    return UsageError(f"{place.rstrip('.: ')}: {problem}")


def listed(value: Any) -> list[Any]:
    """Return what may be one or several as a list."""
    return [] if value is None else value if isinstance(value, list) else [value]
