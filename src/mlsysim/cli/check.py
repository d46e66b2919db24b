"""``mlsysim check FILE...``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from mlsysim.cli import options

if TYPE_CHECKING:
    from mlsysim.report.tables import Table
    from mlsysim.whatif.check import Finding, Verdict
    from mlsysim.whatif.scenario_file import ScenarioFile

FAILED = 3
"""Exit code where an assertion fails."""
NO_POINT = 1
"""Exit code where none fails, and a scenario has no feasible point."""


@click.command("check", short_help="Hold scenario files to what they assert.")
@click.argument("files", nargs=-1, required=True)
@click.option("--sure", is_flag=True, help="demand that each holds over the whole 90 % interval")
@click.option("--workers", type=int, help="processes that work at once  [default: threads of one]")
@click.option("--yes", is_flag=True, help="do not ask before very many points")
@options.output
def command(files: tuple[str, ...], sure: bool, workers: int | None, yes: bool, output: str) -> None:
    """Hold scenario files to what they assert, as a test runner does.

    Exit code 0: all hold. 3: one fails; with --sure, also where it holds at the value alone. 1: none fails, and a
    scenario has no feasible point. 2: a file has a problem.
    """
    from mlsysim.report.tables import emit
    from mlsysim.whatif.check import check

    read = _read(files)
    with options.progress() as tell:
        verdicts = [
            verdict
            for file in read
            for verdict in check(
                file, workers=workers, confirm=yes or _confirmed, progress=partial(_told, tell, file.path.name)
            )
        ]
    passed = [verdict.sure if sure else verdict.holds for verdict in verdicts]
    emit(output, [_data(v, ok) for v, ok in zip(verdicts, passed, strict=True)], _table(verdicts, passed))
    for verdict, ok in zip(verdicts, passed, strict=True):
        if not ok:
            print(f"FAILED {_sentence(verdict)}", file=sys.stderr)
    print(f"{sum(passed)} of {len(passed)} assertions hold", file=sys.stderr)
    sys.exit(_exit_code(verdicts, passed))


def _read(files: Sequence[str]) -> list[ScenarioFile]:
    """Return the files, with the problems of all of them told at once."""
    from mlsysim.errors import Checks
    from mlsysim.whatif.scenario_file import read_scenarios

    checks = Checks()
    found = [checks(read_scenarios, name) for name in files]
    checks.done()
    return [file for file in found if file]


def _confirmed(points: int) -> bool:
    return click.confirm(f"{points:,} points: go on?", err=True)


def _told(tell: Callable[[str, float], None], name: str, done: int, planned: int) -> None:
    if planned > SHOWN:
        tell(name, done / planned)


SHOWN = 10**6
"""Points beyond which a bar shows how far it is."""


def _exit_code(verdicts: Sequence[Verdict], passed: Sequence[bool]) -> int:
    from mlsysim.whatif import check

    if all(passed):
        return 0
    asked = (v for v, ok in zip(verdicts, passed, strict=True) if not ok)
    return NO_POINT if all(v.status == check.NO_POINT for v in asked) else FAILED


def _data(verdict: Verdict, passed: bool) -> dict[str, Any]:
    return {"passed": passed, **verdict.to_dict()}


def _table(verdicts: Sequence[Verdict], passed: Sequence[bool]) -> Table:
    """Return the verdicts as a table, an assertion a row."""
    from mlsysim.report.tables import Table

    rows = [
        (
            _word(verdict, ok),
            verdict.scenario,
            verdict.assertion,
            "; ".join(map(_found, verdict.findings)),
            _place(verdict.at),
            _counts(verdict),
        )
        for verdict, ok in zip(verdicts, passed, strict=True)
    ]
    return Table("Assertions", ("", "scenario", "assertion", "found", "at", "points"), rows)


def _word(verdict: Verdict, passed: bool) -> str:
    if verdict.holds and not verdict.sure:
        return "ok, at the value alone" if passed else "FAILED, not sure"
    return "ok" if passed else "FAILED"


def _found(finding: Finding) -> str:
    """Write what was found: at the value, and in brackets the interval where it has one."""
    value = _shown(finding.found, finding.unit)
    if finding.of not in finding.part:  # the bound is not among what was written
        return f"{finding.of} {value} of {_shown(finding.bound, finding.unit)}"
    if finding.low == finding.high or finding.low != finding.low:  # not known
        return f"{finding.of} {value}"
    return f"{finding.of} {value} ({_shown(finding.low, finding.unit)} to {_shown(finding.high, finding.unit)})"


def _shown(value: Any, unit: str) -> str:
    """Write a value with its unit."""
    from mlsysim.units import si

    if value is None or value != value:  # noqa: PLR0124
        return "not known"
    if isinstance(value, (str, bool)):
        return str(value).lower() if isinstance(value, bool) else value
    return f"{value:,.4g}" if unit in {"", "1/s"} else si(value, unit)


def _place(at: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:,.6g}" if isinstance(value, float) else f"{name} {value}" for name, value in at.items()
    )


def _counts(verdict: Verdict) -> str:
    """Write at how many points it holds, of how many."""
    left_out = f", {verdict.infeasible:,} infeasible" if verdict.infeasible else ""
    unknown = f", {verdict.unknown:,} not known" if verdict.unknown else ""
    return f"{verdict.holding:,} of {verdict.points:,}{unknown}{left_out}"


def _sentence(verdict: Verdict) -> str:
    """Return what a person must know of an assertion that fails: by how much, where, and why it matters."""
    head = f"{verdict.scenario}: {verdict.assertion}: "
    why = f" ({verdict.why})" if verdict.why else ""
    if not verdict.points:
        return f"{head}no feasible point: {verdict.reason}{why}"
    at = f" at {_place(verdict.at)}" if verdict.at else ""
    found = verdict.reason or "; ".join(map(_found, verdict.findings))
    by = f", {abs(verdict.margin):.1%} beyond its bound" if verdict.margin is not None and verdict.margin < 0 else ""
    alone = " holds at the value alone:" if verdict.holds else ""
    first = f"; first at {_place(verdict.first)}" if verdict.first and verdict.first != verdict.at else ""
    return f"{head.rstrip(': ') + alone if alone else head.rstrip()} {found}{by}{at}{first}{why}"
