"""One inference by a hand-written library (ncnn) on the cores of a phone, board or desktop, or on its GPU.

Work is counted by kind of operator, each at its share of what the core's lanes allow: 3x3 convolutions of stride 1
by Winograd's algorithm (Lavin and Gray, arXiv:1509.09308), others as matrix products, depthwise ones far below. What
operators read and write moves at the bandwidth of a core, weights of linear layers at that of the board.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from mlsysim.efficiency.case import Case
from mlsysim.evidence.edge_rows import EdgeRun
from mlsysim.models.network import Layer, NetworkSpec
from mlsysim.physics.elementwise import Real
from mlsysim.setup import Setup

NAMES = (
    "edge.scale",
    "edge.winograd",
    "edge.product",
    "edge.depthwise",
    "edge.narrow",
    "edge.half",
    "edge.int8",
    "edge.int8_winograd",
    "edge.traffic",
    "edge.int8_traffic",
    "edge.transform",
    "edge.loose",
    "edge.memory",
    "edge.layer",
    "edge.wait",
    "edge.serial",
    "edge.slow",
)
ARRAYS = ("batch_size",)
PRODUCTS = ("conv", "depthwise", "linear", "matmul")
MOVED = ("conv", "linear", "matmul")
"""Products whose elements count by themselves; a depthwise convolution does little beside moving them."""
TILES = (2, 4, 6)
"""Sides of the tiles of results in ncnn's kernels of Winograd's algorithm."""
LINES = 64
"""Columns of a product of which half reach their rate where ``edge.narrow`` is 1."""


class Work(NamedTuple):
    """What one sample takes, by kind of operator: multiply-accumulates, elements, parameters and operators.

    ``winograd`` are the multiplications that Winograd's algorithm leaves of 3x3 convolutions, ``transformed`` their
    elements; ``narrow`` multiply-accumulates over the pixels of the output, which are few in late layers; ``linear``
    the parameters of linear layers; ``loose`` the elements of operators that are no products.
    """

    winograd: float
    product: float
    depthwise: float
    narrow: float
    elements: float
    linear: float
    operators: float
    transformed: float
    loose: float


def work(network: NetworkSpec) -> Work:
    """Return the work of one sample; that of a table is counted once."""
    return _work(network.table)


@cache
def _work(table: tuple[Layer, ...]) -> Work:
    def macs(*kinds: str) -> float:
        return float(sum(r.times * r.macs for r in table if r.kind in kinds))

    exact = [r for r in table if by_winograd(r)]
    convolutions = [r for r in table if r.kind == "conv"]
    return Work(
        sum(r.times * r.macs * left(pixels(r)) for r in exact),
        macs("conv") - sum(r.times * r.macs for r in exact),
        macs("depthwise"),
        sum(r.times * r.macs * LINES / pixels(r) for r in convolutions),
        elements([r for r in table if r.kind in MOVED]),
        float(sum(r.times * r.parameters for r in table if r.kind in {"linear", "matmul"})),
        float(sum(r.times for r in table)),
        elements(exact),
        elements([r for r in table if r.kind not in PRODUCTS]),
    )


def elements(table: list[Layer]) -> float:
    """Return the elements that operators read and write."""
    return float(sum(r.times * (r.input_elements + r.output_elements) for r in table))


def pixels(layer: Layer) -> float:
    """Return the pixels of a convolution's output: elements over channels, which are parameters over depth."""
    depth = layer.macs / layer.output_elements
    return max(layer.output_elements * depth / layer.parameters, 1.0)


def left(area: float) -> float:
    """Return the share of multiplications that Winograd's algorithm leaves, with the best tile for a square image.

    A tile of m x m results takes (m + 2)^2 multiplications for 9 m^2; tiles at the border are computed in full.
    """
    side = math.sqrt(area)
    return min((math.ceil(side / m - 1e-6) * (m + 2)) ** 2 / (9 * area) for m in TILES)


def by_winograd(layer: Layer) -> bool:
    """Return whether an operator is a 3x3 convolution of stride 1: its input has as many pixels as its output.

    With another kernel or stride the two differ by a square factor; with few channels Winograd's does not pay.
    """
    if layer.kind != "conv" or not layer.macs:
        return False
    channels = layer.macs / layer.output_elements / 9.0
    return channels >= 8 and 0.8 < layer.input_elements / channels / pixels(layer) < 1.25


def case(question: EdgeRun, setup: Setup) -> Case:  # noqa: ARG001  # equations share a signature
    """Return a run as the numbers of the equation."""
    w, b = work(question.network), question.board
    int8 = question.precision == "int8"
    x = {
        "rate": b.core.macs * b.clock_hz,
        "clock": b.clock_hz,
        "threads": float(b.cores),
        "excess": math.log(b.threads / b.cores),
        "drag": -math.log(b.slowest),
        "bandwidth": b.bandwidth,
        "half": float(b.core.half and not int8),
        "int8": float(int8),
        "bytes": 1.0 if int8 else 2.0 if b.core.half or b.core.group.startswith("arm") else 4.0,
        **{f"w_{k}": v for k, v in w._asdict().items()},
    }
    group, precision = b.core.group, question.precision
    part = "gpu" if group.startswith("gpu") else "cpu"
    levels = {
        "core": b.core.name,
        "core_class": group,
        "board": f"{b.name} {part}",
        "dot": "dot" if b.core.dot else "plain",
        "class_precision": f"{group} {precision}",
        "core_precision": f"{b.core.name} {precision}",
    }
    return Case("edge", x, levels)


def seconds(x: Mapping[str, Real], p: Mapping[str, Real]) -> Any:
    """Return the time of one sample [s]."""
    lanes = x["rate"] * p["edge.half"] ** x["half"]
    exact = 1.0 / (p["edge.int8_winograd"] ** x["int8"])
    other = 1.0 / (p["edge.int8"] ** x["int8"])
    arithmetic = (
        (x["w_winograd"] / p["edge.winograd"] + x["w_transformed"] * p["edge.transform"]) * exact
        + (x["w_product"] + x["w_narrow"] * p["edge.narrow"]) * other / p["edge.product"]
        + x["w_depthwise"] * other / p["edge.depthwise"]
    ) / lanes
    passed = x["w_elements"] + x["w_loose"] * p["edge.loose"]
    moved = passed * p["edge.traffic"] * p["edge.int8_traffic"] ** x["int8"] / x["clock"]
    more = x["threads"] - 1.0
    speedup = x["threads"] / (1.0 + more * p["edge.serial"])
    body = (arithmetic + moved) / speedup * (1.0 + p["edge.slow"] * x["drag"])
    read = x["w_linear"] * x["bytes"] / (x["bandwidth"] * p["edge.memory"])
    calls = x["w_operators"] * (p["edge.layer"] * 2e9 / x["clock"] + p["edge.wait"] * more * (1.0 + 10.0 * x["excess"]))
    return p["edge.scale"] * (body + read + calls)
