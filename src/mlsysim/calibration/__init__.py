"""From a measurement to eta, and from there to other conditions."""

from mlsysim.calibration.calibrate import calibrate
from mlsysim.calibration.calibration import Calibration
from mlsysim.calibration.profile import Profile
from mlsysim.calibration.transfer import moved

__all__ = ["Calibration", "Profile", "calibrate", "moved"]
