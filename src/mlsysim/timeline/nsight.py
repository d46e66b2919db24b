"""Exports of Nsight Systems: ``nsys export --type sqlite``.

Tables and columns as of the SQLite Schema Reference, schema 3.28.1 of the release 2026.4 (docs.nvidia.com,
nsight-systems, AnalysisGuide); those of older releases are a subset. Times are ns since the session began. A
``globalTid`` holds the thread in its lower 24 bits, above it the process, in 24, and the machine; a ``globalPid`` the
same with no thread. Tables are written only where something was recorded, so that any of them may be missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue
from mlsysim.results import Note
from mlsysim.timeline import threads
from mlsysim.timeline.activity import MATH
from mlsysim.timeline.cupti import Key, Recorded, pid_of, process_of
from mlsysim.timeline.nvtx import Lane, Steps
from mlsysim.timeline.spans import NO_LINK, Integers, SpanRows, Spans
from mlsysim.timeline.tables import MAGIC, Tables, opened
from mlsysim.timeline.trace import Accelerator, Trace
from mlsysim.timeline.windows import launches, linked

NAME = "export of Nsight Systems"
TABLES = ("StringIds", "META_DATA_EXPORT", "META_DATA_CAPTURE", "TARGET_INFO_SYSTEM_ENV", "ANALYSIS_DETAILS")
"""Tables that every export has, whatever was recorded."""


def recognises(source: Source) -> bool:
    """Return whether a file is an export of Nsight Systems, or a database that cannot be read."""
    if not source.head.startswith(MAGIC):
        return False
    try:
        with opened(source) as tables:
            return any(table in tables for table in TABLES) or any(t.startswith("CUPTI_") for t in tables.columns)
    except InvalidValue:
        return True


def read(source: Source, progress: Callable[[int], None] | None = None) -> Trace:
    """Return the trace of the first device.

    Raises
    ------
    InvalidValue
        The file is no whole database.
    """
    return read_all(source, progress)[0]


def read_all(source: Source, progress: Callable[[int], None] | None = None) -> tuple[Trace, ...]:
    """Return a trace for each device of each process; one without a device where none was recorded.

    Raises
    ------
    InvalidValue
        The file is no whole database.
    """
    with opened(source, progress) as tables:
        reader = Recorded(tables)
        reader.device_work()
        reader.host_calls()
        reader.ranges()
        found = tuple(_traces(reader, str(source.path)))
        tables.finish()
    return found


class _Host(NamedTuple):
    """The host's side of one device: the threads that launch its work, and the steps."""

    lanes: tuple[Lane, ...]
    main: Lane | None
    steps: Steps | None


def _traces(reader: Recorded, path: str) -> Iterator[Trace]:
    sides = {key: _side(reader, key) for key in sorted(reader.devices)} or _without_device(reader)
    for process in {process for process, _ in sides}:
        lanes = {lane for (of, _), side in sides.items() if of == process for lane in (*side.lanes, side.main) if lane}
        reader.threads_of(process, sorted(lanes))
    hosts = {process: ranges.host.spans() for process, ranges in reader.hosts.items()}
    several = Counter(process for process, _ in sides)
    notes = threads.notes(reader.tables)
    reader.left_out.update({f"of {table}, which breaks off": n for table, n in reader.tables.broken.items()})
    for key, side in sides.items():
        process, device = key
        host = hosts.get(process) or SpanRows().spans()
        if several[process] > 1:
            wanted = {*side.lanes, side.main}
            host = host.where(np.isin(host.lane, [i for i, lane in enumerate(host.lanes) if lane in wanted]))
        work = reader.devices[key].spans() if key in reader.devices else SpanRows().spans()
        yield Trace(
            NAME,
            "nsight",
            _with_operators(work, host),
            host,
            side.steps.marks if side.steps else (),
            side.main,
            _accelerator(reader.tables, process, device),
            _rank(reader.tables, process),
            len(sides),
            reader.host(process).training,
            False,
            dict(reader.left_out),
            (*_notes(reader, key, side), *notes),
            f"{path}, device {device} of process {pid_of(process)}" if len(sides) > 1 else path,
            _began(reader.tables),
        )


def _side(reader: Recorded, key: Key) -> _Host:
    """Return which threads launch the work of a device, and the steps: those of such a thread before others."""
    ranges = reader.host(key[0])
    rows, device = ranges.host, reader.devices[key]
    calls = np.array(rows.link, np.int64)
    made = np.isin(calls, np.array(device.link, np.int64)) & (calls != NO_LINK)
    counts = Counter(np.array(rows.lane, np.int64)[made].tolist())
    lanes = tuple(rows.lanes.labels[number] for number, _ in sorted(counts.items(), key=lambda c: (-c[1], c[0])))
    sets = ranges.steps()
    steps = next((s for s in sets if s.lane in lanes), sets[0] if sets else None)
    main = steps.lane if steps else lanes[0] if lanes else None
    return _Host(lanes, main, steps)


def _without_device(reader: Recorded) -> dict[Key, _Host]:
    """Return the host alone: the process whose steps cover most time, else the one with most ranges."""
    sets = {process: ranges.steps() for process, ranges in reader.hosts.items()}
    best = max(sets, key=lambda p: (sets[p][0].covered if sets[p] else 0, len(reader.hosts[p].host)), default=0)
    steps = sets[best][0] if sets.get(best) else None
    lanes = reader.host(best).host.lanes.labels
    main = steps.lane if steps else lanes[0] if lanes else None
    return {(best, 0): _Host(tuple(lanes), main, steps)}


def _with_operators(device: Spans, host: Spans) -> Spans:
    """Give kernels the operator in whose range their call lies, where ``emit_nvtx`` recorded operators."""
    told = np.array([work is not None for work in host.works] or [False])[host.work] if len(host) else np.empty(0, bool)
    if not told.any() or not len(device):
        return device
    math = np.isin(device.activity, [*map(int, MATH)])
    call = np.where(math, linked(device.link, launches(host)), -1)
    work: Integers = np.full(len(device), -1, np.int64)
    for lane in np.unique(host.lane[told]):
        ranges = np.flatnonzero(told & (host.lane == lane))
        here = np.flatnonzero((call >= 0) & (host.lane[call] == lane))
        at = np.searchsorted(host.start[ranges], host.start[call[here]], "right") - 1
        within = (at >= 0) & (host.end[ranges[at]] >= host.start[call[here]])
        work[here[within]] = host.work[ranges[at[within]]]
    works = [*device.works, *host.works]
    return replace(
        device, work=np.where(work >= 0, work + len(device.works), device.work).astype(np.int32), works=works
    )


def _accelerator(tables: Tables, process: int, device: int) -> Accelerator:
    """Return the device: its number in the process tells which GPU it is."""
    pid = pid_of(process)
    gpus = {(p, cuda): gpu for p, cuda, gpu in tables.rows("TARGET_INFO_CUDA_DEVICE", ("pid", "cudaId", "gpuId"))}
    gpu = gpus.get((pid, device), device)
    sm = ("maxWarpsPerSm", "threadsPerWarp", "maxRegistersPerSm", "maxShmemPerSm", "maxBlocksPerSm")
    for number, name, count, warps, width, registers, shared, blocks in tables.rows(
        "TARGET_INFO_GPU", ("id", "name", "smCount", *sm)
    ):
        if number == gpu:
            warp = width or 32
            held = (warps or 0) * warp
            return Accelerator(str(name or ""), count or 0, held, registers or 0, shared or 0, blocks or 0, warp)
    return Accelerator()


def _rank(tables: Tables, process: int) -> int | None:
    """Return the rank of a process, which MPI tells."""
    ranks = {rank for thread, rank in tables.rows("MPI_RANKS", ("globalTid", "rank")) if process_of(thread) == process}
    return ranks.pop() if len(ranks) == 1 else None


def _began(tables: Tables) -> int:
    row = next(tables.rows("TARGET_INFO_SESSION_START_TIME", ("utcEpochNs",)), (0,))
    return row[0] if isinstance(row[0], int) and row[0] > 0 else 0


def _notes(reader: Recorded, key: Key, side: _Host) -> tuple[Note, ...]:
    """Say what is missing, and what follows from that."""
    found = []
    if key not in reader.devices:
        message = "no work of a GPU was recorded: record it with `nsys profile --trace=cuda,nvtx,osrt`"
        found.append(Note("no-device", message))
    elif not side.lanes:
        message = "no calls of CUDA were recorded: launches cannot be told from other gaps of the device"
        found.append(Note("no-calls", message))
    if side.steps:
        text = f"NVTX ranges `{side.steps.word} N` on thread {side.steps.lane[1]} are taken as the steps"
        found.append(Note("steps-by-name", text))
    elif not reader.tables.filled("NVTX_EVENTS"):
        message = "no NVTX ranges were recorded: mark steps with torch.cuda.nvtx.range_push(f'step {i}')"
        found.append(Note("no-nvtx", message))
    if reader.graphs:
        message = (
            "CUDA graphs were recorded whole, so that their kernels are not told apart:"
            " record them with `nsys profile --cuda-graph-trace=node`"
        )
        found.append(Note("graphs-whole", message))
    return tuple(found)
