r"""What training programs print: the lines of their steps, the facts above them, and what interrupts them.

Regular expressions are data here; :mod:`mlsysim.calibration.logs.lines` reads them. A step line holds ``mark``; each
field is searched for in it by itself, since versions add and reorder columns. The spellings are those of

- Megatron-LM: ``training_log`` in megatron/training/training.py, arguments as printed by megatron/training/arguments.py
  (NVIDIA/Megatron-LM 86df799d; ``gloabl batch size`` is what older versions print; ``123.4/120.0`` with a running
  mean behind the slash is that of AMD's Primus), which prints ``using world size: 64, data-parallel size: 2`` too.
  The FLOP/s of ``throughput per GPU`` are printed with ``--log-throughput``; newer Primus calls them ``compute``.
- NeMo: the progress bar of NeMo 1 and the lines of NeMo 2's ``ProgressPrinter``; ``TFLOPS_per_GPU`` as NVIDIA's
  dgxc-benchmarking reads it in them (parse_train_timing.sh).
- DeepSpeed: ``ThroughputTimer.stop`` in deepspeed/utils/timer.py, ``DeepSpeedConfig.print`` (deepspeedai/DeepSpeed
  038beb63; before 0.6 the field was ``SamplesPerSec``). Its batch is that of all devices.
- torchtitan: ``MetricsProcessor.log`` in torchtitan/components/metrics.py (pytorch/torchtitan 00fbaafa), whose tps are
  tokens a second *of one device*, as its tflops are.
- nanoGPT: train.py (karpathy/nanoGPT 005475c4), whose mfu is that of one process by ``estimate_mfu`` in model.py
  (0011cd44): of the A100's 312 TFLOP/s whatever the device, -100 % until five steps are done.
- llm.c: train_gpt2.cu and train_gpt2.py; the MFU is of the peak of the device in llmc/mfu.h (karpathy/llm.c 0e69e3ae).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_N = rb"\s*([-+\d.,eE]+|nan|inf|-inf)"
"""A number, perhaps with commas in it."""


class Program(NamedTuple):
    """A program, how its lines look, and what its numbers are.

    ``fields`` of a step line: ``step``, one of ``time_s``, ``time_ms``, ``samples/s`` and ``tokens/s``, conditions, and
    the program's own count: ``own_tflops`` (TFLOP/s of one device) or ``own_mfu`` (%, of whose peak ``mfu_of`` says
    [FLOP/s], else of that of the device). ``facts`` stand in lines before the first step: each a word its line holds
    and the number or name in it. ``pauses`` are words of lines between steps, and what they say happens.
    """

    name: str
    engine: str
    mark: bytes
    fields: Mapping[str, re.Pattern[bytes]]
    facts: tuple[tuple[str, bytes, re.Pattern[bytes]], ...] = ()
    pauses: tuple[tuple[bytes, str], ...] = ()
    per_device: bool = False
    mfu_of: tuple[str, float] | None = None


def _fields(**patterns: bytes) -> dict[str, re.Pattern[bytes]]:
    return {name.replace("_per_", "/"): re.compile(pattern) for name, pattern in patterns.items()}


def _arguments(**names: str) -> tuple[tuple[str, bytes, re.Pattern[bytes]], ...]:
    """Return the facts of lines such as ``  seq_length ........ 4096``."""
    return tuple(
        (field, (name + " ..").encode(), re.compile(rb"\b" + name.encode() + rb" \.+ *(\S+)"))
        for field, name in names.items()
    )


def _fact(field: str, word: bytes, pattern: bytes) -> tuple[str, bytes, re.Pattern[bytes]]:
    return field, word, re.compile(pattern)


_CHECKPOINT = "checkpoint"
_EVALUATION = "evaluation"
PROGRAMS: tuple[Program, ...] = (
    Program(
        "Megatron-LM",
        "megatron",
        b"elapsed time per iteration (ms):",
        _fields(
            step=rb"iteration\s+(\d+)\s*/",
            time_ms=rb"elapsed time per iteration \(ms\):" + _N,
            batch_size=rb"glo(?:bal|abl) batch size:" + _N,
            seq_len=rb"actual seqlen:" + _N,
            own_tflops=rb"(?:throughput|compute) per GPU \(TFLOP/s/GPU\):" + _N,
        ),
        (
            *_arguments(
                seq_len="seq_length",
                devices="world_size",
                precision="params_dtype",
                fp8="fp8",
                recompute="recompute_granularity",
                tp="tensor_model_parallel_size",
                pp="pipeline_model_parallel_size",
                dp="data_parallel_size",
                cp="context_parallel_size",
                ep="expert_model_parallel_size",
                micro_batch="micro_batch_size",
            ),
            _fact("devices", b"using world size:", rb"using world size: (\d+)"),
        ),
        (
            (b"saving checkpoint at iteration", _CHECKPOINT),
            (b"validation loss at iteration", _EVALUATION),
        ),
    ),
    Program(
        "NeMo",
        "nemo",
        b"train_step_timing in s",
        _fields(
            step=rb"global_step[=:]" + _N,
            time_s=rb"train_step_timing in s[=:]" + _N,
            batch_size=rb"global_batch_size[=:]" + _N,
            own_tflops=rb"TFLOPS_per_GPU[=:]" + _N,
        ),
        (),
        ((b"Validation DataLoader", _EVALUATION), (b"Saving checkpoint", _CHECKPOINT)),
    ),
    Program(
        "DeepSpeed",
        "deepspeed",
        b"SamplesPerSec=",
        {
            "step": re.compile(rb"(?:global_step=|\] \d+/)(\d+),"),
            "samples/s": re.compile(rb"(?:Curr|\b)SamplesPerSec=" + _N),
        },
        (
            *_arguments(batch_size="train_batch_size", devices="world_size", zero="zero_optimization_stage"),
            _fact("micro_batch", b"train_micro_batch_size_per_gpu", rb"train_micro_batch_size_per_gpu[ .]+(\d+)"),
            _fact("bf16", b"bfloat16_enabled", rb"bfloat16_enabled \.+ (True)"),
            _fact("fp16", b"fp16_enabled", rb"\bfp16_enabled \.+ (True)"),
        ),
        ((b"about to be saved", _CHECKPOINT), (b"Saving model checkpoint", _CHECKPOINT)),
    ),
    Program(
        "torchtitan",
        "torchtitan",
        b"tps:",
        _fields(step=rb"(?<!validate )step:" + _N, tokens_per_s=rb"tps:" + _N, own_tflops=rb"tflops:" + _N),
        (
            _fact("batch_size", b"global batch size", rb"global batch size (\d+)"),
            _fact("seq_len", b"sequence length", rb"sequence length (\d+)"),
            _fact("mesh", b"-D device mesh with [", rb"device mesh with \[[^]]*\], \[([\d, ]+)\]"),
            _fact(
                "mesh",
                b"mesh with parallelism:",
                rb"parallelism: pp=(\d+, dp_\w+=\d+, dp_\w+=\d+, cp=\d+(?:, tp=\d+)?)",
            ),
            _fact("hardware", b"CUDA capacity:", rb"CUDA capacity: (.+?) with [\d.]+GiB"),
            _fact("model", b"total parameters", rb"Model (\S+ \S+) size: [\d,]+ total parameters"),
        ),
        ((b"validate step:", _EVALUATION), (b"Saving the checkpoint", _CHECKPOINT), (b"[GC] ", "garbage collection")),
        per_device=True,
    ),
    Program(
        "nanoGPT",
        "nanogpt",
        b"ms, mfu ",
        _fields(step=rb"iter (\d+):", time_ms=rb"time" + _N + rb"ms", own_mfu=rb"mfu" + _N + rb"%"),
        (
            _fact("tokens", b"tokens per iteration will be", rb"tokens per iteration will be:" + _N),
            _fact("seq_len", b"block_size =", rb"block_size = (\d+)"),
            _fact("precision", b"dtype =", rb"\bdtype = '(\w+)'"),
        ),
        ((b": train loss", _EVALUATION), (b"saving checkpoint to", _CHECKPOINT)),
        mfu_of=("the A100", 312e12),
    ),
    Program(
        "llm.c",
        "llm.c",
        b" tok/s",
        _fields(step=rb"step\s+(\d+)/", time_ms=rb"([\d.]+) ms \|", own_mfu=rb"([\d.]+)% bf16 MFU"),
        (
            _fact("tokens", b"| total batch size", rb"\| total batch size +\| (\d+)"),
            _fact("seq_len", b"| sequence length T", rb"\| sequence length T +\| (\d+)"),
            _fact("hardware", b"| device ", rb"\| device +\| (\S.*?) *\|"),
            _fact("precision", b"| precision ", rb"\| precision +\| (\w+)"),
            _fact("devices", b"| num_processes", rb"\| num_processes +\| (\d+)"),
        ),
        ((b"val loss ", _EVALUATION), (b"Writing checkpoint", _CHECKPOINT)),
    ),
)
"""The most particular mark first: Megatron-DeepSpeed prints both of its parents' lines."""
