"""The equations of the efficiency model, one module each: what a run takes, from physics and a few parameters.

Every module has ``NAMES``, the parameters it takes; ``case``, which turns a run into its numbers; and ``seconds``,
which works on floats and on arrays alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType


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
