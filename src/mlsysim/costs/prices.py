"""What devices rent and sell for: dated ranges by kind of provider, never one number for all."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from mlsysim.costs.figures import rows
from mlsysim.errors import InvalidValue
from mlsysim.hardware.figures import Figure
from mlsysim.hardware.registry import Hardware
from mlsysim.hardware.spec import HardwareSpec
from mlsysim.registry import Row
from mlsysim.results import Interval

KINDS = ("on-demand", "hyperscaler", "specialist", "marketplace", "spot", "reserved")
"""Kinds of rent. The first four are on demand: of all providers, and of one kind of them each."""


class Price(NamedTuple):
    """A price with the range it is found in [USD/h or USD]; ``date`` of when, ``kind`` whose.

    The ends are the lowest and highest price found, not those of an interval with a stated coverage; where they are
    the value itself, no range is known.
    """

    value: float
    low: float
    high: float
    unit: str
    of: str
    kind: str
    date: str
    source: str
    retrieved: str
    note: str = ""

    @property
    def interval(self) -> Interval:
        """Return value and ends."""
        return Interval(self.value, self.low, self.high)

    def __str__(self) -> str:
        """Return the price with its range, what it is of and when."""
        ends = f"{self.low:,.4g} to {self.high:,.4g}" if self.low < self.high else "no range known"
        return f"{self.value:,.4g} {self.unit} ({ends}; {self.kind}, {self.of}, {self.date})"


def price_range(device: str | HardwareSpec, kind: str = "on-demand") -> Price | None:
    """Return what an hour of a device rents for, None where no price of this kind is known [USD/h].

    ``kind`` is one of :data:`KINDS`. Where the only price known is that of the device's own row, it is the answer to
    ``on-demand``, with no width.

    Raises
    ------
    InvalidValue, UnknownName
        No such kind or device.
    """
    if kind not in KINDS:
        raise InvalidValue("kind", f"one of {', '.join(KINDS)}", kind)
    spec = Hardware[device] if isinstance(device, str) else device
    found = _table("rental.tsv").get((spec.name, kind))
    if found is None and kind == "on-demand" and spec.usd_per_hour:
        return _single(spec, spec.usd_per_hour, kind, "USD/h")
    return found


def purchase_price(device: str | HardwareSpec, kind: str | None = None) -> Price | None:
    """Return what a device costs to buy, None where no price is known [USD].

    ``kind`` is ``node share`` (of the machine it is sold in, the default where it is known) or ``device``. A device's
    list price is the last resort.

    Raises
    ------
    InvalidValue, UnknownName
        No such kind or device.
    """
    if kind not in (None, "node share", "device"):
        raise InvalidValue("kind", "'node share' or 'device'", kind)
    spec = Hardware[device] if isinstance(device, str) else device
    for wanted in (kind,) if kind else ("node share", "device"):
        if found := _table("purchase.tsv").get((spec.name, wanted)):
            return found
    listed = spec.usd_list if kind != "node share" else None
    return _single(spec, listed, "list price", "USD") if listed else None


@lru_cache(maxsize=2)
def _table(name: str) -> dict[tuple[str, str], Price]:
    return {(row["device"], row["kind"]): _price(row) for row in rows(name)}


def _price(row: Row) -> Price:
    value, low, high = (float(row[end]) for end in ("value", "low", "high"))
    about = (row[key] for key in ("unit", "device", "kind", "date", "source", "retrieved", "note"))
    return Price(value, low, high, *about)


def _single(spec: HardwareSpec, figure: Figure, kind: str, unit: str) -> Price:
    v, read = figure.value, f"read {figure.retrieved}"  # the table of devices tells the day it is of in the note
    return Price(v, v, v, unit, spec.name, kind, read, figure.source, figure.retrieved, figure.note)
