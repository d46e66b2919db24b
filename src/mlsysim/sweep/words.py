"""Words in one spelling: by whatever of its names a device is called, it is the same device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from mlsysim.errors import UsageError
from mlsysim.hardware import Hardware
from mlsysim.models import Models
from mlsysim.precision import parse_precision
from mlsysim.registry import normal
from mlsysim.workload.named import phase_of

SPELT: Mapping[str, Callable[[Any, str], str]] = {"precision": parse_precision, "phase": phase_of}
"""What finds the one spelling of a word, or says that there is no such word."""


_REGISTRIES: Mapping[str, Any] = {"hardware": Hardware, "model": Models, "draft": Models}


def is_known(name: str, word: str) -> bool:
    """Return whether something is called so: a device, a model, a precision, a phase."""
    if word in _REGISTRIES.get(name, ()):
        return True
    try:
        return name in SPELT and bool(SPELT[name](word, name))
    except UsageError:
        return False


@lru_cache(maxsize=4096)
def canonical(name: str, word: str) -> str:
    """Return the spelling in which a word is compared: the name that the registries know it by, else without case."""
    registry = _REGISTRIES.get(name, ())
    if word in registry:
        return str(registry[word].name)
    try:
        return SPELT[name](word, name) if name in SPELT else normal(word)
    except UsageError:
        return normal(word)
