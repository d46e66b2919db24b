"""``mlsysim schema``."""

from __future__ import annotations

import click

from mlsysim.cli import options


@click.command("schema", short_help="Print the JSON Schema of scenario files, for editors.")
@click.option("--quantities", is_flag=True, help="list what conditions may speak of, in place of the schema")
@options.output
def command(quantities: bool, output: str) -> None:
    """Print the JSON Schema (draft 2020-12) of scenario files, by which an editor completes and checks them.

    Save it beside them, and name it in their first line:
    `#:schema ./mlsysim.schema.json` in TOML, `# yaml-language-server: $schema=./mlsysim.schema.json` in YAML.
    """
    if quantities:
        _list_quantities(output)
        return
    import json

    from mlsysim.whatif.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


def _list_quantities(output: str) -> None:
    from mlsysim.report.tables import Table, emit
    from mlsysim.sweep.quantities import QUANTITIES

    rows = [
        (name, q.unit or ("one of " + ", ".join(q.words) if q.words else ""), q.meaning)
        for name, q in QUANTITIES.items()
    ]
    data = [{"name": n, "unit": q.unit, "words": list(q.words), "meaning": q.meaning} for n, q in QUANTITIES.items()]
    emit(output, data, Table("Quantities", ("name", "unit", "meaning"), rows))
