"""What must be said about a sweep: what was not given, and which prices and grids its costs rest on."""

from __future__ import annotations

from mlsysim.results import Note
from mlsysim.solution import Solution
from mlsysim.sweep.grid import Grid

LOOKED_AT = 2000
"""Blocks that are looked at for what is said of devices."""


def notes_of(grid: Grid) -> tuple[Note, ...]:
    """Return what must be said, each once: defaults of the first block of a phase, prices of each device, and grids."""
    found: dict[Note, None] = {}
    said: set[tuple[object, ...]] = set()
    scopes: dict[str, str] = {}
    priced = "usd_per_hour" in grid.numbers or bool(grid.uncertain and "usd_per_hour" in grid.uncertain.fields)
    for number in range(min(grid.blocks, LOOKED_AT)):
        block = grid.block(number)
        scenario = block.scenario
        if scenario is None:
            continue
        key = (scenario.hardware.name, scenario.phase, block.word("region"), block.word("pue"))
        if key in said:
            continue
        said.add(key)
        if block.site is not None:
            scopes[block.site.region.name] = block.site.region.carbon().basis.partition(",")[0]
        defaults = scenario.defaults
        if given := ", ".join(f"{name} = {value}" for name, value in defaults.items() if name != "devices"):
            found[Note("defaults-used", f"not given, so assumed: {given}")] = None
        solution = Solution(scenario, block.efficiency, 1.0 if priced else None, block.setup, block.site)
        found |= dict.fromkeys(solution.cost_notes())
    if len(set(scopes.values())) > 1:
        counted = ", ".join(f"{scope} in {name}" for name, scope in scopes.items())
        found[Note("scopes-differ", f"carbon of these regions does not compare: it is {counted}")] = None
    return tuple(found)
