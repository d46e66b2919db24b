"""Calibration: a measured eta as a value, with the conditions it holds for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlsysim.calibration.origin import Origin
from mlsysim.errors import InvalidValue
from mlsysim.results import Interval, Note
from mlsysim.scenario import Roofline, Scenario
from mlsysim.setup import UNKNOWN, Setup

if TYPE_CHECKING:
    from mlsysim.calibration.transfer import Transferred
    from mlsysim.hardware import HardwareSpec


@dataclass(frozen=True, slots=True, repr=False)
class Calibration:
    """A measured eta: a value, the conditions it holds for, and how it was counted.

    ``scenario`` is None where FLOPs per item were stated in place of a model. ``overhead_s`` is the part of
    ``time_s`` that no faster hardware removes (None where it was not measured). ``roof`` is what physics allows there;
    ``setup`` the engine and plan of the run; ``origin`` the log that it was read from.
    """

    scenario: Scenario | None
    roof: Roofline | None
    efficiency: Interval
    ceiling: float
    peak_flops: float
    throughput: Interval
    unit: str
    flops_per_item: float
    convention: str
    overhead_s: float | None = None
    notes: tuple[Note, ...] = ()
    setup: Setup = UNKNOWN
    origin: Origin | None = None

    @property
    def attainment(self) -> Interval:
        """Return eta / ceiling with its interval."""
        return self.efficiency * (1.0 / self.ceiling)

    @property
    def time_s(self) -> Interval:
        """Return the measured time of one step [s].

        Raises
        ------
        InvalidValue
            FLOPs per item were stated in place of a model, so there is no step.
        """
        if self.roof is None:
            raise InvalidValue("calibration", "made from a model to have a step", "FLOPs per item")
        return self.efficiency.reciprocal(self.roof.compute_s)

    def to(self, hardware: HardwareSpec | str, **changes: Any) -> Transferred:
        """Return what is expected on other hardware: eta, attainment and time with 90 % intervals, and why.

        ``changes`` are fields of :meth:`Engine.solve` that differ too.

        Raises
        ------
        UsageError
            A field breaks a rule, or FLOPs were stated in place of a model.
        """
        from mlsysim.calibration.transfer import to

        return to((self,), hardware=hardware, **changes)

    def __iter__(self) -> Iterator[Calibration]:
        """Yield itself: one calibration is a profile of one point."""
        yield self

    def __repr__(self) -> str:
        s, eta = self.scenario, self.efficiency
        of = f"{s.model.name} {s.phase} on {s.devices} x {s.hardware.name}" if s else "stated FLOPs per token"
        return f"<Calibration {of}: eta {eta.value:.4g}, {eta.low:.4g} to {eta.high:.4g}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as plain data, ready for JSON."""
        s = self.scenario
        fields = ("phase", "batch_size", "seq_len", "context", "precision", "devices")
        conditions = (
            {"model": s.model.name, "hardware": s.hardware.name, **{f: getattr(s, f) for f in fields}} if s else {}
        )
        return {
            "efficiency": self.efficiency._asdict(),
            "attainment": self.attainment._asdict(),
            "ceiling": self.ceiling,
            "convention": self.convention,
            "peak_flops": self.peak_flops,
            "flops_per_item": self.flops_per_item,
            "throughput": {**self.throughput._asdict(), "unit": self.unit},
            "overhead_s": self.overhead_s,
            "conditions": conditions,
            "defaults": dict(s.defaults) if s else {},
            "setup": {name: value for name, value in self.setup._asdict().items() if value},
            "notes": [n._asdict() for n in (*self.notes, *(s.notes() if s else ()))],
            **(self.origin.to_dict() if self.origin else {}),
        }
