"""Many requests served together: decode steps with the prompts of newly admitted requests mixed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsysim.efficiency.case import Case
from mlsysim.efficiency.equations import passes
from mlsysim.efficiency.equations.step import levels_of
from mlsysim.evidence.requests import Requests
from mlsysim.models import lower
from mlsysim.physics.elementwise import Real
from mlsysim.setup import Setup
from mlsysim.workload.workload import sizes_of

NAMES = (
    *passes.NAMES,
    "requests.mixing",
    "requests.prompt_eta",
    "requests.prompt_attention",
    "ttft.base",
    "ttft.burst",
    "ttft.wait",
    "requests.server",
    "requests.drafted",
    "requests.drafting",
)


def case(question: Requests, setup: Setup) -> Case:
    """Return the numbers of a decode step at the sequences in flight, and of the prefill of one prompt."""
    q = question
    batch = q.in_flight
    sizes = sizes_of(q.precision)
    step = lower(q.model, "decode", batch_size=batch, seq_len=1, context=q.prompt + q.output / 2, sizes=sizes)
    first = lower(q.model, "forward", batch_size=1.0, seq_len=q.prompt, context=0, sizes=sizes)
    place = (q.shards, q.devices)
    about = (q.model, q.hardware, q.precision)
    x = passes.ideal(*about, step, batch, batch, *place, groups=q.groups)
    prompt = passes.ideal(*about, first, q.prompt, 1.0, q.shards * q.groups, q.devices)
    x |= {f"prompt_{key}": prompt[key] for key in ("gemm_s", "experts_s", "attention_s", "link_s", "dispatch_s")}
    x["scores_s"] = 0.0
    x |= {
        "batch": batch,
        "output": q.output,
        "queue": max(0.0, q.concurrency / batch - 1.0),
        "throughput": float(q.timed == "throughput"),
        "first": float(q.timed == "ttft"),
        "beams": float(q.beams),
        "server": float(q.server),
        "drafted": float(q.drafted),
    }
    phase = "serving" if q.timed == "throughput" else "end-to-end"
    return Case("requests", x, levels_of(q.model, q.hardware, q.precision, phase, setup, q.shards))


def seconds(x: Mapping[str, Real], p: Mapping[str, Real]) -> Any:
    """Return the time of what is measured [s]: of one output token of all requests, of one request, or of the first.

    While a request produces ``output`` tokens, each of the others starts once: a step therefore carries
    batch / output of a prompt. TPOT = step + k (batch - 1) / output x prompt; throughput counts a request's own too.
    """
    step = passes.pass_seconds(x, p)
    ideal_s = x["prompt_gemm_s"] + x["prompt_experts_s"] / p["memory.experts"]
    matrices = passes.matrices(ideal_s / p["requests.prompt_eta"], x, p)
    attention = x["prompt_attention_s"] / (p["attention.eta"] * p["requests.prompt_attention"])
    moved = x["prompt_dispatch_s"] * p["experts.dispatch"]
    prompt = matrices + attention + moved + x["prompt_link_s"] / p["link.fraction"]
    others = x["batch"] - 0.9 * (1.0 - x["throughput"])
    tpot = step + p["requests.mixing"] * others / x["output"] * prompt / x["beams"]
    ttft = (
        p["ttft.base"]
        + step
        + prompt * (1.0 + p["ttft.burst"] * (x["batch"] - 1.0))
        + p["ttft.wait"] * x["output"] * tpot * x["queue"]
    )
    each = x["throughput"] * tpot / x["batch"] + (1.0 - x["throughput"]) * tpot
    each = (
        each
        * p["requests.server"] ** x["server"]
        * (p["requests.drafted"] * x["batch"] ** p["requests.drafting"]) ** x["drafted"]
    )
    return (1.0 - x["first"]) * each + x["first"] * ttft
