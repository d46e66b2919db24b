"""What makes a step other than the plain one: recomputation, adapters, drafted tokens, denoising steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypedDict

from mlsysim.errors import Checks, InvalidValue, UnknownName
from mlsysim.models import ModelSpec, NetworkSpec, Speculation, TransformerSpec
from mlsysim.models.network import DENOISING
from mlsysim.models.training import ALL, Trained
from mlsysim.registry import nearest
from mlsysim.units import parse, whole
from mlsysim.workload.named import model_of

RECOMPUTE = ("none", "selective", "full")
"""What a backward pass computes again: nothing, attention scores (as FlashAttention does), or every block."""
DRAFTED = 4
"""Tokens that are drafted where neither the question nor the model says how many."""


class Modified(TypedDict, total=False):
    """Questions about a step that is not the plain one; see :class:`Modifiers`."""

    target_len: int | None
    recompute: str | None
    lora_rank: int | None
    freeze: str | None
    draft: object
    draft_tokens: int | None
    acceptance: float | None
    steps: int | None


class Modifiers(NamedTuple):
    """What makes a step other than the plain one, checked.

    ``target_len`` tokens on the decoder's side of a model with encoder; ``recompute`` one of :data:`RECOMPUTE`;
    ``trained`` what training trains; ``speculative`` decoding.
    """

    target_len: int | None = None
    recompute: str = "full"
    trained: Trained = ALL
    speculative: Speculation | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what differs from the plain step, ready for JSON."""
        found: dict[str, Any] = {}
        if self.target_len is not None:
            found["target_len"] = self.target_len
        if self.recompute != PLAIN.recompute:
            found["recompute"] = self.recompute
        if self.trained.lora_rank:
            found["lora_rank"] = self.trained.lora_rank
        if self.trained.frozen:
            found["freeze"] = self.trained.frozen
        if self.trained.mtp:
            found["draft"] = "mtp"
        if self.speculative:
            s = self.speculative
            draft = s.draft.name if s.draft else "mtp"
            found |= {"draft": draft, "draft_tokens": s.tokens, "acceptance": s.acceptance}
        return found


PLAIN = Modifiers()


def checked_modifiers(
    check: Checks, model: ModelSpec, phase: str, modified: Mapping[str, object]
) -> tuple[ModelSpec, Modifiers]:
    """Return the model, with other steps where these are asked for, and what else modifies the plain step."""
    given = {name: value for name, value in modified.items() if value is not None}
    unknown = set(given) - set(Modified.__annotations__)
    if unknown:
        raise TypeError(f"unexpected argument {sorted(unknown)[0]!r}")
    if not given:
        return model, PLAIN
    found: dict[str, Any] = {}

    def take(field: str, allowed: bool, rule: str, function: Callable[..., Any], *more: Any) -> Any:
        if field not in given:
            return None
        if not allowed:
            check.add(InvalidValue(field, f"left out {rule}", given[field]))
            return None
        return check(function, given[field], field, *more)

    sequence = isinstance(model, TransformerSpec)
    training = phase == "training"
    denoises = isinstance(model, NetworkSpec) and model.sample == DENOISING
    steps = take("steps", denoises, f"for {model.name}, which has no denoising steps", whole)
    if steps and isinstance(model, NetworkSpec):
        model = replace(model, steps=steps, sample="image")
    encoded = sequence and getattr(model, "encoder", None) is not None
    why = "in decode, which makes one token" if encoded else f"for {model.name}, which has no encoder"
    target = take("target_len", encoded and phase != "decode", why, whole)
    if target:
        found["target_len"] = target
    recompute = take("recompute", training and sequence, "outside training of a sequence model", recompute_of)
    if recompute:
        found["recompute"] = recompute
    rank = take("lora_rank", training and sequence, "outside training of a sequence model", _rank, model)
    frozen = take("freeze", training and sequence, "outside training of a sequence model", _frozen, model)
    if rank and frozen:
        check.add(InvalidValue("freeze", "left out where lora_rank is given, which freezes all but adapters", frozen))
    mtp = training and sequence and take("draft", True, "", _mtp, model) is not None
    found["trained"] = Trained(rank or 0, frozen or "", mtp)
    found["speculative"] = _speculative(check, model, phase, given)
    return model, Modifiers(**found)


def _rank(value: object, field: str, model: TransformerSpec) -> int:
    found = whole(value, field)
    if found > model.hidden:
        raise InvalidValue(field, f"at most {model.hidden}, the hidden size of {model.name}", value)
    return found


def _frozen(value: object, field: str, model: TransformerSpec) -> str:
    parts = [*(["encoder"] if model.encoder else []), *(["body"] if model.outputs else [])]
    if value not in parts:
        known = f"{model.name} has {', '.join(parts) or 'none'}"
        raise UnknownName(field, str(value), nearest(str(value), parts), known)
    return str(value)


def _mtp(value: object, field: str, model: TransformerSpec) -> bool:
    """Return whether the modules that a training step trains beside the model are there."""
    if value != "mtp":
        raise InvalidValue(field, "mtp in training: its own modules are what a model trains beside itself", value)
    return not _draft(value, model)


def recompute_of(value: object, field: str = "recompute") -> str:
    """Return what a backward pass computes again.

    Raises
    ------
    UnknownName
        Not one of :data:`RECOMPUTE`.
    """
    if value not in RECOMPUTE:
        raise UnknownName(field, str(value), nearest(str(value), RECOMPUTE), "known: " + ", ".join(RECOMPUTE))
    return str(value)


def _speculative(check: Checks, model: ModelSpec, phase: str, given: Mapping[str, Any]) -> Speculation | None:
    names = ("draft", "draft_tokens", "acceptance") if phase != "training" else ("draft_tokens", "acceptance")
    asked = {name: given[name] for name in names if name in given}
    if not asked:
        return None
    if not isinstance(model, TransformerSpec) or phase != "decode":
        for name, value in asked.items():
            check.add(InvalidValue(name, "left out outside decode", value))
        return None
    if "draft" not in asked and not model.mtp:
        hint = f"name a smaller model: {model.name} has no modules of its own that draft"
        check.add(InvalidValue("draft", f"given with {' and '.join(asked)}", None, hint))
        return None
    draft: Any = check(_draft, given.get("draft", "mtp"), model)
    tokens: Any = check(whole, given.get("draft_tokens", model.mtp or DRAFTED), "draft_tokens")
    if "acceptance" not in asked:
        hint = "the share of drafted tokens that is kept; measure it, or take 0.6 to 0.9 as a start"
        check.add(InvalidValue("acceptance", "given with a draft", None, hint))
        return None
    acceptance: Any = check(_share, given["acceptance"], "acceptance")
    if check.problems:
        return None
    return Speculation(tokens, acceptance, draft or None)


def _share(value: object, field: str) -> float:
    found = parse(value, "1", field)
    if not 0 < found <= 1:
        raise InvalidValue(field, "in (0, 1]", value)
    return found


def _draft(draft: object, model: TransformerSpec) -> TransformerSpec | bool:
    if draft == "mtp":
        if not model.mtp:
            hint = "name a smaller model"
            raise InvalidValue("draft", f"a model: {model.name} has no multi-token-prediction modules", "mtp", hint)
        return False
    found = model_of(draft)
    if not isinstance(found, TransformerSpec) or not found.decodes:
        raise InvalidValue("draft", "a language model", getattr(found, "name", draft))
    return found
