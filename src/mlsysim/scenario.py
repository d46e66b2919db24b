"""One question, checked: which model, on what, in which phase; and the roofline it runs under."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from mlsysim.errors import InvalidValue, MlsysimError, UnknownName, UsageError, raise_all
from mlsysim.hardware import Hardware, HardwareSpec
from mlsysim.models import Models, ModelSpec, NetworkSpec, TransformerSpec, Work, lower
from mlsysim.models.work import PHASES
from mlsysim.physics import memory, performance
from mlsysim.precision import bytes_per_value, parse_precision
from mlsysim.registry import nearest
from mlsysim.results import Memory, Note
from mlsysim.units import whole

T = TypeVar("T")
DEFAULT_TOKENS = 2048
"""Prompt, training sequence or cached context of a language model where none is given [tokens]."""


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
        phase: object = "forward",
        batch_size: object = None,
        seq_len: object = None,
        context: object = None,
        precision: object = None,
        devices: object = None,
    ) -> Scenario:
        """Check every field and fill in what was not given.

        Raises
        ------
        UsageError
            One or more fields break a rule; all are told at once.
        """
        problems: list[MlsysimError] = []
        defaults: dict[str, object] = {}

        def check(function: Callable[..., T], *arguments: object) -> T | None:
            try:
                return function(*arguments)
            except UsageError as problem:
                problems.append(problem)
                return None

        def number(field: str, value: object, default: int) -> int | None:
            if value is None:
                defaults[field] = default
                return default
            return check(whole, value, field)

        the_model = check(model_of, model)
        device = check(hardware_of, hardware)
        the_phase = check(phase_of, phase)
        language = isinstance(the_model, TransformerSpec)
        batch = number("batch_size", batch_size, 1)
        count = number("devices", devices, 1)
        tokens = number("seq_len", seq_len, DEFAULT_TOKENS) if language and the_phase != "decode" else None
        cached = number("context", context, DEFAULT_TOKENS) if language and the_phase == "decode" else None
        chosen = None if precision is None else check(parse_precision, precision)
        if precision is None and device is not None:
            chosen = defaults["precision"] = device.default_precision
        if device is not None and chosen is not None:
            check(device.peak, chosen)
        if the_model is not None and the_phase is not None:
            for field, value, used in (("seq_len", seq_len, tokens), ("context", context, cached)):
                if value is not None and used is None:
                    check(_refuse_length, field, value, the_model, the_phase)
            if the_phase == "decode" and not language:
                problems.append(
                    InvalidValue(
                        "phase", f"forward or training for {the_model.name}", the_phase, "only language models decode"
                    )
                )
        raise_all(problems)
        checked: Any = (the_model, device, the_phase, batch, tokens, cached, chosen, count, defaults)
        return cls(*checked)

    def replace(self, **changes: Any) -> Scenario:
        """Return the scenario with other (already checked) fields."""
        return replace(self, **changes)

    @property
    def value_bytes(self) -> float:
        """Return the bytes a weight or activation takes [B]."""
        return bytes_per_value(self.precision)

    def default_notes(self) -> tuple[Note, ...]:
        """Return the note that names every value that was not given, if there is one."""
        given = ", ".join(f"{name} = {value}" for name, value in self.defaults.items())
        return (Note("defaults-used", f"not given, so assumed: {given}"),) if given else ()

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
            training_bytes=max(size, 2.0),
        )

    def roofline(self, work: Work) -> Roofline:
        """Return what the hardware allows for ``work``; the devices' peaks, bandwidths and caches are summed.

        A device without a published bandwidth sets no memory floor. So that summing is a bound for any plan: weights
        are taken as split over the devices, messages as free.
        """
        device, n = self.hardware, self.devices
        peak = n * device.peak(self.precision).value
        flops = work.flops
        traffic = work.traffic(n * device.cache.value if device.cache else 0.0)
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
        return Memory(self._held(), capacity)

    def _held(self) -> dict[str, float]:
        m, size, tokens = self.model, self.value_bytes, self.batch_size * (self.seq_len or 1)
        held = {"weights": m.parameters * size}
        if self.phase == "training":
            size = max(size, 2.0)
            held = {
                "weights": m.parameters * size,
                "gradients": m.parameters * size,
                "optimizer": m.parameters * memory.ADAM_STATE_BYTES,
            }
        if isinstance(m, NetworkSpec):
            widest = max(layer.input_elements + layer.output_elements for layer in m.table)
            kept = sum(layer.output_elements for layer in m.table) if self.phase == "training" else widest
            return {**held, "activations": kept * self.batch_size * size}
        if self.phase == "training":
            kept = memory.checkpointed_activation_bytes(self.batch_size, self.seq_len or 1, m.hidden, m.layers, size)
            return {**held, "activations": kept}
        cached = min((self.context or 0) + 1, m.window or 2**62) if self.phase == "decode" else self.seq_len or 1
        kv = memory.kv_cache_bytes(self.batch_size, cached, 1, m.kv_elements, size)
        return {
            **held,
            "kv_cache": kv,
            "activations": memory.block_workspace_bytes(tokens, m.hidden, m.ffn, 1 + m.gated, size),
        }


def model_of(model: object) -> ModelSpec:
    """Return the spec itself or the registered model of that name.

    Raises
    ------
    UnknownName, InvalidValue
        No such model; or neither a name nor a spec.
    """
    return model if isinstance(model, (TransformerSpec, NetworkSpec)) else Models[model]  # type: ignore[index]


def hardware_of(hardware: object) -> HardwareSpec:
    """Return the spec itself or the registered device of that name.

    Raises
    ------
    UnknownName, InvalidValue
        No such device; or neither a name nor a spec.
    """
    return hardware if isinstance(hardware, HardwareSpec) else Hardware[hardware]  # type: ignore[index]


def phase_of(phase: object) -> str:
    """Return the canonical phase; ``prefill`` and ``inference`` are other words for ``forward``.

    Raises
    ------
    UnknownName
        Not one of the phases.
    """
    words = {**{p: p for p in PHASES}, "prefill": "forward", "inference": "forward", "train": "training"}
    key = str(phase).lower()
    if key not in words:
        raise UnknownName("phase", str(phase), nearest(key, words), "known: " + ", ".join(PHASES))
    return words[key]


def _refuse_length(field: str, value: object, model: ModelSpec, phase: str) -> None:
    if isinstance(model, NetworkSpec):
        raise InvalidValue(
            field, f"left out for {model.name}", value, f"it takes one {model.sample} at a time and has no tokens"
        )
    other = "context (tokens already in the cache)" if phase == "decode" else "seq_len (tokens of the prompt)"
    raise InvalidValue(field, f"left out in phase {phase}", value, f"use {other}")
