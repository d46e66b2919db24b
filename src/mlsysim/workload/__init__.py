"""What is asked of a model, checked: a workload, whatever the hardware."""

from mlsysim.workload.held import bytes_needed
from mlsysim.workload.modifiers import PLAIN, Modified, Modifiers
from mlsysim.workload.named import model_of, phase_of
from mlsysim.workload.workload import Workload

__all__ = ["PLAIN", "Modified", "Modifiers", "Workload", "bytes_needed", "model_of", "phase_of"]
