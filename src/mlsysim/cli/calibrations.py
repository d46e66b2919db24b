"""``mlsysim calibrations list | show | diff | drift | verify``: calibrations that were saved."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlsysim.cli import options
from mlsysim.cli.app import LazyGroup

if TYPE_CHECKING:
    from mlsysim.calibration.store import Revision

ACTIONS = ("list", "show", "diff", "drift", "verify")
_NO_MODEL = "FLOPs per token were stated, and what they say of a log is the number itself: compare two with diff"
FAILED = 3
"""Exit code where a saved calibration does not hold any more."""


class _Actions(click.Group):
    """The actions; a typo is answered with the nearest."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Resolve an action, or say which there are."""
        if args[0] not in ACTIONS and not args[0].startswith("-"):
            LazyGroup.refuse(ctx, args[0], ACTIONS)
        return super().resolve_command(ctx, args)


@click.group("calibrations", cls=_Actions, short_help="List, compare and verify saved calibrations.")
def command() -> None:
    """List, show, compare and verify the calibrations that were saved.

    They are files, `calibrations/NAME.toml` in the project or in the folder of the user, to which every further
    measurement under the same name adds a revision.
    """


@command.command("list")
@options.output
def listed(output: str) -> None:
    """List the saved calibrations."""
    from mlsysim.calibration.store import listing
    from mlsysim.errors import Checks, UsageError
    from mlsysim.report.calibrated import saved_table
    from mlsysim.report.tables import emit

    checks = Checks()  # one file that cannot be read does not hide the others
    found = list(listing(checks))
    emit(output, [r.to_dict() for r in found], saved_table(found))
    for problem in checks.problems:
        print(f"mlsysim: {problem}", file=sys.stderr)
    sys.exit(UsageError.exit_code if checks.problems else 0)


@command.command("show")
@click.argument("name")
@options.output
def show(name: str, output: str) -> None:
    """Show the points of a calibration, of NAME@2 those of its second revision."""
    from mlsysim.calibration.store import load
    from mlsysim.report.calibrated import calibration_table, points_table
    from mlsysim.report.tables import emit

    revision = load(name)
    profile = revision.profile
    table = calibration_table(profile.main) if len(profile) == 1 else points_table(profile)
    emit(
        output,
        [c.to_dict() for c in profile] if output == "csv" else {**revision.to_dict(), **profile.to_dict()},
        table,
    )
    print(f"{revision.name}, revision {revision.number}, {_told_of(revision)}", file=sys.stderr)
    options.say_points_notes(profile)


def _told_of(revision: Revision) -> str:
    """Return what ran on what, when, and the word that was kept with it."""
    about = revision.to_dict()
    ran = f"{', '.join(about['of'])} on {', '.join(about['on'])}"
    return ", ".join(filter(None, (ran, f"recorded {revision.recorded}", revision.note)))


@command.command("diff")
@click.argument("earlier")
@click.argument("later")
@options.output
def diff(earlier: str, later: str, output: str) -> None:
    """Compare two calibrations, or two revisions of one (NAME@1 NAME@2), at the points that both have."""
    from mlsysim.calibration.compared import moved_between
    from mlsysim.calibration.store import load
    from mlsysim.report.calibrated import moved_table
    from mlsysim.report.tables import emit

    found = moved_between(load(earlier).profile, load(later).profile)
    emit(output, [m.to_dict() for m in found], moved_table(found, f"{earlier} to {later}"))


@command.command("drift")
@click.argument("name")
@click.option("--since", help="compare with the last revision before this day: 2026-10-27  [default: the first]")
@options.output
def drift(name: str, since: str | None, output: str) -> None:
    """Say whether eta has moved since an earlier revision; exit code 3 where it fell."""
    from mlsysim.calibration.compared import moved_between
    from mlsysim.calibration.store import before, load
    from mlsysim.report.calibrated import moved_table
    from mlsysim.report.tables import emit

    earlier, later = before(name, since), load(name)
    found = moved_between(earlier.profile, later.profile)
    emit(output, [m.to_dict() for m in found], moved_table(found, f"{name}, {earlier.recorded} to {later.recorded}"))
    fell = [m for m in found if m.moved and m.ratio.value < 1]
    print(f"eta fell at {len(fell)} of {len(found)} points" if fell else "eta has not fallen", file=sys.stderr)
    sys.exit(FAILED if fell else 0)


@command.command("verify")
@click.argument("name")
@click.argument("logs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="LOG ...")
@click.option("--model", help="the model of the log; left out: that of the calibration")
@click.option("--hardware", help="the device of the log; left out: that of the calibration")
@options.question
@options.output
def verify(name: str, logs: tuple[Path, ...], output: str, **question: Any) -> None:
    """Predict what a new log measured from a saved calibration; exit code 3 where it does not hold."""
    from mlsysim.calibration.compared import verified
    from mlsysim.calibration.from_log import calibrate_log
    from mlsysim.calibration.question import question_of
    from mlsysim.calibration.store import load
    from mlsysim.errors import InvalidValue
    from mlsysim.report.calibrated import verified_table
    from mlsysim.report.tables import emit

    known = load(name).profile
    home = known.main.scenario
    if home is None:
        raise InvalidValue("name", "of a calibration made from a model, to predict from it", name, _NO_MODEL)
    same = {"model": home.model, "hardware": home.hardware, "precision": home.precision, "devices": home.devices}
    asked = {**same, **{field: value for field, value in question.items() if value is not None}}
    found = verified(known, tuple(calibrate_log(list(logs), question_of(home), **asked)))
    emit(output, [v.to_dict() for v in found], verified_table(found, name))
    held = sum(v.held for v in found)
    print(f"{held} of {len(found)} points hold", file=sys.stderr)
    sys.exit(0 if held == len(found) else FAILED)
