"""Traces with known answers, in the form that PyTorch's profiler writes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from mlsysim.efficiency.breakdown import Breakdown
from mlsysim.timeline.activity import Activity
from mlsysim.timeline.spans import Spans
from mlsysim.timeline.trace import Trace

H100 = {
    "id": 0,
    "name": "NVIDIA H100 80GB HBM3",
    "maxThreadsPerMultiprocessor": 2048,
    "regsPerMultiprocessor": 65536,
    "sharedMemPerMultiprocessor": 233472,
    "warpSize": 32,
    "numSms": 132,
}
GEMM = "nvjet_tst_128x256_64x4_2x1_v_bz_coopA_NNT"
ADD = "void at::native::vectorized_elementwise_kernel<8, at::native::CUDAFunctor_add<c10::BFloat16>>"
FLASH = "void flash_fwd_kernel<Flash_fwd_kernel_traits<128, 128, 64, 4>>"
ALL_REDUCE = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)"
SEND_RECV = "ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)"
HOST, AUTOGRAD = 100, 101
US = 1000


class Timeline:
    """Gathers events; times in ns."""

    def __init__(self, *, gpu: bool = True, rank: int | None = None, world: int = 1) -> None:
        self.events: list[dict[str, Any]] = []
        self.about: dict[str, Any] = {"schemaVersion": 1, "deviceProperties": [H100] if gpu else []}
        self.about["baseTimeNanoseconds"] = 1775078550000000000
        if rank is not None:
            self.about["distributedInfo"] = {"backend": "nccl", "rank": rank, "world_size": world}
        self._link = 0

    def event(
        self, cat: str, name: str, start: int, end: int, *, pid: Any = HOST, tid: Any = HOST, **args: Any
    ) -> None:
        """Add an event of any kind."""
        times = {"ts": start / 1000, "dur": (end - start) / 1000}
        self.events.append({"ph": "X", "cat": cat, "name": name, "pid": pid, "tid": tid, **times, "args": args})

    def step(self, number: int, start: int, end: int) -> None:
        """Mark a step."""
        self.event("user_annotation", f"ProfilerStep#{number}", start, end)

    def kernel(
        self,
        name: str,
        start: int,
        end: int,
        *,
        called: int | None = None,
        stream: Any = 7,
        thread: int = HOST,
        cat: str = "kernel",
        device: int = 0,
        **args: Any,
    ) -> None:
        """Add a kernel, and the call that launched it, where it is known when."""
        self._link += 1
        link = {"correlation": self._link} if called is not None else {}
        self.event(cat, name, start, end, pid=device, tid=stream, device=device, stream=stream, **link, **args)
        if called is not None:
            self.event("cuda_runtime", "cudaLaunchKernel", called, called + 3000, tid=thread, **link)

    def write(self, path: Path, events: list[dict[str, Any]] | None = None) -> Path:
        """Write the trace, packed where the name ends so."""
        text = json.dumps({**self.about, "traceEvents": self.events if events is None else events})
        if path.suffix == ".gz":
            path.write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text)
        return path


def gpu_line(*, steps: int = 4, rank: int | None = None, world: int = 1, late: int = 0, shift: int = 0) -> Timeline:
    """Steps of 1 ms: a loader of 100 us, a product of 500, attention of 200, a reduction that takes 100 and waits."""
    line = Timeline(rank=rank, world=world)
    for number in range(steps):
        at = shift + 10_000 * US + number * 1_000 * US
        line.step(number, at, at + 1_000 * US)
        line.event(
            "user_annotation", "enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__", at, at + 100 * US
        )
        line.event("cpu_op", "autograd::engine::evaluate_function: MmBackward0", at, at)
        line.kernel(GEMM, at + 100 * US, at + 600 * US, called=at + 100 * US)
        line.kernel(FLASH, at + 600 * US, at + 800 * US, called=at + 110 * US)
        line.kernel(ALL_REDUCE, at + 800 * US + late, at + 1_000 * US, called=at + 120 * US, stream=20)
        if late:
            line.kernel(ADD, at + 800 * US, at + 800 * US + late, called=at + 115 * US)
    return line


def causes(found: Breakdown) -> dict[str, float]:
    return {cause.name: round(cause.seconds * 1e6, 3) for cause in found.causes}


def codes(found: Breakdown | Trace) -> set[str]:
    return {note.code for note in found.notes}


def told(spans: Spans) -> list[tuple[int, int, str, str]]:
    """Return spans as start, end [ns], activity and name."""
    rows = zip(spans.start, spans.end, spans.activity, spans.name, strict=True)
    return [(int(s), int(e), Activity(a).name.lower(), spans.names[n]) for s, e, a, n in rows]
