"""How software lays a workload out: the engine that runs it, and the plan by which devices share it."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.registry import nearest


class Setup(NamedTuple):
    """The engine and the parallel plan of a run; 0 and empty text where they are not known.

    ``engine`` is the serving engine, training framework or kernel library, in lower case (``vllm``, ``megatron``);
    ``tp``, ``pp``, ``dp``, ``cp`` and ``ep`` the degrees of tensor, pipeline, data, context and expert parallelism;
    ``vpp`` the pipeline stages a device holds in turn; ``zero`` the stage at which optimizer states (1), gradients
    (2) and weights (3) are sharded; ``micro_batch`` the sequences that one model replica takes at once. Where
    ``layer_split``, devices hold whole layers and run one after another.
    """

    engine: str = ""
    version: str = ""
    tp: int = 0
    pp: int = 0
    dp: int = 0
    cp: int = 0
    ep: int = 0
    vpp: int = 0
    zero: int = 0
    micro_batch: int = 0
    layer_split: bool = False


UNKNOWN = Setup()
_DEGREES = ("tp", "pp", "dp", "cp", "ep", "vpp", "zero", "micro_batch")


def setup_of(value: object, field: str = "plan") -> Setup:
    """Return a setup, or the one that text states: ``"tp8 pp4"``, ``"engine=vllm tp=2"``, ``"zero3 micro_batch=1"``.

    Raises
    ------
    InvalidValue, UnknownName
        Text that cannot be read; a degree that there is not.
    """
    if isinstance(value, Setup):
        return value
    if not isinstance(value, str) or not value.strip():
        raise InvalidValue(field, "a plan such as 'tp8 pp4' or 'engine=vllm tp=2'", value)
    found: dict[str, str | int] = {}
    for part in re.split(r"[\s,;x]+(?=[a-z])", value.strip().lower()):
        name, _, text = part.partition("=")
        match = re.fullmatch(r"([a-z_]+?)(\d+)", part)
        if match:
            name, text = match[1], match[2]
        if name in {"engine", "version"} and text:
            found[name] = text
            continue
        if name not in _DEGREES:
            known = ("engine", "version", *_DEGREES)
            raise UnknownName(f"part of {field}", part, nearest(name, known), "known: " + ", ".join(known))
        least = 0 if name == "zero" else 1
        if not text.isdigit() or int(text) < least:
            raise InvalidValue(f"{field}.{name}", f"a whole number of at least {least}", text or value)
        found[name] = int(text)
    return Setup(**found)  # type: ignore[arg-type]


def laid_out(setup: Setup, devices: int, field: str = "plan") -> Setup:
    """Return a plan that so many devices can be laid out by.

    Raises
    ------
    InvalidValue
        Its degrees do not divide the devices; copies beside the other degrees are not as many as there are; more
        experts' groups than devices, or a stage of ZeRO above 3.
    """
    if setup.zero > 3:
        raise InvalidValue(f"{field}.zero", "from 0 to 3", setup.zero)
    of = [(name, degree) for name in ("tp", "pp", "cp") if (degree := getattr(setup, name))]
    split = math.prod(degree for _, degree in of)
    if devices % split:
        rule = f"one whose degrees divide {devices:,} {'device' if devices == 1 else 'devices'}"
        raise InvalidValue(field, rule, _said(of), f"it takes {split:,}, or a multiple of it")
    if setup.dp and setup.dp * split != devices:
        hint = f"dp = {devices // split}, or left out"
        raise InvalidValue(f"{field}.dp", f"such that all degrees make {devices:,} devices", setup.dp, hint)
    if setup.ep > devices:
        raise InvalidValue(f"{field}.ep", f"at most the {devices:,} devices there are", setup.ep)
    return setup


def _said(degrees: list[tuple[str, int]]) -> str:
    return " ".join(f"{name}{degree}" for name, degree in degrees)
