"""How devices are paid for: rented by the hour, at a price that is published or stated, or bought."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from mlsysim.costs.ownership import Ownership, OwnershipCost
from mlsysim.costs.prices import KINDS, price_range, purchase_price
from mlsysim.engine import stated_price
from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.hardware import HardwareSpec
from mlsysim.registry import nearest
from mlsysim.results import Interval
from mlsysim.units import parse

NOTHING: Mapping[str, Any] = MappingProxyType({})
ON_DEMAND = "on-demand"


class Pay(NamedTuple):
    """Rent or ownership. An hour that is used costs the rent over the ``utilisation``, or what owning makes of it.

    ``rent`` is a kind of published price, ``stated`` a price in its place [USD/h]. ``owned`` is how devices are owned,
    None where they are rented; ``costs`` what is stated of that: ``usd``, ``usd_per_kwh``, ``power_w``.
    """

    rent: str = ON_DEMAND
    stated: Interval | None = None
    owned: Ownership | None = None
    utilisation: float = 1.0
    costs: Mapping[str, Any] = NOTHING

    def price(self, device: HardwareSpec, region: Any = None) -> Interval | None:
        """Return the price of an hour of use [USD/h]; None where it is rented and no price is known.

        Raises
        ------
        InvalidValue, UnknownName
            As :meth:`Ownership.usd_per_device_hour`.
        """
        if self.owned is not None:
            return self.owning(device, region).total
        found = self.stated
        if found is None:
            known = price_range(device, self.rent)
            found = None if known is None else known.interval
        return None if found is None else found * (1.0 / self.utilisation)

    def owning(self, device: HardwareSpec, region: Any = None) -> OwnershipCost:
        """Return what an hour of use of an owned device costs; raises as above."""
        assert self.owned is not None
        return self.owned.usd_per_device_hour(device, region, utilisation=self.utilisation, **self.costs)

    def bought(self, device: HardwareSpec) -> str:
        """Return when the price was asked for which a device is bought; ``stated``; nothing where it is rented."""
        if self.owned is None:
            return ""
        found = None if "usd" in self.costs else purchase_price(device)
        return "stated" if found is None else found.date or f"read {found.retrieved}"

    def told(self, device: HardwareSpec) -> str:
        """Return it in a few words, of what is owned with the date of its price: those of two devices may differ."""
        bought = self.bought(device)
        if not bought:
            return str(self)
        return str(self).replace("owned", f"owned (price {bought if bought == 'stated' else f'of {bought}'})")

    @property
    def published(self) -> bool:
        """Return whether the price is the one that an answer takes where none is stated."""
        return self.owned is None and self.stated is None and self.rent == ON_DEMAND and self.utilisation == 1.0

    def same(self, other: Pay) -> bool:
        """Return whether two of one device are paid the same price, be they used more or less."""
        return self._replace(utilisation=1.0) == other._replace(utilisation=1.0)

    def __str__(self) -> str:
        """Return it in a few words."""
        used = "" if self.utilisation == 1.0 else f", {100 * self.utilisation:.3g} % of the hours used"
        if self.owned is not None:
            return f"owned{used}"
        if self.stated is None:
            return f"{self.rent} rent{used}"
        return f"rent of {self.stated.value:,.4g} USD/h{used}"


def paid(
    *,
    own: bool | Ownership = False,
    rent: str | None = None,
    usd_per_hour: Any = None,
    utilisation: float | None = None,
    **costs: Any,
) -> Pay:
    """Return how devices are paid for, from what was stated.

    Raises
    ------
    InvalidValue, UnknownName
        Both rent and purchase are stated, a number is out of range, or there is no such kind of price.
    """
    share = 1.0 if utilisation is None else share_of(utilisation)
    given = {name: value for name, value in costs.items() if value is not None}
    if own:
        if rent is not None or usd_per_hour is not None:
            raise InvalidValue("own", "left out where a rent is stated", True)
        return Pay(owned=Ownership() if own is True else own, utilisation=share, costs=given)
    if given:
        name, value = next(iter(given.items()))
        raise InvalidValue(name, "left out where devices are rented", value, "own=True buys them")
    price = stated_price(usd_per_hour)
    if price is not None and not isinstance(price, Interval):
        price = Interval(price, price, price)
    return Pay(kind_of(rent), price, None, share)


def kind_of(rent: str | None) -> str:
    """Return a kind of published price.

    Raises
    ------
    UnknownName
        There is none of that name.
    """
    if rent is None:
        return ON_DEMAND
    if rent not in KINDS:
        raise UnknownName("rent", str(rent), nearest(str(rent), KINDS), "known: " + ", ".join(KINDS))
    return rent


def share_of(utilisation: Any) -> float:
    """Return a share of the hours in use: a number, or text such as ``70 %``.

    Raises
    ------
    InvalidValue
        It is not in (0, 1].
    """
    share = parse(utilisation, "1", "utilisation") if isinstance(utilisation, str) else utilisation
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
        raise InvalidValue("utilisation", "in (0, 1]", utilisation)
    return float(share)
