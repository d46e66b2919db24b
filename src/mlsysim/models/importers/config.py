"""A ``config.json`` as published with a model: read with the standard library, nothing is fetched, nothing is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.models.importers import decoders, encoders, hybrids
from mlsysim.models.importers.families import ALIKE
from mlsysim.models.importers.fields import Fields
from mlsysim.models.importers.quantization import quantization
from mlsysim.models.spec import TransformerSpec
from mlsysim.registry import nearest, read_table

LANGUAGE_ALONE = "the language model alone; towers for images or sound are left out"
"""What the note of a spec begins with that is part of a larger model."""
BUILDERS = {**decoders.BUILDERS, **hybrids.BUILDERS, **encoders.BUILDERS}
SIZES = {
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "hidden_size": ("n_embd", "d_model"),
    "num_attention_heads": ("n_head", "n_heads"),
    "intermediate_size": ("n_inner", "ffn_dim", "ffn_hidden_size", "d_ff"),
    "vocab_size": ("padded_vocab_size",),
}
"""What every transformer states, and how else it is spelled."""


def name_of(path: Path) -> str:
    """Return what a model is called by where its configuration lies: its file, or for ``config.json`` the folder.

    A folder of the Hugging Face cache, ``models--<owner>--<name>/snapshots/<hash>``, has the name further up.
    """
    if path.name != "config.json":
        return path.stem
    folder = path.absolute().parent
    if folder.parent.name == "snapshots":
        folder = folder.parents[1]
    return folder.name.rpartition("--")[2] or path.stem


def spec_of(config: Mapping[str, Any], file: str, name: str) -> TransformerSpec:
    """Return the spec that a configuration describes.

    Raises
    ------
    UnknownName, InvalidValue, Problems
        An architecture that is not known, or fields that break a rule: all told.
    """
    values, note = _text(config)
    inside = values is not config
    family = values.get("model_type")
    family = ALIKE.get(family, family) if isinstance(family, str) else family
    build = BUILDERS.get(family) if isinstance(family, str) else None
    if build is None:
        raise _unknown(values, file)
    fields = Fields(values, file, str(family), usual=_defaults(str(family)) if inside else None)
    spec = build(fields)
    fields.misspelled()
    fields.checks.done()
    if fields.assumed:
        told = ", ".join(f"{name} = {value}" for name, value in fields.assumed.items())
        note += f"; not stated, so as transformers has it for {family}: {told}"
    today = datetime.now(tz=UTC).date().isoformat()
    stored, unknown = quantization(config)
    if unknown:
        note += ("; " if note else "") + unknown
    about: dict[str, Any] = {"title": name, "source": f"the file {file}", "retrieved": today, "note": note}
    return replace(spec, name=name, precision=stored, **about)


def _defaults(family: str) -> dict[str, Any]:
    """Return what a configuration inside another leaves out: it is saved as its difference from its class."""
    rows = read_table("mlsysim.models", "defaults.tsv")
    return {r["field"]: json.loads(r["value"]) for r in rows if r["family"] == family}


def _text(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return the configuration of the language model inside one of several parts."""
    inner = next((config[k] for k in ("text_config", "llm_config") if isinstance(config.get(k), Mapping)), None)
    kind = config.get("model_type")
    if inner is None or (isinstance(kind, str) and kind in BUILDERS):
        towers = isinstance(config.get("vision_config"), Mapping) or isinstance(config.get("audio_config"), Mapping)
        return config, LANGUAGE_ALONE if towers else ""
    kind = inner.get("model_type") or kind
    tied = {k: config[k] for k in ("tie_word_embeddings",) if k in config and k not in inner}
    return {**tied, **inner, "model_type": kind}, LANGUAGE_ALONE


def _unknown(values: Mapping[str, Any], file: str) -> Exception:
    """Say what is known, and of a near architecture which fields it lacks."""
    kind = values.get("model_type")
    known = f"known: {', '.join(sorted(BUILDERS))}"
    if not isinstance(kind, str):
        rule = "the name of an architecture"
        return InvalidValue(f"{file}: model_type", rule, kind, known)
    near = nearest(kind, BUILDERS)
    lacking = [name for name, others in SIZES.items() if not any(values.get(n) is not None for n in (name, *others))]
    if lacking:
        known = f"it lacks {', '.join(lacking)}, which every transformer states; {known}"
    elif near:
        known = f"it states every size that {near[0]} does: set model_type to {near[0]} if it is built alike; {known}"
    return UnknownName(f"model_type in {file}:", kind, near, known)
