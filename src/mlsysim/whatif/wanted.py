"""What a choice is by: the quantity that ranks, the condition, the objectives, in the names that a sweep knows."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.registry import nearest
from mlsysim.sweep.expressions import Expression, parse
from mlsysim.sweep.grouping import checked_name
from mlsysim.sweep.points import known_names
from mlsysim.sweep.quantities import QUANTITIES
from mlsysim.units import positive
from mlsysim.whatif.asked import PHASE_OF, RUN
from mlsysim.whatif.option import Option
from mlsysim.workload.named import phase_of

RUN_NAMES = {
    "run_s": "-throughput",
    "run_usd": "usd_per_million",
    "run_j": "joules_per_item",
    "run_kg": "kg_per_million",
}
"""Quantities of a training run, and what of a sweep ranks as they do."""
_RUN_TERMS = {
    "run_s": "({tokens!r} / throughput)",
    "run_usd": "(usd_per_million * {millions!r})",
    "run_j": "(joules_per_item * {tokens!r})",
    "run_kg": "(kg_per_million * {millions!r})",
}


class Wanted(NamedTuple):
    """What is asked for: as written, and in the names of a sweep.

    ``by`` and ``objectives`` are for reductions, ``where`` is the condition. ``written`` are the quantities that it was
    written with.
    """

    by_name: str
    by: str
    largest: bool
    where: str
    condition: Expression | None
    written: tuple[str, ...]
    objectives: tuple[str, ...]
    asked_objectives: tuple[str, ...]
    tokens: float | None
    phase: str | None

    @property
    def priced(self) -> bool:
        """Return whether a price decides which options there are."""
        return any("usd" in name for name in (self.by_name, *self.written))

    def rank(self, o: Option) -> float:
        """Return what is least for the best option."""
        return (-1.0 if self.by.startswith("-") else 1.0) * o.value(self.by.removeprefix("-"))


def wanted_of(by: str, where: str, pareto: tuple[str, ...], tokens: Any, phase: str | None) -> Wanted:
    """Return what is asked for, checked.

    Raises
    ------
    UsageError
        A quantity is not known, a condition cannot be read, there are fewer than two objectives, or a training run is
        asked for without its tokens.
    """
    read = None if tokens is None else positive(tokens, "tokens")
    written = tuple(sorted(set(re.findall(r"[A-Za-z_]\w*", where)) & {*QUANTITIES, *RUN}))
    names = (by.removeprefix("-"), *written, *(name.removeprefix("-") for name in pareto))
    if read is None and (run := next((n for n in names if n in RUN), None)):
        raise InvalidValue("tokens", f"stated where {run} is asked: tokens the training run reads in all", None)
    if len(pareto) < 2:
        raise InvalidValue("pareto", "two objectives or more", list(pareto))
    chosen = _phase(phase, (by.removeprefix("-"), *written), names, read is not None)
    text = _in_terms(where, read)
    ranks = _ranked(by, "by")
    return Wanted(
        by.removeprefix("-"),
        ranks,
        ranks.startswith("-"),
        text,
        parse(text, known_names(), "where") if text else None,
        written,
        tuple(_ranked(name, "pareto") for name in pareto),
        pareto,
        read,
        chosen,
    )


def _phase(stated: str | None, decisive: tuple[str, ...], names: tuple[str, ...], run: bool) -> str | None:
    """Return the phase that is asked: as stated, else the one that alone has a quantity of those.

    Raises
    ------
    InvalidValue
        What decides is of another phase.
    """
    chosen = None if stated is None else phase_of(stated)
    chosen = chosen or ("training" if run else next((PHASE_OF[n] for n in (*decisive, *names) if n in PHASE_OF), None))
    other = next((n for n in decisive if PHASE_OF.get(n, chosen) != chosen), None)
    if other is not None:
        raise InvalidValue("phase", f"{PHASE_OF[other]}, which alone has {other}", chosen)
    return chosen


def _ranked(name: str, field: str) -> str:
    """Return what ranks as a quantity does, with a minus where more of it is better."""
    bare = name.removeprefix("-")
    if bare in RUN_NAMES:
        found = RUN_NAMES[bare]
    else:
        known = [*known_names(), *RUN_NAMES]
        if bare not in known and (near := nearest(bare, known)):
            raise UnknownName(f"quantity in {field}:", bare, near, "`mlsysim schema --quantities` lists all")
        checked_name(bare, field)
        return name
    if name.startswith("-"):
        return found.removeprefix("-") if found.startswith("-") else f"-{found}"
    return found


def _in_terms(where: str, tokens: float | None) -> str:
    """Return a condition with the quantities of a training run written by those of its steps."""
    if tokens is None:
        return where.strip()
    for name, term in _RUN_TERMS.items():
        where = re.sub(rf"\b{name}\b", term.format(tokens=tokens, millions=tokens / 1e6), where)
    return where.strip()
