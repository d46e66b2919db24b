"""What each hardware has to offer: its best option, its front, or the reason why it has none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mlsysim.engine import Engine
from mlsysim.errors import InvalidValue, MlsysimError, Problems, UsageError
from mlsysim.results import Interval
from mlsysim.sweep.columns import Columns
from mlsysim.sweep.expressions import parse
from mlsysim.sweep.fields import grid_of
from mlsysim.sweep.grid import NUMBERS, WORDS, Grid
from mlsysim.sweep.points import known_names
from mlsysim.sweep.reduce import Pareto, Reduction, Top
from mlsysim.sweep.run import MANY
from mlsysim.whatif.asked import shown, unit_of
from mlsysim.whatif.assertions import Assertion, Counts, Tally
from mlsysim.whatif.devices import hardware_list, prices_of
from mlsysim.whatif.option import FALLS, Option, device_of
from mlsysim.whatif.pay import Pay
from mlsysim.whatif.wanted import Wanted

ANY = Assertion(parse("time_s > 0", known_names(), "where"), "any")
"""What every answered point meets: counts those that fit."""


class OnFront(NamedTuple):
    """An option that no other of its hardware beats, with its objectives, each the less the better."""

    option: Option
    values: tuple[float, ...]


class Left(NamedTuple):
    """Hardware that is not among the options.

    ``kind`` is ``not asked`` (the question cannot be put to it), ``does not fit``, ``not known`` (a figure that decides
    is not known) or ``misses``; ``margin`` is by how much of the bound the nearest option holds [1], negative, None
    where it has none.
    """

    hardware: str
    kind: str
    reason: str
    margin: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return self._asdict()


class Candidates(NamedTuple):
    """The best option of each hardware, the points on the front of each, the hardware without, and the points asked."""

    best: list[Option]
    front: list[OnFront]
    left: list[Left]
    points: int


def candidates_of(
    model: Any, hardware: Any, wanted: Wanted, payment: Mapping[str, Any], fields: Mapping[str, Any]
) -> Candidates:
    """Ask every hardware, each at its own price; ``payment`` holds the arguments of :func:`prices_of`.

    Raises
    ------
    UsageError
        A field breaks a rule, or no hardware can be asked.
    """
    devices = hardware_list(hardware)
    prices = prices_of(devices, **payment)
    given = {name: value for name, value in {**fields, "phase": wanted.phase}.items() if value is not None}
    whole = grid_of(model, devices, given)  # what no hardware can be asked is told here
    if whole.points >= MANY:
        hint = f"over {len(devices)} devices; a sweep with Top and Pareto takes more, once confirmed"
        raise InvalidValue("points", f"fewer than {MANY:.0e} in a choice", f"{float(whole.points):.3g}", hint)
    if any(pay.owned for pay in prices):
        _one_place(whole, payment)
    found = Candidates([], [], [], whole.points)
    for device, pay in zip(devices, prices, strict=True):
        _ask(model, device, pay, wanted, given, _varied(whole), found)
    return found


def _one_place(grid: Grid, payment: Mapping[str, Any]) -> None:
    """Refuse devices that are owned in several places, or where nothing tells what electricity costs.

    Raises
    ------
    InvalidValue
        No region or several, and no price of electricity.
    """
    places = [label for label, _ in grid.words.get("region", ())]
    if len(places) > 1:
        raise InvalidValue("region", "one, where devices are owned", ", ".join(places))
    if not places and payment.get("usd_per_kwh") is None:
        raise InvalidValue("region", "given where devices are owned, or usd_per_kwh: electricity has a price", None)


def _varied(grid: Grid) -> tuple[str, ...]:
    """Return the fields that tell options of one hardware apart, beside devices and batch."""
    return tuple(name for name in grid.swept if name not in {"hardware", "devices", "batch_size", "model"})


def _ask(
    model: Any,
    device: Any,
    pay: Pay,
    wanted: Wanted,
    fields: Mapping[str, Any],
    varied: Sequence[str],
    found: Candidates,
) -> None:
    """Ask one hardware, and put down what it has to offer, or why it has nothing."""
    name = device_of(device).name
    try:
        price = pay.price(device_of(device), fields.get("region"))
    except InvalidValue as problem:  # of owning: a figure of the device is not known
        if problem.value is not None:
            raise
        found.left.append(Left(name, "not known", f"{problem.field} must be {problem.rule}"))
        return
    if price is None and wanted.priced:
        found.left.append(Left(name, "not known", f"no {pay.rent} price is known: state usd_per_hour"))
        return
    asked: dict[str, Any] = dict(fields)
    if price is not None and not pay.published:
        asked["usd_per_hour"] = price.value
    top = Top(1, wanted.by.removeprefix("-"), wanted.by.startswith("-"), wanted.where)
    tallies = [Tally(ANY), *([Tally(Assertion(wanted.condition, "any"))] if wanted.condition else [])]
    reductions: list[Reduction] = [top, Pareto(wanted.objectives, wanted.where), *tallies]
    try:
        swept = Engine.sweep(model, device, reduce=reductions, keep=_kept(wanted), **asked)
    except UsageError as problem:
        found.left.append(Left(name, "not asked", _first(problem)))
        return
    best, front, (fitting,), *others = swept.kept
    options = _Options(grid_of(model, device, fields), device, pay, wanted, fields, varied)
    if best.points:
        found.best.append(options.at(best, 0))
    else:
        found.left.append(_why(name, wanted, options, fitting, others[0][0] if others else None))
    for n in range(front.points):
        values = [-front[o[1:]][n] if o.startswith("-") else front[o][n] for o in wanted.objectives]
        found.front.append(OnFront(options.at(front, n), tuple(float(v) for v in values)))


def _kept(wanted: Wanted) -> tuple[str, ...]:
    return tuple(dict.fromkeys((wanted.by.removeprefix("-"), *(o.removeprefix("-") for o in wanted.objectives))))


def _first(problem: UsageError) -> str:
    one: MlsysimError = problem.problems[0] if isinstance(problem, Problems) else problem
    return str(one)


class _Options(NamedTuple):
    """What makes options of the points of a sweep over one hardware."""

    grid: Grid
    device: Any
    pay: Pay
    wanted: Wanted
    fields: Mapping[str, Any]
    varied: Sequence[str]

    def at(self, columns: Columns, n: int) -> Option:
        """Return the option of a row."""
        return self.of({name: columns[name][n] for name in columns.coordinates})

    def of(self, row: Mapping[str, Any]) -> Option:
        """Return the option at some coordinates: words as labels, numbers as they are; 0 is not used."""
        fields: dict[str, Any] = {"hardware": self.device}
        for name, pairs in self.grid.words.items():
            if name == "hardware":
                continue
            label = row.get(name, pairs[0][0])
            known = dict(pairs)
            fields[name] = known.get(label, known.get(str(label), label))
        for name in self.grid.numbers:
            value = row.get("efficiency_asked" if name == "efficiency" else name)
            if value is not None and math.isfinite(value) and value != 0:
                fields[name] = int(value) if float(value).is_integer() and name != "efficiency" else float(value)
        fields = {name: value for name, value in fields.items() if value is not None and name != "usd_per_hour"}
        if self.wanted.tokens is not None:
            fields["tokens"] = self.wanted.tokens
        return Option(fields, self.pay, told={name: row[name] for name in self.varied if name in row})


def _why(name: str, wanted: Wanted, options: _Options, fitting: Counts, counts: Counts | None) -> Left:
    """Return why no option of a hardware is among those to choose from."""
    if not fitting.points:
        return Left(name, "does not fit", fitting.reason)
    assert fitting.sample is not None
    sample = options.of(fitting.sample.at)
    for quantity in (wanted.by_name, *wanted.written):
        try:
            sample.value(quantity)
        except InvalidValue as problem:
            return Left(name, "not known", f"{quantity}: {problem.hint}")
    if counts is None or counts.nearest is None:
        return Left(name, "misses", f"{name} meets {wanted.where} nowhere")
    near = options.of(counts.nearest.point.at)
    by = abs(counts.nearest.by)
    if not near.result.fits or not wanted.written or not math.isfinite(by):
        return Left(name, "misses", f"{name} meets {wanted.where} nowhere")
    values = ", ".join(f"{n} = {shown(near.value(n), unit_of(n, near.solution), 4)}" for n in wanted.written)
    return Left(name, "misses", f"{near.label}: {values}, {_far(by)}", -by)


def _far(by: float) -> str:
    """Return in words by what share of a bound it is missed."""
    return f"off by {100 * by:.3g} %" if by < 1 else f"{1 + by:.3g} times the bound"


def limits_of(o: Option, wanted: Wanted) -> bool | None:
    """Return whether an option meets the condition at both ends of its intervals too; None where there is none."""
    if wanted.condition is None:
        return None
    ends = []
    for end in ("low", "high"):
        values: dict[str, Any] = {}
        for name in wanted.condition.names:
            values[name] = _at(o, name, end)
        ends.append(bool(wanted.condition(values)))
    return all(ends)


def _at(o: Option, name: str, end: str) -> Any:
    """Return what a condition looks at, at the better or at the worse end of the intervals."""
    if name in {"fits", "feasible"}:
        return o.result.fits
    if name in {"hardware", "model", "phase", "precision", "devices", "batch_size", "seq_len", "context"}:
        return getattr(o.result, name)
    if name in WORDS or name in NUMBERS:
        return o.fields.get(name)
    found: Interval | None = o.known(name)
    if found is None:
        return None
    turned = {"low": "high", "high": "low"}[end] if name in FALLS else end
    return getattr(found, turned)
