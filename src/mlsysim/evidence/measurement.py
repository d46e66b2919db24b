"""A published measurement: what ran on what, and how long it took."""

from __future__ import annotations

from typing import Any, NamedTuple

from mlsysim.setup import UNKNOWN, Setup


class Refused(Exception):
    """A row that cannot be used, and why: ``str`` is the reason, alike for all rows that share it."""


class Measurement(NamedTuple):
    """One measured quantity of one run.

    ``question`` is what ran: a :class:`~mlsysim.scenario.Scenario`, or what serves requests or boards in its place.
    ``seconds`` is the measured time of what the regime's equation predicts [s]; ``value`` what is published, which is
    ``seconds`` or, where ``rate``, its inverse, times a constant. ``source``, ``model`` and ``hardware`` are the groups
    that a split holds out, under the names of the table.
    """

    id: str
    source: str
    model: str
    hardware: str
    engine: str
    regime: str
    question: Any
    setup: Setup = UNKNOWN
    seconds: float = 0.0
    value: float = 0.0
    rate: bool = True
    url: str = ""
    locator: str = ""
    published: str = ""
    group: str = ""
    """What reports call its regime: the table's own word where it has one."""
    repair: str = ""
    """What was corrected in the row before use, and why; empty for most."""
