"""From the files that programs leave to readings: a format is recognised by what a file holds, not by its name."""

from mlsysim.calibration.logs.log import LeftOut, Log, Reading
from mlsysim.calibration.logs.recognise import read_log

__all__ = ["LeftOut", "Log", "Reading", "read_log"]
