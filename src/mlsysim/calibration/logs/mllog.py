"""``:::MLLOG`` lines of MLPerf training.

Keys from the results of round 5.1 (mlcommons/training_results_v5.1 4da2d1cd, AMD/results/MI350X_EPYC_9575F_pytorch/
llama31_8b/result_0.txt): ``tracked_stats`` has the samples a second of all devices since the last one, and blocks
between evaluations are marked with their samples. There the rate times the time between marks is the number of samples.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from mlsysim.calibration.logs.json_parts import number
from mlsysim.calibration.logs.log import Log
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.source import Source
from mlsysim.calibration.logs.steps import Steps
from mlsysim.errors import InvalidValue
from mlsysim.results import Note
from mlsysim.units import LARGEST

_MARK = b":::MLLOG"
_CONDITIONS = {"global_batch_size": "batch_size", "max_sequence_length": "seq_len"}
_STEP_TIMES = ("train_step_time", "train_step_timing in s", "step_time")
_MODELS = {
    "llama31_8b": "llama-3.1-8b",
    "llama31_405b": "llama-3.1-405b",
    "llama2_70b_lora": "llama-2-70b",
    "bert": "bert-large",
}
"""What MLPerf calls a benchmark, and what the registry calls its model."""


class _Run:
    """What the lines say, in order: step times where there are any, else rates, else blocks."""

    def __init__(self, path: object) -> None:
        self.times, self.rates, self.blocks = (
            Steps(path, "time_s"),
            Steps(path, "throughput"),
            Steps(path, "throughput"),
        )
        self.said: dict[str, Any] = {}
        self._block: tuple[float, float] | None = None

    def take(self, line: int, event: Mapping[str, Any]) -> None:
        key, value, meta = event.get("key"), event.get("value"), event.get("metadata") or {}
        if key == "tracked_stats" and isinstance(value, dict):
            self._stats(line, value, meta)
        elif key in {"block_start", "block_stop"}:
            self._mark(line, str(key), event.get("time_ms"), meta)
        elif isinstance(value, (int, float, str)):
            self.said.setdefault(str(key), value)

    def _stats(self, line: int, value: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        step = number(meta.get("step", meta.get("samples_count")))
        took = next((value[name] for name in _STEP_TIMES if name in value), None)
        if took is not None:
            self.times.add(line, _or_nan(took), step=step)
        elif "throughput" in value:
            self.rates.add(line, _or_nan(value["throughput"]), step=step)

    def _mark(self, line: int, key: str, time_ms: Any, meta: Mapping[str, Any]) -> None:
        now, samples = number(time_ms), number(meta.get("samples_count"))
        if now is None or samples is None:
            return
        if key == "block_start":
            self._block = (now, samples)
        elif self._block is not None:
            start, before = self._block
            rate = 1e3 * (samples - before) / (now - start) if now != start else math.nan
            self.blocks.add(line, rate, step=samples, clock=now * 1e-3)
            self._block = None


def _read(source: Source) -> Log:
    run = _Run(source.path)
    broken = []
    for line, event in _events(source):
        if event is None:
            broken.append(line)
        else:
            run.take(line, event)
    steps = next((s for s in (run.times, run.rates, run.blocks) if s.values), None)
    if steps is None:
        hint = "no tracked_stats with a throughput or a step time, and no block_stop with samples_count"
        raise InvalidValue("log", "MLLOG lines of a training run with its speed", str(source.path), hint)
    for line in broken:
        steps.leave_out(line, "a line that is not whole")
    sizes = {ours: number(run.said.get(name)) for name, ours in _CONDITIONS.items()}
    conditions = {ours: int(size) for ours, size in sizes.items() if size is not None and 1 <= size <= LARGEST}
    reading = steps.reading("training", conditions, unit="samples/s" if steps is not run.times else "")
    batch = conditions.get("batch_size")
    if steps is not run.times and batch:
        reading = reading._replace(quantity="time_s", values=tuple(batch / v for v in reading.values), unit="")
    benchmark = str(run.said.get("submission_benchmark", ""))
    notes = () if steps is run.times else (_averaged(),)
    return Log(
        "MLPerf training log",
        (reading,),
        _MODELS.get(benchmark, benchmark),
        str(run.said.get("submission_platform", "")),
        left_out=steps.left_out,
        notes=notes,
    )


def _events(source: Source) -> Iterator[tuple[int, dict[str, Any] | None]]:
    for place, line in source.lines():
        at = line.find(_MARK)
        if at >= 0:
            try:
                event = json.loads(line[at + len(_MARK) :])
            except (ValueError, RecursionError):
                event = None
            yield place, event if isinstance(event, dict) else None


def _or_nan(value: Any) -> float:
    found = number(value)
    return math.nan if found is None else found


def _averaged() -> Note:
    return Note("steps-averaged", "each time is the mean of the steps between two evaluations, without these")


FORMATS = (Format("MLPerf training log", ":::MLLOG", lambda source: ":::MLLOG" in source.head, _read),)
