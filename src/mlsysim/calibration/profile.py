"""A profile: several measured points of one's own, which together say more of another question than each alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlsysim.calibration.calibration import Calibration
from mlsysim.errors import InvalidValue

if TYPE_CHECKING:
    from mlsysim.calibration.transfer import Transferred
    from mlsysim.hardware import HardwareSpec


@dataclass(frozen=True, slots=True, repr=False)
class Profile:
    """Several calibrations, to be used together: ``Engine.solve(..., efficiency=profile)``.

    Where a question is one of the measured points, its measurement answers; elsewhere all of them move the prediction,
    the nearer ones more. Iterating gives the calibrations.

    Raises
    ------
    InvalidValue
        None is given, or several of which one has no model: eta alone says nothing of other points.
    """

    calibrations: tuple[Calibration, ...]

    def __post_init__(self) -> None:
        if not self.calibrations:
            raise InvalidValue("calibrations", "at least one calibration", ())
        if len(self.calibrations) > 1 and any(c.scenario is None for c in self.calibrations):
            hint = "one was made from FLOPs per token, which say nothing of other points"
            raise InvalidValue("calibrations", "made from models where there are several", "stated FLOPs", hint)

    def __iter__(self) -> Iterator[Calibration]:
        return iter(self.calibrations)

    def __len__(self) -> int:
        return len(self.calibrations)

    @property
    def main(self) -> Calibration:
        """Return the calibration that rests on the most values, the first of several."""
        return max(self.calibrations, key=lambda c: c.origin.samples if c.origin else 0)

    @property
    def ordered(self) -> tuple[Calibration, ...]:
        """Return the calibrations, the main one first: it says what is asked about."""
        return (self.main, *(c for c in self if c is not self.main))

    def to(self, hardware: HardwareSpec | str, **changes: Any) -> Transferred:
        """Return what all points say of the main one on other hardware, as :meth:`Calibration.to`."""
        from mlsysim.calibration.transfer import to

        return to(self.ordered, hardware=hardware, **changes)

    def __repr__(self) -> str:
        return f"<Profile of {len(self)} points: {', '.join(map(repr, self))}>"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON: the keys of the main point, and all points."""
        return {**self.main.to_dict(), "points": [c.to_dict() for c in self]}
