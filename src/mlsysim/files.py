"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mlsysim.errors import InvalidValue


def writable_folder(folder: Path, field: str = "folder") -> Path:
    """Make a folder, try that a file can be written into it, and return it.

    Raises
    ------
    InvalidValue
        It cannot be made, or cannot be written into; better said before hours of work than after.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise InvalidValue(field, "a folder that can be written into", str(folder), problem.strerror or "") from None
    return folder


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that whoever reads it finds the old content or the new, never a part; also after a kill."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
