"""Scrapes of a server's ``/metrics``: what its counters and histograms grew by from one to the next.

Names from vLLM 0.33.0, ``vllm/v1/metrics/loggers.py`` (``PrometheusStatLogger``) and ``perf.py``
(``PerfMetricsProm``), and SGLang 0.5.23, ``sglang/srt/observability/metrics_collector.py``. ``prometheus_client`` ends
the name of a counter with ``_total``. vLLM before 0.11 named its histogram of times between tokens
``time_per_output_token_seconds``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

from mlsysim.calibration.logs.log import LeftOut, Log, Reading
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.records import Unusable
from mlsysim.calibration.logs.scrapes import Growth, Scrape, refuse_different, scrape
from mlsysim.calibration.logs.serving import AMONG_PREFILLS
from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue
from mlsysim.results import Note
from mlsysim.setup import Setup
from mlsysim.units import si

_ITL = ("inter_token_latency_seconds", "time_per_output_token_seconds")
_PROMPT = ("request_prompt_tokens", "prompt_tokens_histogram")
_OUTPUT = ("request_generation_tokens", "generation_tokens_histogram")
_FLOPS = "estimated_flops_per_gpu_total"
_WHOLE_LIFE = Note(
    "since-start",
    "one scrape holds the means since the server started, warm-up included: two, before and after a steady load, and"
    " both given, tell what happened in between",
)
_HOW = 'scrape twice under load: (echo "# scraped_at $(date +%s.%N)"; curl -s localhost:8000/metrics) > first.txt'
_RUNNING = ("num_requests_running", "num_running_reqs")
_PURE, _ALONE = 0.05, 1.05


def read(name: str, source: Source) -> Log:
    """Return the readings of one scrape: means since the server started."""
    return read_several(name, [source])


def read_several(name: str, sources: Sequence[Source]) -> Log:
    """Return the readings of each interval between scrapes, which are put in order by what had been generated.

    Raises
    ------
    InvalidValue
        Scrapes of different runs or models, a counter that went backwards, or nothing that can be used.
    """
    scrapes = sorted((scrape(source) for source in sources), key=lambda s: s.values.get("generation_tokens_total", 0.0))
    refuse_different(scrapes)
    last = scrapes[-1]
    nothing = last._replace(values={})
    pairs = list(pairwise(scrapes)) if len(scrapes) > 1 else [(nothing, last)]
    readings: list[Reading] = []
    notes: list[Note] = [] if len(scrapes) > 1 else [_WHOLE_LIFE]
    left_out = []
    for number, (before, after) in enumerate(pairs, 1):
        label = f"scrape {number} to {number + 1}" if len(scrapes) > 1 else "since the server started"
        try:
            found, more = _interval(before, after, label)
        except Unusable as reason:
            left_out.append(LeftOut(0, f"{label}: {reason}"))
            continue
        readings += found
        notes += more
    if not readings:
        raise InvalidValue("log", "scrapes between which tokens were generated", str(last.source.path), _why(left_out))
    setup = Setup(last.engine, dp=last.engines if last.engines > 1 else 0)
    return Log(name, tuple(readings), last.model, "", setup, tuple(left_out), tuple(dict.fromkeys(notes)))


def _why(left_out: list[LeftOut]) -> str:
    return "; ".join([*(part.reason for part in left_out[:3]), _HOW])


def _interval(before: Scrape, after: Scrape, label: str) -> tuple[list[Reading], list[Note]]:
    growth = Growth(before.values, after.values)
    made, taken = growth.of("generation_tokens_total"), growth.of("prompt_tokens_total")
    step_s = growth.mean(*_ITL)
    if made <= 0:
        raise Unusable("generation_tokens_total did not grow: no token was generated")
    if not step_s:
        raise Unusable(f"{_ITL[0]} did not grow: no time between tokens was observed")
    if growth.of("spec_decode_num_drafts_total") > 0 or growth.of("spec_verify_calls_total") > 0:
        raise Unusable("speculative decoding: a token's time is not a step's; measure without drafts")
    seconds, clock = _seconds(before, after)
    batch, more = _batch(growth, before, after, step_s, seconds)
    prompt, output = growth.mean(*_PROMPT), growth.mean(*_OUTPUT)
    conditions: dict[str, object] = {"batch_size": batch}
    if prompt and output:
        conditions["context"] = max(1, round(prompt + output / 2))
    readings = [Reading("decode", "time_s", (step_s,), conditions, label=label)]
    notes = [AMONG_PREFILLS] if batch > 1 else []
    notes += more
    readings += _prefill(growth, batch, prompt, label)
    flops = growth.of(_FLOPS) / after.engines
    if flops > 0 and seconds:
        found, note = _flops(flops / seconds, made, taken, after.engine, prompt, label)
        readings += found
        notes += [note, *clock]
    elif after.engine == "sglang":
        notes += clock
    return readings, notes


def _batch(
    growth: Growth, before: Scrape, after: Scrape, step_s: float, seconds: float | None
) -> tuple[int, list[Note]]:
    """Return the sequences in decode at once, of all engines.

    vLLM counts its steps: tokens generated over steps. SGLang does not: Little's law over a time that the scrapes
    tell, else the requests that ran when they were made, and the times of the files only where none did.
    """
    decoded, steps = _decoded(growth), growth.of("iteration_tokens_total_count")
    if steps > 0:
        return max(1, round(decoded / steps * after.engines)), []
    if not before.values:
        raise Unusable("one scrape does not tell how many requests were in decode: two are needed")
    running = [s.values[name] for s in (before, after) for name in _RUNNING if s.values.get(name)]
    told = before.told and after.told
    if seconds and (told or not running):
        return max(1, round(decoded / seconds * step_s)), []
    if not running:
        raise Unusable("neither steps nor a time between scrapes: how many requests were in decode is not known")
    note = Note("batch-from-gauge", "the batch is the number of requests that ran when the scrapes were made")
    return max(1, round(sum(running) / len(running))), [note]


def _decoded(growth: Growth) -> float:
    """Return the tokens that decode steps made: one for each time between tokens."""
    return next((n for n in (growth.of(f"{name}_count") for name in _ITL) if n > 0), 0.0)


def _seconds(before: Scrape, after: Scrape) -> tuple[float | None, list[Note]]:
    """Return the time between two scrapes [s], and what it was taken from where that was a guess."""
    if not before.values:
        return None, []
    if before.told and after.told:
        return after.time - before.time, []
    between = after.time - before.time
    if before.told or after.told or between <= 0.5:
        return None, []
    message = (
        f"the scrapes do not say when they were made: the times of the files are {si(between, 's')} apart, and that is"
        " taken; a first line '# scraped_at' with the output of date +%s.%N says it"
    )
    return between, [Note("time-from-files", message)]


def _prefill(growth: Growth, batch: int, prompt: float | None, label: str) -> list[Reading]:
    """Return the reading of prefills where requests ran one by one and no prompt was found in the cache."""
    seconds, computed = growth.mean("request_prefill_time_seconds"), growth.mean("request_prefill_kv_computed_tokens")
    steps = growth.of("iteration_tokens_total_count")
    alone = steps > 0 and _decoded(growth) / steps < _ALONE
    if batch > 1 or not alone or not (seconds and prompt) or (computed is not None and computed < 0.95 * prompt):
        return []
    found = {"batch_size": 1, "seq_len": max(1, round(prompt))}
    return [Reading("forward", "time_s", (seconds,), found, label=label)]


def _flops(
    rate: float, made: float, taken: float, engine: str, prompt: float | None, label: str
) -> tuple[list[Reading], Note]:
    """Return the server's own rate of FLOPs as a reading where nothing else was measured of it, and a note on it.

    That is so of a time in which prompts were taken in and next to nothing was generated.
    """
    phase = "decode" if taken <= _PURE * (taken + made) else "forward" if made <= _PURE * (taken + made) else ""
    own = "vLLM" if engine == "vllm" else "SGLang"
    counts = f"{taken:,.0f} prompt and {made:,.0f} generated tokens"
    message = f"{label}: by {own}'s own count {si(rate, 'FLOP/s')} a device, {counts}"
    if not phase:
        message += "; both phases are in it, so that it is the eta of neither"
    if phase == "decode":
        message += "; eta is from the times between tokens"
    note = Note("own-count-of-flops", message)
    if phase != "forward":
        return [], note
    conditions: dict[str, object] = {"seq_len": max(1, round(prompt))} if prompt else {}
    if engine == "vllm":
        conditions["convention"] = "full-attention"
    label = f"{label}, {own}'s count"
    return [Reading(phase, "achieved_flops", (rate,), conditions, per_device=True, label=label)], note


def _of(engine: str) -> Callable[[Source], bool]:
    def recognises(source: Source) -> bool:
        return re.search(rf"^(# (HELP|TYPE) )?{engine}:\w+", source.head, re.M) is not None

    return recognises


FORMATS = tuple(
    Format(f"{name} /metrics", f"lines such as '{engine}:generation_tokens_total{{...}} 1234'", _of(engine), one, many)
    for name, engine, one, many in (
        ("vLLM", "vllm", partial(read, "vLLM /metrics"), partial(read_several, "vLLM /metrics")),
        ("SGLang", "sglang", partial(read, "SGLang /metrics"), partial(read_several, "SGLang /metrics")),
    )
)
