"""Rows of small machines: ncnn on phones, boards and desktops, one image at a time, and MLPerf Tiny.

The columns are those of inference.csv. How a row was run stands in its notes, apart by semicolons.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from mlsysim.evidence.boards import Board, edge_board, micro_board
from mlsysim.evidence.fields import Row, count, number
from mlsysim.evidence.measurement import Measurement, Refused
from mlsysim.evidence.names import refuse_marked
from mlsysim.evidence.sources import measurement_of
from mlsysim.models import Models, NetworkSpec
from mlsysim.setup import Setup


class EdgeRun(NamedTuple):
    """One inference of one sample by a library on the cores or the GPU of a board.

    ``precision`` is ``int8`` or ``float``: fp16 where the core has it, else fp32.
    """

    network: NetworkSpec
    board: Board
    precision: str
    library: str


class TinyRun(NamedTuple):
    """One inference of one sample by a library on a microcontroller; ``external`` with tensors off the chip."""

    network: NetworkSpec
    board: Board
    precision: str
    library: str
    external: bool = False


FASTEST = 20.0
"""Multiply-accumulates a lane and clock that no run exceeds: Winograd's F(6x6, 3x3) saves a factor of 5, int8 of 4."""
_NETWORKS = {
    "squeezenet": "squeezenet-1.1",
    "mobilenet": "mobilenet-v1",
    "resnet18": "resnet-18",
    "resnet50": "resnet-50",
    "vgg16": "vgg-16",
    "mlperf-tiny-ic-resnet8": "resnet-8",
    "mlperf-tiny-kws-dscnn": "ds-cnn",
    "mlperf-tiny-vww-mobilenetv1-0.25": "mobilenet-v1-0.25-96",
    "mlperf-tiny-ad-autoencoder": "fc-autoencoder",
    "tflm-person-detection-mobilenetv1-0.25-96": "mobilenet-v1-0.25-96",
}
"""Networks as the tables call them. ncnn's squeezenet is version 1.1 (its benchmark/squeezenet.param, recalled)."""
_LIBRARIES = {
    r"esp-nn": "esp-nn",
    r"hale": "hale",
    r"plumerai": "plumerai",
    r"x-cube-ai|stmicroelectronics": "x-cube-ai",
    r"native": "tvm",
    r"microtvm|cmsis": "tvm-cmsis",
    r"onnc": "onnc",
    r"reference": "tflm-reference",
    r"tflite|tensorflow": "tflm",
}
"""Libraries of microcontrollers by what engine, board or submitter are called, in order."""


def edge_measurement(row: Row) -> Measurement:
    """Return a row of ncnn.

    Raises
    ------
    Refused
        The row cannot be used; the message says why.
    """
    refuse_marked(row)
    stated = _stated(row)
    gpu = int(stated.get("gpu_device", "-1")) if row["engine"].endswith("vulkan") else -1
    threads, powersave = int(stated.get("threads", "0")), int(stated.get("powersave", "0"))
    board = edge_board(_full_name(row), threads, powersave, gpu)
    precision = {"int8": "int8", "fp32-or-fp16": "float", "fp32": "float", "fp16": "float"}.get(row["quant"])
    if precision is None:
        raise Refused("a precision that is not known")
    engine = row["engine"].lower()
    found = _measurement(row, "edge", EdgeRun(_network(row), board, precision, engine), engine)
    if found.question.network.macs / found.seconds > FASTEST * board.core.macs * board.clock_hz * board.cores:
        raise Refused("faster than all lanes with Winograd's algorithm and narrow numbers")
    return found


def tinyml_measurement(row: Row) -> Measurement:
    """Return a row of a microcontroller.

    Raises
    ------
    Refused
        The row cannot be used; the message says why.
    """
    refuse_marked(row)
    stated = _stated(row)
    cpu, clock, accelerator = (stated.get(k, "") for k in ("cpu", "freq", "accel"))
    board = micro_board(row["hardware"], cpu, clock, accelerator)
    if row["quant"] not in {"int8", "fp32"}:
        raise Refused("a precision that is not known")
    library = library_of(f"{row['engine']} {row['hardware']} {stated.get('sw', '')} {stated.get('submitter', '')}")
    external = "spiram" in row["notes"].lower()
    return _measurement(row, "tinyml", TinyRun(_network(row), board, row["quant"], library, external), library)


def library_of(text: str) -> str:
    """Return the library of a microcontroller from the words that name engine, board and submitter, else ``other``."""
    return next((name for words, name in _LIBRARIES.items() if re.search(words, text.lower())), "other")


def _measurement(row: Row, regime: str, question: EdgeRun | TinyRun, engine: str) -> Measurement:
    if count(row, "batch", 1) != 1:
        raise Refused("more than one sample at a time")
    value = number(row, "value")
    timed = row["metric"] == "latency_ms"
    if not timed and row["metric"] != "samples_per_s":
        raise Refused(f"a metric that is not known: {row['metric']}")
    return measurement_of(
        row,
        question,
        Setup(engine, row.get("engine_version") or ""),
        regime=regime,
        model=row["model"].strip().lower(),
        hardware=row["hardware"].strip().lower().replace("_", "-"),
        seconds=value / 1e3 if timed else 1.0 / value,
        value=value,
        rate=not timed,
    )


def _network(row: Row) -> NetworkSpec:
    name = row["model"].strip().lower()
    name = _NETWORKS.get(name, name)
    if name not in Models or not isinstance(found := Models[name], NetworkSpec):
        raise Refused(f"model not in the registry: {row['model']}")
    return _at_227(found) if found.name == "squeezenet-1.1" else found


@cache
def _at_227(network: NetworkSpec) -> NetworkSpec:
    """Return SqueezeNet 1.1 for the images of 227 x 227 that ncnn's copy of it takes: maps of 113, 56, 28 and 14.

    The registry's takes 224 x 224, which leaves 111, 55, 27 and 13; every pooling begins the next size.
    """
    sides = iter(((113, 111), (56, 55), (28, 27), (14, 13), (14, 13)))
    (new, old), table = next(sides), []
    for r in network.table:
        if r.kind == "pool":
            new, old = next(sides)
        macs, read, written = (round(v * (new / old) ** 2) for v in (r.macs, r.input_elements, r.output_elements))
        table.append(r._replace(macs=macs, input_elements=read, output_elements=written))
    return NetworkSpec(network.name, tuple(table), network.sample)


def _full_name(row: Row) -> str:
    """Return the name of the hardware in full where the notes begin with it: that of the column may be cut."""
    name, full = row["hardware"], (row.get("notes") or "").partition(";")[0]
    letters = re.sub(r"[^a-z0-9]", "", name.lower())
    return full if letters and re.sub(r"[^a-z0-9]", "", full.lower()).startswith(letters) else name


def _stated(row: Row) -> dict[str, str]:
    """Return what the notes state as ``key=value``; commas belong to a value, spaces do where they hold one pair."""
    found: dict[str, str] = {}
    for part in (row.get("notes") or "").split(";"):
        if re.fullmatch(r"\s*(?:\w+=-?\d+\s*)+", part):
            found.update(re.findall(r"(\w+)=(-?\d+)", part))
        elif "=" in part:
            key, _, value = part.strip().partition("=")
            found[key] = value
    return found
