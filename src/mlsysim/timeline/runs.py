"""Which files are traces of one run: ranks of it, devices of a process, cycles of its profiler."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue
from mlsysim.results import Note
from mlsysim.timeline.recognise import is_trace, recognised
from mlsysim.timeline.trace import Trace, in_order

Progress = Callable[[Path, int], None]
_ENDINGS = (".json", ".json.gz", ".sqlite", ".sqlite.gz", ".log", ".txt")
"""What the traces in a folder end with."""
_SEVERAL = {"nsight", "xla"}
"""Sources that leave a file for each host or process, which need not say its rank."""


def apart(given: Sequence[Path]) -> list[list[Path]]:
    """Return files and folders as runs: two are two runs, unless they are ranks of one; more are one.

    Raises
    ------
    InvalidValue
        A file that cannot be read.
    """
    several = len(given) == 2 and (any(path.is_dir() for path in given) or not _ranks_of_one(given))
    return [[path] for path in given] if several else [list(given)]


def _ranks_of_one(given: Sequence[Path]) -> bool:
    """Return whether two files say that they are of different ranks of one run, by what stands before their events."""
    said = [re.search(r'"rank": *(\d+)[^{}]*"world_size": *(\d+)', Source(path, "trace").head) for path in given]
    ranks, worlds = ({found[i] for found in said if found} for i in (1, 2))
    return all(said) and len(ranks) == len(given) and len(worlds) == 1


def files(given: Sequence[Path]) -> tuple[list[Path], list[Note]]:
    """Return files, and in place of folders the traces in them; and a note on what else lies there.

    Raises
    ------
    InvalidValue
        A folder without traces.
    """
    if not given:
        raise InvalidValue("trace", "a file or a folder", given)
    found: list[Path] = []
    other: list[Path] = []
    for path in given:
        if not path.is_dir():
            found.append(path)
            continue
        named = sorted(p for p in path.rglob("*") if p.name.endswith(_ENDINGS))
        inside = [p for p in named if os.access(p, os.R_OK) and p.is_file()]
        traces = [p for p in inside if is_trace(Source(p, "trace"))]
        if not traces:
            listed = f"of its {len(inside)} files that end so none is one" if inside else "no file ends so"
            hint = f"{', '.join(_ENDINGS)}: {listed}"
            raise InvalidValue("trace", "a trace, or a folder with traces", str(path), hint)
        found += traces
        other += [p for p in inside if p not in traces]
    if not other:
        return list(dict.fromkeys(found)), []
    some = ", ".join(p.name for p in other[:3]) + (f" and {len(other) - 3} more" if len(other) > 3 else "")
    return list(dict.fromkeys(found)), [Note("files-left-out", f"files of the folder that are no traces: {some}")]


def read(path: Path, progress: Progress | None) -> Sequence[Trace]:
    """Return the traces of a file: of a rank, or one for each device.

    Raises
    ------
    InvalidValue
        It is no trace, or cannot be read.
    """
    source = Source(path, "trace")
    return recognised(source).read_all(source, (lambda size: progress(path, size)) if progress else None)


def of_one_run(traces: Sequence[Trace]) -> list[list[Trace]]:
    """Return the traces of each rank, by rank: several of one are cycles of its profiler, with steps of their own.

    Raises
    ------
    InvalidValue
        Two of the same rank hold the same steps, or several files do not say their rank.
    """
    ranks: dict[tuple[object, int], list[Trace]] = defaultdict(list)
    beside: Counter[tuple[object, str]] = Counter()
    for trace in traces:
        of = trace.path if trace.rank is None and trace.source in _SEVERAL else trace.rank
        ranks[of, beside[of, trace.path]].append(trace)
        beside[of, trace.path] += 1  # devices that one process drives
    for (rank, _), same in ranks.items():
        steps = [mark.index for trace in same for mark in trace.marks]
        if len(same) > 1 and (len(set(steps)) < len(steps) or not all(trace.marks for trace in same)):
            which = "none says its rank" if rank is None else f"these are of rank {rank}"
            hint = "two runs are compared as `mlsysim explain A B`, each a file or a folder"
            files = ", ".join(trace.path for trace in same)
            raise InvalidValue("trace", "of different ranks or steps of one run", files, f"{which}; {hint}")
    return [ranks[key] for key in sorted(ranks, key=lambda key: (in_order(key[0]), key[1]))]
