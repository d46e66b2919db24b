"""What is offered: hardware specs, the registry of known devices and nodes, clusters, and measuring this machine."""

from typing import TYPE_CHECKING, Any

from mlsysim.hardware.figures import Figure
from mlsysim.hardware.registry import Hardware
from mlsysim.hardware.spec import HardwareSpec

if TYPE_CHECKING:
    from mlsysim.hardware.nodes import Cluster, Nodes, NodeSpec

__all__ = ["Cluster", "Figure", "Hardware", "HardwareSpec", "NodeSpec", "Nodes"]


def __getattr__(name: str) -> Any:
    """Import nodes and clusters when they are first asked for: most answers need neither."""
    if name not in {"Cluster", "Nodes", "NodeSpec"}:
        raise AttributeError(f"module 'mlsysim.hardware' has no attribute {name!r}")
    from mlsysim.hardware import nodes

    return getattr(nodes, name)
