"""Rows of training.csv that train sequence models, as measurements of one optimizer step on all devices."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from mlsysim.errors import UsageError
from mlsysim.evidence.fields import Row, count, number, optional
from mlsysim.evidence.measurement import Measurement, Refused
from mlsysim.evidence.names import device_named, device_of, precision_of, refuse_marked
from mlsysim.evidence.sources import measurement_of
from mlsysim.evidence.training_models import encoder_of, is_mixture, model_of
from mlsysim.hardware import HardwareSpec
from mlsysim.models import TransformerSpec
from mlsysim.scenario import Scenario
from mlsysim.setup import Setup

_NETWORK = re.compile("resnet|ssd|retinanet|stable|unet|wan|dlrm|gnn|rgat|flux|maskrcnn|huggingface|diffusion|clip|vit")
_RANK = 16
"""Rank of adapters where none is stated: that of MLPerf's Llama 2 70B (training policies 4.0)."""
_STEP_TOKENS = 2**22
"""Tokens of an optimizer step where no batch is published: 4 M, that of GPT-3 and Llama (2^16 x 128 for BERT)."""
_LONGEST = 8192
"""Tokens of a sequence where none is published and the model takes more."""
_ADAPTED = ("lora", "qlora", "adapter")
_ENGINES = (
    (r"llm-foundry|lit-?gpt|metaseq", "fsdp"),
    (r"megatron-bridge|nemo", "nemo"),
    (r"megatron-deepspeed|deepspeed", "deepspeed"),
    (r"megatron", "megatron"),
    (r"maxtext", "maxtext"),
    (r"pax|pathways|jax", "jax"),
    (r"colossal", "colossalai"),
    (r"neuron", "neuron"),
    (r"production", "production"),
    (r"llm\.c", "llm.c"),
    (r"tensorflow", "tensorflow"),
    (r"pytorch|nanogpt|axolotl|openai", "pytorch"),
)
_CAUSAL = ("mbridge",)
"""Sources that count causal attention in model FLOPs; all others count all pairs (tokens/s and TFLOP/s of one row)."""


def training_measurement(row: Row) -> Measurement:
    """Return a row of training of a language model, its adapters, or a text encoder.

    Raises
    ------
    Refused
        The row cannot be used; the message says why.
    """
    refuse_marked(row)
    run = _run(row)
    question, repair = _question(row, run)
    seconds = _seconds(row, question)
    step = question.roofline(question.work())
    if seconds < step.compute_s:
        raise Refused("faster than the peak: FLOPs are counted otherwise, or a higher peak was used")
    return measurement_of(
        row,
        question,
        run.setup,
        regime=run.regime,
        model=(row["family"] if not row["family"].startswith("mlperf") else row["model"]).lower(),
        hardware=device_named(row["hardware"]),
        seconds=seconds,
        value=number(row, "value"),
        rate=row["metric"] != "step_time_s",
        repair="; ".join([*run.repair, *repair]),
    )


class _Run(NamedTuple):
    regime: str
    model: TransformerSpec
    hardware: HardwareSpec
    devices: int
    setup: Setup
    repair: tuple[str, ...]


def _run(row: Row) -> _Run:
    family = row["family"].lower()
    if _NETWORK.search(family) or row["id"].startswith("lambda"):
        raise Refused("a network: see networks")
    if re.match("m?t5", family):
        raise Refused("an encoder and a decoder: which tokens its rate counts is not published")
    if family == "mlperf-bert":
        raise Refused("MLPerf BERT trains without padding: the tokens of a sample are not published")
    if row["id"].startswith("dle-bert") and row["framework"] == "PyTorch" and row["seq_len"] == "512":
        raise Refused("a table whose fp32 rows exceed the peak: its sequences are not full")
    encoder = "bert" in family
    model = encoder_of(row) if encoder else model_of(row)
    hardware, devices, repair = device_of(row["hardware"]), count(row, "num_devices"), []
    if not devices:
        devices = _enough(model, hardware)
        repair.append(f"devices not published: taken as {devices}")
    kind = "encoder" if encoder else "lora" if row["task"] in _ADAPTED else "moe" if is_mixture(model) else "dense"
    return _Run(f"training-{kind}", model, hardware, devices, setup_of(row, devices), tuple(repair))


def _enough(model: TransformerSpec, hardware: HardwareSpec) -> int:
    """Return a power of two of devices, 8 at least, with twice the 16 bytes a parameter of mixed precision."""
    memory = hardware.memory.value if hardware.memory else 1e11
    devices = 8
    while devices * memory < 32.0 * model.parameters:
        devices *= 2
    return devices


def setup_of(row: Row, devices: int) -> Setup:
    """Return engine and plan of a row; a plan whose product is not the number of devices leaves data parallelism."""
    tp, pp, cp = (count(row, k) for k in ("tp", "pp", "cp"))
    if tp and "NeuronCores" in row["notes"]:
        tp = max(1, tp // 2)  # degrees count cores, of which a chip has two
    container = re.search(r"container (?:NeMo)?([\d.]+)", row["notes"])
    stages = re.search(r"VP=(\d+)", row["notes"])
    steps = re.search(r"\bGA=(\d+)", row["notes"])
    batch, micro, dp = count(row, "global_batch"), int(optional(row, "micro_batch") or 0), count(row, "dp")
    if tp and pp:
        dp = max(1, devices // (tp * pp * (cp or 1)))
    elif not dp and steps and batch and row["id"].startswith("mlperf") and int(steps[1]) > 1:
        dp = max(1, batch // (int(steps[1]) * (micro or 1)))
    return Setup(
        engine_of(row["framework"]),
        container[1] if container else "",
        tp=tp,
        pp=pp,
        dp=dp,
        cp=cp,
        ep=count(row, "ep"),
        vpp=int(stages[1]) if stages else 0,
        zero=count(row, "zero"),
        micro_batch=micro,
    )


def engine_of(framework: str) -> str:
    """Return the class of a training framework."""
    name = framework.lower()
    if name.startswith("mlperf"):
        submitter = re.search("google|habana", name)
        return {"google": "maxtext", "habana": "gaudi"}[submitter[0]] if submitter else "mlperf"
    if "gaudi" in name:
        return "gaudi"
    return next((engine for pattern, engine in _ENGINES if re.search(pattern, name)), name.split()[0] if name else "")


def _precision(row: Row, hardware: HardwareSpec) -> tuple[str, list[str]]:
    text = row["precision"]
    if not text:
        narrow = "fp8" in hardware.peaks and re.search("fp8|mlperf", row["notes"] + row["id"])
        found = "fp8" if narrow else hardware.default_precision
        return found, [f"precision not published: taken as {found}"]
    if text.startswith("int8"):
        return "int8", []
    if text == "fp8-alt-granularity":
        return ("mxfp8" if hardware.generation == "blackwell" else "fp8"), []
    found = precision_of(text)
    if not hardware.supports(found) and found == "bf16" and hardware.supports("fp16"):
        found = "fp16"
    return found, []


def _question(row: Row, run: _Run) -> tuple[Scenario, list[str]]:
    precision, repair = _precision(row, run.hardware)
    length = count(row, "seq_len")
    if not length:
        length = min(run.model.max_context or 2048, 4096 if run.regime == "training-moe" else _LONGEST)
        length = 512 if run.regime == "training-encoder" else length
        repair.append(f"length not published: taken as {length}")
    batch = count(row, "global_batch")
    if not batch:
        replicas = run.setup.dp or run.devices // max(1, run.setup.tp * run.setup.pp)
        once = max(1, replicas * max(1, run.setup.micro_batch))
        steps = round(_STEP_TOKENS / (once * length)) if row["task"] == "pretrain" else 1
        batch = once * max(1, steps)
        repair.append(f"batch not published: taken as {batch}")
    more: dict[str, Any] = {"recompute": row["recompute"] or None}
    if row["task"] in _ADAPTED:
        more["lora_rank"] = _RANK
    if run.model.mtp and "w/o MTP" not in row["model"] and row["id"].startswith("mbridge"):
        more["draft"] = "mtp"
    try:
        question = Scenario.of(
            run.model,
            run.hardware,
            phase="training",
            precision=precision,
            devices=run.devices,
            batch_size=batch,
            seq_len=length,
            **more,
        )
    except UsageError as error:
        raise Refused(f"not a question: {str(error).splitlines()[0]}") from None
    return question, repair


def _seconds(row: Row, question: Scenario) -> float:
    """Return the time of one optimizer step on all devices [s]."""
    value, metric = number(row, "value"), row["metric"]
    batch, length, devices = question.batch_size, question.seq_len or 1, question.devices
    if metric == "step_time_s":
        if not row["global_batch"]:
            raise Refused("step time without batch")
        return value
    if metric == "tokens_per_s_per_device":
        return batch * length / (value * devices)
    if metric == "samples_per_s_per_device":
        return batch / (value * devices)
    rate = value * 1e12 if metric == "tflops_per_device" else value * question.hardware.peak(question.precision).value
    return counted_flops(row, question) / (rate * devices)


def counted_flops(row: Row, question: Scenario) -> float:
    """Return the FLOPs of a step under the convention of the source [FLOP].

    ``hfu`` counts the forward pass of every block again (Narayanan et al., arXiv:2104.04473, section 3: the head is
    not computed again); OPT and Colossal-AI print rates of that kind.
    """
    causal = row["id"].startswith(_CAUSAL)
    work = question.work(full_attention=not causal)
    flops = float(work.flops)
    if row["flops_convention"] == "hfu" or re.match("opt|colossalai", row["id"]):
        head = sum(float(op.flops) for op in work.operators if op.name in {"lm_head", "head"})
        flops = (flops - head) * 4.0 / 3.0 + head
    return flops
