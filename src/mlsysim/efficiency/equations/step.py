"""One step of a language model alone: a decode step, or the prefill of prompts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from mlsysim.efficiency.case import Case
from mlsysim.efficiency.equations import links, passes
from mlsysim.efficiency.equations.peaks import sixteen
from mlsysim.hardware import HardwareSpec
from mlsysim.models import TransformerSpec, Work
from mlsysim.physics.elementwise import Real, maximum, minimum, where
from mlsysim.precision import roles
from mlsysim.scenario import MANY_DEVICES, Scenario
from mlsysim.setup import Setup

NAMES = (*passes.NAMES, "split.hop", "split.power", "split.room")
ARRAYS = ("batch_size", "seq_len", "context", "acceptance")
_CHUNK = 512
"""Tokens that llama.cpp takes at once (its default n_ubatch)."""
_WIDE = 2.0
"""Bytes of an activation in llama.cpp over those of 16-bit engines: its graphs keep fp32 between operators (ggml.h)."""
_EXPANDED = 4.0
"""Bytes moved for a parameter that is converted before it is multiplied: 16 bits written and read again [B]."""
_HALF_SUMS = re.compile("llama.cpp|exllama|tinychat")
"""Engines that add in fp16, for which GeForce cards have twice the rate."""


def case(scenario: Scenario, setup: Setup, work: Work | None = None) -> Case:
    """Return the numbers of a decode step or a prefill; its ``work`` where that is known already.

    Where no plan is stated, a layer is split over the devices of one scale-up domain, and further devices hold copies.
    """
    model, hardware = scenario.model, scenario.hardware
    assert isinstance(model, TransformerSpec)
    decode = scenario.phase == "decode"
    tokens = 1.0 * scenario.batch_size
    if not decode and scenario.seq_len is not None:
        tokens = tokens * scenario.seq_len
    split = setup.layer_split
    shards = 1 if split else setup.tp or min(scenario.devices, MANY_DEVICES)
    groups = 1 if split or setup.tp else maximum(1, minimum(scenario.devices // shards, scenario.batch_size))
    chunks = maximum(1.0, tokens / _CHUNK) if setup.engine == "llama.cpp" and not decode else 1.0
    role = roles(scenario.precision)
    expands = role.dequantized and setup.engine == "llama.cpp" and not decode
    x = passes.ideal(
        model,
        hardware,
        scenario.precision,
        work or scenario.work(),
        tokens,
        1.0 * scenario.batch_size,
        shards,
        shards * groups,
        groups,
        peak=_peak(scenario, setup),
        micro_batches=chunks,
        expanded=_EXPANDED if expands else 0.0,
    )
    x["scores_s"] *= unfused(setup.engine, setup.version)
    x["activation_s"] *= _WIDE if setup.engine == "llama.cpp" else 1.0
    devices = float(scenario.devices if split else 1)
    x["hops"] = devices - 1.0
    x["pipe"] = where((devices > 1) & (chunks > 1), (chunks + devices - 1.0) / (chunks * devices), 1.0)
    x["room"] = _room(scenario) if split else 1.0
    return Case(
        "step", x, levels_of(model, hardware, scenario.precision, "decode" if decode else "prefill", setup, shards)
    )


def _peak(scenario: Scenario, setup: Setup) -> float:
    """Return the peak that the arithmetic of a row uses [FLOP/s]."""
    hardware, role = scenario.hardware, roles(scenario.precision)
    half = hardware.other_peaks.get("fp16 dense fp16-accumulate")
    if half and _HALF_SUMS.search(setup.engine):
        return half.value
    if role.dequantized:
        return sixteen(hardware) or hardware.peak(scenario.precision).value
    return hardware.peak(scenario.precision).value


def levels_of(
    model: TransformerSpec, hardware: HardwareSpec, precision: str, phase: str, setup: Setup, shards: int
) -> dict[str, str]:
    """Return the levels of a run of a language model; shared, and never written to."""
    fabric = links.between(hardware)[1] if shards > 1 else ""
    machine = (hardware.name, hardware.generation, hardware.memory_class, fabric)
    return _levels(machine, precision, phase, setup.engine, setup.version, model.expert_layers > 0)


@cache
def _levels(
    machine: tuple[str, str, str, str], precision: str, phase: str, engine: str, version: str, sparse: bool
) -> dict[str, str]:
    device, generation, memory_class, fabric = machine
    kind = engine_class(engine, version)
    return {
        "class": kind,
        "kernels": "unfused" if unfused(engine, version) else "fused" if engine else "",
        "class_phase": f"{kind}/{phase}" if kind else "",
        "generation": generation,
        "memory_class": memory_class,
        "precision": _width(precision),
        "generation_precision": f"{generation}/{_width(precision)}",
        "phase": phase,
        "engine": engine,
        "engine_memory": f"{engine}/{memory_class}" if engine else "",
        "engine_phase": f"{engine}/{phase}" if engine else "",
        "release": f"{engine} {version}" if engine and version else "",
        "architecture": "experts" if sparse else "dense",
        "fabric": fabric,
        "device": device,
    }


def _width(precision: str) -> str:
    """Return the width of weights that are narrower than activations, else the format of the arithmetic."""
    role = roles(precision)
    if role.weight < role.activation:
        return "w4" if role.weight < 0.8 else "w8"
    return role.compute[0].replace("bf16", "16").replace("fp16", "16")


def engine_class(engine: str, version: str) -> str:
    """Return how an engine issues its work: recorded or compiled, from native code, or from Python step by step."""
    if re.search("tensorrt|gpt-fast|mlc-llm|sglang", engine) or (
        engine == "vllm" and not re.match("20(22|23)", version)
    ):
        return "compiled"
    if re.search("llama.cpp|exllama|tinychat|ipex", engine):
        return "native"
    return "python" if engine else ""


def unfused(engine: str, version: str) -> bool:
    """Return whether attention writes its scores to memory: llama.cpp until mid-2024, eager frameworks."""
    return (engine == "llama.cpp" and (not version or version < "2024-07")) or engine in {"hf-transformers", "pytorch"}


def _room(scenario: Scenario) -> float:
    """Return the share of the devices' memory that weights leave: pipelining takes several copies of all buffers."""
    memory = scenario.hardware.memory
    if memory is None:
        return 1.0
    return max(0.01, 1.0 - scenario.memory_bytes()["weights"] / (scenario.devices * memory.value))


def seconds(x: Mapping[str, Real], p: Mapping[str, Real]) -> Any:
    """Return the time of the step [s]; layers that are split over devices run one after another.

    A prompt in several micro-batches keeps all devices busy but for filling and draining: (m + n - 1) / (m n) of the
    time of one device, to a power below 1 because stages are not alike and, in a memory nearly full, hardly overlap.
    """
    whole = passes.pass_seconds(x, p)
    return whole * x["pipe"] ** (p["split.power"] * x["room"] ** p["split.room"]) + x["hops"] * p["split.hop"]
