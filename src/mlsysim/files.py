"""Files: fields read from TOML, YAML or JSON with bounds, and content written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from mlsysim.errors import InvalidValue, MissingExtra

LARGEST_BYTES = 8_000_000
"""No configuration or spec is larger; the usual one has some kilobytes."""


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


def read_whole(path: Path, field: str = "model") -> bytes:
    """Read a file of moderate size.

    Raises
    ------
    InvalidValue
        Missing, unreadable or too large.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise InvalidValue(field, f"a configuration of at most {LARGEST_BYTES / 1e6:g} MB", str(path))
        return path.read_bytes()
    except OSError as problem:
        raise InvalidValue(field, "a file that can be read", str(path), problem.strerror or "") from None


def read_json(path: Path, field: str = "model") -> dict[str, Any]:
    """Read a JSON object of moderate size.

    Raises
    ------
    InvalidValue
        Missing, unreadable, too large, or no JSON object.
    """
    content = read_whole(path, field)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as problem:
        why = f"line {problem.lineno}: {problem.msg}" if isinstance(problem, json.JSONDecodeError) else "not UTF-8 JSON"
        raise InvalidValue(field, "a JSON file", str(path), why) from None
    if not isinstance(found, dict):
        raise InvalidValue(field, "a JSON object", str(path), f"it holds a {type(found).__name__}")
    return found


def read_fields(path: Path, field: str = "model") -> dict[str, Any]:
    """Read the fields of a TOML, YAML or JSON file, by its ending.

    Raises
    ------
    InvalidValue, MissingExtra
        Missing, unreadable, too large, or not of that form; YAML without its library.
    """
    if path.suffix.lower() == ".json":
        return read_json(path, field)
    try:
        text = read_whole(path, field).decode()
    except UnicodeDecodeError:
        raise InvalidValue(field, "a text file", str(path), "it is not UTF-8") from None
    found = _toml(path, text, field) if path.suffix.lower() == ".toml" else _yaml(path, text, field)
    if not isinstance(found, dict):
        raise InvalidValue(field, "a file of fields", str(path), f"it holds a {type(found).__name__}")
    return found


def _toml(path: Path, text: str, field: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise InvalidValue(field, "a TOML file", str(path), str(problem)) from None


def _yaml(path: Path, text: str, field: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise MissingExtra("pyyaml", "models", f"reading {path.name}") from None
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as problem:
        raise InvalidValue(field, "a YAML file", str(path), str(problem).replace("\n", " ")) from None
