"""A spec of one's own, in TOML, YAML or JSON: the fields of the spec classes, checked all at once.

Three forms: a plain decoder by its sizes (``layers``, ``heads``, ...: the arguments of
:func:`mlsysim.models.decoder`), a sequence model by its ``blocks``, or a network by its ``table`` of operators. A part
of a block names its ``kind``: attention, latent_attention, state_space, linear_attention, mlp, experts or convolution.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from mlsysim.errors import Checks, InvalidValue, UnknownName
from mlsysim.files import read_fields
from mlsysim.models import parts
from mlsysim.models.network import Layer, NetworkSpec
from mlsysim.models.spec import Block, ModelSpec, Stack, TransformerSpec, decoder
from mlsysim.registry import nearest

PARTS: dict[str, type[Any]] = {
    "attention": parts.Attention,
    "latent_attention": parts.LatentAttention,
    "state_space": parts.StateSpace,
    "linear_attention": parts.LinearAttention,
    "mlp": parts.Mlp,
    "experts": parts.Experts,
    "convolution": parts.Convolution,
}


def load(path: Path) -> ModelSpec:
    """Read a spec.

    Raises
    ------
    InvalidValue, UnknownName, Problems, MissingExtra
        No TOML, YAML or JSON; or fields that are unknown, missing or of the wrong kind, all told with their paths.
    """
    return spec_from(read_fields(path), path)


def spec_from(values: Mapping[str, Any], path: Path) -> ModelSpec:
    """Return the spec that a mapping describes; ``name`` is the file's where it is not stated."""
    checks = Checks()
    given = {"name": path.stem, "source": f"the file {path.name}", **values}
    place = f"{path.name}: "
    if "table" in given:
        rows = _each(given.pop("table"), checks, f"{place}table")
        given["table"] = tuple(_checked(checks, Layer, row, f"{place}table[{i}].") for i, row in enumerate(rows))
        found = _checked(checks, NetworkSpec, given, place)
    elif "blocks" in given:
        given["blocks"] = _blocks(given["blocks"], checks, f"{place}blocks")
        if isinstance(given.get("encoder"), Mapping):
            inner = dict(given["encoder"])
            inner["blocks"] = _blocks(inner.get("blocks"), checks, f"{place}encoder.blocks")
            given["encoder"] = _checked(checks, Stack, inner, f"{place}encoder.")
        found = _checked(checks, TransformerSpec, given, place)
    else:
        found = _decoder(checks, given, place)
    checks.done()
    return found  # type: ignore[no-any-return]


def _each(value: object, checks: Checks, place: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        checks.add(InvalidValue(place, "a list of at least one", value))
        return []
    return value


def _blocks(value: object, checks: Checks, place: str) -> tuple[Any, ...]:
    found = []
    for i, block in enumerate(_each(value, checks, place)):
        here = f"{place}[{i}]."
        if not isinstance(block, Mapping):
            checks.add(InvalidValue(here[:-1], "a group of fields", block))
            continue
        inner = [
            _part(p, checks, f"{here}parts[{k}]")
            for k, p in enumerate(_each(block.get("parts"), checks, f"{here}parts"))
        ]
        found.append(_checked(checks, Block, {**block, "parts": tuple(inner)}, here))
    return tuple(found)


def _part(value: object, checks: Checks, place: str) -> Any:
    if not isinstance(value, Mapping):
        checks.add(InvalidValue(place, "a group of fields", value))
        return None
    kind = value.get("kind")
    if kind not in PARTS:
        checks.add(UnknownName(f"kind in {place}:", str(kind), nearest(str(kind), PARTS), "known: " + ", ".join(PARTS)))
        return None
    return _checked(checks, PARTS[str(kind)], {k: v for k, v in value.items() if k != "kind"}, f"{place}.")


def _checked(checks: Checks, kind: type[Any], values: object, place: str) -> Any:
    """Return a dataclass or named tuple of these values, checked by its annotations; problems are kept."""
    if not isinstance(values, Mapping):
        checks.add(InvalidValue(place.rstrip("."), "a group of fields", values))
        return None
    known = list(kind._fields) if hasattr(kind, "_fields") else [f.name for f in fields(kind)]
    return _built(checks, kind, values, place, known)


def _decoder(checks: Checks, values: Mapping[str, Any], place: str) -> Any:
    own = [n for n, p in inspect.signature(decoder).parameters.items() if p.kind is not p.VAR_KEYWORD]
    shared = [f.name for f in fields(TransformerSpec) if f.name not in {"blocks", "encoder", "front"}]
    return _built(checks, decoder, values, place, [*own, *shared])


def _built(checks: Checks, build: Callable[..., Any], values: Mapping[str, Any], place: str, known: list[str]) -> Any:
    before = len(checks.problems)
    for name in values:
        if name not in known:
            checks.add(
                UnknownName(f"field {place}", str(name), nearest(str(name), known), "known: " + ", ".join(known))
            )
    from pydantic import TypeAdapter, ValidationError

    hints = _hints(build)
    clean: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints or hints[name] is None:
            clean[name] = value
            continue
        try:
            clean[name] = TypeAdapter(hints[name]).validate_python(value, strict=True)
        except ValidationError as problem:
            rule = problem.errors()[0]["msg"].removeprefix("Input should be ")
            checks.add(InvalidValue(f"{place}{name}", rule, value))
    for name, value in clean.items():
        if isinstance(value, int) and not isinstance(value, bool) and value < 0 and (name, value) != ("head", -1):
            checks.add(InvalidValue(f"{place}{name}", "0 or more", value))
    required = [
        n
        for n, p in inspect.signature(build).parameters.items()
        if p.default is p.empty and p.kind is not p.VAR_KEYWORD
    ]
    for name in required:
        if name not in values:
            checks.add(InvalidValue(f"{place}{name}", "given", None))
    return build(**clean) if len(checks.problems) == before else None


def _hints(build: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of plain fields; those that hold checked parts are None."""
    from typing import get_type_hints

    plain = {int, str, bool, float, int | None}
    return {name: hint if hint in plain else None for name, hint in get_type_hints(build).items() if name != "return"}
