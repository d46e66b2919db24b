"""Rows of networks that are fed forward on accelerators: vision, text encoders, speech, recommendation, diffusion.

The columns are those of inference.csv and training.csv. A sample of MLPerf may be many items of a network, and a
latency of its single stream is that of the ninetieth percentile (its inference rules, SingleStream).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

from mlsysim.errors import UsageError
from mlsysim.evidence.fields import Row, count, number
from mlsysim.evidence.measurement import Measurement, Refused
from mlsysim.evidence.names import device_named, device_of, precision_of, refuse_marked
from mlsysim.evidence.sources import measurement_of
from mlsysim.hardware import HardwareSpec
from mlsysim.models import Models, NetworkSpec, TransformerSpec
from mlsysim.models.network import Layer
from mlsysim.registry import read_table
from mlsysim.scenario import Scenario
from mlsysim.setup import Setup


class _Sample(NamedTuple):
    """What a sample of a benchmark is: the network, its items (mean, 90th percentile), samples of a large batch."""

    network: str
    mean: int = 1
    slow: int = 1
    batch: int = 256
    regime: str = "vision"
    steps: int = 0


_SAMPLES = {
    # sliding windows of 128^3 at half overlap over KiTS19 volumes of about 250 x 330 x 330 voxels: estimated
    "3d-unet-kits19": _Sample("3d-unet-kits19", 64, 100, 1),
    # user-item pairs: 100 to 700 a sample, 270 in the mean (MLPerf inference rules, recalled)
    "dlrm": _Sample("dlrm", 270, 270, 256, "recommendation"),
    "dlrm-v2": _Sample("dlrm-dcnv2", 270, 270, 256, "recommendation"),
    "rnnt": _Sample("rnnt", 1, 2, 256, "speech"),
    "sdxl": _Sample("sdxl-unet", batch=8, steps=40),  # 20 steps, each with and without the text (MLPerf rules)
    "retinanet-resnext50-800": _Sample("retinanet-resnext50-800", batch=16),
    # tokens of a question of SQuAD 1.1, which is not padded to 384 (recalled)
    "bert-large-squad384": _Sample("bert-large", 178, 250, 256, "encoder"),
    "bert-base": _Sample("bert-base", regime="encoder"),
    "bert-large": _Sample("bert-large", regime="encoder"),
}
_TRAINED = {
    "resnet50": "resnet-50",
    "mlperf-resnet": "resnet-50",
    "mlperf-unet3d": "3d-unet-kits19",
    "mlperf-stable_diffusion": "sd-1.5-unet",  # 512x512, as here; 2.1 differs in the width of the text and in heads
    "mlperf-flux1": "flux-1-256",
    "wan2.1-14b": "wan-2.1-14b",
}
_TUNED = {"vit-base": "vit-base", "clip-base": "clip-base"}
_DEVICES = {"nvidia-t4": "t4", "nvidia-h100": "h100-pcie"}
"""Devices under the names that submitters gave: a T4, and an H100 PCIe whose virtual half has all of its cores."""
_ENGINES = {
    "tensorflow2": "tensorflow-xla",  # BERT of DeepLearningExamples: its README says that XLA is enabled by default
    "tensorflow+xla": "tensorflow-xla",
    "tensorflow1+xla": "tensorflow-xla",
    "pytorch+dali+amp": "pytorch",
    "neuron": "neuron",
}
_TENSORRT = re.compile(r"connecttech|jetpack|ngc|triton|\d+\.\d+$")
"""What MLPerf results of TensorRT call their software, where it is not its name: an image, or the month of one."""


def network_measurement(row: Row) -> Measurement:
    """Return a row of inference.csv.

    Raises
    ------
    Refused
        The row cannot be used; the message says why.
    """
    refuse_marked(row)
    name = row["model"].strip().lower()
    sample = _SAMPLES.get(name) or _Sample(name)
    timed = row["metric"] == "latency_ms"
    if not timed and row["metric"] != "samples_per_s":
        raise Refused(f"a metric that is not known: {row['metric']}")
    device, value = _device(row), number(row, "value")
    published = count(row, "batch")
    single = timed and published == 1
    devices = 1 if single else count(row, "num_devices", 1) or 1
    samples = published or sample.batch * devices
    precision, repair = _precision(row, device, name)
    lengths: dict[str, int] = {"steps": sample.steps} if sample.steps else {}
    items = sample.slow if single else sample.mean
    if sample.regime == "encoder":
        lengths["seq_len"] = count(row, "input_len") or items
        items = 1
    s = _scenario(_model(sample.network), device, "forward", precision, devices, samples * items, lengths)
    regime = sample.regime
    if regime == "vision":
        regime = "vision-npu" if s.hardware.kind == "npu" else "vision-1" if published == 1 else "vision-batch"
    if not published:
        repair = "; ".join(filter(None, (repair, f"no batch: {sample.batch} samples a device are taken")))
    seconds = value / 1e3 if timed else samples / value
    return _measurement(row, name, s, _engine(row["engine"]), regime, seconds, value, not timed, repair)


def network_training_measurement(row: Row) -> Measurement:
    """Return a row of training.csv.

    Raises
    ------
    Refused
        The row cannot be used; the message says why.
    """
    refuse_marked(row)
    family = row["family"].strip().lower()
    if re.search("ssd|retinanet", family):
        raise Refused("MLPerf RetinaNet training differs 8 times a device between rounds")
    model = _model(_trained(row, family))
    device, value = _device(row), number(row, "value")
    devices = count(row, "num_devices", 1) or 1
    precision = precision_of(row["precision"] or "bf16")
    batch, repair = count(row, "global_batch") or devices * count(row, "micro_batch"), ""
    if not batch:
        each = 128 if precision == "fp32" else 256
        batch, repair = devices * each, f"no batch: {each} samples a device are taken, the default of the script"
    s = _scenario(model, device, "training", precision, devices, batch, {})
    metric = row["metric"]
    if metric == "samples_per_s_per_device":
        seconds = batch / (value * devices)
    elif metric == "tflops_per_device":
        seconds = float(s.work().flops) / (value * 1e12 * devices)
    elif metric == "step_time_s":
        seconds = value
    else:
        raise Refused(f"a metric that is not known: {metric}")
    name = (row["model"] if family.startswith("mlperf") else row["family"]).strip().lower()
    engine = _engine(row["framework"])
    return _measurement(row, name, s, engine, "training-vision", seconds, value, metric != "step_time_s", repair)


def _measurement(
    row: Row, model: str, s: Scenario, engine: str, regime: str, seconds: float, value: float, rate: bool, repair: str
) -> Measurement:
    return measurement_of(
        row,
        s,
        Setup(engine, (row.get("engine_version") or "").strip()),
        regime=regime,
        model=model,
        hardware=_hardware(row),
        seconds=seconds,
        value=value,
        rate=rate,
        repair=repair,
    )


def _trained(row: Row, family: str) -> str:
    """Return the network of a training row."""
    if family in _TRAINED:
        return _TRAINED[family]
    for word, name in _TUNED.items():
        if word in row["model"].lower():
            return name
    raise Refused(f"model not in the registry: {row['model']}")


def _hardware(row: Row) -> str:
    name = device_named(row["hardware"])
    return _DEVICES.get(name, name)


def _device(row: Row) -> HardwareSpec:
    return device_of(_hardware(row))


def _precision(row: Row, device: HardwareSpec, model: str) -> tuple[str, str]:
    """Return the precision of an inference row, and what was corrected.

    NVIDIA's BERT declares the fp16 of its checkpoint and runs in fp8 where the device has it: 0.9 of the fp16 peak is
    more than any engine reaches.
    """
    precision = precision_of("fp8" if row["quant"] == "float8" else row["quant"])
    if model == "bert-large-squad384" and precision == "fp16" and device.supports("fp8"):
        return "fp8", "declared fp16 is the checkpoint's: the engine runs in fp8"
    return precision, ""


def _engine(text: str) -> str:
    """Return the class of an engine or a framework, in lower case."""
    name = text.strip().lower()
    name = name.split()[0] if name else ""
    if _TENSORRT.match(name):
        return "tensorrt"
    return _ENGINES.get(name, name)


@cache
def _model(name: str) -> NetworkSpec | TransformerSpec:
    """Return a network of the registry, or one made of its published totals.

    Raises
    ------
    Refused
        Neither knows it.
    """
    found = re.sub(r" v1\.5$", "", name).replace(" ", "-")
    stated = samples().get(found)
    if stated is not None:
        return stated
    if found not in Models:
        raise Refused(f"model not in the registry: {name}")
    return Models[found]


@cache
def samples() -> dict[str, NetworkSpec]:
    """Return the networks of which totals alone are stated, a row for operators that are alike.

    A recurrent one reads its parameters at each of its ``steps``.
    """
    found: dict[str, list[Row]] = {}
    for r in read_table("mlsysim.evidence", "samples.tsv"):
        found.setdefault(r["name"], []).append(r)
    return {
        name: NetworkSpec(name, tuple(map(_alike, rows)), rows[0]["sample"], int(rows[0]["steps"]))
        for name, rows in found.items()
    }


def _alike(r: Row) -> Layer:
    """Return the operators of a row; figures of the table are those of all of them, in all steps."""
    steps = int(r["steps"])
    n = int(r["operators"]) // steps
    macs, parameters = float(r["gmacs"]) * 1e9 / n / steps, float(r["params_m"]) * 1e6 / n
    read, written = (float(r[f"{k}_elements_m"]) * 1e6 / n / steps for k in ("input", "output"))
    return Layer("body", r["kind"], round(macs), round(parameters), round(read), round(written), n)


def _scenario(
    model: object, device: HardwareSpec, phase: str, precision: str, devices: int, batch: int, lengths: dict[str, Any]
) -> Scenario:
    if not device.supports(precision):
        raise Refused(f"{device.name} has no peak for {precision}")
    try:
        return Scenario.of(
            model, device, phase=phase, precision=precision, devices=devices, batch_size=batch, **lengths
        )
    except UsageError as problem:
        raise Refused(str(problem)) from None
