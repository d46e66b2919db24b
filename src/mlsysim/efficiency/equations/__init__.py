"""The equations of the efficiency model, one module each: what a run takes, from physics and a few parameters.

Every module has ``NAMES``, the parameters it takes; ``case``, which turns a run into its numbers; and ``seconds``,
which works on floats and on arrays alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from mlsysim.efficiency.case import Case
from mlsysim.models import TransformerSpec
from mlsysim.setup import Setup


class _Equations(Mapping[str, ModuleType]):
    """The modules by name, imported when they are asked for."""

    _names = ("step", "requests", "training", "networks", "edge", "tinyml")

    def __getitem__(self, name: str) -> ModuleType:
        if name not in self._names:
            raise KeyError(name)
        return import_module(f"mlsysim.efficiency.equations.{name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __setitem__(self, name: str, module: ModuleType) -> None:
        """Accept and ignore: experiments register modules that are already found by name."""


EQUATIONS = _Equations()


def case_of(question: Any, setup: Setup) -> Case:
    """Return a run as the numbers of its equation."""
    name = equation_of(question)
    case: Case = EQUATIONS[name].case(question, setup)
    return case


def equation_of(question: Any) -> str:
    """Return the name of the equation that answers a question: by what it is, its phase and its model."""
    kind = type(question).__name__
    if kind in _OTHERS:
        return _OTHERS[kind]
    if isinstance(question.model, TransformerSpec) and question.phase == "training":
        return "training"
    if isinstance(question.model, TransformerSpec) and (question.phase == "decode" or question.model.decodes):
        return "step"
    return "networks"


_OTHERS = {"Requests": "requests", "EdgeRun": "edge", "TinyRun": "tinyml"}
"""Questions that are no scenario, by the name of their type."""
