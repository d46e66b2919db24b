"""Small machines of the registry as the boards that the equations of small machines know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsysim.models import NetworkSpec
from mlsysim.scenario import Scenario

if TYPE_CHECKING:
    from mlsysim.evidence.boards import Board, Core
    from mlsysim.evidence.edge_rows import EdgeRun, TinyRun

_CALLED = {
    "riscv-rv32imc": "esp-riscv-c3",
    "riscv-rv32imac": "esp-riscv-c3",
    "riscv-rv32imafc": "esp-riscv-p4",
    "cortex-m0+": "cortex-m0",
}
"""Kinds of cores as the table of boards calls them, by generation."""


def small_run(scenario: Scenario) -> EdgeRun | TinyRun | None:
    """Return what runs on a microcontroller or on the cores of a phone or board, None where it is neither.

    One sample at a time: a batch takes as often as long.
    """
    hardware, model = scenario.hardware, scenario.model
    if not isinstance(model, NetworkSpec) or scenario.phase != "forward" or hardware.kind not in {"mcu", "cpu"}:
        return None
    from mlsysim.evidence.boards import DEFAULT_BANDWIDTH, cores
    from mlsysim.evidence.edge_rows import EdgeRun, TinyRun

    core = cores().get(_CALLED.get(hardware.generation, hardware.generation))
    clock = hardware.clocks.get("boost") or hardware.clocks.get("base")
    if core is None or clock is None:
        return None
    int8 = scenario.precision == "int8"
    if hardware.kind == "mcu":
        return TinyRun(model, _board(hardware.name, core, clock.value, 1, 0.0), "int8" if int8 else "fp32", "")
    count = int(hardware.units.value) if hardware.units else 4
    known = hardware.bandwidth.value if hardware.bandwidth else DEFAULT_BANDWIDTH.get(core.group, 1e10)
    return EdgeRun(
        model, _board(hardware.name, core, clock.value, count, known), "int8" if int8 else "float", "ncnn-cpu"
    )


def _board(name: str, core: Core, clock_hz: float, count: int, bandwidth: float) -> Board:
    from mlsysim.evidence.boards import Board

    return Board(name, core, clock_hz, count, count, 1.0, 1.0, bandwidth)
