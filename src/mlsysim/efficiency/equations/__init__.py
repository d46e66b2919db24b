"""The equations of the efficiency model, one module each: what a run takes, from physics and a few parameters.

Every module has ``NAMES``, the parameters it takes; ``ARRAYS``, the fields of a question that may be arrays;
``case``, which turns a run into its numbers; and ``seconds``,
which works on floats and on arrays alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar

from mlsysim.efficiency.case import Case
from mlsysim.models import TransformerSpec, Work
from mlsysim.setup import Setup


class _Equations(Mapping[str, ModuleType]):
    """The modules by name, imported when they are asked for."""

    _loaded: ClassVar[dict[str, ModuleType]] = {}
    _names = ("step", "requests", "training", "networks", "edge", "tinyml")

    def __getitem__(self, name: str) -> ModuleType:
        if name not in self._loaded:
            if name not in self._names:
                raise KeyError(name)
            self._loaded[name] = import_module(f"mlsysim.efficiency.equations.{name}")
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


EQUATIONS = _Equations()


def case_of(question: Any, setup: Setup, work: Work | None = None) -> Case:
    """Return a run as the numbers of its equation; ``work`` of a step where it is known already."""
    name = equation_of(question)
    known = (work,) if name == "step" else ()
    case: Case = EQUATIONS[name].case(question, setup, *known)
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
