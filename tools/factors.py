"""Measure how much each factor costs, from the packaged evidence and what is fitted to it.

    python tools/factors.py

writes ``factor_ranges.tsv``. A figure is ``measured`` where published runs differ in the factor alone; a ``bound``
where more differs with it, so that it takes that much at most; ``fitted`` where it follows from parameters that
published runs determine. What is ``cited`` from outside the evidence, or ``recalled``, stays as it stands in the table,
and of a factor that nothing isolates a line says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from factor_runs import (
    alike,
    attainment,
    bubble,
    common,
    determined,
    doublings,
    eta,
    lost,
    parameter,
    runs_of,
    saved,
    scaled,
    share,
    told,
    without,
    zeroed,
)
from mlsysim.efficiency.evidence import parameters
from mlsysim.efficiency.factors import NOT_ISOLATED, Range, causes, ranges

TABLE = Path(__file__).parents[1] / "src/mlsysim/efficiency/data/factor_ranges.tsv"
SIXTEEN = {"fp16", "bf16"}
FOUR = {"q4_k_m", "w4a16"}
EIGHT = {"w8a16", "q8_0"}
IDLE = 0.1
"""Share of its ceiling below which a run of a network does little but start kernels."""
ALONE = {"measured", "fitted"}
"""Kinds of figures that are of the factor alone."""
ELSEWHERE = {"cited", "recalled"}
"""Kinds of figures that are not of the evidence."""
SILENT = {
    "coalescing": "no published run counts sectors a request: the bandwidth that is reached holds this and more",
    "instruction_parallelism": "no published run counts issue slots: the share of peak that is reached holds it too",
    "data_loader": "inputs on the host have a parameter, network.input, which published runs do not determine",
    "garbage_collection": "published rates are means over many steps, and pauses are within them",
    "os_driver": "repeats and stragglers differ by this and by all else that varies",
    "synchronisation": "no published run differs in it alone",
    "unattributed": "what is left below the ceiling holds every cause",
}
"""Why the evidence is silent on a factor."""


def main() -> None:
    """Measure all factors and write the table."""
    lines = ["\t".join(Range._fields), *("\t".join(map(_cell, r)) for r in table())]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def table() -> list[Range]:
    """Return all rows, by factor: what is measured, what the evidence does not tell, what is cited."""
    found = list(measured())
    rows = [*found, *silent(found), *(r for r in ranges() if r.kind in ELSEWHERE)]
    return sorted(rows, key=lambda r: list(causes()).index(r.factor))


def measured() -> Iterator[Range]:
    """Yield all that the evidence tells."""
    yield from launches()
    yield from compiled()
    yield from occupancy()
    yield from bubbles()
    yield from communication()
    yield from attention()
    yield from quantization()
    yield from rates()
    yield from everything()


def silent(found: Iterable[Range]) -> Iterator[Range]:
    """Yield a line for each factor that nothing isolates, with the reason."""
    assert not determined("network.input")  # or the reason given for data_loader no longer holds
    told_of = {r.factor for r in found if r.kind in ALONE}
    for name in causes():
        if name not in told_of:
            yield Range(name, NOT_ISOLATED, None, None, None, "", 0, SILENT[name], "", "none")


def launches() -> Iterator[Range]:
    """Yield what starting a kernel takes."""
    for engines, name in (("tensorrt", "compiled engines"), ("pytorch|tensorflow$", "eager frameworks")):
        runs = [m for m in runs_of("vision-1") if re.match(engines, m.engine) and attainment(m) < IDLE]
        values = [(m.seconds / m.question.model.operators, m.source) for m in runs]
        of = f"small networks, batch 1, {name}: step over operators, kernels included"
        yield told("kernel_launch", "time an operator", values, "s", of, "bound")
    of = "language models, batch 1: fixed time of layers, dispatch included"
    undone = without("overhead.layer")
    yield share("kernel_launch", "share of a decode step", runs_of("decode_b1"), undone, of, "fitted: overhead.layer")


def compiled() -> Iterator[Range]:
    """Yield what the framework takes: time that compiling saved, and time of dispatching an operator."""
    for name, regime in (("batch 1", "vision-1"), ("larger batches", "vision-batch")):
        runs = runs_of(regime)
        values = saved(runs, "engine", lambda m: m.engine == "tensorflow", lambda m: m.engine == "tensorflow-xla")
        of = f"networks, {name}: TensorFlow with XLA against without, fusion included"
        yield told("framework", "share of time that compiling saves", values, "1", of, "bound")
    runs = [m for m in runs_of("decode_b1") if m.question.precision in SIXTEEN]
    values = saved(runs, "engine", lambda m: m.engine == "vllm", lambda m: m.engine == "mlc-llm")
    of = "language models, batch 1: MLC-LLM, compiled, against vLLM as of 2023-11, kernels included"
    yield told("framework", "share of time that compiling saves", values, "1", of, "bound")
    runs = [m for m in runs_of("vision-1", "vision-batch") if re.match("pytorch|tensorflow", m.engine)]
    of = "networks in PyTorch and TensorFlow: dispatch on the host"
    yield parameter("framework", "time an operator", "launch", runs, of)


def occupancy() -> Iterator[Range]:
    """Yield what last waves take; resident warps stand in no published run."""
    of = "prompts: last waves of tiles alone; resident warps are not isolated"
    undone = without("gemm.waves")
    yield share("occupancy", "share of a prefill", runs_of("prefill"), undone, of, "fitted: gemm.waves")


def bubbles() -> Iterator[Range]:
    """Yield the bubbles of published plans, and how much of them runs show."""
    trained = runs_of("training-dense", "training-moe", "training-lora", "training-encoder")
    runs = [m for m in trained if m.setup.pp > 1 and m.setup.micro_batch and "batch not" not in m.repair]
    values = [(bubble(m), m.source) for m in runs]
    of = "training in stages: b / (1 + b) with b = (p - 1) / (m v) of the published plan"
    yield told("pipeline_bubble", "share of a planned step", values, "1", of, "measured")
    of = "the same runs, by what their times show of it"
    yield share("pipeline_bubble", "share of a step", runs, zeroed("bubble"), of, "fitted: training.bubble")
    yield common("pipeline_bubble", "share of the plan's bubble", "training.bubble", "training of language models")


def communication() -> Iterator[Range]:
    """Yield what more devices cost beside fewer, and what of messages is exposed."""
    pairs = [(a, b) for a, b in scaled(runs_of("training-vision")) if a.question.devices == 1]
    values = [(1.0 - eta(b) / eta(a), a.source) for a, b in pairs]
    of = "networks in training: 2 to 16 devices against 1, batch a device alike"
    yield told("communication", "share of eta lost", values, "1", of, "measured")
    pairs = list(scaled(runs_of("training-dense")))
    values = [(1.0 - (eta(b) / eta(a)) ** (1.0 / doublings(a, b)), a.source) for a, b in pairs]
    of = "language models in training: each doubling of devices, batch a device and plan alike"
    yield told("communication", "share of eta lost", values, "1", of, "measured")
    runs = [m for m in runs_of("training-dense") if m.question.devices > 1]
    of = "language models in training: messages that nothing hides"
    messages = zeroed("tp_s", "cp_s", "ep_s", "dp_s")
    source = "fitted: link.fraction, training.network and exposed shares"
    yield share("communication", "share of a step", runs, messages, of, source)
    runs = [m for m in runs_of("decode_b1") if not m.setup.layer_split]
    split = alike(runs, "devices", lambda m: m.question.devices == 1, lambda m: m.question.devices > 1)
    values = [(1.0 - attainment(b) / attainment(a), a.source) for a, b in split]
    of = "language models, batch 1: layers split over 2 to 8 devices against 1, smaller kernels included"
    yield told("communication", "share of attainment lost", values, "1", of, "bound")


def attention() -> Iterator[Range]:
    """Yield what unfused attention costs, and what kernels of attention reach."""
    runs = [m for m in runs_of("prefill") if m.question.devices == 1 and m.engine == "llama.cpp"]
    pairs = alike(runs, "seq_len", lambda m: m.question.seq_len == 1024, lambda m: m.question.seq_len == 8192)
    values = [(1.0 - eta(b) / eta(a), a.source) for a, b in pairs]
    of = "prompts of 8,192 tokens against 1,024, unfused (llama.cpp as of 2024-05)"
    yield told("attention", "share of eta lost", values, "1", of, "measured")
    long = [m for m in runs if m.question.seq_len == 8192]
    of = "the same prompts of 8,192 tokens: scores written to memory"
    yield share("attention", "share of a prefill", long, without("attention.scores"), of, "fitted: attention.scores")
    for regime, name in (("training-dense", "training"), ("prefill", "prompts")):
        yield parameter("attention", "share of the 16-bit peak", "attention.eta", runs_of(regime), f"{name}, by run")


def quantization() -> Iterator[Range]:
    """Yield how much of what narrow formats promise is lost, and what expanding weights takes."""
    for regime, narrow, of in (
        ("decode_b1", FOUR, "language models, batch 1: 4-bit weights against 16 bit, by attainment"),
        ("decode_b1", EIGHT, "language models, batch 1: 8-bit weights against 16 bit, by attainment"),
        ("training-dense", {"fp8"}, "training: fp8 against bf16, by attainment"),
        ("encoder", {"int8"}, "BERT: int8 against fp16, by attainment"),
    ):
        values = lost(runs_of(regime), SIXTEEN, narrow)
        yield told("quantization", "share of the gain lost", values, "1", of, "measured")
    values = saved(
        runs_of("prefill"),
        "precision",
        lambda m: m.question.precision in FOUR,
        lambda m: m.question.precision in SIXTEEN,
    )
    of = "prompts: 4-bit weights expanded for 16-bit products (llama.cpp), against 16 bit"
    yield told("quantization", "share of a prefill", values, "1", of, "measured")


def rates() -> Iterator[Range]:
    """Yield what products reach of the peak and reads of the bandwidth."""
    of = "products in training of language models, by run"
    yield parameter("compute", "share of peak", "gemm.eta", runs_of("training-dense"), of)
    yield parameter("compute", "share of peak", "gemm.eta", runs_of("prefill"), "products of prompts, by run")
    of = "weights read in decode, batch 1, by run"
    yield parameter("memory_bound", "share of bandwidth", "memory.fraction", runs_of("decode_b1"), of)


def everything() -> Iterator[Range]:
    """Yield what all causes take together, and what repeats and stragglers of every cause do."""
    for regime, of in (
        ("training-dense", "training of language models"),
        ("prefill", "prompts"),
        ("decode_b1", "decode, batch 1"),
    ):
        values = [(1.0 - attainment(m), m.source) for m in runs_of(regime)]
        yield told("unattributed", "share of time beyond the ceiling", values, "1", f"{of}: all causes", "bound")
    p = parameters()["repeat"]
    of = "time a token of one configuration, measured again: 9 of 10 differ by less"
    yield Range("os_driver", "between repeats", None, None, p.high, p.unit, p.n, of, p.source, "bound")
    of = "training of language models: each doubling of devices beyond 8, by whatever delays one of them"
    yield common("os_driver", "time added", "training.jitter", of)._replace(kind="bound")


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
