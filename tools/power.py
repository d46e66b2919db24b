"""Fit the power of devices to the packaged measurements, and hold it against those that the fit did not see.

    python tools/power.py

Reads ``costs/data/power_measured.tsv``, writes ``costs/data/power_parameters.tsv`` and the tables of docs/energy.md.
Whole devices and whole sources are left out in turn. Every form is fitted alike: by least squares of the logarithm,
softened for outliers, rows of one device and source weighing together as the square root of their number.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from mlsysim.costs.measured_power import MeasuredPower, measured_power
from mlsysim.costs.power import parameters, power_w
from mlsysim.registry import read_table
from power_fit import CHOSEN, FORMS, Array, Data, ends, errors, fit, held_out, idle_shares, inside, table

ROOT = Path(__file__).parent.parent
OUT = ROOT / "src/mlsysim/costs/data/power_parameters.tsv"
PAGE = ROOT / "docs/energy.md"
HOST = (
    ("https://arxiv.org/abs/2412.08602", 8.4),
    ("https://arxiv.org/abs/2506.14551", 0.76 * 10.2),
    ("https://smc.co/mlperfv40/results/llama2-70b-lora", 12_127.904 / (29.10069 * 60)),
)
"""Power of a node of eight H100 of 700 W, as rated at 10.2 kW, in its most intense training [kW]."""


def percent(e: Array) -> Array:
    """Return how far predicted / measured is from one [%]."""
    return 100.0 * np.abs(np.expm1(-e))


def forms_table(d: Data) -> list[str]:
    """Return how every form does where it was fitted and where it was not."""
    lines = ["| form | parameters | seen | device out | source out |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, (form, start) in FORMS.items():
        seen = errors(form, fit(form, start, d), d)
        cells = [_median(e) for e in (seen, held_out(form, start, d, d.device), held_out(form, start, d, d.group))]
        title = f"**{name}**" if name == CHOSEN else name
        lines.append(f"| {title} | {len(start)} | {' | '.join(cells)} |")
    return lines


def _median(e: Array) -> str:
    return f"{np.median(percent(e)):.1f} / {np.quantile(percent(e), 0.9):.0f}"


def groups_table(d: Data, groups: npt.NDArray[np.str_], titles: dict[str, str], head: str) -> list[str]:
    """Return errors and coverage of every group, predicted without it."""
    e = held_out(*FORMS[CHOSEN], d, groups)
    within = inside(e, d, groups)
    lines = [
        f"| {head} | rows | median error, % | measured / predicted | in the interval, % |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name in np.unique(groups):
        at = groups == name
        lines.append(f"| {titles.get(str(name), str(name))} | {_cells(e[at], within[at])} |")
    return [*lines, f"| all | {_cells(e, within)} |"]


def _cells(e: Array, within: npt.NDArray[np.bool_]) -> str:
    return f"{len(e)} | {np.median(percent(e)):.0f} | {np.exp(np.median(e)):.2f} | {100 * within.mean():.0f}"


def nodes_table() -> list[str]:
    """Return whole nodes beside what their devices alone would draw: the rest is the host's, or a limit's."""
    found: dict[tuple[str, int, str], list[MeasuredPower]] = defaultdict(list)
    for row in measured_power():
        if row.scope == "node":
            found[row.device.name, row.devices, "tuned for energy" if "MaxQ" in _locator(row.id) else ""].append(row)
    lines = [
        "| devices | of them | tuned | rows | node, W | devices predicted, W | node / devices |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for (name, devices, tuned), rows in sorted(found.items()):
        node = median(r.power_w for r in rows) * devices
        alone = [power_w(r.device, r.compute_utilisation, r.memory_utilisation) for r in rows]
        predicted_w = median(p.value for p in alone if p) * devices
        cells = f"{len(rows)} | {node:,.0f} | {predicted_w:,.0f} | {node / predicted_w:.2f}"
        lines.append(f"| `{name}` | {devices} | {tuned} | {cells} |")
    return lines


def _locator(name: str) -> str:
    return next(r["locator"] for r in read_table("mlsysim.costs", "power_measured.tsv") if r["id"] == name)


def parameters_table(d: Data) -> list[str]:
    """Return the packaged parameters: name, value, ends, unit, rows behind it and where it is from."""
    form, start = FORMS[CHOSEN]
    p = fit(form, start, d)
    both = np.concatenate([held_out(form, start, d, groups) for groups in (d.device, d.group)])
    low, high = ends(both, np.tile(d.weight, 2))
    shares = idle_shares()
    room = [(kw - 5.6) / (10.2 - 5.6) for _, kw in HOST]
    rows = [
        ("compute weight", p[0], p[0], p[0], len(d.share), "least softened squares; at 1 TFLOP/s a watt"),
        ("memory weight", p[1], p[1], p[1], len(d.share), "least softened squares"),
        *(
            (f"idle share, {kind}", s, s, s, n, "median of idle / rated power of devices with both, hardware.tsv")
            for kind, (s, n) in shares.items()
        ),
        (
            "measured / predicted",
            1.0,
            np.exp(low),
            np.exp(high),
            len(d.share),
            "5th and 95th percentile, device or source left out",
        ),
        (
            "host share",
            median(room),
            min(room),
            max(room),
            len(room),
            "of the rating beside the devices, these at theirs: median, least and most of "
            + " ".join(u for u, _ in HOST),
        ),
    ]
    lines = ["name\tvalue\tlow\thigh\tunit\trows\tderivation"]
    lines += [f"{n}\t{v:.4g}\t{lo:.4g}\t{hi:.4g}\t1\t{count}\t{why}" for n, v, lo, hi, count, why in rows]
    return lines + active_rows()


def active_rows() -> list[str]:
    """Return the power of microcontrollers while they compute: median and ends of what was measured."""
    found = defaultdict(list)
    for row in measured_power():
        if row.device.kind == "mcu":
            found[row.device.name].append(row.power_w)
    why = "median, least and most of power_measured.tsv"
    return [
        f"active {name}\t{median(w):.4g}\t{min(w):.4g}\t{max(w):.4g}\tW\t{len(w)}\t{why}" for name, w in found.items()
    ]


def write_page(blocks: dict[str, list[str]]) -> None:
    """Write the tables of the page anew."""
    text = PAGE.read_text(encoding="utf-8")
    for name, lines in blocks.items():
        start = text.index(f"<!-- measured: {name} -->\n")
        end = text.index("<!-- end -->", start)
        text = text[:start] + "\n".join([f"<!-- measured: {name} -->", *lines, ""]) + text[end:]
    PAGE.write_text(text, encoding="utf-8")


def main() -> None:
    """Fit, write the parameters, then the page."""
    d = table()
    OUT.write_text("\n".join(parameters_table(d)) + "\n", encoding="utf-8")
    parameters.cache_clear()  # the table of nodes is of what was just written
    sources = {r.source: re.sub(r"(.*) \((https.*)\)", r"[\1](\2)", r.source) for r in measured_power()}
    blocks = {
        "forms": forms_table(d),
        "devices": groups_table(d, d.device, {n: f"`{n}`" for n in map(str, np.unique(d.device))}, "device"),
        "sources": groups_table(d, d.group, sources, "source"),
        "nodes": nodes_table(),
    }
    if PAGE.exists():
        write_page(blocks)
    for name, lines in blocks.items():
        print(f"\n{name}", *lines, sep="\n")


if __name__ == "__main__":
    main()
