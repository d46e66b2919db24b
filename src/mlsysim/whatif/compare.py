"""One question on several devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlsysim.engine import Engine
from mlsysim.errors import InvalidValue, MlsysimError, UsageError, raise_all
from mlsysim.hardware import HardwareSpec
from mlsysim.models import ModelSpec
from mlsysim.results import Result


def compare(model: ModelSpec | str, on: Sequence[HardwareSpec | str], **question: Any) -> tuple[Result, ...]:
    """Solve one question on each device of ``on``; ``question`` takes the fields of :meth:`Engine.solve`.

    Raises
    ------
    UsageError
        A device or a field breaks a rule; the problems of all devices are told at once.
    """
    if not on:
        raise InvalidValue("on", "at least one device", list(on))
    results, problems = [], dict[str, MlsysimError]()
    for hardware in on:
        try:
            results.append(Engine.solve(model, hardware, **question))
        except UsageError as problem:
            problems.setdefault(str(problem), problem)
    raise_all(list(problems.values()))
    return tuple(results)
