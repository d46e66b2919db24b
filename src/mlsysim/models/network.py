"""Networks as tables of operators: what one sample takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple


class Layer(NamedTuple):
    """One operator of a network, for one sample: multiply-accumulates, parameters, elements in and out.

    ``times`` such operators are alike, each with parameters of its own. ``touched`` is the number of parameters that
    one sample reads where that is not all of them, as in an embedding table.
    """

    name: str
    kind: str
    macs: int
    parameters: int
    input_elements: int
    output_elements: int
    times: int = 1
    touched: int | None = None


class Totals(NamedTuple):
    """What one row of a table does for one sample: FLOPs, elements in and out, parameters, and those it reads if fewer.

    ``count`` operators together, which run ``steps`` times.
    """

    name: str
    kind: str
    count: int  # type: ignore[assignment]  # the ledger's word; a tuple's own count() is not used
    flops: float
    elements: float
    parameters: float
    touched: float | None


def totals(table: Iterable[Layer], steps: int = 1) -> tuple[Totals, ...]:
    """Return the totals of the rows of a table."""
    return tuple(
        Totals(
            layer.name,
            layer.kind,
            (n := layer.times * steps),
            2.0 * n * layer.macs,
            float(n * (layer.input_elements + layer.output_elements)),
            float(n * layer.parameters),
            None if layer.touched is None else float(n * layer.touched),
        )
        for layer in table
    )


DENOISING = "denoising step"
"""What a diffusion model's table takes one of; so many of them make an image."""


@dataclass(frozen=True)
class NetworkSpec:
    """A network as a table of operators; ``sample`` is what it takes one of: an image, a window.

    ``steps`` is how often the table runs for a sample: the table of a diffusion model is one denoising step. Totals of
    the table are summed once: it may have hundreds of rows, and an answer needs them several times.
    """

    name: str
    table: tuple[Layer, ...]
    sample: str = "sample"
    steps: int = 1
    published_macs: int | None = None
    title: str = ""
    source: str = ""
    retrieved: str = ""
    note: str = ""
    precision: str = ""

    @cached_property
    def totals(self) -> tuple[Totals, ...]:
        """Return what each row does for one sample, all its operators and all steps together."""
        return totals(self.table, self.steps)

    @cached_property
    def parameters(self) -> int:
        """Return all parameters."""
        return sum(layer.times * layer.parameters for layer in self.table)

    @property
    def active_parameters(self) -> int:
        """Return the parameters that one sample reads: not those of table rows that it does not look up."""
        return sum(layer.times * (layer.parameters if layer.touched is None else layer.touched) for layer in self.table)

    @cached_property
    def widest_elements(self) -> int:
        """Return the most elements that one operator reads and writes: what an inference holds at once."""
        return max(layer.input_elements + layer.output_elements for layer in self.table)

    @cached_property
    def output_elements(self) -> int:
        """Return the elements that all operators write: what training keeps for the backward pass."""
        return self.steps * sum(layer.times * layer.output_elements for layer in self.table)

    @cached_property
    def macs(self) -> int:
        """Return the multiply-accumulates of one sample; FLOPs are twice that."""
        return self.steps * sum(layer.times * layer.macs for layer in self.table)

    @cached_property
    def operators(self) -> int:
        """Return the kernels of one unfused forward step."""
        return self.steps * sum(layer.times for layer in self.table)
