"""Published measurements as facts: a scenario and the eta it reached, through the same path as any answer.

A row that cannot be used is refused with a reason, never repaired by a guess.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mlsysim.efficiency.regimes import regime_of
from mlsysim.errors import UsageError
from mlsysim.hardware import Hardware
from mlsysim.models import Models, ModelSpec, TransformerSpec, decoder
from mlsysim.precision import parse_precision
from mlsysim.scenario import Roofline, Scenario

Row = dict[str, str]


UNPUBLISHED_BATCH = 1024
"""Batch of an offline or server run of a network that publishes none: any large one gives the same ceiling."""


SDXL_PASSES = 40
"""Passes of the denoiser for an image: 20 steps, each with and without the text (MLPerf inference 4.0, SDXL rules)."""


class Refused(Exception):
    """A row that cannot be used, and why."""


class Fact(NamedTuple):
    """A measurement as a scenario and the eta it reached; ``key`` is what makes two rows the same configuration."""

    row: Row
    scenario: Scenario
    roof: Roofline
    efficiency: float
    convention: str
    engine: str

    @property
    def key(self) -> tuple[object, ...]:
        """Return the configuration without its result: re-measurements of it are siblings."""
        s = self.scenario
        return (
            self.engine.lower(),
            s.model.name,
            s.hardware.name,
            s.devices,
            s.phase,
            s.precision,
            s.batch_size,
            s.seq_len,
            s.context,
        )


def training_fact(row: Row) -> Fact:
    """Return a training row; FLOPs are model FLOPs with causal attention unless the source gives a rate in FLOP/s."""
    if row["task"] not in {"pretrain", "sft"}:
        raise Refused("adapter training is not 6N")
    if re.match(r"bert|mlperf-bert|m?t5", row["family"]):
        raise Refused("encoder: attention is not causal")
    if row["active_params_b"] != row["params_b"]:
        raise Refused("mixture of experts")
    devices, precision = int(row["num_devices"] or 1), quantity(row["precision"])
    model: ModelSpec
    batch = int(float(row["global_batch"] or 0)) or devices * int(float(row["micro_batch"] or 1))
    if row["layers"]:
        model, tokens = spec_of(row), int(row["seq_len"] or 0)
        if not tokens:
            raise Refused("no sequence length")
    else:
        model, tokens = network(row["model"]), 0
    s = scenario(model, row["hardware"], "training", precision, devices, max(batch, 1), seq_len=tokens or None)
    roof = s.roofline(s.work())
    value, per_item = float(row["value"]), roof.flops / s.work().items
    metric = row["metric"]
    if metric in {"tokens_per_s_per_device", "samples_per_s_per_device"}:
        items = value * devices * (tokens if metric.startswith("samples") and tokens else 1)
        return checked(row, s, roof, items * per_item / roof.peak_flops, "model FLOPs, causal", row["framework"])
    if metric == "step_time_s":
        if not row["global_batch"]:
            raise Refused("step time without batch")
        return checked(row, s, roof, roof.compute_s / value, "model FLOPs, causal", row["framework"])
    factor = 0.75 if row["flops_convention"] == "hfu" and row["recompute"] == "full" else 1.0
    rate = value * 1e12 * devices / roof.peak_flops if metric == "tflops_per_device" else value
    return checked(row, s, roof, rate * factor, f"as published: {row['flops_convention']}", row["framework"])


def inference_fact(row: Row) -> Fact:
    """Return a decode, prefill, network or microcontroller row."""
    if re.search(r"SUSPECT|UNIT_AMBIGUOUS|anomalous|out of family|typo", row["notes"]):
        raise Refused("marked as suspect at the source")
    precision = quantity(row["quant"], row["compute_precision"], row["kv_precision"])
    devices, regime = int(row["num_devices"] or 1), row["regime"]
    if regime == "tinyml":
        return network_fact(row, precision, 1)
    if row["model"] in {"bert-base", "bert-large"}:  # MLPerf's are not padded to the stated length: left out
        return encoder_fact(row, precision, devices)
    if regime in {"vision_infer", "other_infer"}:
        return network_fact(row, precision, int(float(row["batch"] or UNPUBLISHED_BATCH)))
    if devices > 1 and row["pp"] not in {"", "1"}:
        raise Refused("layer split: the devices run one after another")
    if row["model"] not in Models:
        raise Refused(f"model not in the registry: {row['model']}")
    read, written = int(row["input_len"] or 0), int(row["output_len"] or 0)
    value, metric = float(row["value"]), row["metric"]
    batch = int(float(row["batch"] or 0))
    if regime == "prefill":
        s = scenario(row["model"], row["hardware"], "forward", precision, devices, max(batch, 1), seq_len=read)
        step = value / 1e3 if metric == "ttft_ms" else read / value
    elif regime == "decode_b1" or (regime == "serving_throughput" and batch and written >= 4 * read):
        s = scenario(
            row["model"],
            row["hardware"],
            "decode",
            precision,
            devices,
            max(batch, 1),
            context=max(1, read + written // 2),
        )
        rate = 1e3 / value if metric == "itl_ms" else value * (devices if metric.endswith("per_device") else 1)
        step = s.batch_size / rate
    else:
        raise Refused("serving: prefill and decode mixed, or batch not published")
    roof = s.roofline(s.work())
    return checked(row, s, roof, roof.compute_s / step, "model FLOPs, causal", row["engine"])


def encoder_fact(row: Row, precision: str, devices: int) -> Fact:
    """Return a row of a text encoder: sequences of a stated length per second."""
    batch = int(float(row["batch"]))
    s = scenario(row["model"], row["hardware"], "forward", precision, devices, batch, seq_len=int(row["input_len"]))
    roof = s.roofline(s.work())
    eta = roof.compute_s * float(row["value"]) / batch
    return checked(row, s, roof, eta, "model FLOPs, full attention", row["engine"])


def network_fact(row: Row, precision: str, batch: int) -> Fact:
    """Return a row of a feed-forward network: samples per second, or milliseconds a sample or batch."""
    name = re.sub(r"^(mlperf-tiny|tflm)-", "", row["model"])
    tiny = {
        "ic-resnet8": "resnet-8",
        "kws-dscnn": "ds-cnn",
        "vww-mobilenetv1-0.25": "mobilenet-v1-0.25-96",
        "ad-autoencoder": "fc-autoencoder",
        "person-detection-mobilenetv1-0.25-96": "mobilenet-v1-0.25-96",
    }
    if re.match("3d-unet|dlrm", name):
        raise Refused("a sample is many items: a volume of windows, some hundred user-item pairs")
    devices = int(row["num_devices"] or 1)
    steps = SDXL_PASSES if name.startswith("sdxl") else None
    s = scenario(network(tiny.get(name, name)), row["hardware"], "forward", precision, devices, batch, steps=steps)
    roof = s.roofline(s.work())
    value = float(row["value"])
    step = batch / value if row["metric"] == "samples_per_s" else value / 1e3
    convention = "2 x MACs" if row["batch"] else "2 x MACs; batch not published, taken as large"
    return checked(row, s, roof, roof.compute_s / step, convention, row["engine"])


def checked(row: Row, s: Scenario, roof: Roofline, efficiency: float, convention: str, engine: str) -> Fact:
    """Return the fact, or refuse an eta that physics excludes: its denominator is not the one that was used."""
    if efficiency > roof.ceiling:
        raise Refused(
            f"eta above the ceiling in {regime_of(s, roof)} (a higher peak was used, or FLOPs are counted otherwise)"
        )
    if not s.memory().fits and s.phase != "training":
        raise Refused("does not fit in memory as published")
    return Fact(row, s, roof, efficiency, convention, engine)


def scenario(
    model: object, hardware: str, phase: str, precision: str, devices: int, batch: int, **lengths: int | None
) -> Scenario:
    """Return the scenario of a row; boards are looked up by their chip, power-limited parts by their model."""
    name = hardware.replace("_", "-").lower()
    name = re.sub(r"-(330w|76c|60c|32c|40c|24c)$", "", name).replace("v100-sxm2", "v100-sxm")
    for start, chip in (
        ("nucleo-l4r5", "stm32l4r5"),
        ("nucleo-h7a3", "stm32h7a3"),
        ("nucleo-u575", "stm32u575"),
        ("b-u585", "stm32u575"),
        ("disco-f746", "stm32f746"),
        ("nrf5340", "nrf5340"),
    ):
        if name.startswith(start):
            name = chip
    if name not in Hardware:
        raise Refused("hardware not in the registry")
    used: dict[str, Any] = {k: v for k, v in lengths.items() if v is not None}
    if precision not in Hardware[name].peaks and precision == "bf16" and "fp16" in Hardware[name].peaks:
        raise Refused("no bf16 peak")
    return Scenario.of(model, name, phase=phase, precision=precision, devices=devices, batch_size=batch, **used)


def spec_of(row: Row) -> TransformerSpec:
    """Return the architecture a training row states, head size hidden / heads unless the registry knows better."""
    for name in (row["family"], row["model"]):
        if name in Models and isinstance(known := Models[name], TransformerSpec) and known.layers == int(row["layers"]):
            return known
    if not all(row[k] for k in ("hidden", "heads", "kv_heads", "ffn", "vocab")):
        raise Refused("architecture incomplete")
    sizes = {k: int(float(row[k])) for k in ("layers", "hidden", "heads", "kv_heads", "ffn", "vocab")}
    gated = not re.match(r"gpt|mpt|mlm|opt|bloom|megatron", row["family"])
    return decoder(
        name=row["model"],
        head_dim=sizes["hidden"] // sizes["heads"],
        gated=gated,
        layers=sizes["layers"],
        hidden=sizes["hidden"],
        heads=sizes["heads"],
        kv_heads=sizes["kv_heads"],
        ffn=sizes["ffn"],
        vocab=sizes["vocab"],
    )


def network(name: str) -> ModelSpec:
    """Return a feed-forward network of the registry."""
    found = re.sub(r" v1\.5$", "", name).lower().replace(" ", "-")
    if found not in Models or isinstance(Models[found], TransformerSpec):
        raise Refused(f"network not in the registry: {name}" if len(name) < 20 else "network not in the registry")
    return Models[found]


def quantity(weights: str, compute: str = "", cache: str = "") -> str:
    """Return the precision of a row by the roles it states."""
    name = {"fp16-amp": "fp16", "mixed": "bf16", "fp4": "nvfp4", "awq-int4": "int4"}.get(weights, weights)
    if compute in {"fp16", "bf16"} and name in {"int4", "int8"}:
        name = f"w{name[3:]}a16"  # weights alone are narrow
    if cache == "fp8" and name == "nvfp4":
        name += "kv8"
    try:
        return parse_precision(name)
    except UsageError:
        raise Refused("a precision that is mixed or not stated") from None


def group(row: Row) -> str:
    """Return the source of a row: its publication; one submitter of a benchmark round is one source."""
    prefix = re.split(r"-", row["id"])[0]
    submitter = re.search(r"submitter=([^;= ]+)", row["notes"])
    prefix = re.sub(r"^(trtllm|mlperf|mlptiny|nemo).*", r"\1", re.sub(r"^trt(h200|falcon)blog", "trtllm", prefix))
    return f"{prefix}-{submitter[1].strip().lower()}" if submitter else prefix


def rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
