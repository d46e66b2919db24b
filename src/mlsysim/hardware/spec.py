"""Hardware specs: figures, each with its source and the date it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlsysim.errors import UnknownName, UnsupportedPrecision
from mlsysim.hardware.figures import Figure
from mlsysim.precision import BYTES, SPARSE, WEIGHT_ONLY, bytes_per_weight, parse_precision, roles, weights_alone
from mlsysim.registry import nearest
from mlsysim.units import parse

MEASURED = "measured here"
"""What the source of a figure begins with that was measured on the machine itself."""


_BY_WIDTH = (*BYTES.items(), *WEIGHT_ONLY.items())
"""Dense formats and the bytes of a weight in them, weight-only ones last."""


@dataclass(frozen=True, slots=True, repr=False)
class HardwareSpec:
    """One device.

    ``peaks`` holds dense peaks by precision [FLOP/s] (fp32-accumulate where that differs), ``other_peaks`` the sparse
    and fp16-accumulate ones under their full label. ``memory`` [B] and ``bandwidth`` [B/s] are those of the main
    memory, None where no public document gives them; ``caches`` [B] and ``bandwidths`` [B/s] are by level (l1, l2, l3,
    shared, flash), of the whole device; ``flash`` [B] is what a microcontroller runs weights from. ``clocks`` [Hz] are
    boost, base, and under the label of a peak the clock it is taken at; ``rates`` [FLOP/clock] are operations of one
    of the ``units``, by label. ``scale_up_bandwidth`` and ``scale_out_bandwidth`` are stated ones of one device and one
    direction [B/s], to its own domain and beyond; where None, what the nodes of the registry have holds. ``kind`` is
    gpu, tpu, npu, cpu or mcu.
    """

    name: str
    kind: str
    peaks: Mapping[str, Figure]
    memory: Figure | None
    bandwidth: Figure | None
    caches: Mapping[str, Figure] = field(default_factory=dict)
    bandwidths: Mapping[str, Figure] = field(default_factory=dict)
    flash: Figure | None = None
    other_peaks: Mapping[str, Figure] = field(default_factory=dict)
    clocks: Mapping[str, Figure] = field(default_factory=dict)
    rates: Mapping[str, Figure] = field(default_factory=dict)
    units: Figure | None = None
    dies: Figure | None = None
    tdp_w: Figure | None = None
    idle_w: Figure | None = None
    usd_per_hour: Figure | None = None
    usd_list: Figure | None = None
    scale_up_bandwidth: Figure | None = None
    scale_out_bandwidth: Figure | None = None
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
    def cache(self) -> Figure | None:
        """Return the last-level cache [B], None where it is not known."""
        return self.caches.get("l3") or self.caches.get("l2")

    @property
    def labelled_peaks(self) -> dict[str, Figure]:
        """Return every peak by its full label, ``"bf16 dense"`` [FLOP/s]."""
        return {**{f"{precision} dense": figure for precision, figure in self.peaks.items()}, **self.other_peaks}

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
            **{f"peak, {label}": (f, "FLOP/s") for label, f in self.labelled_peaks.items()},
            "memory": (self.memory, "B"),
            "bandwidth": (self.bandwidth, "B/s"),
            **({f"cache, {level}": (f, "B") for level, f in self.caches.items()} or {"cache": (None, "B")}),
            **({"flash": (self.flash, "B")} if self.flash else {}),
            **{f"bandwidth, {level}": (f, "B/s") for level, f in self.bandwidths.items()},
            f"units{f', {self.units.of}' if self.units and self.units.of else ''}": (self.units, "count"),
            **({f"clock, {at}": (f, "Hz") for at, f in self.clocks.items()} or {"clock": (None, "Hz")}),
            **(
                {f"rate of a unit, {p}": (f, "FLOP/clock") for p, f in self.rates.items()}
                or {"rate of a unit": (None, "")}
            ),
            "compute dies": (self.dies, "count"),
            "rated power": (self.tdp_w, "W"),
            "idle power": (self.idle_w, "W"),
            "price": (self.usd_per_hour, "USD/h"),
            "list price": (self.usd_list, "USD"),
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
            "peaks": [{**_labelled(p), "flops_per_s": f.value, **_read(f)} for p, f in self.labelled_peaks.items()],
            "memory": [level for level in self._levels() if level],
            "units": {"count": self.units.value, "of": self.units.of, **_read(self.units)} if self.units else None,
            "clocks": [{"at": at, "hz": f.value, **_read(f)} for at, f in self.clocks.items()],
            "rates": [{**_labelled(p), "flop_per_clock": f.value, **_read(f)} for p, f in self.rates.items()],
            "dies": self.dies.value if self.dies else None,
            "tdp_w": self.tdp_w.value if self.tdp_w else None,
            "idle_w": self.idle_w.value if self.idle_w else None,
            "price": _priced(self.usd_per_hour) if self.usd_per_hour else None,
            "list_price": {"usd": self.usd_list.value, **_read(self.usd_list)} if self.usd_list else None,
            "unknown": list(self.unknown),
            "note": self.note,
        }

    def _levels(self) -> list[dict[str, Any] | None]:
        first = self.memory or self.bandwidth
        below = {**self.caches, **({"flash": self.flash} if self.flash else {})}
        return [
            _level(first.of or self.memory_class or "memory", self.memory, self.bandwidth) if first else None,
            *(_level(name, below.get(name), self.bandwidths.get(name)) for name in {**below, **self.bandwidths}),
        ]

    def replace(self, *, name: str = "", **changes: Any) -> HardwareSpec:
        """Return a device with other figures, for what-ifs: ``replace(bandwidth="4 TB/s")``.

        ``memory``, ``bandwidth``, ``cache``, ``scale_up_bandwidth`` and ``scale_out_bandwidth`` take a quantity;
        ``peaks`` a mapping from precision to quantity.
        """
        figures: dict[str, Any] = {}
        dimension = {
            "memory": "B",
            "bandwidth": "B/s",
            "cache": "B",
            "tdp_w": "W",
            "idle_w": "W",
            "usd_per_hour": "USD/h",
            "scale_up_bandwidth": "B/s",
            "scale_out_bandwidth": "B/s",
        }
        for key, value in changes.items():
            if key == "peaks":
                stated = {parse_precision(p): stated_figure(v, "FLOP/s", f"peaks.{p}") for p, v in value.items()}
                figures[key] = {**self.peaks, **stated}
            elif key == "cache":
                figures["caches"] = {
                    **self.caches,
                    self.cache.of if self.cache else "l2": stated_figure(value, "B", key),
                }
            elif key in dimension:
                figures[key] = stated_figure(value, dimension[key], key)
            else:
                known = [*dimension, "peaks", "name"]
                raise UnknownName("figure", key, nearest(key, known), "known: " + ", ".join(known))
        return replace(self, name=name or f"{self.name} (changed)", **figures)


def stated_figure(value: object, unit: str, field: str) -> Figure:
    """Return a figure that the user states, as a number in SI or a quantity.

    Raises
    ------
    InvalidValue
        Not a positive number in ``unit``.
    """
    return Figure(parse(value, unit, field), "stated", "")


def _labelled(label: str) -> dict[str, Any]:
    precision, structure, *accumulate = label.split()
    return {
        "precision": precision,
        "sparsity": structure,
        "accumulate": accumulate[0].removesuffix("-accumulate") if accumulate else None,
    }


def _level(level: str, size: Figure | None, rate: Figure | None) -> dict[str, Any]:
    figure = size or rate
    return {
        "level": level,
        "bytes": size.value if size else None,
        "bytes_per_s": rate.value if rate else None,
        **(_read(figure) if figure else {}),
        **({"rate": _read(rate)} if size and rate else {}),
    }


def _priced(figure: Figure) -> dict[str, Any]:
    return {"usd_per_hour": figure.value, **_read(figure)}


def _read(figure: Figure) -> dict[str, str]:
    return {"source": figure.source, "retrieved": figure.retrieved, "note": figure.note}
