"""Requests that are served together: how many are in flight, and what a decode step and a prompt of theirs take."""

from __future__ import annotations

from typing import NamedTuple

from mlsysim.evidence.measurement import Refused
from mlsysim.hardware import HardwareSpec
from mlsysim.models import TransformerSpec
from mlsysim.precision import roles

MOST_IN_FLIGHT = 3000.0
"""Sequences of one replica that engines run at once where nothing else limits them (TensorRT-LLM in-flight runs)."""
_BINARY = 1.05
"""Bytes of memory for one that is stated: nominal sizes of GPUs are nearer to powers of two."""
_USED = 0.9
"""Share of what is free that engines give to the cache (vLLM's gpu_memory_utilization, TensorRT-LLM's
free_gpu_memory_fraction: 0.9 by default)."""
_RUNTIME = 3.9e9
"""Bytes a device holds for context, workspace and activations of an engine [B]: the study of published runs."""
_LEAST = 0.04
"""Share of the memory that holds cache even in a device that is nearly full."""
_SHARPNESS = 4.0
"""Exponent of the soft minimum between what is asked and what fits."""


class Requests(NamedTuple):
    """Requests of ``prompt`` and ``output`` tokens on one replica of ``devices`` devices.

    ``concurrency`` of them are wanted at once (0: as many as fit); ``timed`` is what is measured: ``throughput`` (the
    time of one output token of all), ``tpot`` or ``ttft``. ``shards`` is the degree by which a layer is split,
    ``groups`` the data-parallel groups of attention within the replica. ``server`` where requests arrive at random
    under a bound on latency, ``drafted`` where multi-token prediction was on; each request decodes ``beams``
    sequences, which then count one by one.
    """

    model: TransformerSpec
    hardware: HardwareSpec
    precision: str
    devices: int
    shards: int
    groups: int
    prompt: float
    output: float
    concurrency: float
    timed: str
    server: bool = False
    drafted: bool = False
    beams: int = 1

    @property
    def weights_bytes(self) -> float:
        """Return the bytes of the weights of all groups [B]."""
        role = roles(self.precision)
        experts = self.model.block_weights - self.model.active_weights
        shared = (self.model.parameters - experts) * role.weight
        return float(experts * role.weight + shared * self.groups)

    @property
    def fitting(self) -> float:
        """Return the sequences whose cache fits beside the weights, at the mean length they have in flight."""
        memory = self.hardware.memory
        if memory is None:
            raise Refused("memory size not known")
        free = _USED * (self.devices * (_BINARY * memory.value - _RUNTIME) - self.weights_bytes)
        free = max(free, _LEAST * memory.value * self.devices)
        length = self.prompt + (1.0 if self.timed == "throughput" else 0.75) * self.output
        heads = max(1.0, self.shards / self.model.kv_heads)
        return float(free / (self.model.cached_elements(length) * roles(self.precision).cache * heads))

    @property
    def in_flight(self) -> float:
        """Return the sequences in flight on the replica, at least 1."""
        wanted = self.concurrency or MOST_IN_FLIGHT
        room = self.fitting
        soft = (wanted**-_SHARPNESS + room**-_SHARPNESS) ** (-1 / _SHARPNESS)
        return float(max(1.0, min(soft, wanted)))
