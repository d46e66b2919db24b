"""Which of many points no other beats: the Pareto front, in any number of objectives.

Halves of the points, sorted by the first objective, have fronts of their own, and of the second half's those are left
that the first half's do not beat in the other objectives (Kung, Luccio and Preparata, On Finding the Maxima of a Set of
Vectors, J. ACM 22, 1975): n log^(d-2) n steps for d objectives, also where every point is on the front.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_PAIRS = 1 << 12
"""Pairs of rows that are compared one by one rather than divided further."""


def on_front(values: Array) -> Array:
    """Return the indices of the rows that no other row beats: is at most as large in all and less in one; in order.

    Rows that are equal are all kept. ``values`` are finite, a row a point and a column an objective.
    """
    left = np.flatnonzero(~_beaten_by_best(values))
    rows, which = np.unique(values[left], axis=0, return_inverse=True)
    kept = np.zeros(len(rows), dtype=bool)
    kept[_front(rows, np.arange(len(rows)))] = True
    return left[kept[which.reshape(-1)]]


def _beaten_by_best(values: Array) -> Array:
    """Return which rows are beaten by the one whose worst column is best: nearly all, where objectives agree."""
    low, high = values.min(axis=0), values.max(axis=0)
    best = values[((values - low) / np.where(high > low, high - low, 1.0)).max(axis=1).argmin()]
    found: Array = (values >= best).all(axis=1) & (values > best).any(axis=1)
    return found


def _front(rows: Array, among: Array) -> Array:
    """Return those of some rows, which differ and are sorted, that no other of them beats: no earlier one does."""
    if len(among) < 2:
        return among
    if rows.shape[1] == 2:
        second = rows[among, 1]
        least = np.minimum.accumulate(second)
        return among[np.concatenate(([True], second[1:] < least[:-1]))]
    if len(among) ** 2 <= _PAIRS:
        compared = (rows[among, None, 1:] >= rows[None, among, 1:]).all(axis=2)
        return among[~np.tril(compared, -1).any(axis=1)]
    half = len(among) // 2
    first, second = _front(rows, among[:half]), _front(rows, among[half:])
    return np.concatenate((first, second[~_beaten(rows[first, 1:], rows[second, 1:])]))


def _beaten(front: Array, rows: Array) -> Array:
    """Return which rows have one of the front that is at most as large in every column."""
    if not len(front) or not len(rows):
        return np.zeros(len(rows), dtype=bool)
    if rows.shape[1] == 2:
        return _beaten_in_two(front, rows)
    if len(front) * len(rows) <= _PAIRS:
        compared: Array = np.all(front[None, :, :] <= rows[:, None, :], axis=2)
        return np.asarray(compared.any(axis=1))
    a, b = front[:, 0], rows[:, 0]
    if a.max() <= b.min():
        return _beaten(front[:, 1:], rows[:, 1:])
    both = np.concatenate((a, b))
    middle = np.partition(both, len(both) // 2)[len(both) // 2]
    near, low = (a <= middle, b <= middle) if both.max() > middle else (a < middle, b < middle)
    beaten = np.zeros(len(rows), dtype=bool)
    beaten[low] = _beaten(front[near], rows[low])
    beaten[~low] = _beaten(front[near][:, 1:], rows[~low][:, 1:])
    left = np.flatnonzero(~low & ~beaten)
    beaten[left] = _beaten(front[~near], rows[left])
    return beaten


def _beaten_in_two(front: Array, rows: Array) -> Array:
    """Return which rows have one of the front that is at most as large in both columns."""
    order = np.argsort(front[:, 0], kind="stable")
    least = np.concatenate(([np.inf], np.minimum.accumulate(front[order, 1])))
    found: Array = least[np.searchsorted(front[order, 0], rows[:, 0], side="right")] <= rows[:, 1]
    return found
