"""A question about a model alone: what it computes, moves and holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from mlsysim.errors import Checks
from mlsysim.models import ModelSpec, Sizes, TransformerSpec, Work, lower
from mlsysim.models.check import Check, checked
from mlsysim.models.conventions import CONVENTIONS, flops_by_convention
from mlsysim.models.importers.quantization import PARTLY, UNKNOWN
from mlsysim.precision import roles
from mlsysim.results import Note
from mlsysim.workload.asked import checked_fields
from mlsysim.workload.held import TRAINED_IN, bytes_needed
from mlsysim.workload.modifiers import PLAIN, Modifiers


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A checked question about a model alone. Make one with :meth:`of`; ``defaults`` names all that was not given."""

    model: ModelSpec
    phase: str
    batch_size: int
    seq_len: int | None
    context: int | None
    precision: str
    modifiers: Modifiers = PLAIN
    defaults: Mapping[str, object]

    @classmethod
    def of(
        cls,
        model: object,
        *,
        phase: object = None,
        batch_size: object = None,
        seq_len: object = None,
        context: object = None,
        precision: object = None,
        checks: Checks | None = None,
        **modified: Any,
    ) -> Workload:
        """Check every field and fill in what was not given.

        ``checks`` may hold problems of the caller's own fields: all are told at once.

        Raises
        ------
        UsageError
            One or more fields break a rule.
        """
        check = checks or Checks()
        fields = checked_fields(check, model, None, phase, batch_size, seq_len, context, precision, modified)
        check.done()
        return cls(**fields)

    def replace(self, **changes: Any) -> Self:
        """Return the question with other (already checked) fields."""
        return replace(self, **changes)

    @property
    def value_bytes(self) -> float:
        """Return the bytes an activation takes [B]."""
        return roles(self.precision).activation

    def question_notes(self) -> list[Note]:
        """Return what must be said about the question itself: values not given, limits passed."""
        found = []
        given = ", ".join(f"{name} = {value}" for name, value in self.defaults.items() if name != "devices")
        if given:
            found.append(Note("defaults-used", f"not given, so assumed: {given}"))
        longest, asked = getattr(self.model, "max_context", None), self._tokens_at_once
        if longest and asked > longest:
            message = f"{asked:,} tokens are more than the {longest:,} that {self.model.name} was made for"
            found.append(Note("beyond-max-context", message))
        if UNKNOWN in self.model.note and "precision" in self.defaults:
            found.append(Note("quantization-unknown", self.model.note))
        if PARTLY in self.model.note and "precision" in self.defaults:
            found.append(Note("quantized-in-part", PARTLY))
        if (
            self.phase == "training"
            and roles(self.precision).weight < TRAINED_IN
            and not self.modifiers.trained.lora_rank
        ):
            message = f"arithmetic in {self.precision}; weights and gradients are kept in 16 bits"
            found.append(Note("training-keeps-16-bits", message))
        return found

    @property
    def _tokens_at_once(self) -> int:
        """Return the most tokens that one side of the model takes."""
        if getattr(self.model, "encoder", None):
            return max(self.seq_len or 0, self.context or 0, self.modifiers.target_len or 0)
        return (self.seq_len or 0) + (self.context or 0)

    def work(self, *, full_attention: bool = False, absorbed: bool | None = None) -> Work:
        """Return the ledger of one step."""
        return lower(
            self.model,
            self.phase,
            batch_size=self.batch_size,
            seq_len=1 if self.seq_len is None else self.seq_len,
            context=0 if self.context is None else self.context,
            sizes=sizes_of(self.precision),
            target_len=self.modifiers.target_len,
            dequantized=roles(self.precision).dequantized,
            full_attention=full_attention,
            absorbed=absorbed,
            trained=self.modifiers.trained,
            speculative=self.modifiers.speculative,
        )

    def check(self, work: Work) -> Check:
        """Return a second count of the FLOPs of ``work``, where there is a formula for this question."""
        if self.modifiers.speculative:
            return Check(None, None, None)
        return checked(
            self.model,
            self.phase,
            work,
            batch_size=self.batch_size,
            seq_len=self.seq_len or 1,
            context=self.context or 0,
            target_len=self.modifiers.target_len,
            trained=self.modifiers.trained,
        )

    def flops_by_convention(self) -> dict[str, float]:
        """Return the FLOPs of a step under each convention that they are counted by."""
        if not isinstance(self.model, TransformerSpec):  # nothing is masked, and a weight is used many times a sample
            return dict.fromkeys(CONVENTIONS, float(self.work().flops))
        recompute = self.modifiers.recompute if self.phase == "training" else "none"
        return flops_by_convention(self.work(), self.work(full_attention=True), recompute, self.modifiers.trained)

    def memory_bytes(self) -> dict[str, float]:
        """Return the bytes held by purpose, whatever the hardware [B]."""
        return bytes_needed(
            self.model,
            self.phase,
            self.precision,
            self.batch_size,
            1 if self.seq_len is None else self.seq_len,
            0 if self.context is None else self.context,
            self.modifiers,
        )


def sizes_of(precision: str) -> Sizes:
    """Return the bytes of a value in each role [B]; training computes with copies of 16 bits at least."""
    r = roles(precision)
    gradient = r.copy if r.gradient is None else r.gradient
    return Sizes(r.activation, r.weight, r.cache, r.copy, gradient, r.state, r.table)
