"""What an hour of devices costs and emits, as tables."""

from __future__ import annotations

from collections.abc import Iterator

from mlsysim.report.tables import Table
from mlsysim.results import Interval
from mlsysim.whatif.device_cost import PARTS, DeviceCost

Row = tuple[str, str, str, str]


def cost_table(c: DeviceCost) -> Table:
    """Return rent, ownership with its parts, where they meet, carbon and water, of an hour of use of all devices."""
    of = f"{c.devices} x {c.device}" if c.devices > 1 else c.device
    where = f" in {c.region.title}" if c.region else ""
    title = f"an hour of use of {of}{where}, {100 * c.utilisation:.3g} % of the hours in use"
    rows = [*_rents(c), *_owned(c), *_meets(c), *_footprint(c)]
    columns = ("what", "value", "range", "of")
    told = [f"not known: {reason}" for reason in c.why]
    return Table(title, columns, rows, frozenset(columns[1:3]), caption="\n".join([*told, *_unverified(c)]))


def assumptions_table(c: DeviceCost) -> Table:
    """Return every figure that decided the answer, with what it is of, its date and its source."""
    rows = []
    for name, figure in c.assumptions.items():
        value, _, about = str(figure).partition(" (")
        rows.append((name, value, about.rstrip(")"), figure.source, figure.note))
    columns = ("assumption", "value", "of", "source", "note")
    return Table(f"what decides the cost of {c.device}", columns, rows, frozenset({"value"}), frozenset(columns[3:]))


def _rents(c: DeviceCost) -> Iterator[Row]:
    for rent in c.rents:
        yield (f"rent, {rent.price.kind}", *_money(rent.price.interval * c.devices), rent.price.date)


def _owned(c: DeviceCost) -> Iterator[Row]:
    if c.owned is None:
        return
    bought = c.owned.assumptions["purchase"]
    yield ("owned", *_money(c.owned.total * c.devices), f"bought at the price of {bought.date or 'the caller'}")
    for part in PARTS:
        yield (f"  {part}", *_money(getattr(c.owned, part) * c.devices), "")


def _meets(c: DeviceCost) -> Iterator[Row]:
    for rent in c.rents:
        if rent.break_even is not None:
            value, *ends = (_percent(share) for share in rent.break_even)
            span = " to ".join(ends) if ends[0] != ends[1] else ""
            yield f"owning beats {rent.price.kind} from", value, span, "of the hours in use"


def _footprint(c: DeviceCost) -> Iterator[Row]:
    if c.it_energy_j is not None:
        yield "energy", f"{c.devices * c.it_energy_j / 3.6e6:.3g} kWh", "", "devices and hosts, before the building"
    if c.carbon is not None:
        yield "carbon, operational", f"{c.devices * c.carbon.kg:.3g} kg", "", str(c.carbon.intensity)
    if c.embodied is not None:
        yield (
            "carbon, embodied",
            f"{c.devices * c.embodied.kg:.3g} kg",
            "",
            f"making, over {c.embodied.years.value:g} years",
        )
    if c.water_l is not None:
        yield "water", f"{c.water_l:.3g} L", "", "on site and in generation"


def _money(value: Interval) -> tuple[str, str]:
    span = f"{value.low:,.2f} to {value.high:,.2f}" if value.low < value.high else ""
    return f"{value.value:,.2f} USD", span


def _percent(share: float) -> str:
    return "never" if share > 1 else f"{100 * share:.0f} %"


def _unverified(c: DeviceCost) -> list[str]:
    """Say which assumptions come from no document that was found."""
    names = [name for name, figure in c.assumptions.items() if getattr(figure, "unverified", False)]
    return [f"recalled or assumed: {', '.join(names)}; --assumptions lists all with their sources"] if names else []
