"""How fast logs are read, and in how much memory: large files made of small ones, each read in a process of its own.

    python benchmarks/logs.py [--gigabytes 1] [--folder /tmp]

The bounds: 60 s and 300 MB for a PyTorch trace or a log of a gigabyte; 50 MB/s on JSON lines. Wall time, with the
reading of the file from disk; the peak of the process's memory is Linux's.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

SECONDS, MEGABYTES, RATE = 60.0, 300.0, 50.0


class Case(NamedTuple):
    """A file to be made: its name, how large as a share of what is asked, and its pieces."""

    name: str
    share: float
    pieces: Callable[[float], Iterator[str]]


def trace(size: float) -> Iterator[str]:
    """Yield a PyTorch trace: steps of 100 ms, each with kernels of all its operators."""
    yield '{"schemaVersion": 1, "traceEvents": [\n'
    kernel = (
        '{"ph":"X","cat":"kernel","name":"ampere_sgemm_128x64_tn","pid":0,"tid":7,"ts":%d,"dur":83,"args":{"stream":7}}'
    )
    done, step = 0, 0
    while done < size:
        start = 1_000_000 + 100_000 * step
        events = [
            f'{{"ph":"X","cat":"user_annotation","name":"ProfilerStep#{step}","pid":1,"tid":1,"ts":{start},"dur":99990}}'
        ]
        events += [kernel % (start + 20 * i) for i in range(5000)]
        text = ",\n".join(events)
        yield (",\n" if step else "") + text
        done, step = done + len(text), step + 1
    yield "\n]}\n"


def serving(size: float) -> Iterator[str]:
    """Yield results of a serving benchmark with the detail of each request, a JSON line a run."""
    noise = Random(0)
    itl = [[round(noise.gauss(0.02, 0.002), 6) for _ in range(256)] for _ in range(128)]
    run = {
        "date": "20261101-000000",
        "backend": "vllm",
        "model_id": "meta-llama/Llama-3.1-8B-Instruct",
        "tokenizer_id": "meta-llama/Llama-3.1-8B-Instruct",
        "num_prompts": 128,
        "max_concurrency": 16,
        "duration": 60.0,
        "completed": 128,
        "total_input_tokens": 131_072,
        "total_output_tokens": 32_768,
        "request_throughput": 2.1,
        "output_throughput": 546.1,
        "mean_tpot_ms": 20.0,
        "mean_ttft_ms": 90.0,
        "input_lens": [1024] * 128,
        "output_lens": [256] * 128,
        "itls": itl,
    }
    text, done = json.dumps(run) + "\n", 0
    while done < size:
        yield text
        done += len(text)


def training(size: float) -> Iterator[str]:
    """Yield the step lines of Megatron-LM."""
    line = (
        " [2026-11-01 00:00:00] iteration {i:8d}/ 9000000 | consumed samples: {n:12d} |"
        " elapsed time per iteration (ms): {ms:.1f} |"
        " throughput per GPU (TFLOP/s/GPU): 401.2 | learning rate: 3.000000E-04 | global batch size:   512 |"
        " lm loss: 2.101234E+00 | loss scale: 1.0 | grad norm: 0.214 | number of skipped iterations:   0 |\n"
    )
    noise, i, done = Random(0), 0, 0
    while done < size:
        block = "".join(line.format(i=i + k + 1, n=512 * (i + k + 1), ms=noise.gauss(5000, 20)) for k in range(1000))
        yield block
        i, done = i + 1000, done + len(block)


CASES = (Case("PyTorch trace", 1.0, trace), Case("JSON lines", 0.5, serving), Case("step lines", 1.0, training))


def read(path: Path) -> None:
    """Read one log in this process, and print the seconds it took and the peak of the memory [MB]."""
    from mlsysim.calibration.logs import read_log

    began = time.perf_counter()
    log = read_log([path])
    took = time.perf_counter() - began
    print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, log.format, sep="\t")


def main(gigabytes: float, folder: Path) -> None:
    """Make each file, read it, and print a row."""
    for case in CASES:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            path = Path(place) / "large.log"
            with path.open("w") as file:
                file.writelines(case.pieces(case.share * gigabytes * 1e9))
            size = path.stat().st_size / 1e6
            command = [sys.executable, __file__, "--read", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        took, memory, form = done.stdout.strip().split("\t")
        rate = size / float(took)
        good = float(took) <= SECONDS * max(size / 1e3, 0.1) and float(memory) <= MEGABYTES
        good = good and (case.name != "JSON lines" or rate >= RATE)
        row = (
            f"{case.name:14} {size:6.0f} MB  {float(took):6.1f} s  {rate:6.0f} MB/s  {float(memory):4.0f} MB of memory"
        )
        print(f"{row}  {form}: {'ok' if good else 'BEYOND the bound'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        read(asked.read)
    else:
        main(asked.gigabytes, asked.folder)
