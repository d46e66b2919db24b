"""What an SGLang server prints: a line every so many decode steps, and one for each batch of prefills.

Texts from SGLang 0.5.23, ``sglang/srt/managers/scheduler_components/metrics_reporter.py`` (``report_decode_stats``,
``report_prefill_stats``), ``pool_stats_observer.py`` beside it, and ``srt/debug_utils/log_parser.py`` (the stamp and
ranks before them). The throughput is that since the line before, prefills in between included.
"""

from __future__ import annotations

import re
from datetime import datetime

from mlsysim.calibration.logs.engine_log import Interval, Intervals, engine_log, steady
from mlsysim.calibration.logs.log import Log
from mlsysim.calibration.logs.quantization import engine_precision
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.records import count, model_name
from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue
from mlsysim.setup import Setup

NAME = "SGLang server log"
_DECODE = re.compile(r"Decode batch[^#]*#running-req: (\d+)")
_RATE = re.compile(r"gen throughput \(token/s\): (\d+(?:\.\d+)?|nan|inf)")
_TOKENS = re.compile(r"#(?:full )?token: (\d+)")
_ACCEPTED = re.compile(r"accept len: (\d+(?:\.\d+)?)")
_FLOPS = re.compile(r"est\. decode TFLOPS/s \(per GPU\): (\d+(?:\.\d+)?)")
_STAMP = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)([^\]]*)\]")
_ARGS = re.compile(r"server_args=ServerArgs\((.*)")
_TOLD = (b"Decode batch", b"Prefill batch", b"server_args=ServerArgs(")


def read(source: Source) -> Log:
    """Return the readings of an SGLang server's log, one for each number of requests that ran at once."""
    rates = Intervals(source.path, "decode", "throughput", "", unit="tokens/s")
    flops = Intervals(source.path, "decode", "achieved_flops", ", SGLang's own count of FLOPs", per_device=True)
    model, setup = "", Setup("sglang")
    conditions: dict[str, object] = {}
    filled: dict[str, bool] = {}
    running: dict[str, int] = {}
    for number, line in source.lines():
        if not any(told in line for told in _TOLD):
            continue
        text = line.decode("utf-8", "replace")
        if args := _ARGS.search(text):
            if running:
                rule = "the log of one run (a server had started before)"
                hint = "cut the log where a server starts"
                raise InvalidValue(f"{source.path}, line {number}: server", rule, "another start", hint)
            model, setup, conditions = _stated(args[1])
            continue
        stamp = _STAMP.search(text)
        rank = stamp[2] if stamp else ""
        match, rate = _DECODE.search(text), _RATE.search(text)
        if match is None or rate is None:
            filled[rank] = filled.get(rank, False) or "Prefill batch" in text
            continue
        now, pure = int(match[1]), not filled.pop(rank, False)
        same = steady(now, running.get(rank))
        running[rank] = now
        accepted = _ACCEPTED.search(text)
        if accepted and float(accepted[1]) > 1:
            rates.leave_out(number, "speculative decoding: a token's time is not a step's; measure without drafts")
            continue
        if not same:
            continue
        held = _TOKENS.search(text)
        clock = _clock(stamp[1]) if stamp else None
        point = Interval(number, float(rate[1]), now, pure, float(held[1]) if held else None, clock)
        rates.add(point)
        counted = _FLOPS.search(text)
        if counted and pure and float(counted[1]) > 0:
            flops.add(point._replace(value=float(counted[1]) * 1e12))
    return engine_log(source, NAME, [rates, flops], conditions, model, setup)


def _clock(stamp: str) -> float | None:
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return None


def _stated(args: str) -> tuple[str, Setup, dict[str, object]]:
    """Return model, setup and conditions that a server states when it starts."""

    def field(name: str) -> str:
        found = re.search(rf"\b{name}=('[^']*'|[^,)]*)", args)
        value = found[1].strip("'") if found else ""
        return "" if value == "None" else value

    tp, pp, dp, ep = (count(field(f"{kind}_size")) for kind in ("tp", "pp", "dp", "ep"))
    devices = max(1, tp) * max(1, pp)
    conditions: dict[str, object] = {"devices": devices} if devices > 1 else {}
    precision = engine_precision(field("quantization"), field("dtype"), field("kv_cache_dtype"))
    if precision:
        conditions["precision"] = precision
    model = model_name(field("model_path"))
    return model, Setup("sglang", tp=tp, pp=pp, dp=dp, ep=ep), conditions


FORMATS = (
    Format(
        NAME,
        "lines such as 'Decode batch, #running-req: 8, ... gen throughput (token/s): ...'",
        lambda source: _DECODE.search(source.head) is not None or _ARGS.search(source.head) is not None,
        read,
    ),
)
