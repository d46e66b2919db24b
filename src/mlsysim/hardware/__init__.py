"""What is offered: hardware specs, the registry of known devices, and measuring this machine."""

from mlsysim.hardware.registry import Hardware
from mlsysim.hardware.spec import Figure, HardwareSpec

__all__ = ["Figure", "Hardware", "HardwareSpec"]
