"""``mlsysim measure``: a program's own step lines, or an ONNX network on this machine, into eta."""

from __future__ import annotations

import sys
import tempfile
from codecs import getincrementaldecoder
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

import click

from mlsysim.cli import options
from mlsysim.errors import Checks, InvalidValue, UsageError
from mlsysim.units import whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlsysim.calibration import Calibration
    from mlsysim.calibration.live.command import Ended
    from mlsysim.calibration.logs.log import Log

    Keep = Callable[[Calibration], str]

UNKNOWN_FORMAT = "a log in a known format"
"""The rule that a log breaks which no reader knows."""
_ONNX_ONLY = ("shapes", "seconds", "threads")


@click.command("measure", short_help="Run a program or an ONNX file, and turn its steps into eta.")
@click.argument("what", nargs=-1, type=click.UNPROCESSED, metavar="FILE.onnx | -- COMMAND ...")
@click.option("--model", help="the model that the program runs")
@click.option("--hardware", help="the device it runs on; for an ONNX file, in place of probing this machine")
@click.option("--overhead", "overhead_s", help="part of a step that no faster hardware removes: '2 ms'")
@click.option("--shape", "shapes", multiple=True, help="ONNX: one sample of an input with free dimensions: x=1,3,224")
@click.option("--seconds", type=options.Word(), help="ONNX: how long to measure  [default: 10]")
@click.option("--threads", type=options.Word(), help="ONNX: threads of the run-time  [default: the physical cores]")
@options.saved
@options.question
@options.output
def command(what: tuple[str, ...], output: str, save: str | None, user: bool, note: str, **given: Any) -> None:
    """Run a program, or an ONNX network on this machine, and turn its steps into eta.

    `mlsysim measure --model gpt2 --hardware h100 -- python train.py` passes the program's output through and reads its
    step lines; its exit code is kept. In JSON, CSV or Markdown the answer is alone on standard output, and all that
    the program writes goes to standard error.

    `mlsysim measure network.onnx --batch 1,8,32` times each batch size with onnxruntime.
    """
    if not what:
        hint = "such as `mlsysim measure -- python train.py` or `mlsysim measure network.onnx`"
        raise InvalidValue("command", "a program after --, or an ONNX file", "", hint)
    keep = _keep(save, user, note, given)
    if len(what) == 1 and what[0].lower().endswith(".onnx"):
        if save is not None:
            hint = "its eta is of this machine as it was probed for it"
            raise InvalidValue("save", "left out where an ONNX file is run", save, hint)
        _network(Path(what[0]), output, given)
        return
    refused = [f"--{name.removesuffix('s') if name == 'shapes' else name}" for name in _ONNX_ONLY if given.pop(name)]
    if refused:
        raise InvalidValue(refused[0], "left out where a program is run", " ".join(what), "it is for ONNX files")
    _refuse_file(what[0])
    sys.exit(_program(what, output, given, keep))


def _keep(save: str | None, user: bool, note: str, given: dict[str, Any]) -> Keep | None:
    """Return what keeps a calibration; a name or a folder that cannot be is refused before anything runs."""
    from mlsysim.calibration import Profile
    from mlsysim.calibration.store import place
    from mlsysim.cli.calibrate import refuse_unsaved

    if save is None:
        refuse_unsaved(user, note)
        return None
    place(save, user=user)
    named = {name: given[name] for name in ("model", "hardware") if given[name]}
    return lambda found: options.save(Profile((found,)), save, user=user, note=note, **named)


def _refuse_file(word: str) -> None:
    """Refuse a file that is there and is no program, with what to write in its place."""
    from shutil import which

    if which(word) or not Path(word).exists():
        return
    if Path(word).is_dir():
        hint = "it is a folder"
    elif word.endswith(".py"):
        hint = f"write `mlsysim measure -- python {word}`"
    else:
        hint = f"a log that a program left is read by `mlsysim calibrate {word}`"
    raise InvalidValue("command", "a program that can be run", word, hint)


def _network(path: Path, output: str, given: dict[str, Any]) -> None:
    """Time an ONNX network at each batch size and write the table."""
    from mlsysim.calibration.live.batches import measure_batches
    from mlsysim.report.measured import batches_table
    from mlsysim.report.tables import emit

    used = {"batch_size", "precision", "hardware", *_ONNX_ONLY}
    for name, value in given.items():
        if value is not None and name not in used:
            raise InvalidValue(name, "left out where an ONNX file is run", value)
    if given["threads"] is not None:
        whole(given["threads"], "threads")  # before this machine is probed
    batch = given["batch_size"]
    batches = [options.number(word) for word in str(1 if batch is None else batch).split(",")]
    with options.progress() as tell:
        found = measure_batches(
            path,
            batches,
            shapes=dict(map(options.shape, given["shapes"])) or None,
            seconds=10.0 if given["seconds"] is None else given["seconds"],
            threads=given["threads"],
            precision=given["precision"],
            hardware=given["hardware"],
            progress=tell,
        )
    emit(output, found.rows() if output == "csv" else found.to_dict(), batches_table(found))
    for note in found.notes:
        print(f"[probe] {note}", file=sys.stderr)
    options.say_notes(dict.fromkeys(note for c in found.calibrations.values() for note in c.notes))


def _program(words: tuple[str, ...], output: str, given: dict[str, Any], keep: Keep | None) -> int:
    """Run a program, write what its steps tell, and return the exit code: the program's own where it failed."""
    from mlsysim.calibration.live.command import run_command

    asked = {name: value for name, value in given.items() if value is not None}
    _checked(asked)
    out, err = _bytes_of(sys.stdout), _bytes_of(sys.stderr)
    with tempfile.TemporaryDirectory(prefix="mlsysim-") as folder:
        kept = Path(folder) / "output.log"
        ended = run_command(words, kept, out if output == "table" else err, err)
        try:
            _told(kept, ended, output, asked, keep)
        except UsageError as problem:
            if not ended.exit_code:
                raise
            print(f"mlsysim: {problem}", file=sys.stderr)
    if ended.exit_code:
        stopped = "was interrupted" if ended.interrupted else "failed"
        print(f"mlsysim: {words[0]} {stopped} with exit code {ended.exit_code}", file=sys.stderr)
    return ended.exit_code


def _bytes_of(stream: TextIO) -> BinaryIO:
    """Return what takes the bytes of a stream; one of text alone, in a notebook for example, gets them decoded."""
    stream.flush()
    return getattr(stream, "buffer", None) or _Decoded(stream)


class _Decoded(BytesIO):
    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream, self._decoder = stream, getincrementaldecoder("utf-8")("replace")

    def write(self, chunk: Any) -> int:
        self._stream.write(self._decoder.decode(chunk))
        return len(chunk)


def _checked(asked: dict[str, Any]) -> None:
    """Refuse what cannot be asked before the program has run for hours."""
    from mlsysim.scenario import Scenario, hardware_of
    from mlsysim.workload import model_of

    question = {name: value for name, value in asked.items() if name != "overhead_s"}
    if "model" in asked and "hardware" in asked:
        Scenario.of(**{"phase": "training", **question})
        return
    checks = Checks()
    for name, known in (("model", model_of), ("hardware", hardware_of)):
        if name in asked:
            checks(known, asked[name])
    checks.done()


def _told(kept: Path, ended: Ended, output: str, asked: dict[str, Any], keep: Keep | None) -> None:
    """Write the calibration that the output of a program gives, or what its steps took where the question is open."""
    from mlsysim.calibration.live.calibrated import calibrated, steady
    from mlsysim.report.calibrated import calibration_table
    from mlsysim.report.measured import steps_table
    from mlsysim.report.tables import emit

    log = _log(kept, ended)
    about = {
        "format": log.format,
        "samples": sum(len(r.values) for r in log.readings),
        "left_out": [part._asdict() for part in log.left_out],
        "exit_code": ended.exit_code,
    }
    if not (asked.get("model") or log.model) or not (asked.get("hardware") or log.hardware):
        reading = max(log.readings, key=lambda r: len(r.values))
        middle = steady(reading)
        emit(output, {**about, reading.quantity: middle._asdict()}, steps_table(reading, middle))
        options.say_notes(log.notes)
        if keep:
            raise UsageError("nothing is saved: --model and --hardware turn this into eta")
        print("mlsysim: --model and --hardware turn this into eta", file=sys.stderr)
        return
    found = calibrated(log, **asked)
    emit(output, {**found.to_dict(), **about}, calibration_table(found))
    print(f"mlsysim: {about['samples']} steps read as {log.format}", file=sys.stderr)
    options.say_notes((*found.notes, *(found.scenario.notes() if found.scenario else ())))
    if keep:  # said first: the run may have taken hours
        print(keep(found), file=sys.stderr)


def _log(kept: Path, ended: Ended) -> Log:
    """Return what a reader of logs makes of the output; where none knows it, the times at which step lines arrived."""
    from mlsysim.calibration.live.arrivals import FEWEST
    from mlsysim.calibration.logs.recognise import read_log

    try:
        log = read_log([kept])
    except InvalidValue as problem:
        if problem.rule != UNKNOWN_FORMAT:
            raise
        return ended.arrivals.log()
    few = all(r.steps and len(r.values) < FEWEST for r in log.readings)
    return ended.arrivals.log() if few and len(ended.arrivals.longest().times) >= FEWEST else log
