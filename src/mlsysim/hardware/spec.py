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
    """One figure of a device in SI units, with where and when it was read; ``of`` says which memory it is of."""

    value: float
    source: str
    retrieved: str
    note: str = ""
    of: str = ""

    @property
    def unverified(self) -> bool:
        """Return whether the figure comes from memory: no document was found that gives it."""
        return "recalled" in self.source


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
    aliases: tuple[str, ...] = ()

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

    @property
    def figures(self) -> dict[str, tuple[Figure | None, str]]:
        """Return every figure by name with its unit; None where no public document gives it."""
        return {
            **{f"peak, {p} dense": (f, "FLOP/s") for p, f in self.peaks.items()},
            **{f"peak, {p}": (f, "FLOP/s") for p, f in self.other_peaks.items()},
            "memory": (self.memory, "B"),
            "bandwidth": (self.bandwidth, "B/s"),
            "cache, last level": (self.cache, "B"),
            **({"flash": (self.flash, "B")} if self.flash else {}),
            "rated power": (self.tdp_w, "W"),
            "price": (self.usd_per_hour, "USD/h"),
        }

    @property
    def unknown(self) -> tuple[str, ...]:
        """Return the figures that no public document gives."""
        return tuple(name for name, (figure, _) in self.figures.items() if figure is None)

    def to_dict(self) -> dict[str, Any]:
        """Return the device as plain data, ready for JSON: every figure with where and when it was read."""
        return {
            "name": self.name,
            "title": self.title,
            "aliases": list(self.aliases),
            "vendor": self.vendor,
            "kind": self.kind,
            "generation": self.generation,
            "memory_class": self.memory_class,
            "released": self.released,
            "peaks": [_peak_data(p, f) for p, f in {**self._dense(), **self.other_peaks}.items()],
            "memory": [level for level in self._levels() if level],
            "tdp_w": self.tdp_w.value if self.tdp_w else None,
            "price": _priced(self.usd_per_hour) if self.usd_per_hour else None,
            "unknown": list(self.unknown),
            "note": self.note,
        }

    def _dense(self) -> dict[str, Figure]:
        return {f"{precision} dense": figure for precision, figure in self.peaks.items()}

    def _levels(self) -> list[dict[str, Any] | None]:
        main, cache, flash = self.memory, self.cache, self.flash
        first = main or self.bandwidth
        return [
            _level(first.of or self.memory_class or "memory", main, self.bandwidth) if first else None,
            _level(cache.of or "cache", cache, None) if cache else None,
            _level("flash", flash, None) if flash else None,
        ]

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


def _peak_data(label: str, figure: Figure) -> dict[str, Any]:
    precision, structure, *accumulate = label.split()
    return {
        "precision": precision,
        "sparsity": structure,
        "accumulate": accumulate[0].removesuffix("-accumulate") if accumulate else None,
        "flops_per_s": figure.value,
        **_read(figure),
    }


def _level(level: str, size: Figure | None, rate: Figure | None) -> dict[str, Any]:
    figure = size or rate
    return {
        "level": level,
        "bytes": size.value if size else None,
        "bytes_per_s": rate.value if rate else None,
        **(_read(figure) if figure else {}),
    }


def _priced(figure: Figure) -> dict[str, Any]:
    return {"usd_per_hour": figure.value, **_read(figure)}


def _read(figure: Figure) -> dict[str, str]:
    return {"source": figure.source, "retrieved": figure.retrieved, "note": figure.note}
