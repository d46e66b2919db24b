"""What a trainer of transformers or lightning says of its own training, in the words of a question."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

LENGTHS = ("max_length", "max_seq_length")
"""Fields of trl's ``SFTConfig`` that give the length of a sequence where short ones are packed; else a limit only."""
_FORMATS = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "float64": "fp64"}
_MIXED = {"bf16": "bf16", "16": "fp16", "transformer-engine": "fp8", "32": "fp32", "64": "fp64"}


def transformers_facts(args: Any, model: Any, describe: bool) -> tuple[dict[str, Any], bool]:
    """Return the question that training arguments and a model answer, and whether the trainer counts tokens.

    ``describe`` asks for the model too. The global batch is ``train_batch_size`` (that of a process) x
    ``gradient_accumulation_steps`` x ``world_size``.
    """
    facts: dict[str, Any] = {
        "batch_size": int(args.train_batch_size * args.gradient_accumulation_steps * args.world_size),
        "devices": int(args.world_size * max(1, args.n_gpu)),
        "precision": "bf16" if args.bf16 else "fp16" if args.fp16 else _format_of(model, args.tf32),
        "recompute": "full" if args.gradient_checkpointing else "none",
        "seq_len": _packed_to(args),
    }
    facts["model"] = described(getattr(model, "config", None)) if describe else None
    return facts, getattr(args, "include_num_input_tokens_seen", "no") not in {"no", False}


def lightning_facts(trainer: Any, module: Any, describe: bool) -> dict[str, Any]:
    """Return the question that a lightning trainer and its module answer; ``describe`` asks for the model too."""
    named = str(trainer.precision)
    mixed = next((value for start, value in _MIXED.items() if named.startswith(start)), None)
    inner = next((child for child in module.children() if hasattr(child, "config")), module) if describe else None
    return {
        "devices": int(trainer.world_size),
        "precision": mixed,
        "model": described(getattr(inner, "config", None)) if describe else None,
    }


def described(config: Any) -> Any:
    """Return the spec of a model whose ``config`` is one of transformers; None where there is none.

    Raises
    ------
    UnknownName, InvalidValue, Problems
        An architecture that is not known, or fields that break a rule.
    """
    if not hasattr(config, "to_dict"):
        return None
    from mlsysim.models.importers.config import spec_of

    values = config.to_dict()
    name = str(values.get("_name_or_path") or getattr(config, "_name_or_path", "") or values.get("model_type"))
    return spec_of(values, "the model's config", name.rstrip("/").rpartition("/")[2])


def numbers_in(batch: Any) -> tuple[int, int]:
    """Return the tokens and the samples that a batch holds by its shapes, 0 where it does not say.

    Shapes are known to the host: nothing waits for an accelerator.
    """
    ids = batch.get("input_ids") if isinstance(batch, Mapping) else None
    first = _first_shape(batch if ids is None else ids)
    tokens = math.prod(first) if ids is not None else 0
    return tokens, first[0] if first else 0


def _first_shape(value: Any) -> tuple[int, ...]:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return tuple(int(n) for n in shape)
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return next((found for found in map(_first_shape, value) if found), ())
    return ()


def _packed_to(args: Any) -> int | None:
    """Return the tokens that every sequence is filled up to, if they are."""
    if not getattr(args, "packing", False):
        return None
    return next((n for n in (getattr(args, name, None) for name in LENGTHS) if n), None)


def _format_of(model: Any, tf32: Any) -> str | None:
    """Return the format of the weights, which is that of the arithmetic where nothing is mixed, or tf32."""
    found = _FORMATS.get(str(getattr(model, "dtype", "")).removeprefix("torch."))
    return "tf32" if tf32 and found == "fp32" else found
