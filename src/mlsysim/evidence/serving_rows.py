"""Rows of requests served end to end, in the columns of serving_e2e.csv: time per output token and to the first."""

from __future__ import annotations

import re

from mlsysim.evidence.fields import Row, count, number
from mlsysim.evidence.measurement import Measurement, Refused
from mlsysim.evidence.names import device_of, language_model_of
from mlsysim.evidence.requests import Requests
from mlsysim.precision import parse_precision
from mlsysim.setup import Setup

_MISMEASURED = (
    ("vllm 0.12.0", "Qwen3-235B", "mis-measured: time per token does not move with the load"),
    ("vllm 0.12.0", "Llama-3.1-8B", "mis-measured: prompts at or above the peak of the device"),
    ("trtllm 1.3.0rc1", "DeepSeek", "mis-measured: several times slower than every other release"),
)
"""Engine and release, part of the model's name, and what is wrong with the rows."""
_DRAFTED = (("trtllm 1.1.0rc2.post2", "2026-01"), ("trtllm 1.2.0rc6.post3", "2026-02"), ("trtllm 1.3.0rc5", "2026-03"))
"""Sets of DeepSeek rows that run multi-token prediction without saying so: releases, and months of measurement."""


def serving_measurements(row: Row) -> list[Measurement]:
    """Return the time per output token and the time to first token of a row.

    Raises
    ------
    Refused
        The row cannot be used; the message says why.
    """
    if row["mode"] != "agg":
        raise Refused("prefill and decode on separate devices: two deployments in one row")
    for version, name, why in _MISMEASURED:
        if row["backend"] + " " + row["backend_version"] == version and name in row["model_path"]:
            raise Refused(why)
    concurrency, repair = _concurrency(row)
    devices, shards, groups, note = _plan(row)
    model, device = language_model_of(row["model_path"]), device_of(row["system"])
    name = {"fp4": "nvfp4", "nvfp4": "nvfp4", "": "fp16"}.get(row["precision"], row["precision"])
    precision = parse_precision(name) + ("kv8" if name == "nvfp4" else "")
    if not device.supports(precision):
        raise Refused(f"{device.name} has no peak for {precision}")
    engine = {"trtllm": "tensorrt-llm"}.get(row["backend"], row["backend"])
    setup = Setup(engine, row["backend_version"], tp=shards, ep=count(row, "moe_ep_size"))
    drafted = "deepseek" in model.name and _drafted(row)
    note = "; ".join(filter(None, (note, "runs multi-token prediction unlabelled" if drafted else "")))
    found = []
    for timed in ("tpot", "ttft"):
        value = number(row, f"silicon_{timed}_ms")
        q = Requests(
            model,
            device,
            precision,
            devices,
            shards,
            groups,
            float(count(row, "isl")),
            float(count(row, "osl")),
            concurrency,
            timed,
            drafted=drafted,
        )
        found.append(
            Measurement(
                f"{row['id']}/{timed}",
                f"{engine} {row['backend_version']}".strip(),
                model.name,
                device.name,
                engine,
                f"{timed}-{'moe' if model.expert_layers else 'dense'}",
                q,
                setup,
                value / 1e3,
                value,
                False,
                "https://github.com/ai-dynamo/aiconfigurator",
                row["id"],
                "",
                "; ".join(filter(None, (repair, note))),
            )
        )
    return found


def _drafted(row: Row) -> bool:
    measured = re.search(r"measured=(\d{4}-\d\d)", row["silicon_data_source"])
    release = f"{row['backend']} {row['backend_version']}"
    return measured is not None and (release, measured[1]) in _DRAFTED


def _concurrency(row: Row) -> tuple[float, str]:
    """Return the requests in flight that the load generator kept up; the batch size is rounded down from it."""
    stated = re.search(r"silicon_concurrency=([\d.]+)", row["silicon_data_source"])
    if stated:
        return float(stated[1]), "concurrency of the load in place of the batch size"
    return float(count(row, "batch_size") * max(1, count(row, "attention_dp_size"))), ""


def _plan(row: Row) -> tuple[int, int, int, str]:
    """Return devices, the degree by which a layer is split, the data-parallel groups, and what was corrected."""
    tp, dp, ep = count(row, "tp_size"), max(1, count(row, "attention_dp_size")), max(1, count(row, "moe_ep_size"))
    if row["system"].startswith("gb200") and tp * dp >= 12:
        raise Refused("12 to 72 GB200 in one aggregated row: disaggregated deployments recorded as one")
    if ep > 1 and tp == dp and ep == tp * tp:
        return tp, 1, tp, "tp = dp = N and ep = N squared mean N devices"
    if ep > 1 and ep * ep in {tp, dp}:
        return ep, ep if tp > 1 else 1, ep if dp > 1 else 1, "tp or dp = ep squared mean ep devices"
    return tp * dp, tp, dp, ""
