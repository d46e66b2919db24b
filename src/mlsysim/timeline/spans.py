"""Spans of a trace as columns: gathered one by one, then sorted so that their order in the file says nothing."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

NO_LINK = -1


class Labels:
    """Numbers for things that repeat: names, launch shapes, operators with their operands."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}

    def number(self, label: Any) -> int:
        """Return the number of a label, a new one for a label not seen before."""
        found = self._numbers.get(label)
        if found is None:
            found = self._numbers[label] = len(self._numbers)
        return found

    @property
    def labels(self) -> list[Any]:
        """Return the labels in the order of their numbers."""
        return list(self._numbers)

    def ranks(self) -> npt.NDArray[np.int32]:
        """Return for each number the place of its label among all, sorted as text."""
        order = sorted(range(len(self._numbers)), key=[repr(label) for label in self._numbers].__getitem__)
        ranks = np.empty(len(order), np.int32)
        ranks[order] = np.arange(len(order), dtype=np.int32)
        return ranks


class SpanRows:
    """Takes spans one by one, in 45 bytes each."""

    def __init__(self) -> None:
        self.start, self.end, self.link = array("q"), array("q"), array("q")
        self.activity, self.lane, self.name = array("B"), array("i"), array("i")
        self.shape, self.work = array("i"), array("i")
        self.names, self.lanes, self.shapes, self.works = Labels(), Labels(), Labels(), Labels()

    def add(
        self,
        start: int,
        end: int,
        activity: int,
        lane: Any,
        name: str,
        link: int = NO_LINK,
        shape: Any = None,
        work: Any = None,
    ) -> None:
        """Add a span from ``start`` to ``end`` [ns] on a lane (a stream, a thread).

        ``link`` joins a kernel with the call that launched it, ``shape`` is how it was launched (a
        :class:`mlsysim.timeline.trace.Launch`), ``work`` the operator that it runs, with its operands.
        """
        self.start.append(start)
        self.end.append(end)
        self.activity.append(activity)
        self.lane.append(self.lanes.number(lane))
        self.name.append(self.names.number(name))
        self.link.append(link)
        self.shape.append(self.shapes.number(shape))
        self.work.append(self.works.number(work))

    def __len__(self) -> int:
        return len(self.start)

    def spans(self) -> Spans:
        """Return the spans in the order of their start, then of their end, then of what they are."""
        found = Spans(
            start=np.frombuffer(self.start, np.int64),
            end=np.frombuffer(self.end, np.int64),
            activity=np.frombuffer(self.activity, np.uint8),
            lane=np.frombuffer(self.lane, np.int32),
            name=np.frombuffer(self.name, np.int32),
            link=np.frombuffer(self.link, np.int64),
            shape=np.frombuffer(self.shape, np.int32),
            work=np.frombuffer(self.work, np.int32),
            names=self.names.labels,
            lanes=self.lanes.labels,
            shapes=self.shapes.labels,
            works=self.works.labels,
        )
        numbered = (
            (self.lanes, found.lane),
            (self.works, found.work),
            (self.shapes, found.shape),
            (self.names, found.name),
        )
        ties: list[npt.NDArray[Any]] = [labels.ranks()[numbers] for labels, numbers in numbered if len(found)]
        keys: list[npt.NDArray[Any]] = [*ties, found.activity, found.end, found.start]
        return found.where(np.lexsort(keys))


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Spans as columns of one length, by start: times in ns, numbers into the lists of labels."""

    start: Integers
    end: Integers
    activity: npt.NDArray[np.uint8]
    lane: npt.NDArray[np.int32]
    name: npt.NDArray[np.int32]
    link: Integers
    shape: npt.NDArray[np.int32]
    work: npt.NDArray[np.int32]
    names: list[str]
    lanes: list[Any]
    shapes: list[Any]
    works: list[Any]

    def __len__(self) -> int:
        return len(self.start)

    def where(self, chosen: npt.NDArray[Any]) -> Spans:
        """Return the spans at places, or where a mask is true."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in _COLUMNS})


_COLUMNS = ("start", "end", "activity", "lane", "name", "link", "shape", "work")
