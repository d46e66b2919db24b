"""Hardware specs: figures, each with its source and the date it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlsysim.errors import UnknownName, UnsupportedPrecision
from mlsysim.precision import BYTES, SPARSE, WEIGHT_ONLY, bytes_per_weight, parse_precision, roles, weights_alone
from mlsysim.registry import nearest
from mlsysim.units import parse

MEASURED = "measured here"
"""What the source of a figure begins with that was measured on the machine itself."""


_BY_WIDTH = (*BYTES.items(), *WEIGHT_ONLY.items())
"""Dense formats and the bytes of a weight in them, weight-only ones last."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a device in SI units, with where and when it was read."""

    value: float
    source: str
    retrieved: str
    note: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class HardwareSpec:
    """One device.

    ``peaks`` holds dense peaks by precision [FLOP/s] (fp32-accumulate where that differs), ``other_peaks`` the sparse
    and fp16-accumulate ones under their full label. ``memory`` [B], ``bandwidth`` [B/s] and ``cache`` [B] (last level)
    are None where no public document gives them; ``flash`` [B] is what a microcontroller runs weights from. ``kind``
    is gpu, tpu, npu, cpu or mcu.
    """

    name: str
    kind: str
    peaks: Mapping[str, Figure]
    memory: Figure | None
    bandwidth: Figure | None
    cache: Figure | None = None
    flash: Figure | None = None
    other_peaks: Mapping[str, Figure] = field(default_factory=dict)
    tdp_w: Figure | None = None
    usd_per_hour: Figure | None = None
    title: str = ""
    vendor: str = ""
    generation: str = ""
    memory_class: str = ""
    released: str = ""
    note: str = ""

    def __repr__(self) -> str:
        return f"<HardwareSpec {self.name}: {', '.join(self.precisions)}>"

    def peak(self, precision: str) -> Figure:
        """Return the peak for a canonical precision [FLOP/s]: dense, unless it ends with ``-sparse``.

        Raises
        ------
        UnsupportedPrecision
            The device has no published peak for it.
        """
        found = self._peak(precision)
        if found is None:
            alone = weights_alone(precision)
            supported = [*self.precisions, *self.sparse_precisions]
            raise UnsupportedPrecision(self.name, precision, supported, alone if alone and self.supports(alone) else "")
        return found

    def supports(self, precision: str) -> bool:
        """Return whether the device has a published peak for a canonical precision."""
        return self._peak(precision) is not None

    def _peak(self, precision: str) -> Figure | None:
        role = roles(precision)
        if precision.endswith(SPARSE):
            return self.other_peaks.get(f"{role.compute[0]} sparse")
        for element in role.compute:
            if element in self.peaks:
                slower = self.peaks[element]
                faster = self.other_peaks.get(f"{element} dense fp16-accumulate")
                return faster or slower if role.accumulation == "fp16" else slower
        return None

    @property
    def precisions(self) -> tuple[str, ...]:
        """Return the precisions with a dense peak, widest first."""
        return tuple(p for p in BYTES if p in self.peaks)

    @property
    def sparse_precisions(self) -> tuple[str, ...]:
        """Return the precisions with a 2:4 sparse peak, widest first."""
        return tuple(p + SPARSE for p in BYTES if f"{p} sparse" in self.other_peaks)

    def narrower(self, precision: str) -> tuple[str, ...]:
        """Return the dense formats with a peak whose weights take fewer bytes, widest first; weight-only ones last."""
        size = bytes_per_weight(precision)
        return tuple(p for p, least in _BY_WIDTH if least < size and self.supports(p))

    @property
    def default_precision(self) -> str:
        """Return bf16, else fp16, else the widest precision up to 32 bits that the device has a peak for.

        Microcontrollers run int8 where they can: that is what their networks and kernels are made for.
        """
        for precision in ("bf16", "fp16", *(["int8"] if self.kind == "mcu" else [])):
            if precision in self.peaks:
                return precision
        narrow = [p for p in self.precisions if BYTES[p] <= BYTES["fp32"]]
        return (narrow or list(self.precisions))[0]

    def replace(self, *, name: str = "", **changes: Any) -> HardwareSpec:
        """Return a device with other figures, for what-ifs: ``replace(bandwidth="4 TB/s")``.

        ``memory``, ``bandwidth`` and ``cache`` take a quantity; ``peaks`` a mapping from precision to quantity.
        """
        figures: dict[str, Any] = {}
        dimension = {"memory": "B", "bandwidth": "B/s", "cache": "B", "tdp_w": "W", "usd_per_hour": "USD/h"}
        for key, value in changes.items():
            if key == "peaks":
                stated = {
                    parse_precision(p): Figure(parse(v, "FLOP/s", f"peaks.{p}"), "stated", "") for p, v in value.items()
                }
                figures[key] = {**self.peaks, **stated}
            elif key in dimension:
                figures[key] = Figure(parse(value, dimension[key], key), "stated", "")
            else:
                known = [*dimension, "peaks", "name"]
                raise UnknownName("figure", key, nearest(key, known), "known: " + ", ".join(known))
        return replace(self, name=name or f"{self.name} (changed)", **figures)
