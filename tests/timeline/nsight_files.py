"""Small exports of Nsight Systems, with the tables and columns of its SQLite Schema Reference (schema 3.28.1)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PID, THREAD = 700, 701
PROCESS = PID << 24
MAIN = PROCESS | THREAD
SCHEMA = {
    "StringIds": "id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL",
    "CUPTI_ACTIVITY_KIND_KERNEL": "start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER NOT NULL,"
    " contextId INTEGER NOT NULL, streamId INTEGER NOT NULL, correlationId INTEGER, globalPid INTEGER,"
    " demangledName INTEGER NOT NULL, shortName INTEGER NOT NULL, registersPerThread INTEGER, gridX INTEGER,"
    " gridY INTEGER, gridZ INTEGER, blockX INTEGER, blockY INTEGER, blockZ INTEGER, staticSharedMemory INTEGER,"
    " dynamicSharedMemory INTEGER, graphId INTEGER",
    "CUPTI_ACTIVITY_KIND_MEMCPY": "start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER, contextId INTEGER,"
    " streamId INTEGER, correlationId INTEGER, globalPid INTEGER, bytes INTEGER, copyKind INTEGER",
    "CUPTI_ACTIVITY_KIND_MEMSET": "start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER, contextId INTEGER,"
    " streamId INTEGER, correlationId INTEGER, globalPid INTEGER, bytes INTEGER",
    "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": "start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER,"
    " contextId INTEGER, streamId INTEGER, correlationId INTEGER, globalPid INTEGER, graphId INTEGER",
    "CUPTI_ACTIVITY_KIND_RUNTIME": "start INTEGER NOT NULL, end INTEGER NOT NULL, eventClass INTEGER,"
    " globalTid INTEGER, correlationId INTEGER, nameId INTEGER NOT NULL, returnValue INTEGER",
    "NVTX_EVENTS": "start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL, text TEXT, globalTid INTEGER,"
    " endGlobalTid INTEGER, textId INTEGER, domainId INTEGER",
    "OSRT_API": "start INTEGER NOT NULL, end INTEGER NOT NULL, eventClass INTEGER, globalTid INTEGER,"
    " correlationId INTEGER, nameId INTEGER NOT NULL, returnValue INTEGER, nestingLevel INTEGER, callchainId INTEGER",
    "SCHED_EVENTS": "start INTEGER NOT NULL, cpu INTEGER NOT NULL, isSchedIn INTEGER NOT NULL, globalTid INTEGER,"
    " threadState INTEGER, threadBlock INTEGER",
    "ENUM_SAMPLING_THREAD_STATE": "id INTEGER NOT NULL PRIMARY KEY, name TEXT, label TEXT",
    "PROFILER_OVERHEAD": "start INTEGER NOT NULL, end INTEGER NOT NULL, globalTid INTEGER, nameId INTEGER,"
    " returnValue INTEGER",
    "TARGET_INFO_GPU": "vmId INTEGER, id INTEGER NOT NULL, name TEXT, smCount INTEGER, maxWarpsPerSm INTEGER,"
    " threadsPerWarp INTEGER, maxRegistersPerSm INTEGER, maxShmemPerSm INTEGER, maxBlocksPerSm INTEGER",
    "TARGET_INFO_CUDA_DEVICE": "gpuId INTEGER, cudaId INTEGER NOT NULL, pid INTEGER NOT NULL, uuid TEXT,"
    " numMultiprocessors INTEGER",
    "TARGET_INFO_SESSION_START_TIME": "utcEpochNs INTEGER",
    "MPI_RANKS": "globalTid INTEGER NOT NULL, rank INTEGER NOT NULL",
}


class Export:
    """Fills an export table by table; a table is made when its first row comes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = sqlite3.connect(path)
        self.tables: set[str] = set()
        self.texts: dict[str, int] = {}

    def table(self, name: str, schema: str = "") -> None:
        if name not in self.tables:
            self.database.execute(f"CREATE TABLE {name} ({schema or SCHEMA[name]})")
            self.tables.add(name)

    def add(self, table: str, **values: Any) -> None:
        self.table(table)
        columns = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join("?" for _ in values)
        self.database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(values.values()))

    def text(self, value: str) -> int:
        if value not in self.texts:
            self.texts[value] = len(self.texts) + 1
            self.add("StringIds", id=self.texts[value], value=value)
        return self.texts[value]

    def kernel(self, start: int, end: int, name: str, link: int = 0, **more: Any) -> None:
        values = {"deviceId": 0, "contextId": 1, "streamId": 7, "globalPid": PROCESS, "correlationId": link}
        number = self.text(name)
        values |= {"start": start, "end": end, "demangledName": number, "shortName": number, **more}
        self.add("CUPTI_ACTIVITY_KIND_KERNEL", **values)

    def call(self, start: int, end: int, name: str, link: int = 0, thread: int = MAIN) -> None:
        number = self.text(name)
        values = {"start": start, "end": end, "globalTid": thread, "correlationId": link, "nameId": number}
        self.add("CUPTI_ACTIVITY_KIND_RUNTIME", **values)

    def range(self, start: int, end: int | None, text: str, thread: int = MAIN, kind: int = 59) -> None:
        self.add("NVTX_EVENTS", start=start, end=end, eventType=kind, text=text, globalTid=thread)

    def system(self, start: int, end: int, name: str, thread: int = MAIN) -> None:
        self.add("OSRT_API", start=start, end=end, globalTid=thread, nameId=self.text(name))

    def switches(self, times: Iterable[tuple[int, int, int | None]], thread: int = MAIN) -> None:
        for start, runs, state in times:
            self.add("SCHED_EVENTS", start=start, cpu=0, isSchedIn=runs, globalTid=thread, threadState=state)

    def done(self) -> Path:
        self.text("")
        self.database.commit()
        self.database.close()
        return self.path
