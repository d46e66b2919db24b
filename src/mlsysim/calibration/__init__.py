"""From a measurement to eta, and from there to other conditions."""

from mlsysim.calibration.calibration import Calibration, calibrate
from mlsysim.calibration.transfer import moved

__all__ = ["Calibration", "calibrate", "moved"]
