"""Regimes: kinds of work whose attainment is alike. A scenario is put into one by what it computes, not by its name."""

from __future__ import annotations

from mlsysim.models import NetworkSpec, TransformerSpec
from mlsysim.physics.elementwise import Real
from mlsysim.scenario import Roofline, Scenario

TITLES = {
    "training": "training, transformer of 1 B parameters or more",
    "training-small": "training, smaller model",
    "prefill": "prefill, compute-bound",
    "prefill-short": "prefill, memory-bound",
    "decode-1": "decode, 1 sequence",
    "decode-small": "decode, 2 to 31 sequences",
    "decode-large": "decode, 32 sequences or more",
    "network-1": "feed-forward network, batch 1",
    "network-small": "feed-forward network, batch 2 to 31",
    "network-batch": "feed-forward network, batch 32 or more",
    "tinyml": "microcontroller",
}
SMALL_MODEL = 1e9
"""Parameters below which training is dominated by dispatch on one accelerator: the guide's "small model"."""
LARGE_BATCH = 32
"""Sequences or samples from which the guide counts work as batched."""


def regime_of(scenario: Scenario, roof: Roofline) -> str:
    """Return the regime of a scenario, a key of :data:`TITLES`."""
    if scenario.hardware.kind == "mcu":
        return "tinyml"
    if scenario.phase == "training":
        small = isinstance(scenario.model, NetworkSpec) or scenario.model.parameters < SMALL_MODEL
        return "training-small" if small else "training"
    if scenario.phase == "forward" and isinstance(scenario.model, TransformerSpec) and scenario.model.decodes:
        return "prefill" if roof.memory_s <= roof.compute_s else "prefill-short"
    sizes = ("network-1", "network-small", "network-batch")
    if scenario.phase == "decode":
        sizes = ("decode-1", "decode-small", "decode-large")
    return sizes[(scenario.batch_size > 1) + (scenario.batch_size >= LARGE_BATCH)]


FITTED_TITLES = {
    "training-dense": "training, dense language models",
    "training-moe": "training, mixtures of experts",
    "training-lora": "training of adapters",
    "training-encoder": "training, text encoders",
    "training-vision": "training, vision and other networks",
    "prefill": "prefill",
    "decode_b1": "decode, one sequence",
    "serving_throughput": "serving, many sequences",
    "vision-1": "vision, batch 1",
    "vision-batch": "vision, batches",
    "vision-npu": "vision on accelerators other than GPUs",
    "encoder": "text encoders",
    "recommendation": "recommendation",
    "edge": "vision on phones and boards",
    "tinyml": "microcontrollers",
}
"""Regimes of the fitted model that a scenario may belong to: those whose measurements its interval is from."""


def alone(batch_size: Real) -> bool:
    """Return whether a step has one sequence or sample; an array has one in all of its elements, or more in all."""
    return bool(batch_size == 1) if isinstance(batch_size, (int, float)) else bool(batch_size.flat[0] == 1)


def fitted_regime(scenario: Scenario) -> str:
    """Return the regime of the fitted model for a scenario, a key of :data:`FITTED_TITLES`."""
    if scenario.hardware.kind == "mcu":
        return "tinyml"
    if isinstance(scenario.model, NetworkSpec):
        return _network_regime(scenario, scenario.model)
    if scenario.phase == "training":
        return _training_regime(scenario, scenario.model)
    if not scenario.model.decodes:
        return "encoder"
    if scenario.phase != "decode":
        return "prefill"
    return "decode_b1" if alone(scenario.batch_size) else "serving_throughput"


def _network_regime(scenario: Scenario, model: NetworkSpec) -> str:
    if scenario.phase == "training":
        return "training-vision"
    if scenario.hardware.kind in {"cpu", "npu"}:
        return {"cpu": "edge", "npu": "vision-npu"}[scenario.hardware.kind]
    if any(layer.kind == "lookup" for layer in model.table):
        return "recommendation"
    return "vision-1" if alone(scenario.batch_size) else "vision-batch"


def _training_regime(scenario: Scenario, model: TransformerSpec) -> str:
    if scenario.modifiers.trained.lora_rank:
        return "training-lora"
    if not model.decodes:
        return "training-encoder"
    return "training-moe" if model.expert_layers else "training-dense"
