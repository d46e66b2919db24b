"""One question, checked: which model, on what, in which phase; and the roofline it runs under."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from mlsysim.errors import Checks, InvalidValue, UnknownName
from mlsysim.hardware import Hardware, HardwareSpec
from mlsysim.models import Models, ModelSpec, NetworkSpec, TransformerSpec, Work, lower
from mlsysim.models.work import PHASES
from mlsysim.physics import memory, performance
from mlsysim.precision import SPARSE, bytes_per_value, bytes_per_weight, parse_precision
from mlsysim.registry import nearest
from mlsysim.results import Memory, Note
from mlsysim.units import whole

DEFAULT_TOKENS = 2048
"""Prompt, training sequence or cached context of a language model where none is given [tokens]."""
MANY_DEVICES = 8
"""Devices that one scale-up domain commonly joins (an HGX board), within which one item may be split."""
TRAINING_BYTES = 2.0
"""Bytes of the narrowest copy of a weight that training computes its update from [B]."""


class Roofline(NamedTuple):
    """What the hardware allows for one step: work, the two least times [s], their larger one, and the eta ceiling."""

    flops: float
    traffic_bytes: float
    peak_flops: float
    bandwidth: float
    compute_s: float
    memory_s: float
    floor_s: float
    ceiling: float

    def time_s(self, attainment: float, overhead_s: float = 0.0) -> float:
        """Return the time of the step [s]: FLOPs / (peak x eta) with eta = ceiling x attainment, and a fixed part."""
        return float(performance.step_time(self.flops, self.peak_flops, self.ceiling * attainment) + overhead_s)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A checked question. Make one with :meth:`of`; ``defaults`` names every value that was not given."""

    model: ModelSpec
    hardware: HardwareSpec
    phase: str
    batch_size: int
    seq_len: int | None
    context: int | None
    precision: str
    devices: int
    defaults: Mapping[str, object]

    @classmethod
    def of(
        cls,
        model: object,
        hardware: object,
        *,
        phase: object = None,
        batch_size: object = None,
        seq_len: object = None,
        context: object = None,
        precision: object = None,
        devices: object = None,
        checks: Checks | None = None,
    ) -> Scenario:
        """Check every field and fill in what was not given.

        ``checks`` may hold problems of the caller's own fields: all are told at once.

        Raises
        ------
        UsageError
            One or more fields break a rule.
        """
        check = checks or Checks()
        defaults: dict[str, object] = {}

        def given(field: str, value: object, default: Any, function: Callable[..., Any]) -> Any:
            if value is None:
                defaults[field] = default
                return default
            return check(function, value, field)

        the_model, device = check(model_of, model), check(hardware_of, hardware)
        the_phase = given("phase", phase, "forward", phase_of)
        language = isinstance(the_model, TransformerSpec)
        batch = given("batch_size", batch_size, 1, whole)
        count = given("devices", devices, 1, whole)
        decode = the_phase == "decode"
        tokens = given("seq_len", seq_len, DEFAULT_TOKENS, whole) if language and not decode else None
        cached = given("context", context, DEFAULT_TOKENS, whole) if language and decode else None
        chosen = given("precision", precision, device and device.default_precision, parse_precision)
        if device is not None and chosen is not None:
            check(device.peak, chosen)
        if the_model is not None and the_phase is not None:
            check(_refuse_lengths, the_model, the_phase, seq_len, context)
            check(_refuse_decode, the_model, the_phase)
        check.done()
        checked: Any = (the_model, device, the_phase, batch, tokens, cached, chosen, count, defaults)
        return cls(*checked)

    def replace(self, **changes: Any) -> Scenario:
        """Return the scenario with other (already checked) fields."""
        return replace(self, **changes)

    @property
    def value_bytes(self) -> float:
        """Return the bytes a weight or activation takes [B]."""
        return bytes_per_value(self.precision)

    def notes(self) -> tuple[Note, ...]:
        """Return what must be said about the question itself: values not given, limits passed, figures missing."""
        found = []
        given = ", ".join(f"{name} = {value}" for name, value in self.defaults.items() if name != "devices")
        if given:
            found.append(Note("defaults-used", f"not given, so assumed: {given}"))
        longest, asked = getattr(self.model, "max_context", None), (self.seq_len or 0) + (self.context or 0)
        if longest and asked > longest:
            message = f"{asked:,} tokens are more than the {longest:,} that {self.model.name} was made for"
            found.append(Note("beyond-max-context", message))
        if self.phase != "training" and self.devices > max(MANY_DEVICES, self.batch_size):
            message = (
                f"{self.devices:,} devices share a batch of {self.batch_size:,}: each must work on a part of one item,"
                " and the time to exchange those parts is not in the ceiling"
            )
            found.append(Note("more-devices-than-batch", message))
        if self.hardware.bandwidth is None:
            message = f"no memory bandwidth is known for {self.hardware.name}: the ceiling counts arithmetic alone"
            found.append(Note("bandwidth-unknown", message))
        if self.precision.endswith(SPARSE):
            message = (
                "model FLOPs over a peak that skips half of them: compare this eta with those of sparse runs alone"
            )
            found.append(Note("sparse-peak", message))
        if self.phase == "training" and self.value_bytes < TRAINING_BYTES:
            message = f"arithmetic in {self.precision}; weights and gradients are kept in 16 bits"
            found.append(Note("training-keeps-16-bits", message))
        return tuple(found)

    def work(self) -> Work:
        """Return the ledger of one step."""
        size = self.value_bytes
        return lower(
            self.model,
            self.phase,
            batch_size=self.batch_size,
            seq_len=self.seq_len or 1,
            context=self.context or 0,
            value_bytes=size,
            weight_bytes=bytes_per_weight(self.precision),
            training_bytes=max(size, TRAINING_BYTES),
        )

    def roofline(self, work: Work) -> Roofline:
        """Return what the hardware allows for ``work``; the devices' peaks and bandwidths are summed.

        That is a bound for any plan: weights are taken as split over the devices, messages as free. The last-level
        cache is that of one device: weights do not stay on the chips of many. A device without a known bandwidth
        sets no memory floor.
        """
        device, n = self.hardware, self.devices
        peak = n * device.peak(self.precision).value
        flops = work.flops
        traffic = work.traffic(device.cache.value if device.cache else 0.0)
        bandwidth = n * device.bandwidth.value if device.bandwidth else float("inf")
        compute = performance.compute_time(flops, peak)
        moving = performance.memory_time(traffic, bandwidth)
        floor, _ = performance.time_bounds(compute, moving)
        return Roofline(
            flops, traffic, peak, bandwidth, compute, moving, floor, performance.efficiency_ceiling(compute, moving)
        )

    def memory(self) -> Memory:
        """Return the bytes held by purpose against the memory of all devices.

        Split perfectly over the devices (tensor parallel or fully sharded): what does not fit so fits in no plan.
        """
        capacity = self.devices * self.hardware.memory.value if self.hardware.memory else float("inf")
        flash = self.devices * self.hardware.flash.value if self.hardware.flash else 0.0
        needed = bytes_needed(
            self.model, self.phase, self.precision, self.batch_size, self.seq_len or 1, self.context or 0
        )
        return Memory(needed, capacity, flash)


def bytes_needed(
    model: ModelSpec, phase: str, precision: str, batch_size: int, seq_len: int, context: int
) -> dict[str, float]:
    """Return the bytes that a step holds, by purpose [B]; arguments are those of a checked scenario.

    Training keeps a 16-bit copy of weights and gradients, Adam's state, and one checkpoint a layer.
    """
    size = bytes_per_value(precision)
    if phase == "training":
        size = max(size, TRAINING_BYTES)
        held = {
            "weights": model.parameters * size,
            "gradients": model.parameters * size,
            "optimizer": model.parameters * memory.ADAM_STATE_BYTES,
        }
    else:
        held = {"weights": model.parameters * bytes_per_weight(precision)}
    if isinstance(model, NetworkSpec):
        kept = model.output_elements if phase == "training" else model.widest_elements
        held["activations"] = kept * batch_size * size
    elif phase == "training":
        held["activations"] = memory.checkpointed_activation_bytes(
            batch_size, seq_len, model.hidden, model.layers, size
        )
    else:
        new, cached = (1, context + 1) if phase == "decode" else (seq_len, seq_len)
        tokens = batch_size * new
        held["kv_cache"] = batch_size * model.cached_elements(cached) * size
        held["activations"] = memory.block_workspace_bytes(tokens, model.hidden, model.ffn, 1 + model.gated, size)
    return held


def model_of(model: object) -> ModelSpec:
    """Return the spec itself or the registered model of that name.

    Raises
    ------
    UnknownName, InvalidValue
        No such model; or neither a name nor a spec.
    """
    if isinstance(model, (TransformerSpec, NetworkSpec)):
        return model
    if model not in Models and model in Hardware:
        raise InvalidValue("model", "the name of a model", model, "that is hardware: are the two swapped?")
    return Models[model]  # type: ignore[index]


def hardware_of(hardware: object) -> HardwareSpec:
    """Return the spec itself or the registered device of that name.

    Raises
    ------
    UnknownName, InvalidValue
        No such device; or neither a name nor a spec.
    """
    if isinstance(hardware, HardwareSpec):
        return hardware
    several = re.match(r"(\d+)\s*[x*×]\s*(.+)", hardware) if isinstance(hardware, str) else None
    if several and several[2] in Hardware:
        raise InvalidValue("hardware", "the name of one device", hardware, f"{several[2]} with devices = {several[1]}")
    return Hardware[hardware]  # type: ignore[index]


def phase_of(phase: object, field: str = "phase") -> str:
    """Return the canonical phase; ``prefill`` and ``inference`` are other words for ``forward``.

    Raises
    ------
    UnknownName
        Not one of the phases.
    """
    words = {**{p: p for p in PHASES}, "prefill": "forward", "inference": "forward", "train": "training"}
    key = str(phase).lower()
    if key not in words:
        raise UnknownName(field, str(phase), nearest(key, words), "known: " + ", ".join(PHASES))
    return words[key]


def _refuse_lengths(model: ModelSpec, phase: str, seq_len: object, context: object) -> None:
    """Refuse a length that the question does not use; silence would let a reader believe that it counted."""
    unused = {"seq_len": seq_len, "context": context}
    if isinstance(model, TransformerSpec):
        del unused["context" if phase == "decode" else "seq_len"]
    for field, value in unused.items():
        if value is None:
            continue
        if isinstance(model, NetworkSpec):
            hint = f"it takes one {model.sample} at a time and has no tokens"
            raise InvalidValue(field, f"left out for {model.name}", value, hint)
        use = "context (tokens already in the cache)" if phase == "decode" else "seq_len (tokens of the prompt)"
        raise InvalidValue(field, f"left out in phase {phase}", value, f"use {use}")


def _refuse_decode(model: ModelSpec, phase: str) -> None:
    if phase == "decode" and isinstance(model, NetworkSpec):
        raise InvalidValue("phase", f"forward or training for {model.name}", phase, "only language models decode")
