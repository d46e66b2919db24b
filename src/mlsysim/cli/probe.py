"""``mlsysim probe``."""

from __future__ import annotations

import click

from mlsysim.cli import options


@click.command("probe", short_help="Measure this machine and save it as a device.")
@click.option("--seconds", type=float, default=30.0, show_default=True, help="time to spend, and as much on a GPU")
@click.option("--name", default="here", show_default=True, help="name to save it under")
@click.option("--no-save", is_flag=True, help="measure only")
@options.output
def command(seconds: float, name: str, no_save: bool, output: str) -> None:
    """Measure this machine: arithmetic by precision and threads, memory bandwidth by level, dispatch; and its GPU.

    The result is saved as a device, and `here` names it from then on. The nominal peak stands beside the
    attained one; unsteady measurements are told.
    """
    from mlsysim.hardware.probe import place, probe, save
    from mlsysim.report.probed import probe_tables
    from mlsysim.report.tables import emit

    if not no_save:
        place(name)
    with options.progress() as tell:
        found = probe(seconds=seconds, progress=tell)
    if output in {"json", "csv"}:
        emit(output, found.to_dict(), probe_tables(found)[0])
    else:
        for i, table in enumerate(probe_tables(found)):
            if i:
                click.echo()
            emit(output, found.to_dict(), table)
    for note in found.notes:
        click.echo(f"[probe] {note}", err=True)
    if not no_save:
        for key, path in save(found, name).items():
            click.echo(f"saved as {key}: {path}", err=True)
