"""Breakdowns made by hand: a training step on H100s with round figures, and ones that strain a layout."""

from mlsysim.efficiency.breakdown import Breakdown, StepTime, hidden, ordered
from mlsysim.efficiency.factors import KINDS, causes

PARTS_MS = {
    ("compute", "", "derived"): 148.0,
    ("memory_bound", "elementwise", "observed"): 32.0,
    ("memory_bound", "normalisation", "observed"): 14.0,
    ("memory_bound", "optimizer", "observed"): 25.0,
    ("attention", "scores written out", "observed"): 44.0,
    ("communication", "transfer", "observed"): 21.0,
    ("communication", "skew", "observed"): 17.0,
    ("kernel_launch", "gaps", "observed"): 19.0,
    ("framework", "dispatch", "observed"): 9.0,
    ("framework", "python", "observed"): 14.0,
    ("data_loader", "loading", "observed"): 31.0,
    ("occupancy", "waves", "derived"): 12.0,
    ("unattributed", "matrix products below the ceiling", "unattributed"): 26.0,
}
"""The causes of a step of 412 ms, of which 148 ms are the ideal: eta is 0.359."""


def made(parts_ms=PARTS_MS, ideal_ms=148.0, about="llama-3.1-8b training on h100-sxm", source="pytorch", **more):
    parts = {key: 1e-3 * ms for key, ms in parts_ms.items()}
    measured = sum(parts.values())
    unseen = hidden(source, [cause for cause, *_ in parts])
    ideal = None if ideal_ms is None else 1e-3 * ideal_ms
    return Breakdown(about, source, measured, ideal, ordered(parts, measured), not_visible=unseen, **more)


def without_ideal(**more):
    """What was work is not told: 148 ms more are unattributed."""
    rest = {key: ms for key, ms in PARTS_MS.items() if key[0] != "compute"}
    return made({**rest, ("unattributed", "matrix products below the ceiling", "unattributed"): 174.0}, None, **more)


def with_every_cause():
    """All sixteen names, parts with long names, all kinds, and what must be escaped in a page."""
    parts = {}
    for n, name in enumerate(causes(), 1):
        kind = "unattributed" if name == "unattributed" else "derived" if name == "compute" else KINDS[n % 2]
        parts[name, "", kind] = 7.3 * n
        if n % 3 == 0:
            parts[name, "a part whose name is longer than any column has room for", KINDS[n % 3]] = 1.7 * n
    about = "a-model-with-a-remarkably-long-name-405b-instruct <b>&</b> $x$, on a-device-with-a-long-name, 512 ranks"
    return made(parts, parts["compute", "", "derived"], about, devices=512)


def with_one_cause():
    return made({("unattributed", "host not recorded", "unattributed"): 0.031}, None, "one cause", "solve")


def steps(count, every=0, extra_s=0.104):
    """Steps that are alike, but for a collection of garbage in every so manieth."""
    usual = {cause: 1e-3 * ms for cause, ms in _by_cause().items()}
    found = []
    for n in range(count):
        more = {"garbage_collection": extra_s} if every and n % every == every - 1 else {}
        found.append(StepTime(n, sum(usual.values()) + sum(more.values()), {**usual, **more}))
    return tuple(found)


def ranks(count, slow):
    """Ranks that wait for one, whose host takes 20 ms longer."""
    usual = {cause: 1e-3 * ms for cause, ms in _by_cause().items()}
    late = {**usual, "framework": usual["framework"] + 0.020, "communication": usual["communication"] - 0.017}
    return tuple(StepTime(n, sum(c.values()), c) for n in range(count) for c in [late if n == slow else usual])


def _by_cause():
    found = {}
    for (cause, *_), ms in PARTS_MS.items():
        found[cause] = found.get(cause, 0.0) + ms
    return found
