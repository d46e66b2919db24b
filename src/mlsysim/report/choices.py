"""Choices as tables: the best of each hardware, held against the best of all, and the front."""

from __future__ import annotations

from collections import defaultdict

from mlsysim.report.tables import Table
from mlsysim.whatif.asked import MEANINGS, better_if_more, shown
from mlsysim.whatif.break_even import BreakEven
from mlsysim.whatif.candidates import Left
from mlsysim.whatif.choose import Choices
from mlsysim.whatif.option import Option

SHOWN = 15
"""Options of a table; JSON and CSV have all."""
EACH = 8
"""Hardware left out that is told one by one; more are put together by reason."""
BESIDE = 1
"""Objectives told beside the quantity that ranks; the front has all."""
BOUGHT = "bought (price of)"
"""The column that tells what day the purchase price of an owned device is of."""
NAMES = 6
"""Names told of each reason."""


def choices_table(c: Choices, most: int = SHOWN) -> Table:
    """Return a row an option, best first; sentences beneath say what the best cannot be told from, and what is left."""
    name = c.by.removeprefix("-")
    others = [n for n in _objectives(c) if n != name][:BESIDE]
    owned = any(o.pay.owned for o in c.options)
    numbers, bought = (name, "times the best", *others), (BOUGHT,) * owned
    columns = ("option", *numbers, *bought, "meets")
    rows = [
        (
            o.label,
            _value(o, name),
            _against(c, n),
            *(_one(o, other) for other in others),
            *(o.bought for _ in bought),
            _meets(c.sure[n]),
        )
        for n, o in enumerate(c.options[:most])
    ]
    title = f"{MEANINGS[name]}: {'most' if c.by.startswith('-') else 'least'} of each hardware"
    title += f" that meets {c.where}" if c.where else ""
    title += f"; {c.options[0].pay}" if c.options and (owned or c.options[0].pay.utilisation < 1) else ""
    if not any(sure is not None for sure in c.sure):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return Table(title, columns, rows, frozenset(numbers), caption="\n".join(_caption(c, most)))


def front_table(c: Choices) -> Table:
    """Return a row an option of the front, with all objectives."""
    names = _objectives(c)
    best = ", ".join(f"{'most' if o.startswith('-') else 'least'} {o.removeprefix('-')}" for o in c.objectives)
    bought = (BOUGHT,) * any(o.pay.owned for o in c.front)
    rows = [(o.label, *(_one(o, name) for name in names), *(o.bought for _ in bought)) for o in c.front]
    met = f", that meet {c.where}" if c.where else ""
    title = f"options that no other beats in all of {best}{met}"
    return Table(title, ("option", *names, *bought), rows, frozenset(names), caption="\n".join(_left(c)))


def _objectives(c: Choices) -> list[str]:
    return list(dict.fromkeys(o.removeprefix("-") for o in c.objectives))


def _value(o: Option, name: str) -> str:
    value = o.interval(name)
    unit = o.unit(name)
    if not value.low < value.high:
        return shown(value.value, unit)
    ends = [shown(end, unit).removesuffix(f" {unit}") for end in (value.low, value.high)]
    return f"{shown(value.value, unit)} ({' to '.join(ends)})"


def _one(o: Option, name: str) -> str:
    value = o.known(name)
    return "-" if value is None else shown(value.value, o.unit(name))


def _against(c: Choices, n: int) -> str:
    """Return an option as a multiple of the best, with an ``=`` where the two cannot be told apart."""
    if not 0 < n <= len(c.pairs):
        return "1" if n == 0 else "-"
    p = c.pairs[n - 1]
    r = p.ratio.interval
    return f"{'' if p.distinguishable else '= '}{r.value:.3g} ({r.low:.3g} to {r.high:.3g})"


def _meets(sure: bool | None) -> str:
    return {True: "surely", False: "at its value", None: ""}[sure]


def _caption(c: Choices, most: int) -> list[str]:
    lines = [f"{len(c.options) - most} more options are not shown" for _ in range(len(c.options) > most)]
    alike = [p for p in c.pairs if not p.distinguishable]
    if alike:
        lines.append(f"= cannot be told from {c.options[0].label}: the interval of the ratio holds 1")
        lines += [f"{p.second}: {p.settle}" for p in alike]
    elif c.pairs:
        lines.append(f"{c.options[0].label} is told apart from all that it was held against")
    if len(c.options[:most]) > len(c.pairs) + 1:
        lines.append(f"-: only the next {len(c.pairs)} were held against the best")
    return [*lines, *c.cautions(), *_left(c)]


def _left(c: Choices) -> list[str]:
    """Return what hardware is not among the options, and why."""
    if len(c.left) <= EACH:
        lines = [f"not {left.hardware}: {left.reason}" for left in c.left]
    else:
        lines = [_together(kind, found) for kind, found in _by_reason(c.left).items()]
    if c.off_front:
        names = ", ".join(name for name, _ in c.off_front[:NAMES])
        lines.append(f"not on the front, {c.off_front[0][1]}: {names}{_more(len(c.off_front))}")
    return lines


def _by_reason(left: tuple[Left, ...]) -> dict[str, list[Left]]:
    found: dict[str, list[Left]] = defaultdict(list)
    for each in left:
        words = {
            "misses": "does not meet the condition",
            "does not fit": "does not fit into memory",
            "not asked": "cannot be asked",
        }
        found[words.get(each.kind, each.reason.replace(f" for {each.hardware}", ""))].append(each)
    return found


def _together(reason: str, found: list[Left]) -> str:
    near = max((left for left in found if left.margin is not None), key=lambda left: left.margin or 0.0, default=None)
    nearest = f"; nearest: {near.reason}" if near else ""
    names = ", ".join(left.hardware for left in found[:NAMES])
    return f"{len(found)} not among them ({reason}): {names}{_more(len(found))}{nearest}"


def _more(count: int) -> str:
    return f" and {count - NAMES} more" if count > NAMES else ""


def break_even_table(found: BreakEven) -> Table:
    """Return where the second option becomes better than the first, with the ends of its interval."""
    rows = [("A", found.first), ("B", found.second), (f"B is better by {found.of}", _where(found))]
    if found.value is not None:
        maybe, surely = found.interval
        side = "up to" if found.side == "up to" else "from"
        rows.append(("  maybe", "nowhere" if maybe is None else f"{side} {found.told(maybe)}"))
        rows.append(("  surely", "nowhere" if surely is None else f"{side} {found.told(surely)}"))
    rows += [("  and", f"from {found.told(r.low)} up to {found.told(r.high)}") for r in found.elsewhere]
    r = found.ratio
    at = "its best" if found.value is None else "that point"
    rows.append((f"{found.of}, B over A at {at}", f"{r.value:.3g} times ({r.low:.3g} to {r.high:.3g})"))
    better = "more" if better_if_more(found.of) else "less"
    title = f"from where on B has {better} {found.of} than A, by {found.over.replace('_', ' ')}"
    return Table(title, ("what", "value"), rows, caption=found.reason)


def _where(found: BreakEven) -> str:
    if found.value is None:
        return found.side
    words = {"from": "from {} on", "up to": "up to {}", "between": "from {} up to {}"}[found.side]
    return words.format(*(found.told(v) for v in (found.value, found.until) if v is not None))
