"""What an equation sees of a run: numbers that physics gives, and the levels whose parameters it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Case(NamedTuple):
    """One run as the numbers ``x`` of one equation, in SI, and the ``levels`` it belongs to, by factor.

    ``levels`` might be ``{"generation": "hopper", "engine": "vllm"}``: a factor that is left out, or a level that no
    measurement has, takes the value of all.
    """

    equation: str
    x: Mapping[str, float]
    levels: Mapping[str, str]
