"""The guide: six classical ranges of eta, beside each what is published and what the roofline allows."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

from mlsysim.efficiency.evidence import Evidence, Percentiles, evidence, percentiles
from mlsysim.efficiency.factors import Factor, factors
from mlsysim.efficiency.regimes import TITLES
from mlsysim.errors import UnknownName, UnsupportedPrecision
from mlsysim.hardware import HardwareSpec
from mlsysim.registry import Row, nearest, read_table
from mlsysim.scenario import Scenario, hardware_of

_PACKAGE = "mlsysim.efficiency"
DEFAULT_DEVICE = "h100-sxm"


class GuideRow(NamedTuple):
    """One scenario of the guide.

    ``low`` to ``high`` is the classical range of eta; ``measured`` the percentiles of published eta, ``attainment``
    those of its share of the ceiling, ``sources`` where they were read; ``ceiling`` the roofline ceiling of ``example``
    on ``device`` (None where that device cannot run it or its bandwidth is unknown); ``verdict`` a sentence or two.
    """

    key: str
    scenario: str
    low: float
    high: float
    rationale: str
    measured: Percentiles
    attainment: Percentiles
    sources: tuple[str, ...]
    example: str
    device: str
    ceiling: float | None
    verdict: str


class Efficiency:
    """What is known about eta: ``Efficiency.guide()``, ``Efficiency.factors()``."""

    @staticmethod
    def guide(hardware: HardwareSpec | str = DEFAULT_DEVICE) -> tuple[GuideRow, ...]:
        """Return the six rows of the guide, with the ceilings of one device (the microcontroller row keeps its own).

        Raises
        ------
        UnknownName, InvalidValue
            No such device.
        """
        device = hardware_of(hardware)
        return tuple(_row(row, device) for row in read_table(_PACKAGE, "guide.tsv"))

    @staticmethod
    def evidence(regime: str | None = None) -> tuple[Evidence, ...]:
        """Return the packaged published measurements, of one regime or of all.

        Raises
        ------
        UnknownName
            No such regime.
        """
        if regime is not None and regime not in TITLES:
            raise UnknownName("regime", regime, nearest(regime, TITLES), "known: " + ", ".join(TITLES))
        return tuple(e for e in evidence() if regime in {None, e.regime})

    @staticmethod
    def factors() -> tuple[Factor, ...]:
        """Return the twelve factors."""
        return factors()


def _row(row: Row, device: HardwareSpec) -> GuideRow:
    seen, reached, sources = _published(row["regime"], row["engine"], row["hardware"], row["evidence_precision"])
    own = hardware_of(row["device"]) if row["device"] else device
    low, high = float(row["low"]), float(row["high"])
    ceiling = _ceiling(row, own)
    example = f"{row['model']} {row['phase']}, batch {row['batch_size']}"
    verdict = _verdict(low, high, seen, ceiling, f"{example} on {own.name}")
    return GuideRow(
        row["key"],
        row["scenario"],
        low,
        high,
        row["rationale"],
        seen,
        reached,
        sources,
        example,
        own.name,
        ceiling,
        verdict,
    )


@cache
def _published(
    regime: str, engine: str, hardware: str, precision: str
) -> tuple[Percentiles, Percentiles, tuple[str, ...]]:
    """Return percentiles of eta and of attainment over the rows whose fields match the patterns, and their sources."""
    rows = [
        e
        for e in evidence()
        if e.regime == regime
        and re.search(engine, e.engine, re.I)
        and re.search(hardware, e.hardware)
        and re.search(precision, e.precision)
    ]
    groups = [e.group for e in rows]
    sources = dict.fromkeys(_place(e.source_url) for e in rows)
    eta, reached = (percentiles([getattr(e, name) for e in rows], groups) for name in ("efficiency", "attainment"))
    return eta, reached, tuple(sources)


def _place(url: str) -> str:
    """Return the site of an address, and the repository where it is one: github.com/owner/name."""
    site, *path = url.removeprefix("https://").split("/")
    return "/".join([site, *path[:2]]) if site in {"github.com", "raw.githubusercontent.com"} else site


def _ceiling(row: Row, device: HardwareSpec) -> float | None:
    if device.bandwidth is None:
        return None
    lengths: dict[str, Any] = {k: int(row[k]) for k in ("seq_len", "context") if row[k]}
    try:
        scenario = Scenario.of(
            row["model"],
            device,
            phase=row["phase"],
            batch_size=int(row["batch_size"]),
            precision=row["precision"] or None,
            **lengths,
        )
    except UnsupportedPrecision:
        return None
    return scenario.roofline(scenario.work()).ceiling


def _verdict(low: float, high: float, seen: Percentiles, ceiling: float | None, example: str) -> str:
    """Return one plain sentence on how the classical range stands against measurement and ceiling."""
    beyond = ""
    if ceiling is not None and ceiling < low:
        beyond = f" Physics allows {example} {ceiling:.2g} at most: the classical range cannot be reached there."
    if low <= seen.median <= high:
        return f"The published median {seen.median:.2g} lies in the classical range.{beyond}"
    side, factor = ("below", low / seen.median) if seen.median < low else ("above", seen.median / high)
    overlap = "the two ranges overlap" if seen.p10 <= high and seen.p90 >= low else "the two ranges do not even touch"
    return (
        f"The published median {seen.median:.2g} lies {side} the classical range by a factor of {factor:.3g};"
        f" {overlap}.{beyond}"
    )
