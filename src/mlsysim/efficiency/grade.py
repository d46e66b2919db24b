"""An eta among published ones: which runs are comparable, and how many of them it is better than."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from mlsysim.efficiency.evidence import Evidence, Percentiles, evidence, percentiles
from mlsysim.efficiency.published import arithmetic
from mlsysim.efficiency.regimes import TITLES, regime_of
from mlsysim.errors import UnknownName
from mlsysim.hardware import Hardware, HardwareSpec
from mlsysim.registry import nearest
from mlsysim.scenario import Scenario

ENOUGH = 10
"""Runs from which a comparison says something: fewer, and the next wider circle is taken."""
FAMILIES = ("training", "prefill", "decode", "network", "tinyml")
"""Words for several regimes at once: what their names begin with."""


class Comparable(NamedTuple):
    """Published runs that one may be compared with, and what they have in common, in words."""

    rows: tuple[Evidence, ...]
    alike: str

    @property
    def efficiency(self) -> Percentiles:
        """Return the percentiles of eta, each source weighing the same."""
        return percentiles([e.efficiency for e in self.rows], [e.group for e in self.rows])

    @property
    def attainment(self) -> Percentiles:
        """Return the percentiles of attainment, each source weighing the same."""
        return percentiles([e.attainment for e in self.rows], [e.group for e in self.rows])

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return {
            "comparable": self.alike,
            "n": len(self.rows),
            "years": self.years,
            "published_efficiency": self.efficiency._asdict(),
            "published_attainment": self.attainment._asdict(),
            "sources": list(self.sources),
        }

    @property
    def years(self) -> str:
        """Return the years that they were published in."""
        years = sorted({e.published[:4] for e in self.rows if e.published})
        return years[0] if len(years) == 1 else f"{years[0]}-{years[-1]}" if years else ""

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the addresses that they were read at."""
        return tuple(dict.fromkeys(e.source_url for e in self.rows))


class Grade(NamedTuple):
    """Where an eta stands among comparable runs; shares are of attainment, which moves between devices."""

    eta: float
    ceiling: float
    percentile: float
    best: Evidence
    among: Comparable

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return {
            "eta": self.eta,
            "ceiling": self.ceiling,
            "attainment": self.eta / self.ceiling,
            "percentile": self.percentile,
            "best": self.best._asdict(),
            **self.among.to_dict(),
            "sentence": self.sentence,
        }

    @property
    def sentence(self) -> str:
        """Return the verdict in a sentence or two."""
        n = len(self.among.rows)
        possible = self.eta <= self.ceiling
        where = f"the {ordinal(round(100 * self.percentile))} percentile of {n} comparable runs ({self.among.alike})"
        best = (
            f"the best published reaches {self.best.attainment * self.ceiling:.2g} on this ceiling"
            f" ({self.best.model} on {self.best.hardware}, {self.best.engine or 'engine not stated'})"
        )
        above = "" if possible else f" It is above the roofline ceiling of {self.ceiling:.3g}: it cannot be."
        return f"eta {self.eta:.3g} is {where}; {best}.{above}"


def regimes_of(word: str) -> tuple[str, ...]:
    """Return the regimes that a word names: one, or all that begin with it.

    Raises
    ------
    UnknownName
        No regime begins so.
    """
    found = tuple(r for r in TITLES if r == word or (word in FAMILIES and r.split("-")[0] == word))
    if not found:
        known = list(dict.fromkeys((*FAMILIES, *TITLES)))
        raise UnknownName("regime", word, nearest(word, known), "known: " + ", ".join(known))
    return found


def comparable(regimes: tuple[str, ...], hardware: HardwareSpec | None = None, precision: str = "") -> Comparable:
    """Return the narrowest circle of published runs with enough of them: the device, its generation, its maker, all."""
    rows = [e for e in evidence() if e.regime in regimes]
    title = " or ".join(f"'{TITLES[r]}'" for r in regimes)
    for alike, circle in _circles(rows, hardware, precision):
        if len(circle) >= ENOUGH:
            return Comparable(tuple(circle), f"{title}, {alike}" if alike else title)
    return Comparable(tuple(rows), title)


def _circles(
    rows: list[Evidence], hardware: HardwareSpec | None, precision: str
) -> Iterator[tuple[str, list[Evidence]]]:
    kind = arithmetic(precision) if precision else ""
    same = [e for e in rows if e.precision == precision]
    alike = [e for e in rows if not kind or arithmetic(e.precision) == kind]
    for what, found in ((precision, same), ("", alike)):
        if hardware is None:
            yield what, found
            continue
        specs = {e.hardware: Hardware.row(e.hardware) for e in found}
        generation = hardware.generation
        for name, circle in (
            (hardware.name, [e for e in found if e.hardware == hardware.name]),
            (generation, [e for e in found if specs[e.hardware]["generation"] == generation]),
            (hardware.vendor, [e for e in found if specs[e.hardware]["vendor"] == hardware.vendor]),
        ):
            yield f"{name}, {what}" if what else name, circle
    yield "", alike


def grade(eta: float, scenario: Scenario) -> Grade:
    """Return where an eta stands among the published runs that are comparable to a scenario."""
    roof = scenario.roofline(scenario.work())
    among = comparable((regime_of(scenario, roof),), scenario.hardware, scenario.precision)
    reached = eta / roof.ceiling
    below = sum(e.attainment <= reached for e in among.rows) / len(among.rows)
    best = max(among.rows, key=lambda e: e.attainment)
    return Grade(eta, roof.ceiling, below, best, among)


def ordinal(n: int) -> str:
    """Return 44 as 44th."""
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
