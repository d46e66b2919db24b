"""Where a calibration comes from: the log, what of it was steady, and what was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mlsysim.calibration.logs.log import LeftOut
    from mlsysim.calibration.steady import Steady


class Origin(NamedTuple):
    """A log in words: its ``format``, how many values were read, their steady part, what is not in the measurement.

    ``steady`` is None where the log holds a summary and no steps; ``label`` tells one point of a log from another.
    """

    format: str
    samples: int
    steady: Steady | None = None
    left_out: tuple[LeftOut, ...] = ()
    label: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return {
            "format": self.format,
            "label": self.label,
            "samples": self.samples,
            "steady_state": self.steady.to_dict() if self.steady else None,
            "left_out": [part._asdict() for part in self.left_out],
        }
