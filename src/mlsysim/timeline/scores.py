"""Attention that is written out: the operators that read or write the scores of a softmax.

A softmax over three or more dimensions is taken as that of attention. What reads or writes as many values as it does
(the product that makes the scores, scaling, masking, the product with the values) belongs to it: a fused kernel would
do all of that at once. This needs recorded sizes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mlsysim.timeline.activity import WORK, Activity
from mlsysim.timeline.spans import Integers

Sizes = tuple[int, ...]
NO_SIZES: Sizes = ()
_LEAST_DIMENSIONS = 3
"""Dimensions of a softmax from which it is that of attention; that of a router has two."""


@lru_cache(1 << 16)
def values(name: str, dims: bytes) -> Sizes:
    """Return how many values each operand of an operator has, and the result of a product of matrices.

    Empty where the sizes do not tell.
    """
    try:
        sizes = [d for d in json.loads(dims) if isinstance(d, list) and all(isinstance(n, int) for n in d)]
    except ValueError:
        return NO_SIZES
    found = {math.prod(d) for d in sizes if d}
    full = [d for d in sizes if len(d) > 1]
    if "mm" in name and len(full) > 1:
        found.add(math.prod(full[-2][:-1]) * full[-1][-1])
    return tuple(sorted(found))


@lru_cache(1 << 10)
def scores(name: str, dims: bytes) -> int:
    """Return how many scores an operator takes the softmax of; 0 where it is none of attention."""
    if not name.startswith(("aten::_softmax", "aten::_safe_softmax")):
        return 0
    try:
        first = json.loads(dims)[0]
        return math.prod(first) if len(first) >= _LEAST_DIMENSIONS else 0
    except (ValueError, TypeError, IndexError):
        return 0


def of_attention(activity: npt.NDArray[np.uint8], sizes: Integers, labels: list[Sizes], found: Iterable[int]) -> None:
    """Tell what reads or writes scores as that: ``sizes`` number the ``labels`` of spans, -1 without any."""
    known = set(found)
    of_scores = np.array([any(n in known for n in label) for label in labels] + [False])
    activity[of_scores[sizes] & np.isin(activity, [*map(int, WORK)])] = Activity.SCORES
