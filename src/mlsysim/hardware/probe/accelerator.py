"""An accelerator measured through PyTorch: NVIDIA and AMD (CUDA, ROCm) and Apple GPUs (MPS).

Products are timed as a queue of several, waited for once: launch overhead hides behind arithmetic as it does in
training. Copies within the device count each byte read and written; those to and from the host are of pinned memory.
"""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mlsysim.hardware.figures import Figure
from mlsysim.hardware.probe.products import GemmSample
from mlsysim.hardware.probe.repeats import repeat
from mlsysim.hardware.registry import Hardware
from mlsysim.hardware.spec import MEASURED, HardwareSpec
from mlsysim.registry import normal

SIZES = (2048, 4096, 8192)
_COPIED = 2**28  # bytes of one buffer: past every cache
_QUEUED = 10  # products in a queue
_SAME_MEMORY = 0.12  # share by which what a driver reports may differ from the label
_LAUNCHED = 500  # small kernels in a queue


class TransferSample(NamedTuple):
    """A copy: what is measured, best rate [B/s] (seconds for a launch), and spread over the repeats [1]."""

    kind: str
    value: float
    unit: str
    spread: float


class Accelerator(NamedTuple):
    """An accelerator as a device, and the samples behind its figures."""

    hardware: HardwareSpec
    samples: tuple[GemmSample, ...]
    transfers: tuple[TransferSample, ...]


def found() -> str:
    """Return PyTorch's name of the accelerator of this machine, "" where there is none or no PyTorch."""
    if not importlib.util.find_spec("torch"):
        return ""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else ""


def measure(device: str, seconds: float, today: str) -> Accelerator:
    """Measure an accelerator in about ``seconds`` [s]; ``device`` is PyTorch's name of it."""
    transfers = tuple(_transfers(device, 0.3 * seconds))
    samples = tuple(_products(device, 0.7 * seconds))
    return Accelerator(_spec(device, samples, transfers, today), samples, transfers)


def _products(device: str, seconds: float) -> Iterator[GemmSample]:
    import torch

    plan = [(precision, size) for precision, needed in _NEEDED.items() if hasattr(torch, needed) for size in SIZES]
    end = time.perf_counter() + seconds
    for done, (precision, size) in enumerate(plan):
        share = (end - time.perf_counter()) / (len(plan) - done)
        if share <= 0:
            return
        try:
            run = _MULTIPLY[precision](torch, device, size)
            best, *varied = repeat(_queue(torch, device, run, _QUEUED), share)
        except (RuntimeError, TypeError):
            continue  # the device or this PyTorch has no such product
        yield GemmSample(precision, "torch", 1, size, _QUEUED * 2 * size**3 / best, *varied)


def _queue(torch: Any, device: str, run: Callable[[], object], times: int) -> Callable[[], None]:
    def queue() -> None:
        for _ in range(times):
            run()
        _wait(torch, device)

    return queue


def _wait(torch: Any, device: str) -> None:
    module = getattr(torch, device)
    module.synchronize()


def _floats(kind: str) -> Callable[[Any, str, int], Callable[[], object]]:
    def make(torch: Any, device: str, n: int) -> Callable[[], object]:
        torch.backends.cuda.matmul.allow_tf32 = kind == "tf32"
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(kind, torch.float32)
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        return lambda: torch.mm(a, b, out=out)

    return make


def _fp8(torch: Any, device: str, n: int) -> Callable[[], object]:
    a, b = (torch.randn(n, n, device=device).to(torch.float8_e4m3fn) for _ in range(2))
    one = torch.ones((), device=device)
    b = b.t()
    return lambda: torch._scaled_mm(a, b, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)


def _int8(torch: Any, device: str, n: int) -> Callable[[], object]:
    a, b = (torch.randint(-128, 127, (n, n), device=device, dtype=torch.int8) for _ in range(2))
    b = b.t()
    return lambda: torch._int_mm(a, b)


_MULTIPLY: dict[str, Callable[[Any, str, int], Callable[[], object]]] = {
    **{kind: _floats(kind) for kind in ("bf16", "fp16", "fp32", "tf32")},
    "fp8": _fp8,
    "int8": _int8,
}


_NEEDED = {**dict.fromkeys(_MULTIPLY, "mm"), "fp8": "_scaled_mm", "int8": "_int_mm"}
"""What PyTorch must have for each product: the narrow ones came late."""


def _transfers(device: str, seconds: float) -> Iterator[TransferSample]:
    import torch

    here = torch.empty(_COPIED, dtype=torch.uint8, device=device)
    there = torch.empty_like(here)
    pinned = torch.empty(_COPIED, dtype=torch.uint8, pin_memory=device == "cuda")
    small = torch.zeros(16, device=device)
    copies = {
        "memory copy": (lambda: there.copy_(here), 2),
        "host to device": (lambda: here.copy_(pinned, non_blocking=True), 1),
        "device to host": (lambda: pinned.copy_(here, non_blocking=True), 1),
    }
    if device == "cuda" and torch.cuda.device_count() > 1:
        other = torch.empty(_COPIED, dtype=torch.uint8, device="cuda:1")
        copies["device to device"] = (lambda: other.copy_(here, non_blocking=True), 1)
    for kind, (copy, moved) in copies.items():
        best, spread, _ = repeat(_queue(torch, device, copy, 4), seconds / (len(copies) + 2))
        yield TransferSample(kind, 4 * moved * _COPIED / best, "B/s", spread)
    for kind, times in (("launch, queued", _LAUNCHED), ("launch and wait", 1)):
        best, spread, _ = repeat(_queue(torch, device, lambda: small.add_(1), times), seconds / (len(copies) + 2))
        yield TransferSample(kind, best / times, "s", spread)


def _spec(
    device: str, samples: tuple[GemmSample, ...], transfers: tuple[TransferSample, ...], today: str
) -> HardwareSpec:
    title, memory = _about(device)
    like = recognised(title, memory)
    peaks: dict[str, Figure] = {}
    for s in sorted(samples, key=lambda s: s.flops_per_s):
        note = f"best at {s.size} x {s.size}, torch; spread {s.spread:.0%}"
        if like and like.supports(s.precision):
            nominal = like.peak(s.precision).value
            note += f"; {s.flops_per_s / nominal:.0%} of the {nominal / 1e12:.4g} TFLOP/s of {like.name}"
        peaks[s.precision] = Figure(s.flops_per_s, f"{MEASURED}: best of matrix products", today, note)
    copied = next(t for t in transfers if t.kind == "memory copy")
    note = f"copy, read and written; spread {copied.spread:.0%}"
    return HardwareSpec(
        name="here",
        kind="gpu",
        peaks=peaks,
        memory=Figure(memory, "the driver", today),
        bandwidth=Figure(copied.value, f"{MEASURED}: a copy within the device", today, note),
        caches=dict(like.caches) if like else {},
        title=title,
        vendor=like.vendor if like else "",
        generation=like.generation if like else "",
        memory_class=like.memory_class if like else "",
    )


def _about(device: str) -> tuple[str, float]:
    import torch

    if device == "cuda":
        about = torch.cuda.get_device_properties(0)
        return str(about.name), float(about.total_memory)
    from mlsysim.hardware.probe import machine

    return f"{machine.title()} GPU", float(machine.memory())


def recognised(title: str, memory: float | None = None) -> HardwareSpec | None:
    """Return the packaged device that a driver's name means, by its words and its memory [B]; None where none is sure.

    ``NVIDIA H100 80GB HBM3`` with 85 GB is h100-sxm: h100-nvl has the same words, and 94 GB. Where no memory is given
    it is what the name says; a name that says none means a device if only one has its words.
    """
    words, found = normal(title), []
    said = re.search(r"(\d+)\s?GB", title)
    size = float(said[1]) * 1e9 if memory is None and said else memory
    for d in map(Hardware.__getitem__, Hardware):
        parts = [part for part in d.name.split("-") if not part.endswith("gb")]
        key = "".join(part for part in parts if part not in {"sxm", "pcie"})
        if d.kind != "gpu" or d.memory is None or key not in words:
            continue
        off = 0.0 if size is None else abs(size / d.memory.value - 1)
        if off < _SAME_MEMORY:
            found.append((len(key), ("pcie" in parts) == ("pcie" in words), -off, d))
    best = max(found, key=lambda item: item[:3], default=None)
    if best is None or (size is None and sum(item[:2] == best[:2] for item in found) > 1):
        return None
    return best[3]
