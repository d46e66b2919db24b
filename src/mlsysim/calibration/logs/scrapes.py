"""Scrapes of a server's ``/metrics``: sums of what it exports, and what they grew by from one to the next.

A scrape does not say when it was made. Three things may tell: a first line ``# scraped_at`` with Unix seconds, stamps
beside the samples (as ``/federate`` of Prometheus writes them), or the time of the file.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue

_SAMPLE = re.compile(r"(vllm|sglang):(\w+)(?:\{(.*)\})?\s+(\S+)(?:\s+(\d{10,}))?$")
_STARTED = re.compile(r"process_start_time_seconds\s+(\S+)")
_STAMP = re.compile(r"#\s*scraped_at\s+([\d.]+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_GROWING = ("_total", "_sum", "_count")


class Scrape(NamedTuple):
    """The sums over engines of what a server exports, and who it is. Times are Unix seconds."""

    source: Source
    values: dict[str, float]
    engine: str
    model: str
    engines: int
    started: float | None
    time: float
    told: bool


def scrape(source: Source) -> Scrape:
    """Return one scrape.

    Raises
    ------
    InvalidValue
        It is of several models.
    """
    values: dict[str, float] = defaultdict(float)
    models: dict[str, int] = {}
    engines: set[tuple[str, ...]] = set()
    engine = ""
    started: float | None = None
    time: float | None = None
    for number, line in source.lines():
        text = line.decode("utf-8", "replace").strip()
        if match := _STAMP.match(text) or _STARTED.match(text):
            found = _float(match[1])
            time, started = (found, started) if text.startswith("#") else (time, found)
            continue
        match = _SAMPLE.match(text)
        value = _float(match[4]) if match else None
        if match is None or value is None or match[2].endswith(("_bucket", "_created")):
            continue
        engine, labels = match[1], dict(_LABEL.findall(match[3] or ""))
        values[match[2]] += value
        if "generation_tokens" in match[2] and value > 0 and labels.get("model_name"):
            models.setdefault(labels["model_name"], number)
            engines.add(tuple(labels.get(name, "") for name in ("engine", "dp_rank")))
        if match[5] and time is None:
            time = float(match[5]) / 1e3
    if len(models) > 1:
        (first, _), (second, line_of) = list(models.items())[:2]
        hint = "calibrate each by itself"
        raise InvalidValue(f"{source.path}, line {line_of}: model_name", f"{first!r}, as before it", second, hint)
    told = time is not None
    shown = time if time is not None else source.path.stat().st_mtime
    return Scrape(source, values, engine, next(iter(models), ""), max(1, len(engines)), started, shown, told)


def _float(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if abs(found) < float("inf") else None


def refuse_different(scrapes: Sequence[Scrape]) -> None:
    """Refuse scrapes of several runs or models, and counters and clocks that go backwards."""
    for before, after in pairwise(scrapes):
        where = str(after.source.path)
        if before.model and after.model and before.model != after.model:
            raise InvalidValue(
                "log", f"scrapes of one model ({before.model!r})", after.model, "calibrate each by itself"
            )
        if before.started and after.started and abs(before.started - after.started) > 1:
            rule = "a scrape of the same run as the one before it"
            raise InvalidValue("log", rule, where, "process_start_time_seconds differs: the server was restarted")
        if before.told and after.told and after.time <= before.time:
            rule = f"made after the scrape that had generated less ({before.source.path})"
            raise InvalidValue(f"{where}: scraped_at", rule, after.time, "the clock goes backwards")
        for name, value in before.values.items():
            if name.endswith(_GROWING) and after.values.get(name, 0.0) < value:
                rule = f"at least {value:g}, as in {before.source.path}"
                hint = "a counter only grows: the server was restarted, or these are different servers"
                raise InvalidValue(f"{where}: {name}", rule, after.values.get(name, 0.0), hint)


class Growth:
    """What counters and histograms grew by between two scrapes."""

    def __init__(self, before: Mapping[str, float], after: Mapping[str, float]) -> None:
        self._before, self._after = before, after

    def of(self, name: str) -> float:
        """Return the growth of a counter, 0 where there is none."""
        return self._after.get(name, 0.0) - self._before.get(name, 0.0)

    def mean(self, *names: str) -> float | None:
        """Return the mean of the first of these histograms that grew, None where none did."""
        for name in names:
            if self.of(f"{name}_count") > 0:
                return self.of(f"{name}_sum") / self.of(f"{name}_count")
        return None
