"""Quantities with units at the edge, SI floats inside.

``parse("3.35 TB/s", "B/s")`` gives ``3.35e12``. Plain numbers are taken as SI already; pint quantities are
accepted by duck typing. The traps are handled by name:

- ``GB`` is 10^9 bytes, ``GiB`` is 2^30.
- ``Gb`` and ``Gbps`` are bits: 8 of them make a byte.
- ``MAC`` is a multiply and an add: two FLOPs.
- ``TOPS`` and ``TFLOPS`` are rates (the S is "per second"); ``TFLOP`` and ``TFLOPs`` are amounts, and are taken as
  the rate where only a rate can be meant.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from mlsysim.errors import InvalidValue

_PREFIX = {
    "": 1.0,
    "k": 1e3,
    "K": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "m": 1e-3,
    "u": 1e-6,
    "µ": 1e-6,
    "n": 1e-9,
}

# Base units of each dimension and what one of them is in SI.
_BASES: dict[str, dict[str, float]] = {
    "B": {"B": 1.0, "byte": 1.0, "bytes": 1.0, "b": 0.125, "bit": 0.125, "bits": 0.125},
    "B/s": {"B/s": 1.0, "bytes/s": 1.0, "b/s": 0.125, "bit/s": 0.125, "bps": 0.125, "Bps": 1.0},
    "FLOP": {"FLOP": 1.0, "FLOPs": 1.0, "OP": 1.0, "OPs": 1.0, "MAC": 2.0, "MACs": 2.0},
    "FLOP/s": {
        "FLOP/s": 1.0,
        "FLOPs/s": 1.0,
        "FLOPS": 1.0,
        "FLOPs": 1.0,
        "FLOP": 1.0,
        "OP/s": 1.0,
        "OPS": 1.0,
        "MAC/s": 2.0,
        "MACS": 2.0,
    },
    "Hz": {"Hz": 1.0},
    "s": {
        **dict.fromkeys(["s", "sec", "second", "seconds"], 1.0),
        "min": 60.0,
        **dict.fromkeys(["h", "hour", "hours"], 3600.0),
        **dict.fromkeys(["d", "day", "days"], 86400.0),
    },
    "tokens/s": {
        **dict.fromkeys(["tokens/s", "1/s", "tok/s", "token/s", "tokens/sec", "tokens/second", "t/s", "TPS"], 1.0),
        **dict.fromkeys(["tok/min", "tokens/min"], 1 / 60),
    },
    "samples/s": dict.fromkeys(
        [
            "samples/s",
            "1/s",
            "sample/s",
            "images/s",
            "images/sec",
            "images/second",
            "image/s",
            "img/s",
            "windows/s",
            "lines/s",
            "inf/s",
            "FPS",
            "fps",
        ],
        1.0,
    ),
    "1": {"": 1.0, "%": 0.01},
    "W": {"W": 1.0, "watt": 1.0, "watts": 1.0},
    "USD/h": {"USD/h": 1.0, "$/h": 1.0, "USD/hour": 1.0},
    "USD": {"USD": 1.0, "$": 1.0},
    "FLOP/clock": {"FLOP/clock": 1.0, "": 1.0},
    "count": {"count": 1.0, "": 1.0},
}
_EXAMPLES = {
    "Hz": "'1.98 GHz'",
    "B": "'80 GB', '96 GiB'",
    "B/s": "'3.35 TB/s', '400 Gb/s'",
    "FLOP": "'1.4e12', '4.1 GMAC'",
    "FLOP/s": "'989 TFLOP/s', '26 TOPS'",
    "s": "'12 ms', '30 days'",
    "tokens/s": "'1200 tok/s'",
    "samples/s": "'85 images/s'",
    "1": "'0.38', '38 %'",
    "W": "'700 W'",
    "USD/h": "'2.99 USD/h'",
    "USD": "'1999 USD'",
    "FLOP/clock": "'1024 FLOP/clock'",
    "count": "'132'",
}
_PINT = {"FLOP": "", "FLOP/s": "1/s", "tokens/s": "1/s", "samples/s": "1/s", "USD/h": "1/h"}
_SHARE = "a number in (0, 1]"
_NUMBER = re.compile(
    r"^\s*([+-]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf(?:inity)?))\s*(\S.*?)?\s*$", re.I
)


LARGEST = 1e15
"""The largest count that is taken for a question: beyond it floats no longer tell neighbours apart."""


_LONGEST = 80
"""Characters of the longest quantity anyone writes; a pattern takes minutes on thousands of digits."""


def parse(value: object, dimension: str, field: str = "value") -> float:
    """Turn a number, a string with a unit or a pint quantity into a positive SI float.

    Parameters
    ----------
    value
        ``80e9``, ``"80 GB"``, or an object with ``m_as`` (pint).
    dimension
        The SI unit wanted: one of ``B, B/s, FLOP, FLOP/s, s, tokens/s, samples/s, 1, W, USD/h``.
    field
        What the number is called in an error.

    Raises
    ------
    InvalidValue
        Not a number, an unknown unit, a unit of another dimension, or not a finite number above 0.
    """
    rule = _SHARE if dimension == "1" else f"a positive number or a quantity such as {_EXAMPLES[dimension]}"
    if hasattr(value, "m_as"):
        return positive(value.m_as(_PINT.get(dimension, dimension)), field)
    if isinstance(value, str):
        match = _NUMBER.match(value) if len(value) <= _LONGEST else None
        if match is None:
            raise InvalidValue(field, rule, value if len(value) <= _LONGEST else value[:_LONGEST] + "...")
        number, unit = float(match[1].replace(",", "").replace("_", "")), match[2]
        return positive(number * (1.0 if unit is None else _scale(unit, dimension, field, value)), field, value)
    return positive(value, field)


def positive(value: object, field: str, shown: object = None) -> float:
    """Return ``value`` as a float if it is a finite number above 0.

    Raises
    ------
    InvalidValue
        Otherwise, naming ``field`` and ``shown`` (what the user wrote; by default the value itself).
    """
    shown = value if shown is None else shown
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        try:
            value = float(value.__float__())  # type: ignore[attr-defined]  # numpy scalars and the like
        except (AttributeError, TypeError, ValueError):
            raise InvalidValue(field, "a positive number", shown) from None
        if isinstance(shown, bool):
            raise InvalidValue(field, "a positive number", shown)
    try:
        number = float(value)
    except OverflowError:
        raise InvalidValue(field, "a finite number", shown) from None
    if not math.isfinite(number):
        raise InvalidValue(field, "a finite number", shown)
    if number <= 0:
        raise InvalidValue(field, "greater than 0", shown)
    return number


def whole(value: object, field: str) -> int:
    """Return ``value`` as an int if it is a whole number of at least 1.

    Raises
    ------
    InvalidValue
        Otherwise; a fraction is answered with the whole number nearest to it.
    """
    rule = "a whole number of at least 1"
    if isinstance(value, str):
        raise InvalidValue(field, rule, value, "that is text")
    try:
        number = positive(value, field)
    except InvalidValue as problem:
        raise InvalidValue(field, rule if problem.rule != "a finite number" else problem.rule, value) from None
    if number > LARGEST:
        raise InvalidValue(field, f"at most {LARGEST:.0e}", value)
    if number != int(number):
        raise InvalidValue(field, rule, value, f"the nearest is {max(1, round(number))}")
    return int(number)


@lru_cache(maxsize=256)
def scale(unit: str, dimension: str) -> float:
    """Return what one ``unit`` is in the SI unit of ``dimension``, for units that are known to be right."""
    return _scale(unit, dimension, "unit", unit)


def _scale(unit: str, dimension: str, field: str, shown: object) -> float:
    for spelling in _spellings(unit):
        scale = _known(spelling, _BASES[dimension])
        if scale is not None:
            return scale
    rule, example = _SHARE if dimension == "1" else f"in {dimension}", f"try {_EXAMPLES[dimension]}"
    if unit.lower().endswith(("/gpu", "/device", "per gpu")):
        raise InvalidValue(field, f"in {dimension} of all devices together", shown, "multiply by the number of devices")
    for other, bases in _BASES.items():
        if any(_known(spelling, bases) is not None for spelling in _spellings(unit)):
            raise InvalidValue(field, rule, shown, f"{unit} is a unit of {other}; {example}")
    raise InvalidValue(field, rule, shown, f"unknown unit {unit!r}; {example}")


def _spellings(unit: str) -> list[str]:
    """Return a unit as written, without its spaces, and as it is written where FLOP was typed in small letters."""
    close = unit.replace(" ", "")
    flops = re.sub("flop", "FLOP", close, flags=re.I)
    return [close, flops, flops[:1].upper() + flops[1:] if "FLOP" in flops else close]


def _known(unit: str, bases: dict[str, float]) -> float | None:
    for base, scale in bases.items():
        prefix = unit.removesuffix(base)
        if unit.endswith(base) and prefix in _PREFIX and (base or not prefix):
            return scale * _PREFIX[prefix]
    return None


def si(value: float, unit: str, digits: int = 3) -> str:
    """Print an SI value for people: ``si(3.35e12, "B/s")`` is ``"3.35 TB/s"``, ``si(0.0031, "s")`` ``"3.1 ms"``."""
    # What is counted one by one (tokens, images) is printed in full up to a million, and never in thousandths.
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    if unit == "s" and value >= 60:
        for size, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
            if value >= size:
                return f"{_round(value / size, digits)} {name}"
    steps = (
        (1e18, "E"),
        (1e15, "P"),
        (1e12, "T"),
        (1e9, "G"),
        (1e6, "M"),
        (1e3, "k"),
        (1.0, ""),
        (1e-3, "m"),
        (1e-6, "µ"),
        (1e-9, "n"),
    )
    head = unit.split("/", maxsplit=1)[0]
    plain = (head in {"W", "USD"} or (head.islower() and len(head) > 1)) and abs(value) < 1e6
    size, prefix = (1.0, "") if plain else next((s for s in steps if abs(value) >= s[0] * 0.9995), steps[-1])
    return f"{_round(value / size, digits)} {prefix}{unit}"


def _round(value: float, digits: int) -> str:
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    text = f"{value:.{digits}g}"
    return text if "e" not in text else f"{value:.{digits}f}"
