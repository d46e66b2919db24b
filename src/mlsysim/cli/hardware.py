"""``mlsysim hardware [NAME ...]``."""

from __future__ import annotations

from pathlib import Path

import click

from mlsysim.cli import options


@click.command("hardware", short_help="List the hardware, show or compare devices.")
@click.argument("names", nargs=-1)
@click.option("--compare", is_flag=True, help="the devices named, side by side")
@click.option("--nodes", is_flag=True, help="list nodes, racks, pods and cloud shapes")
@click.option("--unverified", is_flag=True, help="the figures that no document was found for")
@options.output
def command(names: tuple[str, ...], compare: bool, nodes: bool, unverified: bool, output: str) -> None:
    """List the hardware, or show every figure of a device with its source and date, and what is not known.

    NAMES are as the list has them, in any spelling; several are shown side by side. A node has figures of its own.

    `mlsysim hardware check FILE` reads a device of your own (TOML, YAML or JSON) and says what is wrong or unlikely.
    """
    from mlsysim.errors import Checks, InvalidValue, UnknownName
    from mlsysim.hardware import Hardware, Nodes
    from mlsysim.hardware.device_file import read_device
    from mlsysim.registry import nearest
    from mlsysim.report.listings import (
        comparison_table,
        device_table,
        hardware_table,
        node_table,
        nodes_table,
        unverified_table,
    )
    from mlsysim.report.tables import emit

    if names[:1] == ("check",):
        if len(names) != 2:
            raise InvalidValue("check", "followed by one file", " ".join(names[1:]))
        device = read_device(Path(names[1]))
        emit(output, device.spec.to_dict(), device_table(device.spec))
        options.say_notes(device.notes)
        return
    if len(names) == 2 and names[0] not in Hardware and nearest(names[0], ["check"]):
        raise UnknownName("hardware", names[0], ["check"], "`mlsysim hardware check FILE` reads a device of your own")
    if compare and len(names) < 2:
        raise InvalidValue("compare", "given at least two devices", " ".join(names))
    if nodes or (len(names) == 1 and names[0] not in Hardware and names[0] in Nodes):
        machines = [Nodes[name] for name in names or Nodes]
        listed = nodes_table(machines) if not names else node_table(machines[0])
        emit(output, machines[0].to_dict() if names else [n.to_dict() for n in machines], listed)
        return
    checks = Checks()
    found = [checks(Hardware.__getitem__, name) for name in names or Hardware]
    checks.done()
    devices = [d for d in found if d]
    data = [d.to_dict() for d in devices]
    if unverified:
        table = unverified_table(devices)
        emit(output, [dict(zip(table.columns, row, strict=True)) for row in table.rows], table)
    elif len(names) == 1:
        emit(output, data[0], device_table(devices[0]))
    elif names:
        emit(output, data, comparison_table(devices))
    else:
        emit(output, data, hardware_table(devices))
