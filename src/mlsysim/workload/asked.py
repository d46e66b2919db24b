"""The fields of a workload, checked: all problems at once, every default named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlsysim.errors import Checks, InvalidValue
from mlsysim.models import ModelSpec, NetworkSpec, TransformerSpec
from mlsysim.precision import parse_precision
from mlsysim.units import whole
from mlsysim.workload.modifiers import PLAIN, Modifiers, checked_modifiers
from mlsysim.workload.named import model_of, phase_of

DEFAULT_TOKENS = 2048
"""Prompt, training sequence or cached context where none is given and the model is made for as many [tokens]."""
DEFAULT_PRECISION = "bf16"
"""Format of a workload for which no device and no file decides it."""


def checked_fields(
    check: Checks,
    model: object,
    default_precision: str | None,
    phase: object,
    batch_size: object,
    seq_len: object,
    context: object,
    precision: object,
    modified: Mapping[str, object],
) -> dict[str, Any]:
    """Return the fields of a :class:`Workload`, each checked; problems are left in ``check``."""
    defaults: dict[str, object] = {}

    def given(field: str, value: object, default: Any, function: Callable[..., Any]) -> Any:
        if value is None:
            defaults[field] = default
            return default
        return check(function, value, field)

    the_model: Any = check(model_of, model)
    the_phase = given("phase", phase, "forward", phase_of)
    batch = given("batch_size", batch_size, 1, whole)
    used = used_lengths(the_model, the_phase) if the_model is not None and the_phase is not None else ()
    usual = min(DEFAULT_TOKENS, getattr(the_model, "max_context", None) or DEFAULT_TOKENS)
    tokens = given("seq_len", seq_len, usual, whole) if "seq_len" in used else None
    cached = given("context", context, usual, whole) if "context" in used else None
    stored = getattr(the_model, "precision", "") or default_precision or DEFAULT_PRECISION
    chosen = given("precision", precision, stored, parse_precision)
    found = PLAIN
    if the_model is not None and the_phase is not None:
        check(_refuse_lengths, the_model, the_phase, seq_len, context)
        check(_refuse_decode, the_model, the_phase)
        the_model, found = checked_modifiers(check, the_model, the_phase, modified)
        found = _usual_modifiers(found, the_model, the_phase, tokens, usual, modified, defaults)
    return {
        "model": the_model,
        "phase": the_phase,
        "batch_size": batch,
        "seq_len": tokens,
        "context": cached,
        "precision": chosen,
        "modifiers": found,
        "defaults": defaults,
    }


def _usual_modifiers(
    found: Modifiers,
    model: ModelSpec,
    phase: str,
    tokens: int | None,
    usual: int,
    modified: Mapping[str, object],
    defaults: dict[str, object],
) -> Modifiers:
    """Name the modifiers that were not given and yet count."""
    if found.speculative:
        drafts = {"draft": "mtp", "draft_tokens": found.speculative.tokens}
        defaults |= {name: value for name, value in drafts.items() if modified.get(name) is None}
    if phase == "training" and isinstance(model, TransformerSpec) and modified.get("recompute") is None:
        defaults["recompute"] = found.recompute
    if getattr(model, "encoder", None) and phase != "decode" and found.target_len is None:
        target = (tokens or usual) if phase == "training" else 1
        defaults["target_len"] = target
        if tokens is None:  # the input fixes its length, and the target has one of its own
            found = found._replace(target_len=target)
    return found


def used_lengths(model: ModelSpec, phase: str) -> tuple[str, ...]:
    """Return the lengths that a question about this model and phase is put in, of ``seq_len`` and ``context``."""
    if isinstance(model, NetworkSpec):
        return ()
    source = () if model.fixed else ("seq_len",)
    if phase == "decode":
        return (*(source if model.encoder else ()), "context")
    return source


def _refuse_lengths(model: ModelSpec, phase: str, seq_len: object, context: object) -> None:
    """Refuse a length that the question does not use; silence would let a reader believe that it counted."""
    used = used_lengths(model, phase)
    for field, value in {"seq_len": seq_len, "context": context}.items():
        if value is None or field in used:
            continue
        if not used:
            hint = f"it takes one {model.sample} at a time and has no tokens to state"
            raise InvalidValue(field, f"left out for {model.name}", value, hint)
        use = "context (tokens already in the cache)" if phase == "decode" else "seq_len (tokens of the prompt)"
        raise InvalidValue(field, f"left out in phase {phase}", value, f"use {use}")


def _refuse_decode(model: ModelSpec, phase: str) -> None:
    if phase == "decode" and not (isinstance(model, TransformerSpec) and model.decodes):
        raise InvalidValue("phase", f"forward or training for {model.name}", phase, "only language models decode")
