"""How long and how much memory a large trace takes: ``python benchmarks/traces.py [--size 1e9] [--fresh]``.

Writes a trace of a GPU in the form of PyTorch's profiler, of which the time of every cause is known, explains it in a
process of its own, and prints seconds, peak memory and the rate beside that of the JSON parser alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ABOUT = {
    "schemaVersion": 1,
    "deviceProperties": [
        {
            "id": 0,
            "name": "NVIDIA H100 80GB HBM3",
            "maxThreadsPerMultiprocessor": 2048,
            "regsPerMultiprocessor": 65536,
            "sharedMemPerMultiprocessor": 233472,
            "warpSize": 32,
            "numSms": 132,
        }
    ],
    "distributedInfo": {"backend": "nccl", "rank": 0, "world_size": 1},
    "baseTimeNanoseconds": 1775078550000000000,
}
KINDS = (
    ("aten::mm", "nvjet_tst_128x256_64x4_2x1_v_bz_coopA_NNT", 180.0, [[4096, 4096], [4096, 4096]]),
    (
        "aten::add",
        "void at::native::vectorized_elementwise_kernel<8, at::native::CUDAFunctor_add<c10::BFloat16>>",
        9.0,
        [],
    ),
    ("aten::native_layer_norm", "void at::native::vectorized_layer_norm_kernel<c10::BFloat16, float, false>", 12.0, []),
)
"""Operators, their kernels, how long these take [µs], and the sizes of operands."""
A_STEP = 5000
"""Operators of a step."""
GAP_US = 1.5
"""Pause between two kernels [µs]."""
TEMPLATE = """  {
    "ph": "X", "cat": "cpu_op", "name": "%(op)s", "pid": 100, "tid": 100,
    "ts": %(op_ts).3f, "dur": %(op_dur).3f,
    "args": {
      "External id": %(n)d, "Record function id": 0, "Ev Idx": %(n)d%(dims)s
    }
  },
  {
    "ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 100, "tid": 100,
    "ts": %(call_ts).3f, "dur": 3.000,
    "args": {
      "External id": %(n)d, "cbid": 211, "correlation": %(n)d
    }
  },
  {
    "ph": "s", "id": %(n)d, "pid": 100, "tid": 100, "ts": %(call_ts).3f,
    "cat": "ac2g", "name": "ac2g"
  },
  {
    "ph": "X", "cat": "kernel", "name": "%(kernel)s", "pid": 0, "tid": 7,
    "ts": %(ts).3f, "dur": %(dur).3f,
    "args": {
      "External id": %(n)d, "queued": 0, "device": 0, "context": 1, "stream": 7, "correlation": %(n)d,
      "registers per thread": 168, "shared memory": 213248, "blocks per SM": 1, "warps per SM": 12,
      "grid": [132, 1, 1], "block": [384, 1, 1], "est. achieved occupancy %%": 19
    }
  },
  {
    "ph": "f", "id": %(n)d, "pid": 0, "tid": 7, "ts": %(ts).3f,
    "cat": "ac2g", "name": "ac2g", "bp": "e"
  },
"""


def write(path: Path, size: float) -> int:
    """Write a trace of about ``size`` bytes; return how many events it has."""
    n, ts = 0, 1000.0
    with path.open("w") as file:
        file.write(json.dumps(ABOUT)[:-1] + ',\n  "traceEvents": [\n')
        begun = ts
        while file.tell() < size:
            for _ in range(A_STEP):
                op, kernel, dur, dims = KINDS[n % len(KINDS)]
                told = f', "Input type": ["c10::BFloat16", "c10::BFloat16"], "Input Dims": {dims}' if dims else ""
                at = {"op_ts": ts - 40, "op_dur": 12.0, "call_ts": ts - 34, "ts": ts, "dur": dur, "n": n + 1}
                file.write(TEMPLATE % {**at, "op": op, "kernel": kernel, "dims": told})
                ts, n = ts + dur + GAP_US, n + 1
            step = {"ph": "X", "cat": "user_annotation", "name": f"ProfilerStep#{n // A_STEP}", "pid": 100, "tid": 100}
            file.write("  " + json.dumps({**step, "ts": begun, "dur": ts - begun - 60}) + ",\n")
            begun = ts - 60
        file.write('  {"name": "Record Window End", "ph": "i", "s": "g", "pid": "", "tid": "", "ts": 0}\n')
        file.write('  ],\n  "traceName": "trace.json"\n}\n')
    return 5 * n


def explained(path: Path) -> None:
    """Explain a trace in this process; print what it took as JSON."""
    from mlsysim.timeline.explain import explain

    started = time.perf_counter()
    found = explain([path])
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    apart = abs(sum(cause.seconds for cause in found.causes) - found.measured_s)
    told = {"seconds": seconds, "peak_bytes": peak, "apart_s": apart, "steps": len(found.steps), "eta": found.eta}
    print(json.dumps(told))


def parsed(path: Path) -> float:
    """Return how long the JSON parser alone takes for the first hundredth of a trace, times a hundred [s]."""
    import msgspec

    text = path.read_bytes()[: path.stat().st_size // 100]
    text = b"[" + text[text.index(b"[\n") + 1 : text.rindex(b'},\n  {\n    "ph"')] + b"}]"
    started = time.perf_counter()
    msgspec.json.decode(text)
    return (time.perf_counter() - started) * 100


def main() -> None:
    """Write, explain, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=1e8, help="bytes of the trace  [default: 1e8]")
    parser.add_argument("--explain", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, help="where the trace is kept")
    asked = parser.parse_args()
    if asked.explain:
        explained(asked.explain)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = asked.keep or Path(folder) / "trace.json"
        events = write(path, asked.size)
        command = [sys.executable, __file__, "--explain", str(path)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        size = path.stat().st_size
        print(f"{size / 1e6:,.0f} MB, {events:,} events, {found['steps']} steps, eta {found['eta']:.3f}")
        print(f"{found['seconds']:.1f} s, {found['seconds'] / parsed(path):.2f} times the JSON parser alone")
        print(f"peak memory {found['peak_bytes'] / 1e6:,.0f} MB; causes sum to {found['apart_s'] * 1e9:.3g} ns")


if __name__ == "__main__":
    main()
