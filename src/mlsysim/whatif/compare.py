"""One question on several devices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from mlsysim.engine import Engine
from mlsysim.errors import Checks, InvalidValue
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
    checks = Checks()
    results = [checks(partial(Engine.solve, model, hardware, **question)) for hardware in on]
    checks.done()
    return tuple(result for result in results if result)
