"""``mlsysim explain TRACE [TRACE]``: where the time of a step went, cause by cause."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlsysim.cli import options

if TYPE_CHECKING:
    from mlsysim.efficiency.breakdown import Breakdown
    from mlsysim.efficiency.comparison import Comparison

_NARROW, _WIDTH, _WIDE = 80, 100, 120
"""Widths of the text: at least, where there is no terminal, and at most [characters]."""
_SHOWN = 1 << 25
"""Bytes from which a file takes long enough to read for a bar."""
_PACKED = 20
"""How many times larger a trace is once it is unpacked, about: for the bar alone."""


@click.command("explain", short_help="Tell where the time of a step went, from a profiler's trace.")
@click.argument("traces", nargs=-1, required=True, metavar="TRACE [TRACE ...]", type=click.Path(path_type=Path))
@click.option("--model", help="what ran: its FLOPs at the peak are the ideal  [default: sizes in the trace]")
@click.option("--hardware", help="what it ran on  [default: what the trace names]")
@click.option("--skip", type=options.Word(), default=0, help="steps at the start that are left out  [default: 0]")
@click.option(
    "--without", multiple=True, metavar="CAUSE", help="what if this vanished: kernel_launch, framework/python"
)
@click.option("--try", "tried", multiple=True, metavar="REMEDY", help="what would this buy: cuda-graphs, ...")
@click.option("--plot", help="write a waterfall to this file: .png, .svg, .pdf or .html")
@options.question
@options.output
def command(
    traces: tuple[Path, ...],
    skip: Any,
    without: tuple[str, ...],
    tried: tuple[str, ...],
    plot: str | None,
    output: str,
    **question: Any,
) -> None:
    """Tell where the time of a step went: seconds from the ideal to what was measured, cause by cause.

    TRACE is a trace of PyTorch's profiler (.json, .json.gz), an SQLite export of Nsight Systems, a trace of JAX or XLA,
    a profile of ONNX Runtime, a log of Megatron or vLLM with timers, or a folder of them: one run, of one rank or of
    many. Two runs are compared: what changed, cause by cause. Two files of different ranks are one run.

    Each instant belongs to one cause, so that the causes sum to the time. What a trace does not tell is said, and
    never guessed.
    """
    from mlsysim.efficiency.comparison import Comparison
    from mlsysim.report.breakdowns import breakdown_table, comparison_table, part_data, what_ifs_table
    from mlsysim.report.tables import emit
    from mlsysim.timeline.explain import explain
    from mlsysim.timeline.runs import apart

    if plot:
        from mlsysim.report.figures import check

        check(plot, also=".html")
    with _progress() as progress:
        found = [explain(one, skip=skip, progress=progress, **question) for one in apart(traces)]
    answer = _answer(found)
    what_ifs = [found[-1].without(name) for name in without] + [found[-1].tried(key) for key in tried]
    if plot:
        from mlsysim.report.waterfall import save

        save(answer, plot)
    data = answer.to_dict()
    if what_ifs:
        data["what_if"] = [w.to_dict() for w in what_ifs]
    if output == "table":
        print(_text(answer))
    elif isinstance(answer, Comparison):
        emit(output, data["changes"] if output == "csv" else data, comparison_table(answer))
    else:
        emit(output, part_data(answer) if output == "csv" else data, breakdown_table(answer))
    if what_ifs and output in {"table", "markdown"}:
        print()
        emit(output, None, what_ifs_table(what_ifs, f"the run after ({found[-1].about})" if len(found) > 1 else ""))
    _say_notes(traces, found)


def _answer(found: Sequence[Breakdown]) -> Breakdown | Comparison:
    """Return where the time of one run went, or what changed from one to another."""
    from mlsysim.efficiency.comparison import compared

    return found[0] if len(found) == 1 else compared(*found)


def _text(answer: Breakdown | Comparison) -> str:
    """Return an answer as text, as wide as the terminal within what can be read."""
    from mlsysim.efficiency.bars import compared_text, text
    from mlsysim.efficiency.comparison import Comparison

    there = shutil.get_terminal_size().columns if sys.stdout.isatty() else int(os.environ.get("COLUMNS") or _WIDTH)
    width = min(max(there, _NARROW), _WIDE)
    return compared_text(answer, width) if isinstance(answer, Comparison) else text(answer, width)


def _say_notes(traces: Sequence[Path], found: Sequence[Breakdown]) -> None:
    """Write the notes of one run, or of two, each once, with the trace that it is said of unless it is both."""
    both = set(found[0].notes).intersection(*(one.notes for one in found))
    options.say_notes([note for note in found[0].notes if note in both])
    for path, one in zip(traces, found, strict=False):
        options.say_notes([note for note in one.notes if note not in both], prefix=f"{path}: ")


@contextmanager
def _progress() -> Iterator[Callable[[Path, int], None]]:
    """Show a bar for each file that takes time to read, of how much of it was read."""
    with options.progress() as tell:

        def told(path: Path, size: int) -> None:
            whole = path.stat().st_size if path.is_file() else 0
            unpacked = whole * _PACKED if path.suffix == ".gz" else whole
            if max(size, unpacked) > _SHOWN:
                tell(f"reading {path.name}", min(size / max(unpacked, 1), 1.0))

        yield told
