"""The devices that are meant by names, kinds and ``all``, and how each is paid for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mlsysim.costs.ownership import Ownership
from mlsysim.errors import InvalidValue
from mlsysim.hardware import Hardware, HardwareSpec
from mlsysim.scenario import cluster_of, hardware_of
from mlsysim.whatif.option import device_of
from mlsysim.whatif.pay import Pay, paid

KINDS = ("gpu", "tpu", "npu", "cpu", "mcu")
"""Kinds of device that may stand for all devices of that kind."""


def hardware_list(hardware: Any) -> list[Any]:
    """Return the devices that are meant, each once: ``all``, kinds of them, names with commas, specs, or a list.

    Raises
    ------
    UsageError
        There are none, or one is not known.
    """
    found: list[Any] = []
    for device in _meant(hardware):
        if device not in found:  # specs are compared, for they have no hash
            found.append(device)
    return found


def _meant(hardware: Any) -> Iterator[Any]:
    listed = hardware.split(",") if isinstance(hardware, str) else hardware
    if isinstance(listed, HardwareSpec) or not isinstance(listed, Iterable):
        listed = [listed]
    names = [n.strip() if isinstance(n, str) else n for n in listed]
    if not any(names):
        raise InvalidValue("hardware", "all, a kind of device, or at least one device", hardware)
    for name in names:
        if name == "all":
            yield from Hardware
        elif name in KINDS:
            yield from (n for n in Hardware if Hardware[n].kind == name)
        elif name:
            yield name if cluster_of(name) else _registered(hardware_of(name))


def _registered(spec: HardwareSpec) -> Any:
    """Return the name of a device of the registry, else the device."""
    return spec.name if spec.name in Hardware and Hardware[spec.name] == spec else spec


def prices_of(
    devices: Sequence[Any],
    *,
    rent: str | None = None,
    usd_per_hour: Any = None,
    own: bool | Ownership = False,
    utilisation: Any = None,
    usd: Any = None,
    usd_per_kwh: float | None = None,
) -> list[Pay]:
    """Return how each device is paid for.

    Rented, at a price that is stated (``usd_per_hour``, of all or of each) or at a kind of published one; or owned,
    bought for ``usd``, of all or of each, where not for what is published.

    Raises
    ------
    UsageError
        A price is none, is of a device that is not asked, or a kind of price is not known; both rent and purchase.
    """
    names = [device_of(device).name for device in devices]
    rents, bought = _by_device(usd_per_hour, names, "usd_per_hour"), _by_device(usd, names, "usd")
    every = {"rent": rent, "own": own, "utilisation": utilisation, "usd_per_kwh": usd_per_kwh}
    if own and usd_per_hour is not None:
        raise InvalidValue("own", "left out where a rent is stated", True)

    def pay(name: str) -> Pay:
        stated = {"usd_per_hour": rents.get(name, rents.get("")), "usd": bought.get(name, bought.get(""))}
        if stated["usd_per_hour"] is not None:
            stated["rent"] = None  # a price of its own stands in place of a published one
        return paid(**{**every, **stated})

    return [pay(name) for name in names]


def _by_device(given: Any, names: Sequence[str], field: str) -> dict[str, Any]:
    """Return what is stated of each device by name, under no name what is stated of all.

    Raises
    ------
    UsageError
        A name is not known, or of a device that is not asked.
    """
    if not isinstance(given, Mapping):
        return {} if given is None else {"": given}
    found = {hardware_of(name).name: value for name, value in given.items()}
    if unused := sorted(set(found) - set(names)):
        raise InvalidValue(field, "of devices that are asked", unused[0])
    return found
