"""``mlsysim validate FILE.csv``."""

from __future__ import annotations

from typing import Any

import click

from mlsysim.cli import options


@click.command("validate", short_help="Hold predictions against a table of measurements.")
@click.argument("file", type=click.Path())
@click.option("--split", help="refit without each source, hardware, model or engine, or without the locked tenth")
@click.option("--calibrate", type=options.Word(), default=0, help="rows of each deployment given as measurements first")
@click.option("--choose", default="arbitrary", help="which rows these are: arbitrary, or suggested (that tell most)")
@click.option("--predictions", type=click.Path(), help="write every row with its prediction to this CSV file")
@click.option("--json", "as_json", is_flag=True, help="the same as --output json")
@options.output
def command(
    file: str, split: str | None, calibrate: Any, choose: str, predictions: str | None, as_json: bool, output: str
) -> None:
    """Predict every row of FILE without its measured value, and say by how much each group is off.

    FILE is a CSV table of training runs, of inference runs or of requests served end to end, recognised by its header;
    or one of pairs of published runs on two devices (row_a, row_b), of which each is predicted from the other. Rows
    that cannot be used are refused one by one, with reasons.
    """
    from pathlib import Path

    from mlsysim.files import write_whole
    from mlsysim.report.tables import emit
    from mlsysim.report.validated import score_table
    from mlsysim.units import whole
    from mlsysim.validation.validate import predictions_csv, validate

    count = 0 if calibrate in {0, "0"} else whole(calibrate, "calibrate")
    with options.progress() as tell:
        report = validate(Path(file), (split or "").lower(), count, _shown(tell), choose.lower())
    if predictions:
        write_whole(Path(predictions), predictions_csv(report).encode())
    chosen = "json" if as_json else output
    emit(chosen, report.to_dict() if chosen == "json" else [g.to_dict() for g in report.groups], score_table(report))


def _shown(tell: Any) -> Any:
    """Return what shows progress of unknown length: a bar that comes nearer to its end with every group."""
    done = [0]

    def show(name: str) -> None:
        done[0] += 1
        tell(f"without {name}"[:46] if name != "all rows" else "fitting all rows", done[0] / (done[0] + 10))

    return show
