"""Files that are parts of one run: what one says above its steps holds for the others, which began without it."""

from __future__ import annotations

from collections.abc import Sequence

from mlsysim.calibration.logs.log import Log, Reading
from mlsysim.results import Note


def completed(logs: Sequence[Log]) -> list[Log]:
    """Return the logs, with what a step holds where only another file of the same program says it.

    A run that was resumed and cut where it starts again has its header in the first part alone.
    """
    said: dict[str, Reading] = {}
    for log in logs:
        for reading in _of_program(log):
            if reading.tokens or "batch_size" in reading.conditions:
                said.setdefault(log.format, reading)
    return [_completed(log, said[log.format]) if log.format in said else log for log in logs]


def _of_program(log: Log) -> tuple[Reading, ...]:
    """Return the steps of a log where a program wrote it; a table says all that its author meant to say."""
    steps = len(log.readings) == 1 and log.readings[0].steps and log.readings[0].phase == "training"
    return log.readings if steps and log.setup.engine else ()


def _completed(log: Log, known: Reading) -> Log:
    for reading in _of_program(log):
        if not reading.tokens and "batch_size" not in reading.conditions:
            more = reading._replace(conditions={**known.conditions, **reading.conditions}, tokens=known.tokens)
            message = "a file does not say what a step holds: taken from the other file of the same program, which does"
            return log._replace(readings=(more,), notes=(*log.notes, Note("batch-unknown", message)))
    return log
