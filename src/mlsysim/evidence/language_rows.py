"""Rows of decode, prefill and serving of language models, in the columns of inference.csv."""

from __future__ import annotations

import re
from typing import Any

from mlsysim.evidence.fields import Row, count, number, optional
from mlsysim.evidence.measurement import Measurement, Refused
from mlsysim.evidence.names import device_named, device_of, language_model_of, precision_of, refuse_marked
from mlsysim.evidence.requests import Requests
from mlsysim.evidence.sources import measurement_of
from mlsysim.hardware import HardwareSpec
from mlsysim.scenario import Scenario
from mlsysim.setup import Setup

_MLPERF = {"llama-2-70b": (294.45, 294.45), "gpt-j-6b": (924.0, 69.0), "mixtral-8x7b": (430.0, 144.84)}
"""Mean tokens of a prompt and of an answer in MLPerf inference 4.1: answers from its accuracy targets, prompts
recalled (OpenOrca, CNN-DailyMail, and a mixture of OpenOrca, GSM8K and MBXP)."""

_FILLED = 0.7
"""Share of memory that weights may fill in a replica whose plan is not published: the rest is for the cache."""
_BEAMS = 4
"""Width of the beam search in MLPerf's GPT-J (mlcommons/inference, language/gpt-j; recalled)."""


def language_measurement(row: Row) -> Measurement:
    """Return a row of decode, prefill or serving.

    Raises
    ------
    Refused
        The row cannot be used; the message says why.
    """
    refuse_marked(row)
    regime = row["regime"]
    if regime == "prefill":
        return _prefill(row)
    if regime in {"decode_b1", "decode_batched"}:
        return _decode(row)
    return _serving(row)


def setup_of(row: Row) -> Setup:
    """Return the engine and the plan of a row; which layers run one after another depends on the engine's age."""
    engine = (row.get("engine") or "").strip().lower()
    engine = "tensorrt-llm" if engine in {"tensorrt", "jetpack", "cuda"} else engine
    pp, tp = count(row, "pp", 0), count(row, "tp", 0)
    layered = pp > 1 or (engine in {"llama.cpp", "exllamav2"} and count(row, "num_devices", 1) > 1)
    by_row = engine == "llama.cpp" and (row.get("published") or "") < "2024"
    version = (row.get("engine_version") or "").strip()
    split = layered and not by_row and engine in {"llama.cpp", "exllamav2", "exllama"}
    return Setup(engine, version, tp=tp, pp=pp, ep=count(row, "ep", 0), layer_split=split)


def _common(
    row: Row, question: object, setup: Setup, seconds: float, value: float, rate: bool, regime: str
) -> Measurement:
    return measurement_of(
        row,
        question,
        setup,
        regime=regime,
        model=row["model"].strip().lower(),
        hardware=device_named(row["hardware"]),
        seconds=seconds,
        value=value,
        rate=rate,
    )


def _scenario(row: Row, phase: str, batch: int, **lengths: Any) -> Scenario:
    return Scenario.of(
        language_model_of(row["model"]),
        device_of(row["hardware"]),
        phase=phase,
        precision=precision_of(row["quant"], row["compute_precision"], row.get("kv_precision") or ""),
        devices=count(row, "num_devices", 1) or 1,
        batch_size=batch,
        **lengths,
    )


def _prefill(row: Row) -> Measurement:
    read, batch, value = count(row, "input_len"), count(row, "batch", 1) or 1, number(row, "value")
    if not read:
        raise Refused("no input_len")
    s = _scenario(row, "forward", batch, seq_len=read)
    timed = row["metric"] in {"ttft_ms", "latency_ms"}
    seconds = value / 1e3 if timed else batch * read / value
    return _common(row, s, setup_of(row), seconds, value, not timed, row["regime"])


def _decode(row: Row) -> Measurement:
    read, written = count(row, "input_len"), count(row, "output_len")
    batch, value = count(row, "batch", 1) or 1, number(row, "value")
    s = _scenario(row, "decode", batch, context=max(1, read + written // 2))
    metric = row["metric"]
    if metric in {"itl_ms", "latency_ms", "tpot_ms"}:
        return _common(row, s, setup_of(row), value / 1e3, value, False, row["regime"])
    whole = value * (s.devices if metric.endswith("per_device") else 1)
    return _common(row, s, setup_of(row), batch / whole, value, True, row["regime"])


def _serving(row: Row) -> Measurement:
    model, device = language_model_of(row["model"]), device_of(row["hardware"])
    precision, repair = _served_in(row, device)
    if not device.supports(precision):
        raise Refused(f"{device.name} has no peak for {precision}")
    setup, devices = setup_of(row), count(row, "num_devices", 1) or 1
    read, written = optional(row, "input_len") or 0.0, optional(row, "output_len") or 0.0
    if not read and not written:
        if row["model"] not in _MLPERF:
            raise Refused("no input_len and output_len")
        read, written = _MLPERF[row["model"]]
    beams = _BEAMS if row["id"].startswith("mlperf") and row["model"] == "gpt-j-6b" else 1
    batch = (optional(row, "batch") or 0.0) * beams
    if row["metric"] == "latency_ms":
        s = _scenario(row, "decode", 1, context=int(read + written / 2))
        return _common(row, s, setup, number(row, "value") / 1e3 / written, number(row, "value"), False, row["regime"])
    shards = setup.tp or _smallest(model, device, precision, devices)
    pp = max(1, setup.pp)
    replicas = max(1, devices // (shards * pp))
    server = bool(re.search(r"\bServer\b", row.get("notes") or ""))
    q = Requests(
        model,
        device,
        precision,
        shards * pp,
        shards,
        1,
        max(read, 1.0),
        max(written, 1.0),
        batch / (replicas if not setup.tp else 1),
        "throughput",
        server,
        beams=beams,
    )
    value = number(row, "value")
    whole = value * (devices if row["metric"].endswith("per_device") else 1)
    whole *= written if row["metric"] == "samples_per_s" else 1.0
    return _common(row, q, setup, replicas / (whole * beams), value, True, row["regime"])._replace(repair=repair)


def _served_in(row: Row, device: HardwareSpec) -> tuple[str, str]:
    """Return the precision of a serving row.

    What MLPerf 4.1 lists as fp16 ran in fp8, and in fp4 on Blackwell (NVIDIA and AMD on their submissions, 2024-08;
    recalled).
    """
    stated = precision_of(row["quant"], row["compute_precision"], row.get("kv_precision") or "")
    declared = row["id"].startswith("mlperf41") and row.get("engine") in {"tensorrt", "jetpack", "vllm", "cuda"}
    if declared and stated == "fp16" and device.supports("nvfp4"):
        return "nvfp4kv8", "MLPerf lists fp16 where the engine runs in fp4"
    if declared and stated == "fp16" and device.supports("fp8"):
        return "fp8", "MLPerf lists fp16 where the engine runs in fp8"
    return stated, ""


def _smallest(model: object, device: object, precision: str, devices: int) -> int:
    """Return the devices of a replica where the plan is not published: as few as hold the weights with room left."""
    shards = 1
    while shards < devices:
        q = Requests(model, device, precision, shards, shards, 1, 1.0, 1.0, 0.0, "throughput")  # type: ignore[arg-type]
        if q.weights_bytes < _FILLED * shards * q.hardware.memory.value:  # type: ignore[union-attr]
            break
        shards *= 2
    return min(shards, devices)
