"""Models from their own files: a configuration, weights in safetensors or GGUF, an ONNX graph, a spec, or a folder.

Nothing is fetched, no code of a model is run, no pickle is loaded, and of weights only the headers are read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

from mlsysim.errors import InvalidValue
from mlsysim.models.spec import ModelSpec

Importer: TypeAlias = Callable[[Path], ModelSpec | None]
"""Takes a file; returns its spec, or None where the file is not of its kind. Plug-ins are such functions."""

_HERE = "mlsysim.models.importers"
_BY_SUFFIX = {
    ".json": "json_file",
    ".safetensors": "safetensors_file",
    ".gguf": "gguf_file",
    ".onnx": "onnx_file",
    ".toml": "spec_file",
    ".yaml": "spec_file",
    ".yml": "spec_file",
}
_PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".th"})
_SUPPORTED = (
    "config.json, *.safetensors, *.gguf, *.onnx, a spec in *.toml, *.yaml or *.json, or a folder with one of them"
)
_MAGIC = {b"GGUF": "gguf_file"}


def load_model(path: str | os.PathLike[str]) -> ModelSpec:
    """Read a model from a file or folder.

    Raises
    ------
    InvalidValue, UnknownName, Problems, MissingExtra
        Missing or unreadable; a format or an architecture that is not known; fields that break a rule; a pickle.
    """
    found = Path(path).expanduser()
    if not found.exists():
        raise InvalidValue("model", "the name of a model, or an existing file or folder", str(path))
    for extra in _plugged_in():
        spec = extra(found)
        if spec is not None:
            return spec
    if found.is_dir():
        found = _inside(found)
    if found.suffix.lower() == ".safetensors" and (found.parent / "config.json").is_file():
        found = found.parent / "config.json"  # which says more, and is held to the tensors
    if not found.is_file():
        raise InvalidValue("model", "an ordinary file", str(path))
    if found.suffix.lower() in _PICKLES:
        hint = "a pickle can run any code when it is loaded, and is never opened; give the config.json beside it"
        raise InvalidValue("model", "a file that is no pickle", str(path), hint)
    home = _BY_SUFFIX.get(found.suffix.lower()) or _by_content(found)
    if home is None:
        raise InvalidValue("model", "a file of a known format", str(path), f"supported: {_SUPPORTED}")
    spec = import_module(f"{_HERE}.{home}").load(found)
    assert spec is None or hasattr(spec, "parameters")
    return spec  # type: ignore[no-any-return]


def _inside(folder: Path) -> Path:
    """Return the file of a folder that describes the model: its configuration, else its weights, else its graph."""
    config = folder / "config.json"
    if config.is_file():
        return config
    for pattern in ("*.gguf", "*.safetensors", "*.onnx", "*.toml"):
        files = sorted(folder.glob(pattern))
        first = [f for f in files if "-of-" not in f.name or "-00001-of-" in f.name]
        if len(first) == 1 or (files and pattern == "*.safetensors"):
            return first[0] if first else files[0]
        if len(first) > 1:
            names = ", ".join(f.name for f in first[:5])
            raise InvalidValue(
                "model", f"a folder with one {pattern} file, or the file", str(folder), f"there are {names}"
            )
    raise InvalidValue("model", "a folder with a model", str(folder), f"supported: {_SUPPORTED}")


def _by_content(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return _MAGIC.get(file.read(4))
    except OSError as problem:
        raise InvalidValue("model", "a file that can be read", str(path), problem.strerror or "") from None


@cache
def _plugged_in() -> tuple[Importer, ...]:
    """Return the importers that other packages bring (entry points ``mlsysim.importers``)."""
    from importlib.metadata import entry_points

    return tuple(point.load() for point in entry_points(group="mlsysim.importers"))
