"""Phones, boards and microcontrollers: the cores that a run uses, read from the free text that names its hardware.

``boards.tsv`` knows chips by a part of their name, ``cores.tsv`` the cores; a name that states its cores needs neither
(``Cortex-A72 1.8GHz x 2 + Cortex-A53 1.5GHz x 4``). Clocks, lanes and bandwidths were recalled, not looked up: fits
give each core and each board an offset.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from mlsysim.evidence.measurement import Refused
from mlsysim.registry import Row, read_table


class Core(NamedTuple):
    """A kind of core: fp32 multiply-accumulates a clock, and whether it has fp16 arithmetic and int8 dot products.

    For a GPU ``macs`` are all of its lanes; for a microcontroller those of int8.
    """

    name: str
    group: str
    macs: float
    half: bool
    dot: bool


class Cluster(NamedTuple):
    """Cores of one kind at one clock."""

    core: Core
    cores: int
    clock_hz: float

    @property
    def rate(self) -> float:
        """Return fp32 multiply-accumulates a second of one core."""
        return self.core.macs * self.clock_hz


class Board(NamedTuple):
    """What a run uses: its fastest core and clock, how many cores, how fast the slowest is beside it, memory [B/s].

    ``threads`` that are asked for beyond the cores of the board share them; ``cores`` are those that work.
    """

    name: str
    core: Core
    clock_hz: float
    threads: int
    cores: int
    slowest: float
    mean: float
    bandwidth: float


DEFAULT_BANDWIDTH = {
    "arm32-small": 2e9,
    "arm32-wide": 6e9,
    "arm-small": 4e9,
    "arm-middle": 12e9,
    "arm-wide": 25e9,
    "arm-widest": 60e9,
    "x86": 35e9,
    "x86-wide": 100e9,
    "x86-narrow": 8e9,
    "loongarch": 15e9,
    "loongarch-small": 4e9,
    "scalar": 5e9,
    "riscv-vector": 5e9,
}
"""Memory bandwidth of a board that is not known, by the class of its cores [B/s]: typical ones, recalled."""
_COUNTS = {"single": 1, "dual": 2, "quad": 4, "six": 6, "hexa": 6, "octa": 8}
_CLOCK = re.compile(r"(?:(\d+) x )?(\d+(?:\.\d+)?) ?(ghz|mhz|g|m)\b(?: x ?(\d+)\b)?")
_OFFLOADED = re.compile(r"syntiant|hifi|xc7z|fpga|anpu|ne16|sensing hub|npu")


def spaced(text: str) -> str:
    """Return a name in lower case, words apart by one space and without marks; of a range of clocks the upper."""
    text = text.lower().replace("×", " x ").replace("*", " x ").replace("®", "").replace("™", "").replace("(r)", "")
    text = re.sub(r"\d+(?:\.\d+)? ?ghz *~ *", "", text)
    return re.sub(r"[^a-z0-9.]+|\.(?!\d)", " ", text).strip()


@cache
def cores() -> dict[str, Core]:
    """Return all kinds of cores by name."""
    return {r["name"]: _core(r) for r in read_table("mlsysim.evidence", "cores.tsv")}


def _core(r: Row) -> Core:
    return Core(r["name"], r["class"], float(r["macs"]), r["half"] == "1", r["dot"] == "1")


@cache
def _spellings() -> dict[str, str]:
    rows = read_table("mlsysim.evidence", "cores.tsv")
    return {s: r["name"] for r in rows for s in r["spellings"].split(";") if s}


@cache
def _named_core() -> re.Pattern[str]:
    longest_first = sorted(_spellings(), key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})(?:ae|c)?\b")


class _Chip(NamedTuple):
    key: str
    clusters: tuple[Cluster, ...]
    bandwidth: float


@cache
def _chips(kind: str) -> tuple[_Chip, ...]:
    return tuple(_chip(r) for r in read_table("mlsysim.evidence", "boards.tsv") if r["kind"] == kind)


def _chip(r: Row) -> _Chip:
    parts = [c.split(":") for c in r["clusters"].split()]
    clusters = tuple(Cluster(cores()[name], int(count), float(ghz) * 1e9) for name, count, ghz in parts)
    return _Chip(r["key"], clusters, float(r["bandwidth_gb_s"] or 0) * 1e9)


def _known(kind: str, text: str) -> list[_Chip]:
    """Return the chips that a text names, in its order; one whose key holds another's stands for both.

    Names of microcontrollers go on after the key: memory, package.
    """
    end = "" if kind == "mcu" else r"\b"
    found = [(m.start(), c) for c in _chips(kind) if (m := re.search(rf"\b{re.escape(c.key)}{end}", text))]
    keys = [c.key for _, c in found]
    whole = [(at, c) for at, c in found if not any(c.key != k and c.key in k for k in keys)]
    return [c for _, c in sorted(whole, key=lambda f: (f[0], -len(f[1].key)))]


def stated_clusters(text: str) -> tuple[Cluster, ...]:
    """Return the cores that a spaced name states with a clock; a count that is missing is one."""
    found: list[Cluster] = []
    names = [*_named_core().finditer(text)]
    for i, name in enumerate(names):
        until = names[i + 1].start() if i + 1 < len(names) else len(text)
        words = re.search(r"(\w+) core $", text[: name.start()])
        count = _COUNTS.get(words[1], 1) if words else 1
        for before, clock, unit, after in _CLOCK.findall(text[name.end() : until]):
            hertz = float(clock) * (1e9 if unit.startswith("g") else 1e6)
            found.append(Cluster(cores()[_spellings()[name[1]]], int(after or before or count), hertz))
    return tuple(found)


def edge_board(name: str, threads: int = 0, powersave: int = 0, gpu: int = -1) -> Board:
    """Return what a run uses on a phone, board or desktop; ``threads`` 0 are all cores.

    ``powersave`` is ncnn's: all cores, the slow ones (1) or the fast ones (2). ``gpu`` numbers the GPU, -1 is none.

    Raises
    ------
    Refused
        The name says neither a core with its clock nor a chip that is known.
    """
    text = spaced(name)
    chips = _known("cpu" if gpu < 0 else "gpu", text)
    if gpu >= 0:
        if not chips:
            raise Refused("a GPU that is not known")
        chip = chips[min(gpu, len(chips) - 1)]
        c = chip.clusters[0]
        return Board(text, c.core, c.clock_hz, 1, 1, 1.0, 1.0, chip.bandwidth)
    chips.sort(key=lambda c: -len(c.key))
    clusters = next((c.clusters for c in chips if c.clusters), ()) or stated_clusters(text)
    if not clusters:
        raise Refused("the core cannot be told from the name")
    allowed = _allowed(clusters, powersave)
    ranked = [c for c in sorted(allowed, key=lambda c: -c.rate) for _ in range(c.cores)]
    used = ranked[: threads or len(ranked)]
    first = used[0]
    bandwidth = next((c.bandwidth for c in chips if c.bandwidth), 0.0) or DEFAULT_BANDWIDTH.get(first.core.group, 10e9)
    mean = sum(c.rate for c in used) / len(used) / first.rate
    return Board(
        text, first.core, first.clock_hz, threads or len(used), len(used), used[-1].rate / first.rate, mean, bandwidth
    )


def _allowed(clusters: tuple[Cluster, ...], powersave: int) -> tuple[Cluster, ...]:
    """Return the clusters of ncnn's power-saving mode: those above or below the middle of all clocks."""
    clocks = [c.clock_hz for c in clusters]
    middle = (min(clocks) + max(clocks)) / 2
    if powersave == 1:
        return tuple(c for c in clusters if c.clock_hz < middle) or clusters
    if powersave == 2:
        return tuple(c for c in clusters if c.clock_hz >= middle)
    return clusters


def _longest(text: str) -> str:
    return max(_named_core().findall(text), key=len, default="")


def micro_board(name: str, cpu: str = "", clock: str = "", accelerator: str = "") -> Board:
    """Return the core of a microcontroller, from what is stated of it, else from the name of its board.

    Raises
    ------
    Refused
        An accelerator does the work, or the core or its clock cannot be told.
    """
    text, stated = spaced(name), spaced(f"{cpu} {clock}")
    help_ = spaced(accelerator)
    if _OFFLOADED.search(f"{text} {stated} {help_}"):
        raise Refused("an accelerator does the work, of which no rate is known")
    chips = _known("mcu", text)
    core = _longest(help_) or _longest(spaced(cpu))
    hertz = [float(v) * (1e9 if u.startswith("g") else 1e6) for _, v, u, _ in _CLOCK.findall(spaced(clock))]
    cluster = chips[0].clusters[0] if chips else None
    kind = cores()[_spellings()[core]] if core else cluster.core if cluster else None
    at = hertz[0] if hertz else cluster.clock_hz if cluster else 0.0
    if kind is None or not at:
        raise Refused("the core or its clock cannot be told from the name")
    return Board(text, kind, at, 1, 1, 1.0, 1.0, 0.0)
