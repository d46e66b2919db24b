"""The points of a sweep: every combination of what its fields hold, made piece by piece.

Fields of words (model, hardware, phase, precision, devices, ...) make *blocks*: one checked question each. Within a
block the fields of numbers (batch, lengths, eta, price) are axes of arrays that broadcast. A block is cut into *boxes*
of a size that a processor's cache holds, and boxes are put together to *tasks*: what one worker takes at once. All of
it follows from the grid alone, so that the same points meet the same arithmetic wherever they are worked out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

from mlsysim.costs.site import Site, site_of
from mlsysim.errors import Checks, UsageError
from mlsysim.models import NetworkSpec
from mlsysim.scenario import Scenario
from mlsysim.setup import Setup, laid_out
from mlsysim.solution import Stated
from mlsysim.sweep import pieces
from mlsysim.sweep.axes import Axis, Part
from mlsysim.sweep.distributions import Distribution
from mlsysim.sweep.pieces import Box, Task, cut
from mlsysim.sweep.quantities import quantile, varies
from mlsysim.workload.asked import used_lengths

WORDS = (
    "model",
    "hardware",
    "phase",
    "precision",
    "devices",
    "plan",
    "region",
    "pue",
    "recompute",
    "lora_rank",
    "freeze",
    "target_len",
    "steps",
    "draft",
    "draft_tokens",
)
"""Fields whose values make blocks, outermost first."""
NUMBERS = ("batch_size", "seq_len", "context", "acceptance", "usd_per_hour", "efficiency")
"""Fields whose values are axes of a block; the one with most values is innermost."""
SIZES = ("batch_size", "seq_len", "context")
"""Numbers that are whole."""
_NOT_ASKED = ("efficiency", "usd_per_hour")
"""Numbers that are no part of the question itself."""


class Uncertain(NamedTuple):
    """What of a sweep is not known exactly: fields by their distribution, how often each is drawn, and the levels.

    ``levels`` are the quantiles that come back beside the median.
    """

    fields: Mapping[str, Distribution]
    draws: int
    levels: tuple[float, ...]

    def expanded(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the columns of some quantities: each, and its quantiles where it is an answer."""
        found = []
        for name in names:
            found += [name, *(quantile(name, level) for level in self.levels if varies(name))]
        return tuple(found)


class Block(NamedTuple):
    """One combination of words: a checked question, or the reason why there is none; and its axes, outermost first."""

    number: int
    words: Mapping[str, Any]
    scenario: Scenario | None
    reason: str
    efficiency: Stated
    setup: Setup
    site: Site | None
    axes: tuple[tuple[str, Axis], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the number of values along each axis."""
        return tuple(len(axis) for _, axis in self.axes)

    def part(self, box: Box) -> Block:
        """Return the block of the points of a box alone."""
        cut = zip(self.axes, box.start, box.shape, strict=True)
        return self._replace(axes=tuple((name, Part(axis, start, count)) for (name, axis), start, count in cut))

    def word(self, name: str) -> Any:
        """Return what a field of words is in this block: as checked, else as given."""
        if self.scenario is not None and name in {"precision", "phase", "devices"}:
            return getattr(self.scenario, name)
        return self.words.get(name)


@dataclass(frozen=True)
class Grid:
    """The fields of a sweep, checked one by one: each word with what it stands for, each number with its axis.

    ``words`` holds for each field its (label, value) pairs; ``numbers`` an axis each. A field that is not there is not
    given.
    """

    words: Mapping[str, tuple[tuple[str, Any], ...]]
    numbers: Mapping[str, Axis]
    uncertain: Uncertain | None = None
    _known: dict[int, Block] = field(default_factory=dict, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}}

    @property
    def swept(self) -> tuple[str, ...]:
        """Return the fields with more than one value."""
        several = [name for name in WORDS if len(self.words.get(name, ())) > 1]
        return (*several, *(name for name in NUMBERS if len(self.numbers.get(name, ())) > 1))

    @cached_property
    def blocks(self) -> int:
        """Return the number of blocks."""
        return math.prod(len(values) for values in self.words.values())

    @cached_property
    def points(self) -> int:
        """Return the number of points; blocks of one model and phase have as many each."""
        pairs = product(self.words["model"], self.words["phase"])
        each = [math.prod(len(a) for _, a in self._axes(m, p)) for (_, m), (_, p) in pairs]
        return sum(each) * self.blocks // len(each)

    def block(self, number: int) -> Block:
        """Return a block; those asked for last are kept."""
        found = self._known.get(number)
        if found is None:
            if len(self._known) >= pieces.TASK_BOXES:
                self._known.clear()
            found = self._known[number] = self._made(number)
        return found

    def _made(self, number: int) -> Block:
        words: dict[str, tuple[str, Any]] = {}
        rest = number
        for name in reversed(list(self.words)):
            rest, at = divmod(rest, len(self.words[name]))
            words[name] = self.words[name][at]
        labels = {name: words[name][0] for name in self.words}
        values = {name: words[name][1] for name in self.words}
        axes = self._axes(values["model"], values["phase"])
        efficiency, setup = values.pop("efficiency", None), values.pop("plan", None) or Setup()
        region, pue = values.pop("region", None), values.pop("pue", None)
        asked = {name: v for name, v in values.items() if v is not None}
        first = {name: axis.values(0, 1)[0].item() for name, axis in axes}
        if self.uncertain:
            first |= {name: value.ends[0] for name, value in self._drawn(values["model"], values["phase"]).items()}
        asked |= {name: value for name, value in first.items() if name not in _NOT_ASKED}
        scenario, site, reason = None, None, ""
        try:
            scenario = Scenario.of(asked.pop("model"), asked.pop("hardware"), **_whole(asked))
            laid_out(setup, scenario.devices)
            site = None if region is None else site_of(region, pue)
        except UsageError as problem:
            scenario, reason = None, str(problem)
        return Block(number, labels, scenario, reason, efficiency, setup, site, axes)

    def drawn(self, block: Block) -> Mapping[str, Distribution]:
        """Return the distributions of a block's numbers."""
        scenario = block.scenario
        return {} if scenario is None or self.uncertain is None else self._drawn(scenario.model, scenario.phase)

    def _drawn(self, model: Any, phase: str) -> Mapping[str, Distribution]:
        assert self.uncertain is not None
        unused = _unused(model, phase)
        return {name: value for name, value in self.uncertain.fields.items() if name not in unused}

    def _axes(self, model: Any, phase: str) -> tuple[tuple[str, Axis], ...]:
        """Return the axes of a block: of the lengths those that its question is put in."""
        left_out = _unused(model, phase)
        axes = [(n, self.numbers[n]) for n in NUMBERS if n in self.numbers and n not in left_out]
        return tuple(sorted(axes, key=lambda axis: len(axis[1])))  # arithmetic is fastest along the longest

    def check(self) -> None:
        """Refuse a grid of which no block can be asked, or a field that none uses.

        Raises
        ------
        UsageError
            With the problems of the blocks, each once.
        """
        checks = Checks()
        used: set[str] = set()
        for (_, model), (_, phase) in product(self.words["model"], self.words["phase"]):
            used |= {name for name, _ in self._axes(model, phase)}
        unused = set(self.numbers) - used
        if unused:
            first = {name: values[0][1] for name, values in self.words.items() if values[0][1] is not None}
            for name in ("efficiency", "plan", "region", "pue"):
                first.pop(name, None)
            first |= {name: self.numbers[name].values(0, 1)[0].item() for name in unused}
            checks(lambda: Scenario.of(first.pop("model"), first.pop("hardware"), **_whole(first)))
        for number in range(self.blocks):
            block = self._made(number)
            if block.scenario is not None:
                break
            checks.add(UsageError(block.reason))
        else:
            checks.done()
        if unused:
            checks.done()

    def tasks(self, times: int = 1) -> Iterator[Task]:
        """Yield what workers take: boxes one after another, ``times`` the usual points together."""
        boxes: list[Box] = []
        held = number = 0
        for box in self.boxes():
            if boxes and (held + box.points > times * pieces.TASK or len(boxes) >= pieces.TASK_BOXES):
                yield Task(number, tuple(boxes))
                boxes, held, number = [], 0, number + 1
            boxes.append(box)
            held += box.points
        yield Task(number, tuple(boxes))

    def boxes(self) -> Iterator[Box]:
        """Yield the boxes of all blocks, in the order of the grid."""
        for number in range(self.blocks):
            axes = self._axes(self._word(number, "model"), self._word(number, "phase"))
            yield from cut(number, axes, max(1, pieces.BOX // (self.uncertain.draws if self.uncertain else 1)))

    def _word(self, number: int, name: str) -> Any:
        """Return the value of one word of a block."""
        rest = number
        for other in reversed(list(self.words)):
            rest, at = divmod(rest, len(self.words[other]))
            if other == name:
                return self.words[name][at][1]
        return None


def _unused(model: Any, phase: str) -> set[str]:
    """Return the fields of numbers that a question about a model and phase is not put in."""
    found = {"seq_len", "context"} - set(used_lengths(model, phase))
    return found if phase == "decode" and not isinstance(model, NetworkSpec) else {*found, "acceptance"}


def _whole(asked: dict[str, Any]) -> dict[str, Any]:
    """Return a question whose whole numbers are so: ranges hold floats."""
    return {n: int(v) if n in SIZES and float(v).is_integer() else v for n, v in asked.items()}
