"""A strip of stacked columns, one a step or a rank: so that what happens in some of them is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from mlsysim.efficiency.breakdown import StepTime
from mlsysim.efficiency.columns import WORK, of_times
from mlsysim.units import si

MOST_COLOURS = 9
"""Causes that have a colour of their own in a strip of steps; the others share one."""
MOST_COLUMNS = 600
"""Columns of a strip; of more steps the slowest of some that follow each other stands for them."""
_FIXED = {WORK: "work", "unattributed": "unknown"}
_OTHERS = "others"


class Shape(NamedTuple):
    """All that one cause takes in a strip, as one path."""

    name: str
    look: str
    path: str


class Strip(NamedTuple):
    """Stacked columns, one a step or a rank: what each cause takes, what is said on hover, and what stands around."""

    of: str
    columns: int
    shapes: tuple[Shape, ...]
    hovers: tuple[str, ...]
    highest: str
    middle: float
    middle_says: str
    first: str
    last: str
    caption: str
    told: tuple[str, ...]


def strip(of: str, steps: Sequence[StepTime], looks: Mapping[str, str], sentences: Sequence[str]) -> Strip | None:
    """Return columns of steps or of ranks, stacked: the work below, then what takes most in most of them."""
    if len(steps) < 2:
        return None
    drawn, each = _thinned(steps)
    highest = max(step.seconds for step in drawn)
    heights = {name: [_height(step, name, looks) for step in drawn] for name in (*looks, _OTHERS)}
    bottoms, shapes = [0.0] * len(drawn), []
    for name in sorted(heights, key=lambda n: (n != WORK, -median(heights[n]), n)):
        if any(heights[name]):
            shapes.append(Shape(name, looks.get(name, "rest"), _path(bottoms, heights[name], highest)))
        bottoms = [b + h for b, h in zip(bottoms, heights[name], strict=True)]
    usual = median(step.seconds for step in steps)
    caption = (
        f"Each column is a {of}."
        if each == 1
        else f"Each column is the slowest of {each} {of}s that follow each other."
    )
    return Strip(
        of,
        len(drawn),
        tuple(shapes),
        tuple(_hover(of, step) for step in drawn),
        si(highest, "s"),
        100.0 * usual / highest,
        f"{'mean' if len(steps) == 2 else 'median'}, {si(usual, 's')}",
        f"{of} {steps[0].index}",
        f"{of} {steps[-1].index}",
        caption,
        tuple(sentences),
    )


def _thinned(steps: Sequence[StepTime]) -> tuple[list[StepTime], int]:
    """Return at most so many steps as there are columns, and of how many each is the slowest."""
    each = -(-len(steps) // MOST_COLUMNS)
    groups = [steps[i : i + each] for i in range(0, len(steps), each)]
    return [max(group, key=lambda step: step.seconds) for group in groups], each


def looks_of(steps: Sequence[StepTime]) -> dict[str, str]:
    """Return the looks of the causes that take most in any step, so that what is rare and long is seen."""
    most: dict[str, float] = {}
    for step in steps:
        for name, seconds in step.causes.items():
            most[name] = max(most.get(name, 0.0), seconds)
    first = sorted(most, key=lambda name: (name not in _FIXED, -most[name]))[:MOST_COLOURS]
    free = iter(range(MOST_COLOURS))
    return {name: _FIXED[name] if name in _FIXED else f"c{next(free)}" for name in first}


def _height(step: StepTime, name: str, looks: Mapping[str, str]) -> float:
    if name == _OTHERS:
        return sum(seconds for cause, seconds in step.causes.items() if cause not in looks)
    return step.causes.get(name, 0.0)


def _path(bottoms: Sequence[float], heights: Sequence[float], highest: float) -> str:
    """Return rectangles in a box as wide as there are columns and 100 high, from the bottom up."""
    gap = 0.08 if len(bottoms) <= 120 else 0.0
    found = []
    for i, (bottom, height) in enumerate(zip(bottoms, heights, strict=True)):
        if height > 0:
            y, tall = 100.0 * (1.0 - bottom / highest), 100.0 * height / highest
            found.append(f"M{i + gap:g} {y:.2f}h{1 - 2 * gap:g}v{-tall:.2f}h{2 * gap - 1:g}z")
    return "".join(found)


def _hover(of: str, step: StepTime) -> str:
    column = of_times(step.seconds)
    largest = sorted(step.causes.items(), key=lambda k: -k[1])[:6]
    told_causes = [
        f"{name} {column.shown(seconds / column.size)} {column.unit}" for name, seconds in largest if seconds
    ]
    return "\n".join([f"{of} {step.index}: {si(step.seconds, 's')}", *told_causes])
