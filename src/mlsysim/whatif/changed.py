"""What if something of a measured run were another: the run as measured beside the run as asked."""

from __future__ import annotations

from typing import Any, NamedTuple

from mlsysim.calibration import Profile
from mlsysim.calibration.question import question_of
from mlsysim.calibration.transfer import changed
from mlsysim.engine import Engine
from mlsysim.results import Result


class WhatIf(NamedTuple):
    """A measured run, and what is expected after a change."""

    home: Result
    there: Result

    @property
    def speedup(self) -> float:
        """Return how many times as much the changed run yields in a second [1]."""
        return self.there.throughput.value / self.home.throughput.value


def what_if(profile: Profile, *, usd_per_hour: float | str | None = None, **changes: Any) -> WhatIf:
    """Return the main point of a profile as measured, and with some fields of :meth:`Engine.solve` changed.

    Raises
    ------
    UsageError
        A field breaks a rule, or FLOPs were stated in place of a model.
    """
    main = profile.main
    first = Profile(profile.ordered)
    home, there = changed(main), changed(main, **changes)
    results = [
        Engine.solve(s.model, s.hardware, efficiency=first, usd_per_hour=price, **question_of(s))
        for s, price in ((home, None), (there, usd_per_hour))
    ]
    return WhatIf(*results)
