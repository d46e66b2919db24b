"""``mlsysim hardware [NAME]``."""

from __future__ import annotations

from dataclasses import asdict

import click

from mlsysim.cli import options


@click.command("hardware", short_help="List the hardware, or show one device.")
@click.argument("name", required=False)
@options.output
def command(name: str | None, output: str) -> None:
    """List the hardware, or show every figure of one device with its source and date."""
    from mlsysim.hardware import Hardware
    from mlsysim.report.listings import device_table, hardware_table
    from mlsysim.report.tables import emit

    if name:
        emit(output, asdict(Hardware[name]), device_table(Hardware[name]))
    else:
        devices = [Hardware[n] for n in Hardware]
        emit(output, [asdict(d) for d in devices], hardware_table(devices))
