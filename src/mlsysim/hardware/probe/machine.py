"""What the system tells of the machine: cores, caches, memory, and the peak that follows from its instruction set."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from pathlib import Path
from typing import NamedTuple

from mlsysim.hardware.figures import Figure
from mlsysim.hardware.registry import Hardware

SYSTEM = "the operating system"


class Cache(NamedTuple):
    """One level of cache: bytes of one, how many there are, and how many logical processors share one."""

    level: str
    bytes_each: int
    number: int
    shared_by: int


def usable_cores() -> int:
    """Return the physical cores that this process may use, by affinity and container quota, at least 1.

    Two hardware threads of a core share its arithmetic, so that the second gains a matrix product nothing.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(ImportError):
        import psutil

        cores = min(cores, psutil.cpu_count(logical=False) or cores)
    with contextlib.suppress(OSError, ValueError):  # no control group, or no quota ("max")
        quota, period = map(float, Path("/sys/fs/cgroup/cpu.max").read_text().split())
        cores = min(cores, int(quota / period))
    return max(1, cores)


def caches() -> tuple[Cache, ...]:
    """Return the data caches of this machine, nearest first; none where the system does not tell."""
    found: dict[tuple[int, str], int] = {}
    with contextlib.suppress(OSError, ValueError):
        for index in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cache/index*"):
            names = ("level", "type", "size", "shared_cpu_list")
            at, kind, size, shared = ((index / name).read_text().strip() for name in names)
            if kind != "Instruction":
                scale = {"K": 2**10, "M": 2**20, "G": 2**30}[size[-1]]
                found[int(at), shared] = int(size[:-1]) * scale
    if not found:
        return _caches_of_darwin()
    listed: list[Cache] = []
    for level in sorted({level for level, _ in found}):
        here = {shared: size for (at, shared), size in found.items() if at == level}
        sharing = min(_length(shared) for shared in here)
        listed.append(Cache(f"l{level}", min(here.values()), len(here), sharing))
    return tuple(listed)


def _length(listed: str) -> int:
    """Return how many processors a list such as ``0-3,8`` names."""
    ends = [part.split("-") for part in listed.split(",")]
    return sum(int(part[-1]) - int(part[0]) + 1 for part in ends)


def _caches_of_darwin() -> tuple[Cache, ...]:
    names = (("l1", "hw.perflevel0.l1dcachesize", 1), ("l2", "hw.perflevel0.l2cachesize", 0))
    listed = []
    for level, name, sharing in names:
        with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
            told = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=True, timeout=5)
            cores = usable_cores()
            listed.append(Cache(level, int(told.stdout), cores if sharing else 1, 1 if sharing else cores))
    return tuple(listed)


def memory() -> int:
    """Return the memory that this process may use, by what is installed and by container limit [B]."""
    try:
        import psutil

        total = int(psutil.virtual_memory().total)
    except ImportError:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # no control group, or no limit ("max")
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total


def title() -> str:
    """Return what the machine calls its processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "this machine"


def nominal(today: str) -> dict[str, object]:
    """Return units, clock and operations of this processor as fields of a device, as far as they are known.

    The clock is the highest that the system reports; the operations of a core and clock are those of the packaged
    device of the same generation. Their product is the nominal peak; a turbo clock that is not reported raises what is
    attained above it.
    """
    model = _like()
    clock = _clock()
    if not model or not clock:
        return {}
    like = Hardware[model]
    cores = Figure(float(usable_cores()), SYSTEM, today, "usable, by affinity and container quota", "core")
    at = Figure(clock, SYSTEM, today, "the highest that it reports")
    return {"units": cores, "clocks": {"boost": at}, "rates": dict(like.rates), "generation": like.generation}


def _like() -> str:
    """Return the packaged processor with the same cores: by family for AMD, by instruction set for Intel."""
    about: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", maxsplit=1)[0].splitlines():
            key, _, value = line.partition(":")
            about[key.strip()] = value.strip()
    flags = set(about.get("flags", "").split())
    if about.get("vendor_id") == "AuthenticAMD":
        zen = {"26": "epyc-9755", "25": "epyc-9654" if "avx512f" in flags else "epyc-7763"}
        return zen.get(about.get("cpu family", ""), "")
    if about.get("vendor_id") == "GenuineIntel":
        return "xeon-8480-plus" if "amx_tile" in flags else "xeon-8380" if "avx512f" in flags else ""
    return {"0xd40": "graviton3", "0xd4f": "graviton4"}.get(about.get("CPU part", ""), "")


def _clock() -> float:
    """Return the highest clock that the system reports [Hz], 0 where it reports none."""
    try:
        from psutil import cpu_freq
    except ImportError:  # not installed, or not told on this system
        return 0.0
    try:
        found = cpu_freq()
    except (OSError, NotImplementedError):  # no such file in a container
        return 0.0
    return float(found.max or found.current) * 1e6 if found else 0.0
