"""What may be varied of two options at once, to see where they change places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from mlsysim.errors import InvalidValue
from mlsysim.results import Interval
from mlsysim.whatif.feasible import real_points, whole_points
from mlsysim.whatif.option import Option

OVER: Mapping[str, tuple[str, str]] = {
    "utilisation": ("", "share of the hours in use: of what is owned, else of the second option"),
    "price": ("USD/h", "price of a device of the second option"),
    "usd_per_kwh": ("USD/kWh", "price of electricity of what is owned"),
    "years": ("years", "years for which what is owned is used"),
    "tokens": ("tokens", "tokens over which what is paid once is spread"),
    "batch_size": ("", "batch of both"),
    "context": ("tokens", "tokens in the KV cache of both"),
    "seq_len": ("tokens", "tokens of each prompt or training sequence of both"),
    "devices": ("", "devices of both"),
}
"""What may be varied, with its unit and what it is."""
SIZES = ("batch_size", "context", "seq_len", "devices")
FARTHEST = 1e4
"""How many times more or less than what there is a price is looked for."""
MOST = 1 << 20
"""The largest batch, length or number of devices that is looked at."""
_LEAST_USE = 1e-3
_YEARS = (0.25, 30.0)


class Line(NamedTuple):
    """What is varied: the two options at each value, where they are looked at, and whether values are whole numbers."""

    at: Callable[[float], tuple[Option, Option]]
    points: Sequence[float]
    whole: bool = False


def line_of(over: str, a: Option, b: Option) -> Line:
    """Return what is varied.

    Raises
    ------
    InvalidValue
        The options have no such input.
    """
    if over in SIZES:
        return _of_sizes(over, a, b)
    if over == "price":
        return _of_price(a, b)
    owned = [o.pay.owned is not None for o in (a, b)]
    if over == "utilisation":
        both = owned if any(owned) else [False, True]

        def used(share: float) -> tuple[Option, Option]:
            pair = (o.paying(o.pay._replace(utilisation=share)) if v else o for o, v in zip((a, b), both, strict=True))
            return tuple(pair)  # type: ignore[return-value]

        return Line(used, real_points(_LEAST_USE, 1.0))
    if not any(owned):
        raise InvalidValue("over", "an input of these options: neither is owned", over)

    def paid(value: float) -> tuple[Option, Option]:
        return tuple(_owned_at(o, over, value) for o in (a, b))  # type: ignore[return-value]

    return Line(paid, real_points(*_YEARS) if over == "years" else real_points(1e-4, 10.0))


def _owned_at(o: Option, over: str, value: float) -> Option:
    if o.pay.owned is None:
        return o
    if over == "years":
        return o.paying(o.pay._replace(owned=replace(o.pay.owned, years=value)))
    return o.paying(o.pay._replace(costs={**o.pay.costs, over: value}))


def _of_sizes(over: str, a: Option, b: Option) -> Line:
    here = getattr(a.question.scenario, over)
    if here is None:
        raise InvalidValue("over", "an input of these options: their phase has no such length", over)
    return Line(lambda v: (a.but(**{over: int(v)}), b.but(**{over: int(v)})), whole_points(MOST, here), True)


def _of_price(a: Option, b: Option) -> Line:
    has = b.solution.price
    around = has.value if has else 1.0

    def at(price: float) -> tuple[Option, Option]:
        stated = Interval(price, price, price)
        return a, b.paying(b.pay._replace(owned=None, stated=stated, costs={}, utilisation=1.0))

    return Line(at, real_points(around / FARTHEST, around * FARTHEST, around))


def label_over(o: Option, over: str) -> str:
    """Return what an option is called without what is varied of it."""
    parts = o.label.split(", ")
    if over == "devices":
        parts[0] = o.device
    return ", ".join(part for part in parts if over != "batch_size" or not part.startswith("batch "))
