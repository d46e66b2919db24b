"""Models that are not packaged: specs in a folder of the project or of the user, and those that plug-ins bring.

The project's folder is ``.mlsysim/models`` below the working directory, the user's ``models`` in the configuration
folder of mlsysim (``~/.config/mlsysim`` on Linux). A file there is a spec or a configuration of any kind that can be
read; its name is the model's. A plug-in is an entry point of the group ``mlsysim.models`` that returns specs when it
is called. They are looked into when a name is not packaged, and never hide one that is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mlsysim.models.spec import ModelSpec

PROJECT = Path(".mlsysim") / "models"
ENDINGS = (".toml", ".yaml", ".yml", ".json", ".gguf", ".safetensors", ".onnx")


def folders() -> list[Path]:
    """Return the folders that hold specs, the project's first."""
    from platformdirs import user_config_dir

    user = Path(os.environ.get("MLSYSIM_CONFIG_DIR") or user_config_dir("mlsysim")) / "models"
    return [folder for folder in (PROJECT, user) if folder.is_dir()]


def files() -> dict[str, Path]:
    """Return the specs of all folders by name; a name in the project's folder hides the user's."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in ENDINGS or (path.is_dir() and (path / "config.json").is_file()):
                found.setdefault(path.stem if path.is_file() else path.name, path)
    return found


def plugged_in() -> Iterator[ModelSpec]:
    """Yield the specs of all plug-ins."""
    from importlib.metadata import entry_points

    for point in entry_points(group="mlsysim.models"):
        yield from point.load()()
