"""How far a condition is from failing, or from holding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mlsysim.sweep.expressions import Expression
from mlsysim.sweep.terms import All, Any_, Comparison, Condition, Not


def slack(condition: Condition, values: Mapping[str, Any]) -> Any:
    """Return how far a condition is from failing, as a share of its bounds; negative where it fails.

    Of what is joined by ``and`` the least counts, of ``or`` the most; words hold by any distance, or fail by any.
    """
    with np.errstate(all="ignore"):
        if isinstance(condition, Comparison):
            return Expression("", condition, frozenset()).margin(values)
        if isinstance(condition, Not):
            return -slack(condition.part, values)
        if isinstance(condition, (All, Any_)):
            join: Callable[..., Any] = np.minimum if isinstance(condition, All) else np.maximum
            found = [np.asarray(slack(part, values), dtype=float) for part in condition.parts]
            whole = found[0]
            for more in found[1:]:
                whole = join(whole, more)
            return whole
        truth = condition.truth(values)
        return np.where(truth.holds, np.inf, np.where(truth.fails, -np.inf, np.nan))
