"""The question that a scenario answers, to be asked again with something changed."""

from __future__ import annotations

from typing import Any

from mlsysim.scenario import Scenario

_FIELDS = ("phase", "batch_size", "seq_len", "context", "precision", "devices")


def question_of(scenario: Scenario) -> dict[str, Any]:
    """Return what :meth:`Scenario.of` was asked beside model and hardware: sizes, precision, devices, modifiers."""
    found = {name: getattr(scenario, name) for name in _FIELDS if getattr(scenario, name) is not None}
    return {**found, **scenario.modifiers.to_dict()}
