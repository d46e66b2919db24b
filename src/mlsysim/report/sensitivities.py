"""Sensitivities and needs as tables."""

from __future__ import annotations

from mlsysim.report.tables import Table
from mlsysim.whatif.asked import MEANINGS, shown
from mlsysim.whatif.inverse import Need
from mlsysim.whatif.sensitivity import APART, Row, Sensitivity, told


def sensitivity_table(s: Sensitivity) -> Table:
    """Return a row an input, strongest first; sentences beneath say what more of each buys."""
    r = s.result
    value, low, high = (shown(v, s.unit) for v in s.value)
    on = f"{r.devices} x {r.hardware}" if r.devices > 1 else r.hardware
    title = f"{MEANINGS[s.of]}: {r.model} {r.phase} on {on}: {value} ({low} to {high}), bound by {s.bound}"
    percent = f"{100 * s.change:g} %"
    columns = ("input", "value", "elasticity", f"{percent} lower", f"{percent} higher", "what it is")
    rows = [_row(row, s) for row in s.shown_rows]
    return Table(title, columns, rows, frozenset(columns[1:-1]), caption="\n".join(_caption(s)))


def _row(row: Row, s: Sensitivity) -> tuple[str, ...]:
    ends = [shown(end, s.unit, 4) if end is not None else "-" for end in (row.low, row.high)]
    title = f"{row.title}, {APART}" if row.way == APART else row.title
    return row.input, shown(row.value, row.unit), told(row), *ends, title


def _caption(s: Sensitivity) -> list[str]:
    lines = [w.text for w in s.worth if not w.text.endswith("nothing")]
    idle = [w.input for w in s.worth if w.text.endswith("nothing")]
    if idle:
        lines.append(f"more of these buys nothing: {', '.join(idle)}")
    for u in s.uncertain:
        ends = f"{shown(u.low, u.unit)} to {shown(u.high, u.unit)} ({u.source})"
        outputs = sorted((u.output_low, u.output_high))
        lines.append(f"{u.title}, {ends}, gives {shown(outputs[0], s.unit)} to {shown(outputs[1], s.unit)}")
    return lines


def _against(ratio: float, side: str) -> str:
    """Return what a value says of the one in the question, which it is so many times."""
    if side == "any":
        return "meets the goal, as all others do"
    said = "is allowed" if side == "at most" else "is needed" if ratio > 1.0 else "is enough"
    return f"{ratio:.3g} times as much {said}"


def need_table(n: Need) -> Table:
    """Return the value that is needed, and what holds there, as a list of quantities."""
    r = n.there
    on = f"{r.devices} x {r.hardware}" if r.devices > 1 else r.hardware
    sides = {"at least": "this or more", "at most": "this or less", "any": "this and all others looked at"}
    rows = [(n.title, shown(n.value, n.unit, 4), sides[n.side])]
    if n.has is not None:
        rows.append(("in the question", shown(n.has, n.unit, 4), _against(n.value / n.has, n.side)))
    if n.side == "at least" and not n.range.last:
        rows.append(("up to", shown(n.range.high, n.unit, 4), "beyond it the goal is missed, or memory is full"))
    rows += [("also", shown(e.low, n.unit), f"to {shown(e.high, n.unit)}") for e in n.elsewhere]
    if n.interval != (n.value, n.value):
        for end, said in zip(n.interval, ("fast", "slow"), strict=True):
            shown_end = "no value" if end is None else shown(end, n.unit, 4)
            asked = "allowed" if n.side == "at most" else "needed"
            rows.append((f"{said} end", shown_end, f"{asked} at the {said} end of eta's interval"))
    rows += [(name, shown(value, unit, 4), f"there: {MEANINGS[name]}") for name, value, unit in n.found]
    rows.append(("eta", f"{r.efficiency.achieved:.4g}", f"there: {r.efficiency.kind}; bound by {r.bound}"))
    if n.elasticity is not None:
        rows.append(("elasticity", f"{n.elasticity:+.3f}", f"there: of {n.found[0][0]} to {n.title}"))
    return Table(
        f"{n.reach}: {r.model} {r.phase} on {on}", ("quantity", "value", "meaning"), rows, frozenset({"value"})
    )
