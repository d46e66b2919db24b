"""The command line: one group whose commands are imported when they are called.

JSON, CSV or Markdown alone on standard output; notes, progress and errors on standard error.
Exit codes: 0 answered, 1 infeasible, 2 a mistake in the question, 3 an assertion or a saved calibration that does not
hold, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from mlsysim.errors import ImpossibleMeasurement, MlsysimError, Problems

COMMANDS = (
    "solve",
    "calibrate",
    "measure",
    "explain",
    "calibrations",
    "transfer",
    "whatif",
    "compare",
    "choose",
    "break-even",
    "cost",
    "sweep",
    "price",
    "check",
    "schema",
    "sensitivity",
    "need",
    "work",
    "memory",
    "guide",
    "grade",
    "evidence",
    "validate",
    "models",
    "hardware",
    "probe",
    "demo",
)
INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group that imports ``mlsysim.cli.NAME`` when NAME is called, so that no command pays for the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"mlsysim.cli.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command; a typo is answered with the nearest names."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            self.refuse(ctx, args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    @staticmethod
    def refuse(ctx: click.Context, name: str, known: Sequence[str]) -> None:
        """Say that there is no such command, and which are nearest."""
        from mlsysim.registry import nearest

        near = nearest(name, known)
        guess = f" Did you mean {' or '.join(near)}?" if near else ""
        ctx.fail(f"No such command {name!r}.{guess} There are {', '.join(known)}.")


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="mlsysim")
def app() -> None:
    """How fast, how big, how costly an ML workload is on given hardware.

    Time = FLOPs / (Peak x eta). eta, the efficiency, is stated by you, measured from your own runs, or predicted.
    """


def main() -> None:
    """Run the command line; a mistake is one sentence and an exit code, never a traceback."""
    try:
        code = app(prog_name="mlsysim", standalone_mode=False)
        sys.stdout.flush()
    except MlsysimError as error:
        code = _told(describe(error), _sentence(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        code = 2
    except click.UsageError as error:
        found = {"code": "usage", "message": error.format_message(), "causes": []}
        help_hint = f"\nTry '{error.ctx.command_path} --help' for help." if error.ctx else ""
        code = _told(found, f"mlsysim: {error.format_message()}{help_hint}", error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        print("\nmlsysim: interrupted; nothing was left half-written", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:
        code = 0  # the reader has had enough
        _silence_standard_output()
    except OSError as error:
        code = 1
        _silence_standard_output()
        what = error.filename or "the answer"
        print(f"mlsysim: cannot write {what}: {error.strerror or error}", file=sys.stderr)
    raise SystemExit(code or 0)


def describe(error: MlsysimError) -> dict[str, Any]:
    """Return an error as plain data, ready for JSON."""
    found: dict[str, Any] = {"code": error.code, "message": str(error), "causes": []}
    if isinstance(error, ImpossibleMeasurement):
        found["efficiency"] = error.efficiency
        found["causes"] = [{"code": c.code, "message": c.message, "efficiency": c.efficiency} for c in error.causes]
    if isinstance(error, Problems):
        found["problems"] = [describe(p) for p in error.problems]
    return found


def _told(found: dict[str, Any], sentence: str, code: int) -> int:
    if _wants_json(sys.argv):
        import json

        print(json.dumps({"error": found}, indent=2))
    print(sentence, file=sys.stderr)
    return code


def _sentence(error: MlsysimError) -> str:
    count = len(error.problems) if isinstance(error, Problems) else 1
    return f"mlsysim: {error}" if count == 1 else f"mlsysim: {count} problems:\n{error}"


def _silence_standard_output() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not fail on it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _wants_json(arguments: list[str]) -> bool:
    joined = " ".join(arguments).lower()
    return any(form in joined for form in ("--output json", "--output=json", "-o json", "-ojson"))
