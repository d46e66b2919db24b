"""One sample on a microcontroller: multiplications by kind at the rate of a core, and a fixed time a layer.

Nothing overlaps on such a core: cycles of all operators add up. Depthwise convolutions and fully connected layers use
each value they load less often than other convolutions do, and take more cycles a multiplication.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from mlsysim.efficiency.case import Case
from mlsysim.evidence.edge_rows import TinyRun
from mlsysim.models.network import Layer
from mlsysim.physics.elementwise import Real
from mlsysim.setup import Setup

NAMES = (
    "mcu.product",
    "mcu.depthwise",
    "mcu.linear",
    "mcu.layer",
    "mcu.float",
    "mcu.external",
    "mcu.scale",
)
ARRAYS = ("batch_size",)


class Work(NamedTuple):
    """Multiply-accumulates of one sample by kind, and its operators with weights."""

    products: float
    depthwise: float
    linear: float
    layers: float


@cache
def work(table: tuple[Layer, ...]) -> Work:
    """Return the work of a table for one sample."""

    def macs(*kinds: str) -> float:
        return float(sum(r.times * r.macs for r in table if r.kind in kinds))

    depthwise, linear = macs("depthwise"), macs("linear", "matmul")
    products = float(sum(r.times * r.macs for r in table)) - depthwise - linear
    return Work(products, depthwise, linear, float(sum(r.times for r in table if r.parameters)))


def case(question: TinyRun, setup: Setup) -> Case:  # noqa: ARG001  # equations share a signature
    """Return a run as the numbers of the equation."""
    w, board, library = work(question.network.table), question.board, question.library
    x = {
        "products": w.products,
        "depthwise": w.depthwise,
        "linear": w.linear,
        "layers": w.layers,
        "lanes": board.core.macs,
        "clock": board.clock_hz,
        "float": float(question.precision != "int8"),
        "external": float(question.external),
    }
    group = board.core.group
    levels = {
        "core": board.core.name,
        "core_class": group,
        "library": library,
        "core_library": f"{group}/{library}" if library else "",
        "board": board.name,
    }
    return Case("tinyml", x, levels)


def seconds(x: Mapping[str, Real], p: Mapping[str, Real]) -> Any:
    """Return the time of one sample [s]: cycles over the clock."""
    macs = x["products"] + x["depthwise"] / p["mcu.depthwise"] + x["linear"] / p["mcu.linear"]
    cycles = macs / (x["lanes"] * p["mcu.product"]) * p["mcu.float"] ** x["float"] + x["layers"] * p["mcu.layer"]
    return p["mcu.scale"] * p["mcu.external"] ** x["external"] * cycles / x["clock"]
