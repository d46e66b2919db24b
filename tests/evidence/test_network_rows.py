"""Rows of feed-forward networks on accelerators, and the equation of their time."""

from __future__ import annotations

import numpy as np
import pytest

from mlsysim.efficiency.equations import networks
from mlsysim.efficiency.equations.network_sums import sums
from mlsysim.efficiency.structure import structure, value_of
from mlsysim.evidence.measurement import Refused
from mlsysim.evidence.network_rows import network_measurement, network_training_measurement, samples
from mlsysim.models import Models, NetworkSpec
from mlsysim.models.network import Layer
from mlsysim.scenario import Scenario
from mlsysim.setup import Setup

INFERENCE = {
    "id": "mlperf41-0001",
    "source_url": "https://example.org/log",
    "source_locator": "line 1",
    "published": "2024-08-28",
    "model": "resnet-50",
    "quant": "int8",
    "compute_precision": "int8",
    "kv_precision": "",
    "engine": "tensorrt",
    "engine_version": "TensorRT 10.2.0",
    "hardware": "h100-sxm",
    "num_devices": "8",
    "regime": "vision_infer",
    "batch": "",
    "input_len": "",
    "output_len": "",
    "metric": "samples_per_s",
    "value": "700000",
    "notes": "MLPerf Inference v4.1 closed available Offline resnet50 submitter=Acme system=X",
}
TRAINING = {
    "id": "mlperf-002",
    "source_url": "https://example.org/log",
    "source_locator": "line 1",
    "published": "2024-06",
    "model": "ResNet-50",
    "family": "mlperf-resnet",
    "global_batch": "3200",
    "micro_batch": "",
    "hardware": "h100-sxm",
    "num_devices": "8",
    "precision": "fp16",
    "framework": "MLPerf v4.0 Acme",
    "metric": "samples_per_s_per_device",
    "value": "7000",
    "notes": "precision inferred (mixed)",
}


def read(**changes: str):
    return network_measurement({**INFERENCE, **changes})


def trained(**changes: str):
    return network_training_measurement({**TRAINING, **changes})


def test_a_large_batch_is_taken_where_none_is_published() -> None:
    m = read()
    assert (m.question.batch_size, m.question.devices, m.question.precision) == (2048, 8, "int8")
    assert m.seconds == pytest.approx(2048 / 700_000)
    assert (m.source, m.model, m.hardware, m.engine) == ("mlperf41-acme", "resnet-50", "h100-sxm", "tensorrt")
    assert (m.regime, m.value, m.rate, m.setup.engine) == ("vision-batch", 700_000, True, "tensorrt")
    assert "256 samples a device" in m.repair


def test_a_single_stream_runs_on_one_of_the_devices() -> None:
    m = read(batch="1", num_devices="2", metric="latency_ms", value="0.5")
    assert (m.regime, m.question.batch_size, m.question.devices) == ("vision-1", 1, 1)
    assert (m.seconds, m.rate, m.repair) == (0.0005, False, "")


@pytest.mark.parametrize(
    ("model", "value", "batch", "seconds", "regime"),
    [
        ("3d-unet-kits19", "50", 512, 8 / 50, "vision-batch"),  # a volume a device, 64 windows each
        ("dlrm-v2", "400000", 552_960, 2048 / 400_000, "recommendation"),  # 8 x 256 samples of 270 pairs
        ("sdxl", "16", 64, 4.0, "vision-batch"),
        ("rnnt", "100000", 2048, 2048 / 100_000, "speech"),
        ("retinanet-resnext50-800", "14000", 128, 128 / 14_000, "vision-batch"),
    ],
)
def test_a_sample_may_be_many_items(model: str, value: str, batch: int, seconds: float, regime: str) -> None:
    m = read(model=model, value=value, quant="fp8" if model == "sdxl" else "int8")
    assert (m.question.batch_size, m.regime) == (batch, regime)
    assert m.seconds == pytest.approx(seconds)


def test_an_image_of_sdxl_is_forty_passes() -> None:
    m = read(model="sdxl", value="16", quant="fp8")
    assert m.question.model.macs == 40 * Models["sdxl-unet"].macs


def test_questions_of_mlperf_bert_are_not_padded_and_fp16_of_it_runs_in_fp8() -> None:
    m = read(model="bert-large-squad384", quant="fp16", value="60000")
    assert (m.regime, m.question.seq_len, m.question.precision) == ("encoder", 178, "fp8")
    assert "checkpoint" in m.repair
    older = read(model="bert-large-squad384", quant="fp16", value="13000", hardware="a100-sxm-80gb")
    assert older.question.precision == "fp16"


def test_an_encoder_of_a_stated_length() -> None:
    m = read(id="nvdle-1", model="bert-large", quant="fp16-amp", batch="4", input_len="128", value="400", notes="")
    assert (m.source, m.regime, m.question.seq_len, m.question.precision) == ("nvdle", "encoder", 128, "fp16")
    assert m.seconds == pytest.approx(0.01 * 1)


@pytest.mark.parametrize(
    ("text", "engine"),
    [
        ("22.08", "tensorrt"),
        ("connecttech", "tensorrt"),
        ("tensorflow+xla", "tensorflow-xla"),
        ("tensorflow2", "tensorflow-xla"),
        ("PyTorch+DALI+AMP", "pytorch"),
        ("PyTorch (DeepLearningExamples fork)", "pytorch"),
    ],
)
def test_engines_are_told_by_their_class(text: str, engine: str) -> None:
    assert read(engine=text).engine == engine


def test_a_device_under_the_name_of_its_vendor() -> None:
    assert read(hardware="nvidia-t4", num_devices="1").hardware == "t4"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"notes": "SUSPECT: ten times below its siblings"}, "marked as suspect at the source"),
        ({"hardware": "abacus"}, "hardware not in the registry: abacus"),
        ({"model": "alexnet-2"}, "model not in the registry: alexnet-2"),
        ({"quant": "fp8", "hardware": "v100-sxm-16gb"}, "v100-sxm-16gb has no peak for fp8"),
        ({"quant": "int8,fp4"}, "a precision that is mixed or not stated"),
        ({"metric": "fps"}, "a metric that is not known: fps"),
        ({"value": ""}, "no value"),
    ],
)
def test_what_is_refused(changes: dict[str, str], reason: str) -> None:
    with pytest.raises(Refused) as refused:
        read(**changes)
    assert str(refused.value) == reason


def test_a_step_of_training() -> None:
    m = trained()
    assert m.seconds == pytest.approx(3200 / (7000 * 8))
    assert (m.regime, m.model, m.engine, m.source) == ("training-vision", "resnet-50", "mlperf", "mlperf")
    assert (m.question.phase, m.question.batch_size, m.question.devices) == ("training", 3200, 8)


def test_a_training_row_without_batch_takes_the_default_of_the_script() -> None:
    changes = {"family": "resnet50", "global_batch": "", "num_devices": "1", "value": "367"}
    m = trained(**changes, precision="fp32", hardware="v100-sxm-16gb")
    assert (m.question.batch_size, m.model) == (128, "resnet50")
    assert "128 samples a device" in m.repair
    assert trained(**changes).question.batch_size == 256


def test_a_rate_of_flops_is_that_of_the_stated_network() -> None:
    row = {"family": "wan2.1-14b", "model": "Wan2.1-14B", "metric": "tflops_per_device", "precision": "bf16"}
    m = trained(**row, value="900", global_batch="64", num_devices="32", hardware="gb200")
    assert m.seconds == pytest.approx(6 * 1098e12 * 64 / (900e12 * 32), rel=1e-3)  # 6 FLOPs a multiply-accumulate


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"family": "mlperf-ssd"}, "MLPerf RetinaNet training differs 8 times a device between rounds"),
        ({"family": "mlperf-retinanet"}, "MLPerf RetinaNet training differs 8 times a device between rounds"),
        ({"family": "wan", "model": "Wan"}, "model not in the registry: Wan"),
        ({"metric": "mfu"}, "a metric that is not known: mfu"),
    ],
)
def test_what_is_refused_of_training(changes: dict[str, str], reason: str) -> None:
    with pytest.raises(Refused) as refused:
        trained(**changes)
    assert str(refused.value) == reason


def test_stated_samples_add_up() -> None:
    found = samples()
    assert found["retinanet-resnext50-800"].macs / 1e9 == pytest.approx(201.9, rel=1e-3)
    assert found["rnnt"].macs / 1e9 == pytest.approx(7.2, rel=1e-3)
    assert found["rnnt"].parameters / 1e6 == pytest.approx(45.3, rel=1e-3)


def tiny() -> NetworkSpec:
    """Return two products of 1000 x 1000, 2 MFLOPs each for a sample."""
    return NetworkSpec("tiny", (Layer("fc", "linear", 1_000_000, 1_000_000, 1000, 1000, 2),))


def test_ideal_times_by_hand() -> None:
    s = Scenario.of(tiny(), "a100-sxm-80gb", phase="forward", precision="fp16", batch_size=8, devices=2)
    x = networks.case(s, Setup("tensorrt")).x
    compute = 2 * 2e6 * 4 / 312e12
    assert x["matmul_heavy_s"] + x["matmul_light_s"] == pytest.approx(compute)
    wide = 4 * 2000 * 2  # bytes of an operator's input and output for 4 samples
    moved = 2 * wide / 2039e9 * wide / (wide + 40e6)
    assert x["heavy_bytes_s"] + x["light_bytes_s"] == pytest.approx(moved)
    assert x["weights_s"] == pytest.approx(2e6 * 2 / 2039e9)
    assert x["kernels_s"] == pytest.approx(2 / 1.41e9)
    assert (x["dispatched"], x["inputs"], x["doublings"], x["link_s"]) == (0.0, 4000.0, 1.0, 0.0)


def test_training_takes_three_passes_and_an_update() -> None:
    s = Scenario.of(tiny(), "a100-sxm-80gb", phase="training", precision="fp16", batch_size=8, devices=2)
    x = networks.case(s, Setup("pytorch")).x
    assert x["matmul_heavy_s"] + x["matmul_light_s"] == pytest.approx(3 * 2 * 2e6 * 4 / 312e12)
    assert x["weights_s"] == pytest.approx(2e6 * (3 * 2 + 20) / 2039e9)
    assert x["link_s"] == pytest.approx(2 * 2e6 * 2 * 0.5 / 300e9)
    assert x["dispatched"] == 6.0


def test_the_equation_by_hand() -> None:
    x = dict.fromkeys(networks.case(Scenario.of(tiny(), "t4", precision="fp16"), Setup()).x, 0.0)
    p = {**dict.fromkeys(networks.NAMES, 1.0), "network.energy": 0.0, "network.overlap": 2.0, "network.hiding": 2.0}
    p |= {"network.scaling": 0.1, "network.step": 0.5}
    x |= {"conv_heavy_s": 3.0, "heavy_bytes_s": 4.0, "mixing_s": 7.0, "dispatched": 5.0, "doublings": 3.0}
    # (root(3^2 + 4^2) + 7) = 12 on the device beside 5 on the host: 13; the step 0.5; 3 doublings of devices
    assert networks.seconds(x, p) == pytest.approx((13 + 0.5) * 1.3)
    assert networks.seconds({**x, "power": 1.0}, {**p, "network.energy": 1.0}) > networks.seconds(x, p)


def test_floats_and_arrays_agree() -> None:
    cases = [networks.case(trained().question, Setup("mxnet")).x, networks.case(read().question, Setup("tensorrt")).x]
    p = {name: q.prior for name, q in structure().items() if name in networks.NAMES}
    together = networks.seconds({k: np.array([c[k] for c in cases]) for k in cases[0]}, p)
    assert together.tolist() == pytest.approx([networks.seconds(c, p) for c in cases])


@pytest.mark.parametrize("phase", ["forward", "training"])
@pytest.mark.parametrize("engine", ["tensorrt", "pytorch", ""])
@pytest.mark.parametrize("model", ["resnet-50", "mobilenet-v2", "sd-1.5-unet", "dlrm-dcnv2"])
def test_a_larger_batch_takes_no_less_time(model: str, engine: str, phase: str) -> None:
    found = []
    for batch in (1, 2, 4, 16, 64, 256):
        s = Scenario.of(model, "a100-sxm-80gb", phase=phase, precision="fp16", batch_size=batch)
        c = networks.case(s, Setup(engine))
        found.append(networks.seconds(c.x, {n: value_of(structure()[n], {}, c.levels) for n in networks.NAMES}))
    assert found == sorted(found)


def test_sums_are_made_once_and_by_the_count_of_steps() -> None:
    model = Models["resnet-50"]
    assert sums(model, 1) is sums(model, 1)
    assert sums(model, 1).conv[-1] + sums(model, 1).matmul[-1] == pytest.approx(2.0 * model.macs)
    once, forty = (Scenario.of("sdxl-unet", "h100-sxm", phase="forward", steps=n).model for n in (1, 40))
    assert sums(forty, 1).conv[-1] == pytest.approx(40 * sums(once, 1).conv[-1])
