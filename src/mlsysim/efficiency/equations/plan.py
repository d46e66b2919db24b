"""The plan by which devices share a training step: what is published, and defaults for the rest."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from mlsysim.efficiency.equations import links
from mlsysim.hardware import HardwareSpec
from mlsysim.models import TransformerSpec
from mlsysim.models.parts import Experts
from mlsysim.scenario import Scenario
from mlsysim.setup import Setup

_SHARDING = {"fsdp", "maxtext", "jax", "pytorch", "tensorflow", "colossalai", "llm.c", ""}
"""Engines that shard weights over all devices where no plan is stated; the others split layers and stages."""
_STATES = 16.0
"""Bytes a trained parameter in mixed precision [B] (Rajbhandari et al., arXiv:1910.02054, section 3.1)."""
_AT_ONCE = 4096
"""Tokens of a micro-batch where none is stated."""
_STAGES = 4
"""Stages that a device of a pipeline holds in turn where no plan is stated."""
_FILLED = 0.6
"""Share of memory that states may fill where no plan is stated: the rest is for activations."""
_DOMAIN = 8
"""Devices of a node that the registry does not list."""
_ROOM = 0.9
"""Share of memory that states and activations may take."""


class Plan(NamedTuple):
    """A full plan; bandwidths of one device and one direction [B/s]."""

    tp: int
    pp: int
    cp: int
    ep: int
    dp: float
    vpp: int
    zero: int
    micro_batch: float
    micro_batches: float
    sharded: bool
    recompute: bool
    scale_up: float
    cp_link: float
    groups: float
    network: float
    beyond: float


def fabric_of(hardware: HardwareSpec) -> tuple[float, float, int, str]:
    """Return the bandwidths within and beyond a domain [B/s], the devices of a domain, and the kind of link.

    Racks and pods come before nodes; host links where the registry has none; what is stated before all.
    """
    up, out, domain, kind = _fabric(hardware.name.removesuffix(" (changed)"), hardware.memory_class, hardware.kind)
    if hardware.scale_up_bandwidth is not None:
        up = hardware.scale_up_bandwidth.value
    if hardware.scale_out_bandwidth is not None:
        out = hardware.scale_out_bandwidth.value
    return up, min(up, out), domain, kind


@cache
def _fabric(name: str, memory_class: str, kind: str) -> tuple[float, float, int, str]:
    from mlsysim.hardware.nodes import Nodes

    held = [n for n in map(Nodes.__getitem__, Nodes) if n.device == name and "scale_up_bandwidth" in n.figures]
    if not held:
        if memory_class != "hbm":
            return links.USUAL_HOST, links.NETWORK, _DOMAIN, "host"
        return links.USUAL_SCALE_UP, 2.0 * links.NETWORK, _DOMAIN, "scale-up"
    best = max(held, key=lambda n: (n.kind in {"rack", "pod"}, n.name.startswith("hgx"), n.domain))
    up = best.figures["scale_up_bandwidth"].value
    outer = [n.figures["scale_out_bandwidth"].value / n.devices for n in held if "scale_out_bandwidth" in n.figures]
    out = up if kind == "tpu" else max(outer, default=links.NETWORK)
    return up, out, best.domain, "host" if best.topology == "pcie" else "scale-up"


def plan_of(scenario: Scenario, setup: Setup) -> Plan:
    """Return the plan of a run, its unknown degrees filled in."""
    model, hardware, n = scenario.model, scenario.hardware, scenario.devices
    assert isinstance(model, TransformerSpec)
    up, out, domain, _ = fabric_of(hardware)
    length = scenario.seq_len or model.tokens or 1
    memory = hardware.memory.value if hardware.memory else 1e18
    tp, pp, cp, zero = _degrees(scenario, setup, model, memory, min(domain, 8))
    dp = max(1.0, n / (tp * pp * cp))
    each = scenario.batch_size / dp
    micro = float(setup.micro_batch or (1 if pp > 1 else max(1, _AT_ONCE * cp // length)))
    micro = min(micro, max(each, 1e-3))
    room = memory * _ROOM - _held(scenario, model, tp * pp, dp * cp, zero)
    kept = 2.0 * model.kept_elements * micro * length / (tp * cp)
    published = "recompute" not in scenario.defaults
    recompute = scenario.modifiers.recompute == "full" if published else kept > room and setup.engine != "mlperf"
    ep = setup.ep or _expert_degree(model, int(n // pp), domain)
    groups = max(1.0, ep / domain)
    inside = n <= domain
    return Plan(
        tp=tp,
        pp=pp,
        cp=cp,
        ep=ep,
        dp=dp,
        vpp=setup.vpp or (1 if setup.pp else min(_STAGES, max(1, model.layers // pp))),
        zero=zero,
        micro_batch=micro,
        micro_batches=max(1.0, each / micro),
        sharded=zero > 0,
        recompute=recompute,
        scale_up=up if tp <= domain else out,
        cp_link=up if tp * cp <= domain else out,
        groups=groups,
        beyond=out,
        network=up if inside else min(up, out * max(1.0, domain / (tp * cp))),
    )


def _degrees(
    scenario: Scenario, setup: Setup, model: TransformerSpec, memory: float, widest: int
) -> tuple[int, int, int, int]:
    """Return tensor, pipeline and context parallel degrees, and the ZeRO stage."""
    n, cp = scenario.devices, setup.cp or 1
    if setup.tp or setup.pp:
        return setup.tp or 1, setup.pp or 1, cp, setup.zero or 1
    if setup.zero == 3 or setup.engine in _SHARDING:
        small = _STATES * model.parameters < _FILLED * memory
        return 1, 1, cp, setup.zero or (0 if small and setup.engine in {"pytorch", "tensorflow", "llm.c"} else 3)
    if setup.dp:
        share = max(1, n // (setup.dp * cp))
        tp = min(share, widest)
        return tp, max(1, share // tp), cp, 1
    tp = pp = 1
    needed = n / (scenario.batch_size * cp)  # replicas beyond the batch have nothing to do
    while tp * pp < n and (tp * pp < needed or _held(scenario, model, tp * pp, n / (tp * pp), 1) > _FILLED * memory):
        tp, pp = (tp * 2, pp) if tp < widest else (tp, pp * 2)
    return tp, pp, cp, 1


def _held(scenario: Scenario, model: TransformerSpec, split: int, dp: float, zero: int) -> float:
    """Return the bytes of weights, gradients and states on one device [B]: 2 + 2 + 12 a trained parameter."""
    trained = scenario.modifiers.trained.parameters(model)
    frozen = max(0.0, model.parameters - trained)
    over = dp if zero == 3 else 1.0
    states = trained * (4.0 / over + 12.0 / (dp if zero else 1.0))
    return (states + 2.0 * frozen / over) / split


def _expert_degree(model: TransformerSpec, devices: int, domain: int) -> int:
    for block in model.blocks:
        for part in block.parts:
            if isinstance(part, Experts):
                return max(1, min(part.experts, devices, domain))
    return 1
