"""Published runs beside each other: what they reach, which of them differ in one thing alone, and what is fitted."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache

from mlsysim.efficiency.case import Case
from mlsysim.efficiency.equations import EQUATIONS, case_of
from mlsysim.efficiency.equations.plan import plan_of
from mlsysim.efficiency.evidence import percentiles
from mlsysim.efficiency.factors import Range
from mlsysim.efficiency.fitted import parameters_of
from mlsysim.efficiency.structure import structure
from mlsysim.evidence.base import packaged
from mlsysim.evidence.measurement import Measurement
from mlsysim.registry import read_text
from mlsysim.scenario import Roofline

DETERMINED = 0.75
"""Share of its prior's spread below which a parameter's uncertainty must be, for measurements to have determined it."""
NINETY = 1.645
"""Standard deviations either side of the middle that 90 % of a normal distribution lie between."""

Runs = list[Measurement]
Which = Callable[[Measurement], bool]
Values = list[tuple[float, str]]
"""Values, each with its source: sources weigh the same."""


def runs_of(*regimes: str) -> Runs:
    """Return the packaged measurements of some regimes."""
    return [m for m in packaged() if m.regime in regimes]


def roof(m: Measurement) -> Roofline:
    """Return the roofline of a run."""
    found: Roofline = m.question.roofline(m.question.work())
    return found


def eta(m: Measurement) -> float:
    """Return the eta that a run reached."""
    return float(roof(m).compute_s / m.seconds)


def attainment(m: Measurement) -> float:
    """Return the share of its ceiling that a run reached."""
    return eta(m) / float(roof(m).ceiling)


def bubble(m: Measurement) -> float:
    """Return the share of a step that the plan of a run leaves idle (Narayanan et al., arXiv:2104.04473, 2.2)."""
    plan = plan_of(m.question, m.setup)
    idle = (plan.pp - 1.0) / (plan.micro_batches * plan.vpp)
    return idle / (1.0 + idle)


# Pairs


def alike(runs: Runs, field: str, one: Which, other: Which) -> Iterator[tuple[Measurement, Measurement]]:
    """Yield pairs of runs of one source that differ in ``field`` alone."""
    groups: dict[tuple[object, ...], Runs] = defaultdict(list)
    for m in runs:
        groups[_all_but(m, field)].append(m)
    for group in groups.values():
        yield from ((a, b) for a in group if one(a) for b in group if b is not a and other(b))


def _all_but(m: Measurement, field: str) -> tuple[object, ...]:
    q = m.question
    plan = (
        m.setup._replace(engine="", version="", tp=0) if field == "devices" else m.setup._replace(engine="", version="")
    )
    known = {
        "engine": (m.engine, m.setup.version),
        "devices": q.devices,
        "precision": q.precision,
        "seq_len": q.seq_len,
    }
    known.pop(field)
    return (
        m.source,
        m.published,
        m.regime,
        q.model.name,
        q.hardware.name,
        q.batch_size,
        q.context,
        plan,
        *known.values(),
    )


def scaled(runs: Runs) -> Iterator[tuple[Measurement, Measurement]]:
    """Yield pairs of training runs of which the second has more devices, each with the same share of the batch."""
    groups: dict[tuple[object, ...], Runs] = defaultdict(list)
    for m in runs:
        q, plan = m.question, m.setup
        each = q.batch_size / q.devices
        fixed = (plan.engine, plan.version, plan.tp, plan.pp, plan.cp, plan.micro_batch)
        key = (m.source, m.published, q.model.name, q.hardware.name, q.precision, q.seq_len, each, fixed)
        groups[key].append(m)
    for group in groups.values():
        yield from ((a, b) for a in group for b in group if b.question.devices > a.question.devices)


def doublings(a: Measurement, b: Measurement) -> float:
    """Return how often the devices of a run double to make those of another."""
    return math.log2(b.question.devices / a.question.devices)


def saved(runs: Runs, field: str, before: Which, after: Which) -> Values:
    """Return the share of the time that a change of ``field`` saved."""
    return [(1.0 - b.seconds / a.seconds, a.source) for a, b in alike(runs, field, before, after)]


def lost(runs: Runs, wide: set[str], narrow: set[str]) -> Values:
    """Return the share of what a narrower format promises that is lost: by how much attainment falls."""
    pairs = alike(runs, "precision", lambda m: m.question.precision in wide, lambda m: m.question.precision in narrow)
    return [(1.0 - attainment(b) / attainment(a), a.source) for a, b in pairs]


# What is told of them


def told(factor: str, quantity: str, values: Values, unit: str, of: str, kind: str) -> Range:
    """Return p10, median and p90 of values in which every source weighs the same."""
    p = percentiles([v for v, _ in values], [s for _, s in values])
    sources = ", ".join(sorted({s for _, s in values}))
    return Range(factor, quantity, _short(p.p10), _short(p.median), _short(p.p90), unit, p.n, of, sources, kind)


Undone = Callable[[Case, Mapping[str, float]], float]


def share(factor: str, quantity: str, runs: Runs, undone: Undone, of: str, source: str) -> Range:
    """Return the share of the predicted time of runs that something undone saves."""
    values = []
    for m in runs:
        case = case_of(m.question, m.setup)
        p = parameters_of(case)
        whole = float(EQUATIONS[case.equation].seconds(case.x, p))
        values.append((1.0 - undone(case, p) / whole, m.source))
    return told(factor, quantity, values, "1", of, "fitted")._replace(source=source)


def without(name: str) -> Undone:
    """Return what predicts the time with a parameter at 0."""
    require(name)
    return lambda case, p: float(EQUATIONS[case.equation].seconds(case.x, {**p, name: 0.0}))


def zeroed(*names: str) -> Undone:
    """Return what predicts the time with numbers of the case at 0."""
    none = dict.fromkeys(names, 0.0)
    return lambda case, p: float(EQUATIONS[case.equation].seconds({**case.x, **none}, p))


def parameter(factor: str, quantity: str, name: str, runs: Runs, of: str) -> Range:
    """Return a fitted parameter at the levels of runs."""
    require(name)
    values = [(parameters_of(case_of(m.question, m.setup))[name], m.source) for m in runs]
    unit = structure()[name].unit
    return told(factor, quantity, values, unit, of, "fitted")._replace(source=f"fitted: {name}")


def common(factor: str, quantity: str, name: str, of: str) -> Range:
    """Return a fitted parameter that is the same in all runs, and what 90 % of its uncertainty lie between."""
    require(name)
    q, (offset, sd, n) = structure()[name], base(name)
    low, value, high = (min(q.most, q.prior * math.exp(offset + k * sd)) for k in (-NINETY, 0.0, NINETY))
    return Range(factor, quantity, _short(low), _short(value), _short(high), q.unit, n, of, f"fitted: {name}", "fitted")


@cache
def base(name: str) -> tuple[float, float, int]:
    """Return the offset of a parameter from its prior and its standard deviation, in logarithms, and the rows."""
    for line in read_text("mlsysim.efficiency", "fitted.tsv").splitlines()[1:]:
        found, factor, _, value, sd, n, _ = line.split("\t")
        if found == name and not factor:
            return float(value), float(sd), int(n)
    raise KeyError(name)


def determined(name: str) -> bool:
    """Return whether measurements determine a parameter: they leave it surer than its prior by a quarter or more."""
    return base(name)[1] < DETERMINED * structure()[name].spread


def require(name: str) -> None:
    """Raise where measurements do not determine a parameter: then it tells of its prior, not of them."""
    if not determined(name):
        raise ValueError(f"{name} is not determined by measurements")


def _short(value: float) -> float:
    return float(f"{value:.3g}")
