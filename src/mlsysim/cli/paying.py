"""What commands read of how devices are paid for: quantities with units, prices by device, ownership."""

from __future__ import annotations

from typing import Any

from mlsysim.cli.options import number
from mlsysim.errors import InvalidValue


def quantity(value: Any, unit: str, name: str) -> Any:
    """Return a quantity that may be written with its unit as a number; None as it is.

    Raises
    ------
    InvalidValue
        It is none.
    """
    from mlsysim.units import parse

    return None if value is None else parse(value, unit, name)


def owned(own: bool, **stated: Any) -> Any:
    """Return how devices are owned, from what is stated of it: ``years``, ``discount_rate``, ``pue``; False if not.

    Raises
    ------
    InvalidValue
        A number out of range, or one that is stated of devices that are not owned.
    """
    from mlsysim.costs.ownership import Ownership

    given = {name: value for name, value in stated.items() if value is not None}
    if not own and given:
        name, value = next(iter(given.items()))
        raise InvalidValue(name, "left out where devices are rented", value, "'own' buys them")
    return Ownership(**given) if own else False


def prices(given: tuple[str, ...], name: str) -> Any:
    """Return what was stated of prices: one for all, or one by device.

    Raises
    ------
    InvalidValue
        Both, or several for all; a purchase price that is none.
    """
    parts = [part.strip() for text in given for part in text.split(",") if part.strip()]
    pairs = [part.rpartition("=") for part in parts]
    if not pairs:
        return None
    if len(pairs) > 1 and any(not equals for _, equals, _ in pairs):
        raise InvalidValue(name, "one for all devices, or DEVICE=PRICE for each", " ".join(given))
    found = {device: number(value) for device, _, value in pairs}
    if name == "usd":
        found = {device: quantity(value, "USD", name) for device, value in found.items()}
    return found if pairs[0][1] else found[""]
