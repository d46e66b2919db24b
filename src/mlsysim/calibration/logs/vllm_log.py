"""What a vLLM server prints: throughput every ten seconds, iterations one by one, and its own count of FLOPs.

Texts from vLLM 0.33.0, ``vllm/v1/metrics/loggers.py`` (``LoggingStatLogger.log``, ``_log_iteration_details``, printed
with ``--enable-logging-iteration-details``), ``v1/metrics/perf.py`` (``PerfMetricsLogging.log``, printed with
``--enable-mfu-metrics``), ``v1/engine/core.py`` and ``config/vllm.py`` (the line of its configuration); ``logger.py``
stamps lines ``%m-%d %H:%M:%S``. ``TF/s/GPU`` of earlier versions is ``TF/s/device`` there. Its count of FLOPs takes
attention over all pairs in a prefill (``perf.py``, ``prefill_token_context_product``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from mlsysim.calibration.logs.engine_log import Interval, Intervals, engine_log, steady
from mlsysim.calibration.logs.log import NOTHING, Log
from mlsysim.calibration.logs.quantization import engine_precision
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.records import count, model_name
from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue
from mlsysim.setup import Setup

NAME = "vLLM server log"
_NUMBER = r"(-?\d+(?:\.\d+)?|nan|inf)"
_THROUGHPUT = re.compile(
    rf"Avg prompt throughput: {_NUMBER} tokens/s, Avg generation throughput: {_NUMBER} tokens/s, Running: (\d+) reqs"
)
_ITERATION = re.compile(
    r"Iteration\((\d+)\): (\d+) context requests, (\d+) context tokens, (\d+) generation requests,"
    rf" (\d+) generation tokens, iteration elapsed time: {_NUMBER} ms( \(dummy\))?"
)
_MFU = re.compile(rf"MFU: {_NUMBER} TF/s/(?:GPU|device)")
_USAGE = re.compile(r"(?:GPU|CPU|\w+) KV cache usage: (\d+(?:\.\d+)?)%")
_ROOM = re.compile(r"KV cache size: ([\d,]+) tokens")
_START = re.compile(r"Initializing a V\d LLM engine \(v([^)]+)\) with config: (.*)")
_ENGINE = re.compile(r"Engine (\d+): ")
_TOGETHER = re.compile(r"(\d+) Engines Aggregated: ")
_STAMP = re.compile(r"(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)")
_TOLD = (b"tokens/s", b"Iteration(", b"MFU: ", b"KV cache size", b" LLM engine (v")
_PURE = 0.05
"""Share of other tokens up to which a count of FLOPs is taken for one phase."""


class _Reader:
    """Reads a log line by line."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.model, self.setup, self.precision = "", Setup("vllm"), ""
        self.room: float | None = None
        self.engines = 1
        self._running: dict[str, int] = {}
        self._tokens: dict[str, tuple[float, float, int, float | None]] = {}
        self._started, self._year, self._last = False, 2000, 0.0
        path = source.path
        self.throughput = Intervals(path, "decode", "throughput", "", unit="tokens/s")
        self.iterations = Intervals(path, "decode", "time_s", ", iterations")
        self.flops = {
            phase: Intervals(path, phase, "achieved_flops", ", vLLM's own count of FLOPs", counted, per_device=True)
            for phase, counted in (("decode", NOTHING), ("forward", {"convention": "full-attention"}))
        }

    def line(self, number: int, text: str) -> None:
        """Take one line."""
        for pattern, take in _TAKERS:
            if match := pattern.search(text):
                engine = found[1] if (found := _ENGINE.search(text)) else ""
                take(self, number, match, text, engine)
                return

    def start(self, number: int, match: re.Match[str], _text: str, _engine: str) -> None:
        """Take the line in which an engine tells its configuration."""
        config = match[2]

        def field(name: str) -> str:
            found = re.search(rf"\b{name}=('[^']*'|[^,]*)", config)
            return found[1].strip("'") if found else ""

        model = model_name(field("model"))
        if self._started and (model != self.model or self._running):
            rule = "the log of one run (an engine had started before)"
            hint = "cut the log where an engine starts"
            raise InvalidValue(f"{self.source.path}, line {number}: engine", rule, model, hint)
        self._started, self.model = True, model
        degrees = (count(field(f"{kind}_parallel_size")) for kind in ("tensor", "pipeline", "data"))
        tp, pp, dp = degrees
        self.setup = Setup("vllm", match[1], tp=tp, pp=pp, dp=dp)
        self.precision = engine_precision(field("quantization"), field("dtype"), field("kv_cache_dtype"))

    def size(self, _number: int, match: re.Match[str], _text: str, _engine: str) -> None:
        """Take the line that tells how many tokens the cache has room for."""
        self.room = float(match[1].replace(",", ""))

    def rates(self, number: int, match: re.Match[str], text: str, engine: str) -> None:
        """Take a line of throughput."""
        if together := _TOGETHER.search(text):
            self.engines = int(together[1])
        taken, made, running = float(match[1]), float(match[2]), int(match[3])
        clock, held = self._clock(text), self._held(text)
        same = steady(running, self._running.get(engine))
        self._tokens[engine] = (taken, made, running if same else 0, held)
        self._running[engine] = running
        if made != 0.0 and running and same:
            self.throughput.add(Interval(number, made, running, taken == 0.0, held, clock))

    def iteration(self, number: int, match: re.Match[str], text: str, _engine: str) -> None:
        """Take a line of one iteration; those with a prefill are of another kind."""
        prefills, running = int(match[2]), int(match[4])
        if not prefills and running and not match[7] and int(match[5]) == running:
            clock = self._clock(text)
            self.iterations.add(Interval(number, float(match[6]) / 1e3, running, True, self._held(text), clock))

    def counted(self, number: int, match: re.Match[str], text: str, engine: str) -> None:
        """Take a count of FLOPs, which belongs to the line of throughput before it."""
        taken, made, running, held = self._tokens.pop(engine, (0.0, 0.0, 0, None))
        total = taken + made
        if not running or not total:
            return
        phase = "decode" if taken <= _PURE * total else "forward" if made <= _PURE * total else ""
        if phase:
            value = float(match[1]) * 1e12
            self.flops[phase].add(Interval(number, value, running, True, held, self._clock(text)))

    def _held(self, text: str) -> float | None:
        usage = _USAGE.search(text)
        return float(usage[1]) / 100 * self.room * self.engines if usage and self.room else None

    def _clock(self, text: str) -> float | None:
        """Return the seconds of a stamp without a year; a December before a January is of the year before."""
        stamp = _STAMP.search(text)
        if stamp is None:
            return None
        try:
            month, day, hour, minute, second = (int(part) for part in stamp.groups())
            now = datetime(self._year, month, day, hour, minute, second).timestamp()
            if self._last - now > 300 * 86400:
                self._year += 1
                now = datetime(self._year, month, day, hour, minute, second).timestamp()
        except ValueError:
            return None
        self._last = max(self._last, now)
        return now

    def log(self) -> Log:
        """Return what was read; lines are of one engine, or of all together where they say so."""
        devices = max(1, self.setup.tp) * max(1, self.setup.pp) * self.engines
        conditions: dict[str, object] = {"devices": devices} if devices > 1 else {}
        if self.precision:
            conditions["precision"] = self.precision
        kinds = [self.throughput, self.iterations, self.flops["decode"], self.flops["forward"]]
        return engine_log(self.source, NAME, kinds, conditions, self.model, self.setup._replace(dp=self.engines))


_TAKERS: tuple[tuple[re.Pattern[str], Callable[[_Reader, int, re.Match[str], str, str], None]], ...] = (
    (_THROUGHPUT, _Reader.rates),
    (_ITERATION, _Reader.iteration),
    (_MFU, _Reader.counted),
    (_ROOM, _Reader.size),
    (_START, _Reader.start),
)


def read(source: Source) -> Log:
    """Return the readings of a vLLM server's log, one for each number of requests that ran at once."""
    reader = _Reader(source)
    for number, line in source.lines():
        if any(told in line for told in _TOLD):
            reader.line(number, line.decode("utf-8", "replace"))
    return reader.log()


def _recognises(source: Source) -> bool:
    return any(p.search(source.head) for p in (_THROUGHPUT, _ITERATION, _START))


FORMATS = (
    Format(
        NAME, "lines such as 'Avg prompt throughput: ... tokens/s, Avg generation throughput: ...'", _recognises, read
    ),
)
