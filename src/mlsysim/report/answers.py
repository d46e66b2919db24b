"""Answers as tables: what a person reads first, and where each number comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlsysim.report.tables import Table
from mlsysim.results import Interval, Memory, Result
from mlsysim.units import si

if TYPE_CHECKING:
    from mlsysim.report.first_light import FirstLight
    from mlsysim.whatif.token_prices import TokenPrices


def result_table(r: Result) -> Table:
    """Return one result as a list of quantities."""
    eta = r.efficiency
    rows = [
        ("time", si(r.time_s.value, "s"), _and(ends(r.time_s, "s"), f"a step: {_step(r)}")),
        ("throughput", si(r.throughput.value, r.throughput_unit), ends(r.throughput, r.throughput_unit)),
        ("eta", f"{eta.achieved:.4g}", _eta_source(r)),
        ("its interval", f"{eta.low:.3g} to {eta.high:.3g}" if eta.low < eta.high else "none", _INTERVALS[eta.kind]),
        ("eta ceiling", f"{eta.ceiling:.4g}", "what the roofline allows"),
        ("attainment", f"{eta.attainment:.4g}", "eta / ceiling: what software achieves of it"),
        ("bound by", r.bound, _bound(r)),
        *(
            (f"  of which {name}", f"{si(s, 's')}  ({s / r.time_s.value:.0%})", _PARTS[name])
            for name, s in r.breakdown_s.items()
            if s
        ),
        ("work", si(r.flops, "FLOP"), f"at a peak of {si(r.peak_flops, 'FLOP/s')} in {r.precision}"),
        (
            "memory needed",
            si(r.memory.total, "B"),
            ", ".join(f"{k.replace('_', ' ')} {si(v, 'B')}" for k, v in r.memory.needed.items() if v),
        ),
        (
            "fits",
            "yes" if r.fits else "NO",
            _room(r.memory),
        ),
    ]
    if r.energy_j is not None:
        rows.append(("energy", si(r.energy_j.value, "J"), _and(ends(r.energy_j, "J"), "of the devices alone")))
    if r.cost_usd is not None and r.usd_per_million is not None:
        items, million = r.throughput_unit.split("/")[0], r.usd_per_million
        wide = f" ({million.low:.3g} to {million.high:.3g})" if million.low < million.high else ""
        rows.append(("cost", f"{r.cost_usd.value:.3g} USD", f"{million.value:.3g} USD for a million {items}{wide}"))
    if r.carbon_kg is not None:
        rows.append(("carbon", si(1e3 * r.carbon_kg.value, "g"), "CO2e of the energy at the wall"))
    if r.water_l is not None:
        rows.append(("water", si(r.water_l.value, "L"), "on site and for the electricity"))
    title = f"{r.model} on {r.devices} x {r.hardware}" if r.devices > 1 else f"{r.model} on {r.hardware}"
    return Table(title, ("quantity", "value", "meaning"), rows, frozenset({"value"}))


_INTERVALS = {
    "assumed": "you stated one number",
    "measured": "90 %",
    "predicted": "holds 90 % of runs of others",
}
_PARTS = {
    "compute": "FLOPs at peak",
    "memory": "what the memory bus adds to it",
    "overhead": "fixed, no faster hardware removes it",
    "software": "all the rest that eta absorbs",
}


def compare_table(results: Sequence[Result]) -> Table:
    """Return several results side by side; absolute speed stands beside eta."""
    rows = [
        (
            r.hardware,
            si(r.time_s.value, "s"),
            ends(r.time_s, "s"),
            si(r.throughput.value, r.throughput_unit),
            f"{r.efficiency.achieved:.3g}",
            f"{r.efficiency.ceiling:.3g}",
            "" if r.usd_per_million is None else f"{r.usd_per_million.value:.3g}",
            r.bound,
            "yes" if r.fits else "NO",
        )
        for r in results
    ]
    first = results[0]
    columns = ("hardware", "time", "interval", "throughput", "eta", "ceiling", "USD / million", "bound by", "fits")
    title = f"{first.model}, {first.phase}, batch {first.batch_size}"
    return Table(
        title,
        columns,
        rows,
        frozenset(columns[1:7]),
        caption="eta compares software with its hardware; time and throughput compare choices",
    )


def first_light_table(light: FirstLight) -> Table:
    """Return what a first light found: as measured, and each what-if."""
    asked = [("as measured: batch 1, this machine", light.home), *light.what_if]
    rows = [
        (
            question,
            si(r.time_s.value, "s"),
            ends(r.time_s, "s"),
            si(r.throughput.value, r.throughput_unit),
            f"{r.efficiency.achieved:.3g}",
            f"{r.efficiency.low:.2g} to {r.efficiency.high:.2g}",
        )
        for question, r in asked
    ]
    columns = ("question", "time", "90 % interval", "throughput", "eta", "eta, 90 % interval")
    title = f"{light.model.name} on {light.hardware.title}"
    return Table(title, columns, rows, frozenset(columns[1:]))


def span(interval: Interval, unit: str) -> str:
    """Return a value with its interval, if it has one."""
    told = ends(interval, unit)
    return si(interval.value, unit) + (f"  ({told})" if told else "")


def ends(interval: Interval, unit: str) -> str:
    """Return the ends of an interval, or nothing where it has no width."""
    if interval.low == interval.high:
        return ""
    return f"{si(interval.low, unit)} to {si(interval.high, unit)}"


def _and(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def prices_table(prices: TokenPrices) -> Table:
    """Return what a million tokens cost, read, written, and both as requests have them."""
    told = (
        ("read", prices.input, f"prefill, a prompt of {prices.prompt:,} tokens at a time"),
        ("written", prices.output, f"decode, {prices.decode.batch_size} sequences at once"),
        ("both", prices.blended, f"requests of {prices.prompt:,} tokens read and {prices.answer:,} written"),
    )
    rows = [(what, f"{price.value:.3g} USD", _range(price), how) for what, price, how in told]
    title = f"a million tokens of {prices.decode.model} on {prices.decode.devices} x {prices.decode.hardware}"
    return Table(title, ("tokens", "price", "90 % interval", "how"), rows, frozenset({"price"}))


def _range(price: Interval) -> str:
    return f"{price.low:.3g} to {price.high:.3g}" if price.low < price.high else "none"


def _bound(r: Result) -> str:
    """Return what the bound means, and how little it says where software takes most of the time."""
    nearest = {"overhead": "fixed time, not arithmetic or memory"}.get(r.bound, "what the roofline is nearest to")
    share = r.breakdown_s["software"] / r.time_s.value
    return f"{nearest}; {share:.0%} of the time is software" if share > 0.5 else nearest


def _room(memory: Memory) -> str:
    if memory.capacity == float("inf"):
        return "no memory size is known"
    flash = f", weights in {si(memory.flash, 'B')} of flash" if memory.flash else ""
    return f"in {si(memory.capacity, 'B')}{flash}"


def _step(r: Result) -> str:
    if r.context is not None:
        whose = "one sequence" if r.batch_size == 1 else f"each of {r.batch_size:,} sequences"
        return f"a token for {whose}, {r.context:,} tokens cached"
    if r.seq_len is not None:
        return f"{r.batch_size} x {r.seq_len:,} tokens, {r.phase}"
    return f"batch {r.batch_size}, {r.phase}"


def _eta_source(r: Result) -> str:
    eta = r.efficiency
    cut = eta.asked is not None and eta.asked > eta.ceiling
    asked = f" ({eta.asked:g} asked, which is above the ceiling)" if cut else ""
    return {
        "assumed": "assumed: you stated it",
        "measured": "measured: from your calibration",
        "predicted": "predicted: by equations fitted to published runs",
    }[eta.kind] + asked
