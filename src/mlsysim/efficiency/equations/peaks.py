"""Peaks that several equations take, and what a limit of power leaves of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsysim.hardware import HardwareSpec
from mlsysim.physics.elementwise import Real


def sixteen(hardware: HardwareSpec) -> float:
    """Return the peak of 16-bit arithmetic [FLOP/s], 0 where there is none."""
    found = hardware.peaks.get("bf16") or hardware.peaks.get("fp16")
    return found.value if found else 0.0


def per_watt(hardware: HardwareSpec) -> float:
    """Return the 16-bit peak over rated power [FLOP/J], 0 where either is not known."""
    return sixteen(hardware) / hardware.tdp_w.value if hardware.tdp_w else 0.0


def slowing(x: Mapping[str, Real], p: Mapping[str, Real]) -> Any:
    """Return what the power limit multiplies the time of matrix products by.

    At peak they would take ``x["power"] * p["gemm.energy"]`` of the rated power [1], and as much less as their share
    of peak is; that and the limit add as the root of the sum of squares: 1 where an operation's energy is nothing.
    """
    return (1.0 + (p["gemm.eta"] * x["power"] * p["gemm.energy"]) ** 2) ** 0.5
