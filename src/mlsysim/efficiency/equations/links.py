"""How fast devices of one node exchange data where no node says: by the generation of their links.

NVLink 2 to 5 and Infinity Fabric, one direction, as the nodes of the registry have them (``node_figures.tsv`` gives
the document of each; read 2026-11-24). PCIe 3, 4 and 5 with 16 lanes, one direction, before encoding: recalled.
"""

from __future__ import annotations

import re
from functools import cache

from mlsysim.hardware import HardwareSpec

SCALE_UP = {"volta": 150e9, "ampere": 300e9, "hopper": 450e9, "blackwell": 900e9, "cdna2": 150e9, "cdna3": 448e9}
"""Bandwidth between devices that are joined, by generation [B/s]."""
USUAL_SCALE_UP = 200e9
"""That of a generation which is not listed [B/s]."""
HOST = {"volta": 16e9, "turing": 16e9, "ampere": 32e9, "ada": 32e9, "hopper": 64e9, "blackwell": 64e9}
"""Bandwidth between a device and its host, by generation [B/s]."""
USUAL_HOST = 32e9
"""That of a generation which is not listed [B/s]: PCIe 4."""
NETWORK = 12.5e9
"""Bandwidth of a device to other nodes where the registry has none [B/s]: one port of 100 Gbit/s."""


def between(hardware: HardwareSpec) -> tuple[float, str]:
    """Return the bandwidth between devices of one node, one direction [B/s], and the kind of link."""
    usual, kind = _between(hardware.name, hardware.generation, hardware.memory_class)
    stated = hardware.scale_up_bandwidth
    return (usual if stated is None else stated.value), kind


@cache
def _between(name: str, generation: str, memory_class: str) -> tuple[float, str]:
    if memory_class == "hbm" and not re.search("pcie|a30|mi210", name):
        return SCALE_UP.get(generation, USUAL_SCALE_UP), "scale-up"
    return HOST.get(generation, USUAL_HOST), "host"
