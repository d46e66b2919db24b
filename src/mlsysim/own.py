"""What is not packaged: files in a folder of the project or of the user, and what plug-ins bring.

The project's folder is ``.mlsysim/KIND`` below the working directory, the user's ``KIND`` in the configuration folder
of mlsysim (``~/.config/mlsysim`` on Linux, or what ``MLSYSIM_CONFIG_DIR`` names); KIND is models or hardware. The name
of a file without its ending is the name of what it holds; the project's hides the user's. A plug-in is an entry point
of the group ``mlsysim.KIND`` that returns specs when it is called. They are looked into when a name is not packaged,
and never hide one that is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mlsysim.errors import InvalidValue

T = TypeVar("T")


def user_folder(kind: str) -> Path:
    """Return the folder of the user that holds specs of a kind; it need not exist."""
    if stated := os.environ.get("MLSYSIM_CONFIG_DIR"):
        return Path(stated) / kind
    from platformdirs import user_config_dir

    return Path(user_config_dir("mlsysim")) / kind


def folders(kind: str) -> list[Path]:
    """Return the folders that hold specs, the project's first."""
    return [folder for folder in (Path(".mlsysim") / kind, user_folder(kind)) if folder.is_dir()]


def files(kind: str, endings: tuple[str, ...]) -> dict[str, list[Path]]:
    """Return the files of each name in the first folder that has it; a folder with a config.json counts as a file."""
    found: dict[str, list[Path]] = {}
    for folder in folders(kind):
        here: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in endings or (path / "config.json").is_file():
                here.setdefault(path.stem if path.is_file() else path.name, []).append(path)
        found = {**here, **found}
    return found


def specs(kind: str, endings: tuple[str, ...], read: Callable[[str, Path], T]) -> dict[str, Callable[[], T]]:
    """Return what builds each spec by name: those of files first, then those of plug-ins."""
    found: dict[str, Callable[[], T]] = {
        name: partial(_one, read, name, paths) for name, paths in files(kind, endings).items()
    }
    for spec in plugged_in(kind):
        found.setdefault(spec.name, partial(_itself, spec))
    return found


def plugged_in(kind: str) -> list[Any]:
    """Return the specs of all plug-ins of a kind."""
    from importlib.metadata import entry_points

    return [spec for point in entry_points(group=f"mlsysim.{kind}") for spec in point.load()()]


def _one(read: Callable[[str, Path], T], name: str, paths: list[Path]) -> T:
    if len(paths) > 1:
        listed = " and ".join(path.name for path in paths)
        raise InvalidValue(f"{paths[0].parent}", f"a folder with one file of the name {name!r}", listed)
    return read(name, paths[0])


def _itself(spec: T) -> T:
    return spec
