"""Text logs of training: step lines of the programs in :mod:`mlsysim.calibration.logs.programs`."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterator
from statistics import median
from typing import Any

from mlsysim.calibration.logs.log import Log, Own, Reading
from mlsysim.calibration.logs.programs import PROGRAMS, Program
from mlsysim.calibration.logs.recognise import Format
from mlsysim.calibration.logs.source import HEAD_BYTES, Source
from mlsysim.calibration.logs.steps import Steps
from mlsysim.setup import Setup
from mlsysim.units import LARGEST

_RANK = re.compile(rb"^\s*(?:\[(?:rank|default)?(\d+)\]:?|(\d+):)\s*")
"""What torchrun (``[rank3]:``, ``[default3]:``) and srun -l (``3:``) put before a line."""
_QUANTITY = {"time_s": 1.0, "time_ms": 1e-3, "samples/s": 1.0, "tokens/s": 1.0}
_OWN = {"own_tflops": ("achieved_flops", 1e12), "own_mfu": ("efficiency", 1e-2)}
"""What a program's own count is, and its unit."""
_PLAN = ("tp", "pp", "dp", "cp", "ep", "zero", "micro_batch")
_DTYPES = {"torch.bfloat16": "bf16", "torch.float16": "fp16", "torch.half": "fp16", "torch.float32": "fp32"}
_PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "bf16": "bf16", "fp16": "fp16", "fp32": "fp32"}


class StepLines:
    """Takes the lines of one program, in order, and gives the log that they make.

    Lines of all ranks in one file are common: only those of the first rank that is seen are steps.
    """

    def __init__(self, program: Program, path: object) -> None:
        self.program = program
        self._field = next(name for name in program.fields if name in _QUANTITY)
        self._scale = _QUANTITY[self._field]
        self.steps = Steps(path, "time_s" if self._field.startswith("time") else "throughput")
        self._own = next((name for name in program.fields if name in _OWN), "")
        self._own_lines, self._own_values = array("q"), array("d")
        self._facts: dict[str, str] = {}
        self._rank: bytes | None = None
        self._points: dict[tuple[tuple[str, int], ...], dict[str, int]] = {}

    def take(self, number: int, line: bytes) -> None:
        """Take a line that holds the mark of a step, the word of a pause, or (before the first step) of a fact."""
        if self.program.mark in line:
            value, step = self._search(line, self._field), self._search(line, "step")
            if value is not None and step is not None:
                self._step(number, line, value, step)
                return
        for word, what in self.program.pauses:
            if word in line:
                self.steps.pause(what)
        if not self.steps.values:
            self._fact(line)

    def _step(self, number: int, line: bytes, value: float, step: float) -> None:
        rank = _RANK.match(line)
        rank_here = (rank[1] or rank[2]) if rank else b""
        self._rank = rank_here if self._rank is None else self._rank
        if rank_here != self._rank:
            self.steps.leave_out(number, "a line of another rank")
        elif self.program.fields[self._field].search(line).end() == len(line):  # type: ignore[union-attr]  # found
            self.steps.leave_out(number, "the log breaks off in a number")
        else:
            self.steps.add(number, value * self._scale, step=step, point=self._point(line))
            self._count(number, line)

    def _count(self, number: int, line: bytes) -> None:
        """Keep what the program counted itself of a step that is used."""
        used = self.steps.lines and self.steps.lines[-1] == number
        if used and self._own and (own := self._search(line, self._own)) and 0 < own < math.inf:
            self._own_lines.append(number)
            self._own_values.append(own)

    def _counted(self, reading: Reading) -> Reading:
        """Return a reading with the median of what the program counted itself in its steps."""
        values = self._own_values
        if len(reading.lines) < len(self.steps.lines):  # one of several points
            lines = set(reading.lines)
            own = zip(self._own_lines, values, strict=True)
            values = array("d", (value for line, value in own if line in lines))
        if not values:
            return reading
        quantity, unit = _OWN[self._own]
        return reading._replace(own=Own(self.program.name, quantity, median(values) * unit, self.program.mfu_of))

    def _point(self, line: bytes) -> dict[str, int]:
        found = ((name, self._search(line, name)) for name in ("batch_size", "seq_len") if name in self.program.fields)
        key = tuple((name, int(value)) for name, value in found if value is not None and 1 <= value <= LARGEST)
        return self._points.setdefault(key, dict(key))

    def _search(self, line: bytes, field: str) -> float | None:
        found = self.program.fields[field].search(line)
        try:
            return float(found[1].replace(b",", b"")) if found else None
        except ValueError:
            return None

    def _fact(self, line: bytes) -> None:
        for field, word, pattern in self.program.facts:
            if word in line and (found := pattern.search(line)):
                self._facts[field] = found[1].decode("utf-8", "replace")

    def log(self) -> Log:
        """Return what was read.

        Raises
        ------
        InvalidValue
            No step could be used.
        """
        facts = {k: v for k, v in self._facts.items() if v not in {"None", ""}}
        conditions = _conditions(facts)
        unit = self._field if "/" in self._field else ""
        more = {"per_device": self.program.per_device, "unit": unit}
        readings = tuple(map(self._counted, self.steps.readings("training", conditions, **more)))
        tokens = _number(facts.get("tokens"))
        if unit == "samples/s":
            readings = tuple(_as_time(r) for r in readings)
        elif tokens and "batch_size" not in conditions:
            rates = tuple(tokens / value for value in readings[0].values)
            readings = (readings[0]._replace(quantity="throughput", values=rates, unit="tokens/s", tokens=tokens),)
        plan: dict[str, Any] = {name: _number(facts[name]) for name in _PLAN if _number(facts.get(name))}
        return Log(
            self.program.name,
            readings,
            facts.get("model", ""),
            facts.get("hardware", ""),
            Setup(engine=self.program.engine, **plan),
            self.steps.left_out,
        )


def _conditions(facts: dict[str, str]) -> dict[str, Any]:
    """Return what the lines above the steps say of the question."""
    found: dict[str, Any] = {}
    for name in ("batch_size", "seq_len", "devices"):
        if number := _number(facts.get(name)):
            found[name] = number
    if degrees := re.findall(r"(?<!\w)\d+", facts.get("mesh", "")):
        found["devices"] = math.prod(max(1, _number(degree)) for degree in degrees)
    tokens, seq_len = _number(facts.get("tokens")), found.get("seq_len")
    if tokens and seq_len and tokens % seq_len == 0:
        found["batch_size"] = tokens // seq_len
    if precision := _precision(facts):
        found["precision"] = precision
    if facts.get("recompute") in {"full", "selective"}:
        found["recompute"] = facts["recompute"]
    return found


def _precision(facts: dict[str, str]) -> str:
    if "fp8" in facts:
        return "fp8"
    for name in ("bf16", "fp16"):
        if name in facts:
            return name
    stated = facts.get("precision", "").lower()
    return _DTYPES.get(stated) or _PRECISIONS.get(stated, "")


def _number(text: str | None) -> int:
    digits = (text or "").replace(",", "")
    return int(digits) if digits.isdecimal() and len(digits) < len(str(int(LARGEST))) else 0


def _as_time(reading: Any) -> Any:
    """Return samples a second as seconds a step, where the batch is known: the samples of a step."""
    batch = reading.conditions.get("batch_size")
    if not batch:
        return reading
    return reading._replace(quantity="time_s", values=tuple(batch / value for value in reading.values), unit="")


def _program(source: Source) -> Program | None:
    """Return the program whose step lines are in a file; all of it is looked through, since headers may be long."""
    if len(source.head) >= HEAD_BYTES and "\n" not in source.head:
        return None  # one long line: JSON that another reader did not know
    for _, block in source.blocks():
        for program in PROGRAMS:
            if program.mark in block and _first_step(program, block):
                return program
    return None


def _first_step(program: Program, block: bytes) -> bool:
    """Return whether a line with the mark has the fields of a step, not just the word."""
    value = next(name for name in program.fields if name in _QUANTITY)
    return any(
        program.fields["step"].search(line) and program.fields[value].search(line)
        for _, line in _hits(block, 1, (program.mark,))
    )


def _hits(block: bytes, first: int, words: tuple[bytes, ...]) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a block that hold one of the words, with their numbers; the others cost next to nothing."""
    text = block.replace(b"\r", b"\n") if b"\r" in block else block  # progress bars write over their line
    places = sorted({at for word in words for at in _places(text, word)})
    number, counted, done = first, 0, 0
    for at in places:
        if at < done:
            continue  # a second word in the same line
        start = text.rfind(b"\n", 0, at) + 1
        end = text.find(b"\n", at)
        done = len(text) if end < 0 else end + 1
        number += block.count(b"\n", counted, start)
        counted = start
        yield number, text[start:done]


def _places(text: bytes, word: bytes) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + len(word))


def _recognises(source: Source) -> bool:
    return _program(source) is not None


def _read(source: Source) -> Log:
    program = _program(source)
    assert program is not None  # recognised
    reader = StepLines(program, source.path)
    between = (program.mark, *(word for word, _ in program.pauses))
    before = (*between, *(word for _, word, _ in program.facts))
    for first, block in source.blocks():
        for number, line in _hits(block, first, between if reader.steps.values else before):
            reader.take(number, line)
    if source.cut:
        reader.steps.leave_out(0, "the packed file breaks off")
    return reader.log()


FORMATS = (
    Format(
        "training step lines",
        ", ".join(p.name for p in PROGRAMS),
        _recognises,
        _read,
    ),
)
