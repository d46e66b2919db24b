"""A loop of one's own, timed step by step: marks and nothing more while it runs, a calibration afterwards."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from threading import get_ident
from time import perf_counter
from types import TracebackType
from typing import Any, Self, Unpack

from mlsysim.calibration.calibration import Calibration
from mlsysim.calibration.live.calibrated import calibrated
from mlsysim.calibration.live.marks import Marks, log_of
from mlsysim.calibration.logs.log import Log
from mlsysim.errors import InvalidValue
from mlsysim.hardware import HardwareSpec
from mlsysim.models import ModelSpec
from mlsysim.scenario import Scenario
from mlsysim.units import si
from mlsysim.workload import Modified, model_of

CALIBRATION = "calibration"
"""What a step contains in which the run was calibrated while it went on."""


def measure(
    model: ModelSpec | str,
    hardware: HardwareSpec | str,
    *,
    phase: str | None = None,
    batch_size: int | None = None,
    seq_len: int | None = None,
    context: int | None = None,
    precision: str | None = None,
    devices: int | None = None,
    overhead_s: float | str | None = None,
    synchronize: Callable[[], object] | None = None,
    **modified: Unpack[Modified],
) -> Run:
    """Time the steps of a loop and turn them into eta: ``with measure(...) as run: ...; run.step(tokens=n)``.

    All that is stated is checked here, before the loop has cost anything.

    Parameters
    ----------
    model, hardware, phase, batch_size, seq_len, context, precision, devices, modified
        As for :meth:`Engine.solve`. A batch size that is left out follows from what the steps say they hold.
    overhead_s
        As for :func:`calibrate`.
    synchronize
        Called before a step's end is marked, ``torch.cuda.synchronize`` for example. Left out, nothing waits for the
        accelerator: a mark is then when the host got there, and a series of them keeps the accelerator's pace
        wherever the host has to wait for it anyway (a loss that is printed, a full queue).

    Raises
    ------
    UsageError
        Fields that break a rule, all told at once.
    """
    if synchronize is not None and not callable(synchronize):
        hint = "torch.cuda.synchronize, without parentheses"
        raise InvalidValue("synchronize", "a function that waits for the accelerator", synchronize, hint)
    asked: dict[str, Any] = {
        "model": model,
        "hardware": hardware,
        "phase": phase,
        "batch_size": batch_size,
        "seq_len": seq_len,
        "context": context,
        "precision": precision,
        "devices": devices,
        **modified,
    }
    scenario = Scenario.of(**asked)
    return Run(scenario, {**asked, "model": model_of(model), "overhead_s": overhead_s}, synchronize)


class Run:
    """A loop that is timed. Make one with :func:`measure`, open it with ``with``, and mark the end of each step.

    A run belongs to the thread that opened it, and is opened once. An exception in the block passes through; what was
    measured before it stays.
    """

    def __init__(self, scenario: Scenario, asked: dict[str, Any], synchronize: Callable[[], object] | None) -> None:
        self.scenario = scenario
        self._asked = asked
        self._synchronize = synchronize
        self._thread: int | None = None
        self._opened = False
        self._clocks = array("d")
        self._counts: list[Any] = []
        self._kind: str | None = None
        self._odd: dict[int, str] = {}
        self._pauses: dict[int, str] = {}

    def __enter__(self) -> Self:
        if self._opened:
            raise InvalidValue("run", "opened once", "a second time", "call mlsysim.measure again for another run")
        self._opened, self._thread = True, get_ident()
        if self._synchronize is not None:
            self._synchronize()
        self._clocks.append(perf_counter())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread = None

    def step(self, *, tokens: Any = None, samples: Any = None) -> None:
        """Mark the end of a step.

        Parameters
        ----------
        tokens, samples
            What the step processed, all devices together; one of them, or neither where every step is one of the
            question. A tensor is taken as it is and read after the run, so that nothing waits for it.

        Raises
        ------
        InvalidValue
            Called outside the block or from another thread; both or the wrong one of ``tokens`` and ``samples``. A
            number that no step can have is no error here: that step is left out, and the calibration says so.
        """
        if self._synchronize is not None:
            self._synchronize()
        now = perf_counter()
        if self._thread != get_ident():
            self._refuse("run.step")
        kind = "tokens" if tokens is not None else "samples" if samples is not None else ""
        if kind != self._kind:
            self._changed(kind, tokens)
        if tokens is not None and samples is not None:
            raise InvalidValue("samples", "left out where tokens is given", samples)
        self._clocks.append(now)
        self._counts.append(samples if tokens is None else tokens)

    def pause(self, what: str) -> None:
        """Say what has just happened that the next step's time will contain: ``evaluation``, ``checkpoint``.

        Such steps are set apart from the steady ones.

        Raises
        ------
        InvalidValue
            Called outside the block or from another thread, or without a word.
        """
        if self._thread != get_ident():
            self._refuse("run.pause")
        if not isinstance(what, str) or not what.strip():
            raise InvalidValue("what", "a word for what happened, such as 'evaluation'", what)
        self._pauses[len(self._counts)] = what

    @property
    def steps(self) -> int:
        """Return how many steps were marked so far."""
        return len(self._counts)

    @property
    def log(self) -> Log:
        """Return what was measured so far, as a log that was read.

        Raises
        ------
        InvalidValue
            Too few steps for an interval.
        """
        return log_of(self._marks(), self.scenario)

    @property
    def calibration(self) -> Calibration:
        """Return eta of the run so far; see :meth:`calibrate`."""
        return self.calibrate()

    def calibrate(self, **changes: Any) -> Calibration:
        """Return eta of the run so far; ``changes`` replace what was stated at its start.

        Raises
        ------
        InvalidValue
            Too few steps for an interval.
        ImpossibleMeasurement
            eta above 1 or above the roofline ceiling; its ``causes`` say what would explain it.
        UsageError
            Changes that break a rule.
        """
        if self._thread == get_ident():
            self._pauses[len(self._counts)] = CALIBRATION
        asked = {**self._asked, **changes}
        scenario = Scenario.of(**{name: value for name, value in asked.items() if name != "overhead_s"})
        return calibrated(log_of(self._marks(), scenario), **asked)

    def _marks(self) -> Marks:
        return Marks(tuple(self._clocks), tuple(self._counts), self._kind or "", self._odd, self._pauses)

    def __repr__(self) -> str:
        s = self.scenario
        clocks = self._clocks
        lasted = f", {si(clocks[-1] - clocks[0], 's')}" if self._counts else ""
        return f"<Run {s.model.name} {s.phase} on {s.devices} x {s.hardware.name}: {len(self._counts)} steps{lasted}>"

    def _changed(self, kind: str, tokens: Any) -> None:
        """Take the first step's kind for all; one that differs later is left out, for a run may be hours old."""
        if self._kind is None:
            if kind == "tokens" and not self.scenario.work().unit.startswith("token"):
                hint = f"it takes {self.scenario.work().unit}: use samples"
                raise InvalidValue("tokens", f"left out for {self.scenario.model.name}", tokens, hint)
            self._kind = kind
        else:
            named = kind or "neither tokens nor samples"
            self._odd[len(self._counts)] = f"it states {named}, where the first step stated {self._kind or 'neither'}"

    def _refuse(self, what: str) -> None:
        if not self._opened:
            raise InvalidValue(what, "called inside `with measure(...) as run:`", "a call before it")
        if self._thread is None:
            raise InvalidValue(what, "called inside `with measure(...) as run:`", "a call after it")
        hint = "open a run of its own in each thread"
        raise InvalidValue(what, "called from the thread that opened the run", "a call from another", hint)
