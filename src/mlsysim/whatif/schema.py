"""The JSON Schema of scenario files, by which editors complete and check them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlsysim.whatif.file_tables import SCHEMA, FileTable


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of scenario files: keys with descriptions, words to choose from."""
    from pydantic import TypeAdapter

    found = TypeAdapter(FileTable).json_schema(by_alias=True)
    head = {
        SCHEMA: "https://json-schema.org/draft/2020-12/schema",
        "title": "Scenario file of mlsysim",
    }
    found["$defs"] |= _tables()
    section = found["$defs"]["SectionTable"]["properties"]
    for name, schema in section.items():
        section[name] = _with_words(name, _clean(schema))
    found["properties"] = {**found["properties"], **section}  # docstrings of what is inherited are not found there
    found["properties"][SCHEMA] = {"type": "string", "description": "Where this schema is, for editors of JSON."}
    found["properties"]["scenario"] = _clean(found["properties"]["scenario"])
    reduction = found["$defs"]["ReductionTable"]
    reduction["oneOf"] = [{"required": [kind]} for kind in ("top", "pareto", "quantiles", "summary")]
    for name in ("AssertionTable", "ReductionTable"):
        found["$defs"][name]["properties"] = {
            key: _clean(schema) for key, schema in found["$defs"][name]["properties"].items()
        }
    return {**head, **{key: value for key, value in found.items() if key not in head}, "examples": [EXAMPLE]}


def _clean(schema: Any) -> Any:
    """Return a schema without titles that say the key again, without null, and with the tables by name."""
    if isinstance(schema, list):
        return [_clean(part) for part in schema if part != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "object" and schema.get("additionalProperties") is True:
        return {"$ref": "#/$defs/Table"}
    kept = {key: _clean(value) for key, value in schema.items() if key not in {"title", "default"}}
    options = kept.get("anyOf")
    return {**{k: v for k, v in kept.items() if k != "anyOf"}, **options[0]} if options and len(options) == 1 else kept


def _with_words(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a field with the words that an editor may offer."""
    words = dict(_words()).get(name)
    if words is None:
        return schema
    closed, listed = words
    one: dict[str, Any] = {"enum": listed} if closed else {"anyOf": [{"enum": listed}, {"type": "string"}]}
    return {
        **{key: value for key, value in schema.items() if key != "anyOf"},
        "anyOf": [one, {"type": "array", "items": one}],
    }


def _words() -> Iterator[tuple[str, tuple[bool, list[str]]]]:
    """Yield the words that fields are chosen from, and whether there are no others."""
    from mlsysim.hardware import Hardware
    from mlsysim.models import Models
    from mlsysim.models.work import PHASES
    from mlsysim.sweep.quantities import QUANTITIES
    from mlsysim.workload.modifiers import RECOMPUTE

    models = list(Models)
    yield "model", (False, models)
    yield "models", (False, models)
    yield "draft", (False, ["mtp", *models])
    yield "hardware", (False, list(Hardware))
    yield "phase", (True, [*PHASES, "prefill"])
    yield "recompute", (True, list(RECOMPUTE))
    yield "freeze", (True, ["encoder", "body"])
    yield "precision", (False, ["fp32", "bf16", "fp16", "fp8", "int8", "fp4", "int4", "w4a16", "w8a8", "w4a16kv8"])
    yield "keep", (True, list(QUANTITIES))


def _tables() -> Mapping[str, Any]:
    """Return the schemas of the tables that stand in place of a number."""
    end = {"type": ["number", "string"]}
    ends = {"from": end, "to": end}

    def table(description: str, properties: Mapping[str, Any], required: list[str]) -> dict[str, Any]:
        return {
            "type": "object",
            "description": description,
            "properties": dict(properties),
            "required": required,
            "additionalProperties": False,
        }

    def numbers(count: int) -> dict[str, Any]:
        return {"type": "array", "items": end, "minItems": count, "maxItems": count}

    steps = {"step": "Numbers this far apart.", "factor": "Each number this many times the last.", "count": "So many."}
    ranges = [table(said, {**ends, key: end}, ["from", "to", key]) for key, said in steps.items()]
    run = {"type": "string"}
    return {
        "Table": {
            "anyOf": [
                *ranges,
                table(
                    "A calibration by its name (`mlsysim calibrations`) or file.", {"calibration": run}, ["calibration"]
                ),
                table(
                    "The log of a run, relative to this file; and of which model and device, where several are asked.",
                    {"log": run, "model": run, "hardware": run},
                    ["log"],
                ),
                table(
                    "Between two numbers in 90 % of cases.",
                    {"low": end, "high": end, "median": end},
                    ["low", "high"],
                ),
                table("Normal: mean and standard deviation.", {"normal": numbers(2)}, ["normal"]),
                table("As likely anywhere between two numbers.", {"uniform": numbers(2)}, ["uniform"]),
                table("Least, most likely and most.", {"triangular": numbers(3)}, ["triangular"]),
            ]
        },
    }


EXAMPLE: Mapping[str, Any] = {
    "name": "chat",
    "model": "llama-3.1-8b",
    "hardware": ["h100", "l40s"],
    "phase": "decode",
    "batch_size": "1..64*2",
    "context": 4096,
    "usd_per_hour": "2.5 USD/h",
    "assert": [
        "tpot_s < 50 ms",
        {"that": "usd_per_million < 1", "for": "any", "why": "the price that was promised"},
    ],
    "reduce": [{"top": 3, "by": "usd_per_million", "where": "tpot_s < 50 ms"}],
}
"""A file as JSON."""
