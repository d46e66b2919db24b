"""Callbacks that time a trainer's own steps: ``HuggingFaceCallback`` and ``LightningCallback``.

Neither library is imported before its class is asked for. Hooks and fields are those of transformers 5.24 and 4.57.1
(``trainer_callback.py``, ``trainer.py``, ``training_args.py``) and of lightning 2.6 (``pytorch/callbacks/callback.py``,
``pytorch/loops/training_epoch_loop.py``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from mlsysim.calibration.calibration import Calibration
from mlsysim.calibration.live.run import Run, measure
from mlsysim.calibration.live.trainers import lightning_facts, numbers_in, transformers_facts
from mlsysim.errors import InvalidValue, MissingExtra, MlsysimError
from mlsysim.scenario import hardware_of
from mlsysim.units import si
from mlsysim.workload.named import model_of

EVALUATION, CHECKPOINT, EPOCH = "evaluation", "checkpoint", "start of an epoch"


class Timed:
    """What both callbacks are: a run that a trainer's hooks open, mark and close.

    Parameters
    ----------
    hardware
        The device that is trained on, a name or a spec.
    model
        The model, a name or a spec; left out, that of the trainer's model where it has a ``config``.
    synchronize
        As for :func:`mlsysim.measure`: nothing waits for the accelerator unless it is given.
    stated
        Other fields of the question (``seq_len``, ``precision``, ``devices``, ``recompute``, ...), each in place of
        what the trainer says.
    """

    def __init__(
        self,
        hardware: Any,
        model: Any = None,
        *,
        synchronize: Callable[[], object] | None = None,
        **stated: Any,
    ) -> None:
        self._hardware = hardware_of(hardware)
        self._model = None if model is None else model_of(model)
        self._synchronize = synchronize
        self._stated = {"phase": "training", **stated}
        self.run: Run | None = None

    @property
    def calibration(self) -> Calibration:
        """Return eta of the training so far.

        Raises
        ------
        InvalidValue
            No training has begun, or it had too few steps for an interval.
        ImpossibleMeasurement
            eta above 1 or above the roofline ceiling.
        """
        if self.run is None:
            raise InvalidValue("calibration", "asked for after training has begun", "no training")
        return self.run.calibrate(**self._seen())

    def _seen(self) -> dict[str, Any]:
        """Return what only the steps could tell of the question."""
        return {}

    def _open(self, facts: dict[str, Any]) -> None:
        """Begin a run with what was stated and, where it was not, what the trainer says."""
        question = {"model": self._model, **self._stated}
        asked = {**facts, **{name: value for name, value in question.items() if value is not None}}
        if asked.get("model") is None:
            hint = "the trainer's model has no config that says what it is"
            raise InvalidValue("model", "given, a name or a spec", None, hint)
        self.run = measure(asked.pop("model"), self._hardware, synchronize=self._synchronize, **asked)
        self.run.__enter__()

    def _close(self, tell: bool) -> None:
        """End the run; where ``tell``, say in a line what was measured. No mistake here ends a training."""
        if self.run is None:
            return
        self.run.__exit__(None, None, None)
        if tell:
            try:
                print(f"mlsysim: {summary(self.run, self.calibration)}", file=sys.stderr)
            except MlsysimError as problem:
                print(f"mlsysim: no calibration of this training: {problem}", file=sys.stderr)

    def _pause(self, what: str) -> None:
        if self.run is not None:
            self.run.pause(what)


def summary(run: Run, found: Calibration) -> str:
    """Return in a line what was measured."""
    s, eta, step = run.scenario, found.efficiency, found.time_s
    return (
        f"{s.model.name} on {s.devices} x {s.hardware.name}, {run.steps} steps: {si(step.value, 's')} a step"
        f" ({si(step.low, 's')} to {si(step.high, 's')}), {si(found.throughput.value, found.unit)},"
        f" eta {eta.value:.3g} ({eta.low:.3g} to {eta.high:.3g}) of a ceiling of {found.ceiling:.3g}"
    )


class TransformersHooks(Timed):
    """The hooks of a ``transformers.TrainerCallback``: optimizer steps, evaluations, checkpoints, epochs."""

    _tokens = 0
    _counted = 0
    _batch = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Open the run: batch, precision and devices are the trainer's unless they were stated."""
        facts, tracked = transformers_facts(args, model, self._model is None)
        self._batch = int(self._stated.get("batch_size") or facts["batch_size"])
        self._tokens = self._counted = int(state.num_input_tokens_seen)
        self._tracked = tracked
        self._open(facts)
        assert self.run is not None
        unknown = "seq_len" in self.run.scenario.defaults and not tracked
        if unknown:
            self.run = None
            hint = "or set include_num_input_tokens_seen='all' in the training arguments, which counts tokens"
            raise InvalidValue("seq_len", "given, the tokens of a training sequence", None, hint)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the end of an optimizer step."""
        if self.run is None:
            return
        if not self._tracked:
            self.run.step(samples=self._batch)
            return
        seen = int(state.num_input_tokens_seen)
        self.run.step(tokens=seen - self._counted)
        self._counted = seen

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark that the next step's time contains an evaluation."""
        self._pause(EVALUATION)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark that the next step's time contains a checkpoint."""
        self._pause(CHECKPOINT)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark that the next step's time contains the start of an epoch."""
        if self.run is not None and self.run.steps:
            self._pause(EPOCH)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the run and say what was measured."""
        self._close(bool(state.is_world_process_zero))

    def _seen(self) -> dict[str, Any]:
        """Return the mean tokens of a sequence, where tokens were counted and no length was stated."""
        if self.run is None or not self.run.steps or not self._tracked or "seq_len" not in self.run.scenario.defaults:
            return {}
        return {"seq_len": max(1, round((self._counted - self._tokens) / (self.run.steps * self._batch)))}


class LightningHooks(Timed):
    """The hooks of a ``lightning.pytorch.Callback``: optimizer steps, validations, checkpoints, epochs.

    What a step holds is read from the shapes of its batches (``input_ids`` for a model of tokens, else the first
    tensor), times the processes that each take one of their own.
    """

    _held = 0
    _at = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Open the run."""
        self._held, self._at = 0, int(trainer.global_step)
        self._open(lightning_facts(trainer, pl_module, self._model is None))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Mark the end of a step where the optimizer took one: several batches may be accumulated."""
        if self.run is None:
            return
        tokens, samples = numbers_in(batch)
        by_tokens = tokens and self.run.scenario.work().unit.startswith("token")
        self._held += (tokens if by_tokens else samples) * trainer.world_size
        if trainer.global_step == self._at:
            return
        self._at = int(trainer.global_step)
        self.run.step(**({"tokens" if by_tokens else "samples": self._held} if self._held else {}))
        self._held = 0

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Mark that the next step's time contains a validation."""
        if not trainer.sanity_checking:
            self._pause(EVALUATION)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
        """Mark that the next step's time contains a checkpoint."""
        if trainer.training:
            self._pause(CHECKPOINT)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Mark that the next step's time contains the start of an epoch."""
        if self.run is not None and self.run.steps:
            self._pause(EPOCH)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Close the run and say what was measured."""
        self._close(bool(trainer.is_global_zero))

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Close the run; what was measured stays."""
        self._close(False)


_BASES = {
    "HuggingFaceCallback": (TransformersHooks, (("transformers", "TrainerCallback"),)),
    "LightningCallback": (
        LightningHooks,
        (("lightning.pytorch.callbacks", "Callback"), ("pytorch_lightning.callbacks", "Callback")),
    ),
}


def __getattr__(name: str) -> Any:
    """Make a callback's class when it is first asked for, on top of its library's own."""
    if name not in _BASES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    hooks, homes = _BASES[name]
    for module, base in homes:
        try:
            parent = getattr(import_module(module), base)
        except ImportError:
            continue
        made = type(name, (hooks, parent), {"__doc__": hooks.__doc__, "__module__": __name__})
        globals()[name] = made
        return made
    library = homes[0][0].partition(".")[0]
    raise MissingExtra(library, f"pip install {library}", name)
