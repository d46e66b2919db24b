"""What is asked of a model, checked: the phase, its sizes, its precision, and what modifies the plain step."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self, TypedDict

from mlsysim.errors import Checks, InvalidValue, UnknownName
from mlsysim.models import Models, ModelSpec, NetworkSpec, Sizes, Speculation, TransformerSpec, Work, lower
from mlsysim.models.check import Check, checked
from mlsysim.models.conventions import flops_by_convention
from mlsysim.models.network import DENOISING
from mlsysim.models.work import PHASES, adapter_parameters
from mlsysim.physics import memory
from mlsysim.precision import parse_precision, roles
from mlsysim.registry import nearest
from mlsysim.results import Note
from mlsysim.units import parse, whole

DEFAULT_TOKENS = 2048
"""Prompt, training sequence or cached context of a language model where none is given [tokens]."""
DEFAULT_PRECISION = "bf16"
"""Format of a workload for which no device and no file decides it."""
RECOMPUTE = ("none", "selective", "full")
"""What a backward pass computes again: nothing, attention scores (as FlashAttention does), or every block."""
_TRAINED_IN = 2.0
"""Bytes of the narrowest copy of a weight that training computes its update from [B]."""


class Modified(TypedDict, total=False):
    """Questions about a step that is not the plain one; see :class:`Modifiers`."""

    target_len: int | None
    recompute: str | None
    lora_rank: int | None
    draft: object
    draft_tokens: int | None
    acceptance: float | None
    steps: int | None


class Modifiers(NamedTuple):
    """What makes a step other than the plain one, checked.

    ``target_len`` tokens on the decoder's side of a model with encoder; ``recompute`` one of :data:`RECOMPUTE`;
    ``lora_rank`` of low-rank adapters beside frozen weights (0: all is trained); ``speculative`` decoding.
    """

    target_len: int | None = None
    recompute: str = "full"
    lora_rank: int = 0
    speculative: Speculation | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what differs from the plain step, ready for JSON."""
        found: dict[str, Any] = {}
        if self.target_len is not None:
            found["target_len"] = self.target_len
        if self.recompute != PLAIN.recompute:
            found["recompute"] = self.recompute
        if self.lora_rank:
            found["lora_rank"] = self.lora_rank
        if self.speculative:
            s = self.speculative
            draft = s.draft.name if s.draft else "mtp"
            found |= {"draft": draft, "draft_tokens": s.tokens, "acceptance": s.acceptance}
        return found


PLAIN = Modifiers()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A checked question about a model alone. Make one with :meth:`of`; ``defaults`` names all that was not given."""

    model: ModelSpec
    phase: str
    batch_size: int
    seq_len: int | None
    context: int | None
    precision: str
    modifiers: Modifiers = PLAIN
    defaults: Mapping[str, object]

    @classmethod
    def of(
        cls,
        model: object,
        *,
        phase: object = None,
        batch_size: object = None,
        seq_len: object = None,
        context: object = None,
        precision: object = None,
        checks: Checks | None = None,
        **modified: Any,
    ) -> Workload:
        """Check every field and fill in what was not given.

        ``checks`` may hold problems of the caller's own fields: all are told at once.

        Raises
        ------
        UsageError
            One or more fields break a rule.
        """
        check = checks or Checks()
        fields = checked_fields(check, model, None, phase, batch_size, seq_len, context, precision, modified)
        check.done()
        return cls(**fields)

    def replace(self, **changes: Any) -> Self:
        """Return the question with other (already checked) fields."""
        return replace(self, **changes)

    @property
    def value_bytes(self) -> float:
        """Return the bytes an activation takes [B]."""
        return roles(self.precision).activation

    def question_notes(self) -> list[Note]:
        """Return what must be said about the question itself: values not given, limits passed."""
        found = []
        given = ", ".join(f"{name} = {value}" for name, value in self.defaults.items() if name != "devices")
        if given:
            found.append(Note("defaults-used", f"not given, so assumed: {given}"))
        longest, asked = getattr(self.model, "max_context", None), (self.seq_len or 0) + (self.context or 0)
        if longest and asked > longest:
            message = f"{asked:,} tokens are more than the {longest:,} that {self.model.name} was made for"
            found.append(Note("beyond-max-context", message))
        if self.phase == "training" and roles(self.precision).weight < _TRAINED_IN and not self.modifiers.lora_rank:
            message = f"arithmetic in {self.precision}; weights and gradients are kept in 16 bits"
            found.append(Note("training-keeps-16-bits", message))
        return found

    def work(self, *, full_attention: bool = False, absorbed: bool | None = None) -> Work:
        """Return the ledger of one step."""
        return lower(
            self.model,
            self.phase,
            batch_size=self.batch_size,
            seq_len=self.seq_len or 1,
            context=self.context or 0,
            sizes=sizes_of(self.precision),
            target_len=self.modifiers.target_len,
            dequantized=roles(self.precision).dequantized,
            full_attention=full_attention,
            absorbed=absorbed,
            lora_rank=self.modifiers.lora_rank,
            speculative=self.modifiers.speculative,
        )

    def check(self, work: Work) -> Check:
        """Return a second count of the FLOPs of ``work``, where there is a formula for this question."""
        if self.modifiers.speculative:
            return Check(None, None, None)
        return checked(
            self.model,
            self.phase,
            work,
            batch_size=self.batch_size,
            seq_len=self.seq_len or 1,
            context=self.context or 0,
            target_len=self.modifiers.target_len,
            lora_rank=self.modifiers.lora_rank,
        )

    def flops_by_convention(self) -> dict[str, float]:
        """Return the FLOPs of a step under each convention that they are counted by."""
        training = self.phase == "training" and isinstance(self.model, TransformerSpec)
        recompute = self.modifiers.recompute if training else "none"
        return flops_by_convention(
            self.work(), self.work(full_attention=True), recompute, bool(self.modifiers.lora_rank)
        )

    def memory_bytes(self) -> dict[str, float]:
        """Return the bytes held by purpose, whatever the hardware [B]."""
        return bytes_needed(
            self.model,
            self.phase,
            self.precision,
            self.batch_size,
            self.seq_len or 1,
            self.context or 0,
            self.modifiers,
        )


def sizes_of(precision: str) -> Sizes:
    """Return the bytes of a value in each role [B]; training computes with copies of 16 bits at least."""
    r = roles(precision)
    gradient = r.copy if r.gradient is None else r.gradient
    return Sizes(r.activation, r.weight, r.cache, r.copy, gradient, r.state)


def bytes_needed(
    model: ModelSpec,
    phase: str,
    precision: str,
    batch_size: int,
    seq_len: int,
    context: int,
    modifiers: Modifiers = PLAIN,
) -> dict[str, float]:
    """Return the bytes that a step holds, by purpose [B].

    ``weights``, ``kv_cache`` (recurrent states too), ``activations`` that outlive an operator, ``workspace`` of the one
    at work, and in training ``gradients`` and ``optimizer`` states.
    """
    r = roles(precision)
    if phase == "training":
        return _training_bytes(model, r, batch_size, seq_len, modifiers)
    held = {"weights": model.parameters * r.weight}
    if isinstance(model, NetworkSpec):
        held["activations"] = model.widest_elements * batch_size * r.activation
        return held
    decode = phase == "decode"
    new, cached = (1, context + 1) if decode else (model.tokens or seq_len, model.tokens or seq_len)
    if model.encoder:
        source = model.encoder.tokens or seq_len
        kept = model.cached_elements(cached if decode else 1) + model.source_cache * source
        widest = max(model.live_elements, 0 if decode else model.encoder.live_elements * source)
        held["kv_cache"], held["activations"] = batch_size * kept * r.cache, batch_size * widest * r.activation
        return held
    kv = model.cached_elements(cached) if model.decodes else 0
    held["kv_cache"] = batch_size * kv * r.cache
    drafted = modifiers.speculative
    if drafted and drafted.draft:
        held["weights"] += drafted.draft.parameters * r.weight
        held["kv_cache"] += batch_size * drafted.draft.cached_elements(cached) * r.cache
    elif drafted and model.mtp_stack:
        held["weights"] += model.mtp * model.mtp_stack.stack_parameters * r.weight
        held["kv_cache"] += batch_size * model.mtp * model.mtp_stack.cached_elements(cached) * r.cache
    held["activations"] = batch_size * new * model.live_elements * r.activation
    return held


def _training_bytes(model: ModelSpec, r: Any, batch_size: int, seq_len: int, modifiers: Modifiers) -> dict[str, float]:
    trained, frozen = float(model.parameters), 0.0
    if modifiers.lora_rank and isinstance(model, TransformerSpec):
        trained, frozen = adapter_parameters(model, modifiers.lora_rank), float(model.parameters)
    gradient = r.copy if r.gradient is None else r.gradient
    held = {
        "weights": frozen * r.weight + trained * r.copy,
        "gradients": trained * gradient,
        "optimizer": trained * r.state,
    }
    size = max(r.activation, _TRAINED_IN)
    if isinstance(model, NetworkSpec):
        held["activations"] = model.output_elements * batch_size * size
        return held
    stacks = [(model, model.tokens or seq_len)]
    if model.encoder:
        stacks = [(model, modifiers.target_len or seq_len), (model.encoder, model.encoder.tokens or seq_len)]  # type: ignore[list-item]
    kept = workspace = 0.0
    for stack, length in stacks:
        if modifiers.recompute == "full":
            kept += length * memory.checkpoint_elements(stack.hidden, stack.layers)
            workspace = max(workspace, length * stack.kept_elements / stack.layers)
        else:
            kept += length * stack.kept_elements
            if modifiers.recompute == "none":
                kept += memory.score_elements(length, stack.attention_heads)
    held["activations"] = batch_size * kept * size
    held["workspace"] = batch_size * workspace * size
    return held


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
    tokens = given("seq_len", seq_len, DEFAULT_TOKENS, whole) if "seq_len" in used else None
    cached = given("context", context, DEFAULT_TOKENS, whole) if "context" in used else None
    stored = getattr(the_model, "precision", "") or default_precision or DEFAULT_PRECISION
    chosen = given("precision", precision, stored, parse_precision)
    found = PLAIN
    if the_model is not None and the_phase is not None:
        check(_refuse_lengths, the_model, the_phase, seq_len, context)
        check(_refuse_decode, the_model, the_phase)
        the_model, found = _modifiers(check, the_model, the_phase, modified)
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


def used_lengths(model: ModelSpec, phase: str) -> tuple[str, ...]:
    """Return the lengths that a question about this model and phase is put in, of ``seq_len`` and ``context``."""
    if isinstance(model, NetworkSpec):
        return ()
    source = () if model.fixed else ("seq_len",)
    if phase == "decode":
        return (*(source if model.encoder else ()), "context")
    return source


def model_of(model: object) -> ModelSpec:
    """Return the spec itself, the registered model of that name, or what a file or folder describes.

    Raises
    ------
    UnknownName, InvalidValue
        No such model; or neither a name nor a spec nor a file that can be read.
    """
    if isinstance(model, (TransformerSpec, NetworkSpec)):
        return model
    if isinstance(model, os.PathLike) or (isinstance(model, str) and model not in Models and _is_path(model)):
        from mlsysim.models.importers import load_model

        return load_model(model)
    if isinstance(model, str) and model not in Models and model not in Models.others():
        from mlsysim.hardware import Hardware

        if model in Hardware:
            raise InvalidValue("model", "the name of a model", model, "that is hardware: are the two swapped?")
    return Models[model]  # type: ignore[index]


_FILES = (".json", ".gguf", ".safetensors", ".onnx", ".toml", ".yaml", ".yml", ".bin", ".pt", ".pth", ".ckpt", ".h5")


def _is_path(text: str) -> bool:
    return text.startswith((".", "/", "~")) or text.lower().endswith(_FILES) or os.path.exists(text)  # noqa: PTH110


def phase_of(phase: object, field: str = "phase") -> str:
    """Return the canonical phase; ``prefill`` and ``inference`` are other words for ``forward``.

    Raises
    ------
    UnknownName
        Not one of the phases.
    """
    words = {**{p: p for p in PHASES}, "prefill": "forward", "inference": "forward", "train": "training"}
    key = str(phase).lower()
    if key not in words:
        raise UnknownName(field, str(phase), nearest(key, words), "known: " + ", ".join(PHASES))
    return words[key]


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


def _modifiers(
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
    target = take("target_len", encoded, f"for {model.name}, which has no encoder", whole)
    if target:
        found["target_len"] = target
    recompute = take("recompute", training and sequence, "outside training of a sequence model", _recompute)
    if recompute:
        found["recompute"] = recompute
    rank = take("lora_rank", training and sequence, "outside training of a sequence model", whole)
    if rank:
        found["lora_rank"] = rank
    found["speculative"] = _speculative(check, model, phase, given)
    return model, Modifiers(**found)


def _recompute(value: object, field: str) -> str:
    if value not in RECOMPUTE:
        raise UnknownName(field, str(value), nearest(str(value), RECOMPUTE), "known: " + ", ".join(RECOMPUTE))
    return str(value)


def _speculative(check: Checks, model: ModelSpec, phase: str, given: Mapping[str, Any]) -> Speculation | None:
    asked = {name: given[name] for name in ("draft", "draft_tokens", "acceptance") if name in given}
    if not asked:
        return None
    if not isinstance(model, TransformerSpec) or phase == "forward" or (phase == "training" and "draft" not in asked):
        for name, value in asked.items():
            check.add(InvalidValue(name, "left out outside decode", value))
        return None
    draft: Any = check(_draft, given.get("draft", "mtp"), model)
    if phase == "training":
        return Speculation(model.mtp, 1.0)
    tokens: Any = check(whole, given.get("draft_tokens", model.mtp or 4), "draft_tokens")
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
