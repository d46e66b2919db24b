"""Which hardware for a question: the cheapest that meets a condition, those that cannot be told from it, the front."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlsysim.costs.ownership import Ownership
from mlsysim.hardware import HardwareSpec
from mlsysim.results import Interval
from mlsysim.sweep.front import on_front
from mlsysim.whatif.apart import Pair, pair
from mlsysim.whatif.asked import shown
from mlsysim.whatif.candidates import Candidates, Left, candidates_of, limits_of
from mlsysim.whatif.option import Option
from mlsysim.whatif.shared import EXACT
from mlsysim.whatif.wanted import Wanted, wanted_of

OBJECTIVES = ("time_s", "-throughput", "usd_per_million", "joules_per_item")
"""What the front is of, if nothing else is asked for: latency, throughput, cost, energy."""
RUNNERS = 5
"""Options after the best that it is held against, one by one."""


@dataclass(frozen=True, slots=True, repr=False)
class Choices:
    """What there is to choose from.

    ``options`` are the best of each hardware that meets the condition, best first; ``pairs`` the best held against the
    next of them; ``front`` the options that no other beats in all ``objectives``, the least of each (the most of those
    with a minus). ``left`` is the hardware that is not among the options, each with the reason; ``off_front`` that of
    which an objective is not known. ``by`` and ``where`` are as asked.
    """

    by: str
    where: str
    objectives: tuple[str, ...]
    options: tuple[Option, ...]
    pairs: tuple[Pair, ...]
    front: tuple[Option, ...]
    left: tuple[Left, ...]
    off_front: tuple[tuple[str, str], ...]
    sure: tuple[bool | None, ...]
    points: int

    @property
    def best(self) -> Option | None:
        """Return the best option; None where nothing meets the condition."""
        return self.options[0] if self.options else None

    @property
    def alike(self) -> tuple[str, ...]:
        """Return those of the options it was held against that cannot be told from the best."""
        return tuple(p.second for p in self.pairs if not p.distinguishable)

    @property
    def nearest(self) -> Left | None:
        """Return the hardware that misses the condition by least; None where none was found to miss it."""
        missing = [left for left in self.left if left.margin is not None]
        return max(missing, key=lambda left: left.margin or 0.0, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        name = self.by.removeprefix("-")
        names = tuple(dict.fromkeys((name, *(n.removeprefix("-") for n in self.objectives))))
        return {
            "by": self.by,
            "where": self.where,
            "points": self.points,
            "options": [
                {"meets": _verdict(sure), **_values(o, names), **o.to_dict()}
                for o, sure in zip(self.options, self.sure, strict=True)
            ],
            "pairs": [p.to_dict() for p in self.pairs],
            "objectives": list(self.objectives),
            "front": [{"label": o.label, **_values(o, names)} for o in self.front],
            "left": [left.to_dict() for left in self.left],
            "off_front": [{"hardware": name, "reason": reason} for name, reason in self.off_front],
        }

    def lines(self) -> list[str]:
        """Return what was found in sentences."""
        best = self.best
        if best is None:
            return [self.why_none()]
        name = self.by.removeprefix("-")
        value = best.interval(name)
        ends = (
            "" if value.low == value.high else f" ({_told(best, name, value.low)} to {_told(best, name, value.high)})"
        )
        most = "most" if self.by.startswith("-") else "least"
        met = f" that meets {self.where}" if self.where else ""
        lines = [f"{most} {name}{met}: {best.label}, {_told(best, name, value.value)}{ends}"]
        if self.sure[0] is False:
            lines.append(f"at an end of its interval it does not meet {self.where}")
        return [*lines, *map(str, self.pairs), *self.cautions()]

    def cautions(self) -> list[str]:
        """Say what the ratios do not hold."""
        lines = []
        if any(p.ratio.errors.kind == EXACT for p in self.pairs):
            lines.append("one stated eta is used for all hardware: how far each is from it is not in these intervals")
        days: dict[str, list[str]] = {}
        for o in self.options:
            days.setdefault(o.bought, []).append(o.device)
        if len(days) > 1:
            listed = "; ".join(f"{day or 'rented'} ({', '.join(names)})" for day, names in days.items())
            lines.append(f"purchase prices are of different days, which no interval holds: {listed}")
        return lines

    def why_none(self) -> str:
        """Say that nothing meets the condition, and what misses it by least."""
        what = f"meets {self.where}" if self.where else f"can be asked for {self.by.removeprefix('-')}"
        near = self.nearest
        if near is None:
            reasons = "; ".join(f"{left.hardware}: {left.reason}" for left in self.left[:3])
            return f"nothing {what}: {reasons}"
        return f"nothing {what}: the nearest is {near.reason}"

    def plot(self, path: str | Path, across: str | None = None, up: str | None = None) -> None:
        """Write the front as a plot of two quantities; ends in .png, .svg or .pdf. Raises as ``report.pareto.save``."""
        from importlib import import_module

        import_module("mlsysim.report.pareto").save(self, path, across, up)  # reports know answers, not the other way

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        found = self.best.label if self.best else "none"
        return f"<Choices by {self.by}: {found}, {len(self.options)} options, {len(self.front)} on the front>"


def choose(
    model: Any,
    hardware: str | HardwareSpec | Iterable[Any] = "all",
    *,
    by: str = "usd_per_million",
    where: str = "",
    pareto: Sequence[str] = OBJECTIVES,
    rent: str | None = None,
    usd_per_hour: Any = None,
    own: bool | Ownership = False,
    utilisation: Any = None,
    usd: Any = None,
    usd_per_kwh: float | None = None,
    tokens: Any = None,
    runners: int = RUNNERS,
    phase: str | None = None,
    **fields: Any,
) -> Choices:
    """Return the best option of each hardware by one quantity, and the front of several.

    Parameters
    ----------
    model
        A spec or a name.
    hardware
        ``all`` devices of the registry, a kind of them (gpu, tpu, npu, cpu, mcu), names with commas, or a list.
    by
        What is to be least, of an option that meets the condition: a quantity, or ``-throughput`` for the most.
    where
        A condition that must be met: ``"tpot_s < 50 ms and devices <= 8"``. What does not fit never meets it.
    pareto
        The objectives of the front, two or more.
    rent, usd_per_hour
        A kind of published price (on-demand if not given); or a price of a device [USD/h], or one by device:
        ``{"h100": 2.5, "b200": "5 USD/h"}``. A price that is stated has no width.
    own, utilisation, usd, usd_per_kwh
        Devices are owned, in use for a share of the hours (1 if not given), bought for ``usd`` (of all, or by device)
        where not for the published price, with electricity at ``usd_per_kwh`` where not that of ``region``. Of rent,
        ``utilisation`` is the share of the hours paid for that is used.
    tokens
        What a training run reads in all, for ``run_s``, ``run_usd`` and ``run_j``.
    runners
        How many options the best is held against.
    phase, fields
        Fields of :meth:`Engine.sweep`; each may be a list or a range. If no phase is given, the one that alone has a
        quantity that is asked for.

    Raises
    ------
    UsageError
        A field breaks a rule, a name is not known, or no hardware can be asked.
    """
    asked = wanted_of(by, where, tuple(pareto), tokens, phase)
    payment = {
        "rent": rent,
        "usd_per_hour": usd_per_hour,
        "own": own,
        "utilisation": utilisation,
        "usd": usd,
        "usd_per_kwh": usd_per_kwh,
    }
    found = candidates_of(model, hardware, asked, payment, fields)
    options = sorted(found.best, key=asked.rank)
    pairs = tuple(pair(options[0], other, asked.by_name) for other in options[1 : 1 + max(0, runners)])
    return Choices(
        by,
        where,
        tuple(pareto),
        tuple(options),
        pairs,
        _front(found),
        tuple(found.left),
        _off_front(found, asked),
        tuple(limits_of(o, asked) for o in options),
        found.points,
    )


def _front(found: Candidates) -> tuple[Option, ...]:
    """Return the options that no other beats, by the first objective."""
    import numpy as np

    if not found.front:
        return ()
    values = np.array([each.values for each in found.front], dtype=float)
    chosen = sorted(on_front(values), key=lambda i: tuple(values[i]))
    return tuple(found.front[int(i)].option for i in chosen)


def _off_front(found: Candidates, asked: Wanted) -> tuple[tuple[str, str], ...]:
    """Return the hardware that was answered but of which an objective is not known, each with which."""
    off = []
    on = {each.option.device for each in found.front}
    for o in found.best:
        if o.device in on:
            continue
        unknown = [n for n in (name.removeprefix("-") for name in asked.asked_objectives) if o.known(n) is None]
        if unknown:
            off.append((o.device, f"{', '.join(unknown)} not known"))
    return tuple(off)


def _verdict(sure: bool | None) -> str:
    return {True: "over the whole interval", False: "at the value", None: "no condition"}[sure]


def _values(o: Option, names: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        value: Interval | None = o.known(name)
        found[name] = None if value is None else value._asdict()
    return found


def _told(o: Option, name: str, value: float) -> str:
    return shown(value, o.unit(name))
