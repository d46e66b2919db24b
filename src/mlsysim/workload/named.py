"""Names into what they stand for: a model by its name or file, a phase by any of its words."""

from __future__ import annotations

import os

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.models import Models, ModelSpec, NetworkSpec, TransformerSpec
from mlsysim.models.work import PHASES
from mlsysim.registry import nearest

_FILES = (".json", ".gguf", ".safetensors", ".onnx", ".toml", ".yaml", ".yml", ".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""What the name of a file of a model ends with; what is refused too, so that it is refused as a file."""


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
