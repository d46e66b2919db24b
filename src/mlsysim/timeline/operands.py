"""Which operators have operands of known sizes, and which kernels they launch, by the number that both carry."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsysim.timeline.activity import MATH
from mlsysim.timeline.scores import of_attention, scores, values
from mlsysim.timeline.spans import NO_LINK, Integers, Labels, SpanRows

_MATH = [int(kind) for kind in MATH]


class Operands:
    """Takes operators and kernels one by one, and joins them in the end.

    An operator is told by its place among the spans of the host, kernels come in the order of the spans of the device.
    """

    def __init__(self) -> None:
        self._places, self._externals, self._sizes = array("q"), array("q"), array("i")
        self._kernels = array("q")
        self._labels, self._scores = Labels(), set[int]()

    def operator(self, place: int, name: str, dims: bytes, external: int) -> None:
        """Keep how many values an operator reads and writes, and how many scores it takes the softmax of."""
        self._places.append(place)
        self._externals.append(external)
        self._sizes.append(self._labels.number(values(name, dims)))
        if found := scores(name, dims):
            self._scores.add(found)

    def kernel(self, external: int) -> None:
        """Keep the number of the operator that launched the next kernel."""
        self._kernels.append(external)

    def join(self, host: SpanRows, device: SpanRows) -> None:
        """Give operators to the kernels that run them, and tell the attention that is written out."""
        places, sizes = np.frombuffer(self._places, np.int64), np.frombuffer(self._sizes, np.int32)
        launched = self._launched(host, places, sizes)
        self._give(host, device, places, launched)
        if self._scores:
            of_host = np.full(len(host), NO_LINK)
            of_host[places] = sizes
            of_device = np.where(launched >= 0, sizes[launched], NO_LINK)
            for rows, numbers in ((host, of_host), (device, of_device)):
                activity = np.frombuffer(rows.activity, np.uint8)
                of_attention(activity, numbers, self._labels.labels, self._scores)

    def _launched(self, host: SpanRows, places: Integers, sizes: npt.NDArray[np.int32]) -> Integers:
        """Return which operator launched each kernel, -1 where that is not known; of one number, the first of them."""
        externals, kernels = (np.frombuffer(column, np.int64) for column in (self._externals, self._kernels))
        if not len(externals):
            return np.full(len(kernels), NO_LINK)
        order = np.argsort(externals, kind="stable")
        if _repeats(externals[order]):
            order = np.lexsort((_order(host, places, self._labels.ranks()[sizes]), externals))
        at = order[np.minimum(np.searchsorted(externals, kernels, sorter=order), len(order) - 1)]
        return np.where((externals[at] == kernels) & (kernels != NO_LINK), at, NO_LINK)

    @staticmethod
    def _give(host: SpanRows, device: SpanRows, places: Integers, launched: Integers) -> None:
        """Give each operator to one kernel: the longest of those that do arithmetic, where it launches several."""
        activity = np.frombuffer(device.activity, np.uint8)
        which = np.flatnonzero((launched >= 0) & np.isin(activity, _MATH))
        length = np.frombuffer(device.end, np.int64)[which] - np.frombuffer(device.start, np.int64)[which]
        order = np.lexsort((length, launched[which]))
        if _repeats(launched[which][order]):  # of those that take as long, the first
            order = np.lexsort((-_order(device, which), length, launched[which]))
        which = which[order]
        last = np.append(launched[which][1:] != launched[which][:-1], True)[: len(which)]
        which = which[last]
        work = np.frombuffer(host.work, np.int32)[places[launched[which]]]
        different, at = np.unique(work, return_inverse=True)
        labels = host.works.labels
        numbers = np.array([device.works.number(labels[number]) for number in different], np.int32)
        np.frombuffer(device.work, np.int32)[which] = numbers[at]


def _repeats(numbers: Integers) -> bool:
    """Return whether a number comes twice among sorted ones."""
    return bool((numbers[1:] == numbers[:-1]).any())


def _order(rows: SpanRows, places: Integers, *more: npt.NDArray[Any]) -> Integers:
    """Return the rank of some spans by start, end and what they are, so that their order in the file says nothing."""
    start, end = (np.frombuffer(column, np.int64)[places] for column in (rows.start, rows.end))
    labels = ((rows.works, rows.work), (rows.shapes, rows.shape), (rows.names, rows.name))
    ties: list[npt.NDArray[Any]] = [
        known.ranks()[np.frombuffer(numbers, np.int32)[places]] for known, numbers in labels if len(places)
    ]
    ranks = np.empty(len(places), np.int64)
    ranks[np.lexsort([*more, *ties, end, start])] = np.arange(len(places))
    return ranks
