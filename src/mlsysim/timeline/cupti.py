"""What CUPTI and NVTX recorded, out of the tables of an export of Nsight Systems: by device and by process."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from math import prod
from typing import Any

from mlsysim.timeline import threads
from mlsysim.timeline.activity import Activity, activity
from mlsysim.timeline.nvtx import Lane, Ranges
from mlsysim.timeline.spans import NO_LINK, SpanRows
from mlsysim.timeline.tables import Tables
from mlsysim.timeline.trace import Launch, unusable

Key = tuple[int, int]
"""A device of a process: the process as in a ``globalPid``, and the number that CUDA gives the device in it."""
_RANGES = (59, 60, 70, 71)
"""Types of events of NVTX that have an end: push and pop, start and end, and the same from text files."""
_COPIES = {
    1: "HtoD",
    2: "DtoH",
    3: "HtoD",
    4: "DtoH",
    5: "DtoD",
    6: "DtoD",
    7: "DtoD",
    8: "DtoD",
    9: "HtoH",
    10: "PtoP",
}
"""Directions of copies (CUpti_ActivityMemcpyKind); of arrays as of other memory."""
_MANAGED = {11: "HtoD", 12: "DtoH", 13: "DtoD"}
"""Directions of pages that managed memory moves (ENUM_CUDA_MEMCPY_OPER, recalled)."""
_VERSION = re.compile(r"(_ptsz|_ptds)?_v\d+$")
_PROCESS, _THREAD = 24, (1 << 24) - 1
"""Where the process begins in a ``globalTid`` [bits], and the bits of a thread, or of a process, alone."""


class Recorded:
    """What the tables hold, by device and by process."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.devices: dict[Key, SpanRows] = {}
        self.hosts: dict[int, Ranges] = {}
        self.left_out: Counter[str] = Counter()
        self.graphs = False

    def sound(self, start: Any, end: Any) -> bool:
        """Return whether an event can be used; count it by why it cannot."""
        if isinstance(start, int) and isinstance(end, int) and 0 <= start <= end:
            return True
        begins = start if isinstance(start, int) else None
        self.left_out[unusable(begins, end - start if begins is not None and isinstance(end, int) else None)] += 1
        return False

    def device(self, process: Any, device: Any) -> SpanRows:
        """Return the spans of a device of a process."""
        key = (process_of(process), int(device or 0))
        found = self.devices.get(key)
        if found is None:
            found = self.devices[key] = SpanRows()
        return found

    def host(self, process: int) -> Ranges:
        """Return the timeline of the host in a process."""
        found = self.hosts.get(process)
        if found is None:
            found = self.hosts[process] = Ranges(SpanRows())
        return found

    def device_work(self) -> None:
        """Read kernels, copies and graphs that were recorded whole."""
        rows = self.tables.rows
        times = ("start", "end", "globalPid", "deviceId", "contextId", "streamId", "correlationId")
        kernel = ("demangledName", "shortName", "registersPerThread", "staticSharedMemory", "dynamicSharedMemory")
        grid = ("gridX", "gridY", "gridZ", "blockX", "blockY", "blockZ")
        for row in rows("CUPTI_ACTIVITY_KIND_KERNEL", (*times, *kernel, *grid)):
            name = self.tables.text(row[7]) or self.tables.text(row[8]) or "kernel"
            self._span(row, activity("kernel", name), name, _launch(row[9:]))
        for row in rows("CUPTI_ACTIVITY_KIND_MEMCPY", (*times, "copyKind")):
            name = f"Memcpy {_COPIES.get(row[7]) or _MANAGED.get(row[7], '')}".strip()
            self._span(row, activity("kernel", name), name)
        for row in rows("CUPTI_ACTIVITY_KIND_MEMSET", times):
            self._span(row, Activity.COPY, "Memset")
        for row in rows("CUPTI_ACTIVITY_KIND_GRAPH_TRACE", (*times, "graphId")):
            self.graphs = True
            self._span(row, Activity.OTHER, f"CUDA graph {row[7] or 0}")

    def _span(self, row: Sequence[Any], kind: Activity, name: str, launch: Launch | None = None) -> None:
        start, end, process, device, context, stream, link = row[:7]
        if self.sound(start, end):
            link = link if isinstance(link, int) else NO_LINK
            self.device(process, device).add(start, end, kind, (device, context, stream), name, link, launch)

    def host_calls(self) -> None:
        """Read calls of CUDA, of the processes that have a device."""
        processes = {process for process, _ in self.devices}
        columns = ("start", "end", "globalTid", "correlationId", "nameId")
        for start, end, thread, link, name in self.tables.rows("CUPTI_ACTIVITY_KIND_RUNTIME", columns):
            process = process_of(thread)
            if process not in processes:
                continue
            called = _call(self.tables.text(name))
            kind = activity("call", called)
            if kind is not Activity.IGNORED and self.sound(start, end):
                joined = link if isinstance(link, int) else NO_LINK
                self.host(process).host.add(start, end, kind, lane_of(thread), called, joined)

    def ranges(self) -> None:
        """Read NVTX ranges: of processes that have a device, of all where none has one."""
        processes = {process for process, _ in self.devices}
        columns = ("start", "end", "globalTid", "endGlobalTid", "eventType", "text", "textId")
        for start, end, thread, last, kind, text, number in self.tables.rows("NVTX_EVENTS", columns):
            process = process_of(thread)
            if (kind is not None and kind not in _RANGES) or (processes and process not in processes):
                continue
            if last and last != thread:
                continue  # begun on one thread and ended on another: of neither
            if self.sound(start, end):
                self.host(process).add(lane_of(thread), text or self.tables.text(number), start, end)

    def threads_of(self, process: int, lanes: Iterable[Lane]) -> None:
        """Read what the operating system did with some threads, and what the profiler itself took of them."""
        ids = [(process << _PROCESS) | thread for _, thread in lanes]
        threads.calls(self.tables, self.host(process).host, ids, lane_of, self.sound)
        threads.preempted(self.tables, self.host(process).host, ids, lane_of)


def process_of(thread: int | None) -> int:
    """Return the process, with its machine, of a ``globalTid`` or a ``globalPid``."""
    return (thread or 0) >> _PROCESS


def lane_of(thread: int | None) -> Lane:
    """Return the process and the thread of a ``globalTid``."""
    return pid_of(process_of(thread)), (thread or 0) & _THREAD


def pid_of(process: int) -> int:
    """Return the number that the operating system gave a process."""
    return process & _THREAD


@cache
def _call(name: str) -> str:
    """Return the name of a call without the version that CUPTI adds."""
    return _VERSION.sub("", name)


@cache
def _launch(told: tuple[Any, ...]) -> Launch | None:
    """Return how a kernel was launched: registers, two kinds of shared memory, blocks and threads in three."""
    registers, static, dynamic, *sizes = (value if isinstance(value, int) and value > 0 else 0 for value in told)
    blocks, threads = prod(sizes[:3]), prod(sizes[3:])
    return Launch(blocks, threads, registers, static + dynamic) if blocks and threads else None
