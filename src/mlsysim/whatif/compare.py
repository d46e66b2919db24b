"""One question on several devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from mlsysim.calibration import Profile
from mlsysim.calibration.question import question_of
from mlsysim.calibration.transfer import changed
from mlsysim.engine import Engine
from mlsysim.errors import Checks, InvalidValue
from mlsysim.hardware import HardwareSpec
from mlsysim.models import ModelSpec
from mlsysim.results import Note, Result

APART = 1.05
"""Ceilings that differ by this factor or more are not the same."""


def compare(model: ModelSpec | str, on: Sequence[HardwareSpec | str] | str, **question: Any) -> tuple[Result, ...]:
    """Solve one question on each device of ``on``, a list or names with commas; a device named twice is asked once.

    ``question`` takes the fields of :meth:`Engine.solve`.

    Raises
    ------
    UsageError
        A device or a field breaks a rule; the problems of all devices are told at once.
    """
    names = on.split(",") if isinstance(on, str) else on
    devices = [name.strip() if isinstance(name, str) else name for name in (() if names is None else names)]
    devices = [device for n, device in enumerate(devices) if device != "" and device not in devices[:n]]
    if not devices:
        raise InvalidValue("on", "at least one device", on)
    checks = Checks()
    results = [checks(partial(Engine.solve, model, hardware, **question)) for hardware in devices]
    checks.done()
    # Two spellings of one device give the same answer.
    return _with_note([result for n, result in enumerate(results) if result and result not in results[:n]])


def compare_calibrated(profile: Profile, on: Sequence[HardwareSpec | str] | str, **changes: Any) -> tuple[Result, ...]:
    """Ask of each device what was measured on one: the main point of a profile, with ``changes`` where any are given.

    Raises
    ------
    UsageError
        As :func:`compare`; or FLOPs were stated in place of a model.
    """
    home = changed(profile.main)
    asked = question_of(home) | {name: value for name, value in changes.items() if value is not None}
    return compare(home.model, on, efficiency=Profile(profile.ordered), **asked)


def _with_note(results: list[Result]) -> tuple[Result, ...]:
    """Say where one stated eta is used for devices whose ceilings differ: that is not what carries over."""
    ceilings = [r.efficiency.ceiling for r in results]
    low, high = min(ceilings), max(ceilings)
    if results[0].efficiency.kind != "assumed" or high < APART * low:
        return tuple(results)
    message = (
        f"one stated eta is used for devices whose ceilings run from {low:.3g} to {high:.3g}; what carries over"
        " is how far a run lies from what is predicted for it: a calibration, moved, gives each device its own eta"
    )
    return tuple(replace(r, notes=(*r.notes, Note("one-eta-for-all", message))) for r in results)
