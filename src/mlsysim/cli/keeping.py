"""What a sweep keeps, as options: which columns, which points, and the levels of what is uncertain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from mlsysim.cli import options
from mlsysim.errors import Checks, InvalidValue

if TYPE_CHECKING:
    from mlsysim.whatif.reductions import Conditional

_OPTIONS = (
    click.option("--keep", help="quantities to show, by name: time_s,tpot_s,usd_per_million"),
    click.option("--top", type=int, help="only so many, the best --by"),
    click.option("--by", help="what --top goes by, least first; -throughput for the most  [default: time_s]"),
    click.option("--pareto", help="only what no other beats: time_s,usd_per_million,-throughput"),
    click.option("--summary", help="only number, least, mean and most of some quantities"),
    click.option("--quantiles-of", help="only quantiles of some quantities over all points"),
    click.option("--where", help="of these, only points that meet: 'tpot_s < 50 ms and usd_per_million < 2'"),
    click.option("--per", help="--top, --summary and --quantiles-of for each: hardware,batch_size"),
    click.option("--uncertain", is_flag=True, help="carry intervals through: each answer with its 90 % interval"),
    click.option("--quantiles", help="levels to carry instead: 10%,90%"),
    click.option("--draws", type=int, help="draws of what is uncertain  [default: 256]"),
)
NAMES = ("keep", "top", "by", "pareto", "summary", "quantiles_of", "where", "per", "uncertain", "quantiles", "draws")
"""The options by the names of their values."""
_OF = {
    "by": ("top",),
    "per": ("top", "summary", "quantiles_of"),
    "where": ("top", "pareto", "summary", "quantiles_of"),
}
"""What says something only beside one of others."""
LEVELS = (0.05, 0.5, 0.95)
"""Levels of ``--quantiles-of``."""


def keeping(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what is kept."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def reductions(kept: Mapping[str, Any]) -> list[Conditional]:
    """Return what is kept in place of all points; nothing where all are.

    Raises
    ------
    InvalidValue, UnknownName, Problems
        What cannot be kept; a condition, an order or groups of nothing that is kept.
    """
    from mlsysim.whatif.reductions import reduction

    checks = Checks()
    for name, needed in _OF.items():
        if kept[name] and all(kept[n] is None for n in needed):
            beside = ", ".join("--" + n.replace("_", "-") for n in needed)
            one = "one of " if len(needed) > 1 else ""
            checks.add(InvalidValue(f"--{name}", f"given with {one}{beside}", kept[name]))
    where = {"where": kept["where"]} if kept["where"] else {}
    per = {"per": list(listed(kept["per"]) or ())} if kept["per"] else {}
    tables: list[dict[str, Any]] = []
    if kept["top"] is not None:
        tables.append({"top": kept["top"], "by": kept["by"] or "time_s", **where, **per})
    if kept["pareto"]:
        tables.append({"pareto": list(listed(kept["pareto"]) or ()), **where})
    if kept["summary"]:
        tables.append({"summary": list(listed(kept["summary"]) or ()), **where, **per})
    if kept["quantiles_of"]:
        of = list(listed(kept["quantiles_of"]) or ())
        tables.append({"quantiles": list(LEVELS), "of": of, **where, **per})
    found = [checks(reduction, table) for table in tables]
    checks.done()
    return [r for r in found if r is not None]


def uncertain(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return the levels and the number of draws: shares, or from 1 on what is meant in per cent.

    Raises
    ------
    InvalidValue
        A level is no number between 0 and 100 %.
    """
    if kept["quantiles"] is None and not kept["uncertain"]:
        return {"draws": kept["draws"]}
    levels = [_level(part) for part in listed(kept["quantiles"]) or ("5%", "95%")]
    return {"quantiles": levels, "draws": kept["draws"]}


def _level(text: str) -> float:
    found = options.number(text.removesuffix("%").strip())
    if not isinstance(found, (int, float)) or not 0.0 < found < 100.0:
        raise InvalidValue("--quantiles", "levels between 0 and 100 %, such as 10%,90%", text)
    return found / 100.0 if text.endswith("%") or found >= 1.0 else float(found)


def listed(text: str | None) -> tuple[str, ...] | None:
    """Return the names between commas; None where there is no text."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else None


def label(reduction: Conditional | None) -> str:
    """Return what was kept, in words: ``least usd_per_million``; empty where it is all points."""
    from mlsysim.sweep.reduce import Pareto, Quantiles, Summary, Top

    if isinstance(reduction, Top):
        return f"{'most' if reduction.largest else 'least'} {reduction.by}{_each(reduction.per)}"
    if isinstance(reduction, Pareto):
        return f"front of {', '.join(reduction.objectives)}"
    if isinstance(reduction, (Quantiles, Summary)):
        return f"{type(reduction).__name__.lower()}{_each(reduction.per)}"
    return ""


def _each(per: Sequence[str]) -> str:
    return f" for each {', '.join(per)}" if per else ""
