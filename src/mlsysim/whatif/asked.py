"""From the fields of ``Engine.solve`` to a question that may be varied, and the quantities that may be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlsysim.engine import Engine, stated_efficiency, stated_price, stated_site
from mlsysim.errors import Checks, InvalidValue, UnknownName
from mlsysim.registry import nearest
from mlsysim.results import Result
from mlsysim.setup import UNKNOWN, setup_of
from mlsysim.solution import BOUNDS, Solution
from mlsysim.sweep.quantities import QUANTITIES
from mlsysim.units import positive, si
from mlsysim.whatif.question import HELD, Question

PHASE_OF = {
    "tpot_s": "decode",
    "ttft_s": "forward",
    **dict.fromkeys(("run_s", "run_usd", "run_j", "run_kg"), "training"),
}
"""Quantities that one phase alone has: it is taken where no other is stated."""
RUN = {
    "run_s": ("s", "time of a training run"),
    "run_usd": ("USD", "rent of the devices for a training run"),
    "run_j": ("J", "energy of the devices for a training run"),
    "run_kg": ("kg", "CO2e of a training run at the wall, where a region is given"),
}
"""Quantities of a training run over so many tokens, with unit and meaning."""
_STEP_OF = {"run_s": "time_s", "run_usd": "cost_usd", "run_j": "energy_j", "run_kg": "carbon_kg"}
_MORE_IS_BETTER = ("throughput", "efficiency", "attainment", "achieved_flops")
_NOT_ASKED = ("bound",)


def asked(
    model: Any, hardware: Any, *, tokens: object = None, hold: str = "eta", phase: str | None = None, **fields: Any
) -> tuple[Question, Result]:
    """Return a checked question and its answer; ``fields`` are those of :meth:`Engine.solve`.

    ``tokens`` is what a training run reads in all; ``hold`` says what of a stated eta stays when hardware or sizes
    change: ``eta`` itself, or the ``attainment`` (eta over its ceiling).

    Raises
    ------
    UsageError
        A field breaks a rule.
    """
    checks = Checks()
    if hold not in HELD:
        checks.add(UnknownName("hold", str(hold), nearest(str(hold), HELD), "known: eta, attainment"))
    run = None if tokens is None else checks(positive, tokens, "tokens")
    if tokens is not None and phase not in (None, "training"):
        checks.add(InvalidValue("tokens", "left out where no training run is asked of", tokens, f"phase is {phase}"))
    result = checks(lambda: Engine.solve(model, hardware, phase=phase or (run and "training") or None, **fields))
    checks.done()
    assert result is not None
    plan = fields.get("plan")
    found = Question(
        result.basis.scenario,
        stated_efficiency(fields.get("efficiency")),
        stated_price(fields.get("usd_per_hour")),
        run,
        UNKNOWN if plan is None else setup_of(plan),
        stated_site(fields.get("region"), fields.get("pue")),
        result.efficiency.attainment if hold == "attainment" else None,
    )
    return found, result


def quantity(name: str) -> str:
    """Return the name of a quantity of a sweep or of a training run, as it is written there.

    Raises
    ------
    UnknownName
        There is none of that name that is a number.
    """
    known = [*(n for n in QUANTITIES if n not in _NOT_ASKED), *RUN]
    if name not in known:
        near = nearest(name, known)
        listed = "`mlsysim schema --quantities` lists all" if near else "known: " + ", ".join(known)
        raise UnknownName("quantity", name, near, listed)
    return name


def phase_of(names: tuple[str, ...], phase: str | None) -> str | None:
    """Return the phase that is stated, else the one that alone has one of these quantities."""
    return phase or next((PHASE_OF[n] for n in names if n in PHASE_OF), None)


def value_of(name: str, question: Question, solution: Solution) -> float:
    """Return a quantity of an answer, in SI.

    Raises
    ------
    InvalidValue
        A figure that it needs is not known, or the question has no such quantity.
    """
    if name in RUN:
        if question.tokens is None:
            raise InvalidValue("tokens", f"stated where {name} is asked: tokens the training run reads in all", None)
        step = QUANTITIES[_STEP_OF[name]].of(solution)
        value = None if step is None else step * (question.tokens / solution.work.items)
    else:
        value = QUANTITIES[name].of(solution)
    if value is None:
        raise InvalidValue("quantity", "known for this question", name, _missing(name, question))
    return float(value)


def _missing(name: str, question: Question) -> str:
    s = question.scenario
    if name in PHASE_OF and s.phase != PHASE_OF[name]:
        return f"{name} is one of phase {PHASE_OF[name]}, and this is {s.phase}"
    if "usd" in name:
        return f"no price is known for {s.hardware.name}: state usd_per_hour"
    if name in {"carbon_kg", "kg_per_million", "water_l", "run_kg"} and question.site is None:
        return "it follows from a region: state region"
    return f"no rated power is known for {s.hardware.name}"


def getter(name: str) -> Callable[[Question], float]:
    """Return what works a quantity out of a question."""
    return lambda question: value_of(name, question, question.solve())


def unit_of(name: str, solution: Solution | None = None) -> str:
    """Return the unit of a quantity, of a rate with what is counted."""
    unit = RUN[name][0] if name in RUN else QUANTITIES[name].unit
    return f"{solution.work.unit}/s" if unit == "1/s" and solution is not None else unit


def better_if_more(name: str) -> bool:
    """Return whether more of a quantity is better."""
    return name.startswith(_MORE_IS_BETTER)


def shown(value: float, unit: str, digits: int = 3) -> str:
    """Return a value for people."""
    if unit == "USD":
        return f"{_rounded(value, digits):,.0f} USD" if value >= _PLAIN else f"{value:.{digits}g} USD"
    if unit == "tokens" and value >= _MANY:
        return f"{si(value, '', digits)} tokens"
    return si(value, unit, digits) if unit else f"{value:,.0f}" if value >= _PLAIN else f"{value:.4g}"


def _rounded(value: float, digits: int) -> float:
    """Return an amount of money for people: in full up to a million, from there on with so many digits."""
    return value if value < _MANY else float(f"{value:.{digits}g}")


_MANY = 1e6
"""Tokens from here on are written with a prefix, and dollars rounded."""
_PLAIN = 1e4
"""Plain numbers from here on are written with commas."""


def bound_of(solution: Solution) -> str:
    """Return what binds an answer."""
    return BOUNDS[int(solution.bound)]


MEANINGS: Mapping[str, str] = {
    **{n: q.meaning for n, q in QUANTITIES.items() if n not in _NOT_ASKED},
    **{n: meaning for n, (_, meaning) in RUN.items()},
}
"""What may be asked of an answer, by name."""
