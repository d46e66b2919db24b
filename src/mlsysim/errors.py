"""Every error a user can meet.

MlsysimError
├── UsageError              the question cannot be asked like this             exit 2
│   ├── InvalidValue        one field breaks one rule
│   ├── UnknownName         no such model, device, precision, ...
│   ├── UnsupportedPrecision  the device has no published peak for it
│   ├── ImpossibleMeasurement  a measurement that physics excludes, with its likely causes
│   ├── MissingExtra        an optional library is not installed
│   └── Problems            several of the above, told at once
└── Infeasible              the question is sound and the answer is no         exit 1

A sentence names the field, the rule, the value, and the nearest right answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


class MlsysimError(Exception):
    """Base of all errors that mlsysim raises on purpose."""

    exit_code = 1
    code = "error"

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes whole: a constructor's arguments are not what the sentence was made of."""
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[MlsysimError], arguments: tuple[Any, ...], state: dict[str, Any]) -> MlsysimError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(state)
    return error


class UsageError(MlsysimError, ValueError):
    """The question cannot be asked like this; nothing was computed."""

    exit_code = 2
    code = "usage"


class Infeasible(MlsysimError):
    """The question is sound and the answer is no (it does not fit, no value reaches the goal)."""

    exit_code = 1
    code = "infeasible"


class InvalidValue(UsageError):
    """One field breaks one rule."""

    code = "invalid-value"

    def __init__(self, field: str, rule: str, value: object, hint: str = "") -> None:
        self.field, self.rule, self.value, self.hint = field, rule, value, hint
        super().__init__(f"{field} must be {rule}, got {value!r}" + (f"; {hint}" if hint else ""))


class UnknownName(UsageError, LookupError):
    """A name that is in no registry; the nearest names are suggested."""

    code = "unknown-name"

    def __init__(self, kind: str, name: str, nearest: Sequence[str], listing: str) -> None:
        self.kind, self.name, self.nearest = kind, name, tuple(nearest)
        guess = f": did you mean {_or(nearest)}?" if nearest else ""
        super().__init__(f"unknown {kind} {name!r}{guess} ({listing})")


class UnsupportedPrecision(UsageError):
    """The device has no published peak for this precision; nothing falls back silently."""

    code = "unsupported-precision"

    def __init__(self, device: str, precision: str, supported: Sequence[str], weights_alone: str = "") -> None:
        self.device, self.precision, self.supported = device, precision, tuple(supported)
        narrow = f"; for narrow weights alone, {weights_alone}" if weights_alone else ""
        super().__init__(
            f"precision {precision!r} has no peak on {device}: choose {_or(supported)}"
            f"{narrow} (nothing falls back silently to another precision)"
        )


class MissingExtra(UsageError):
    """An optional library is needed and not installed."""

    code = "missing-extra"

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        self.library, self.extra = library, extra
        command = extra if extra.startswith("pip ") else f"pip install 'mlsysim[{extra}]'"
        super().__init__(f"{purpose} needs {library}: {command}")


@dataclass(frozen=True, slots=True)
class Cause:
    """One likely cause of an impossible measurement, and the efficiency it would give instead."""

    code: str
    message: str
    efficiency: float


class ImpossibleMeasurement(UsageError):
    """A measured throughput that no hardware of this kind can reach.

    ``efficiency`` is what the numbers give, ``limit`` what physics allows (1, or the roofline ceiling),
    ``causes`` the likely mistakes, most plausible first, each with the efficiency it would give instead.
    """

    code = "efficiency-above-limit"

    def __init__(self, efficiency: float, limit: float, causes: Sequence[Cause]) -> None:
        self.efficiency, self.limit, self.causes = efficiency, limit, tuple(causes)
        rule = "achieved / peak cannot exceed 1" if efficiency > 1 else f"the roofline ceiling is {limit:.4g}"
        head = f"eta = {efficiency:.4g} is impossible: {rule}, so the numbers contradict each other."
        lines = [f"  - {c.message}: would give eta = {c.efficiency:.3g}" for c in causes]
        super().__init__("\n".join([head, "Likely causes:", *lines] if lines else [head]))


class Problems(UsageError):
    """Several problems, told at once."""

    code = "problems"

    def __init__(self, problems: Iterable[MlsysimError]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"- {p}" for p in self.problems))


class Checks:
    """Collects the problems of several checks, to raise them all at once.

    Call it as ``checks(function, *arguments)``: it returns what the function returns, or None where that raised a
    :class:`UsageError`. :meth:`done` raises nothing, the one problem, or all of them as :class:`Problems`.
    """

    def __init__(self) -> None:
        self.problems: list[MlsysimError] = []

    def __call__(self, function: Callable[..., T], *arguments: Any) -> T | None:
        """Return ``function(*arguments)``, or None and keep the problem."""
        try:
            return function(*arguments)
        except UsageError as problem:
            self.add(problem)
            return None

    def add(self, problem: UsageError) -> None:
        """Keep a problem, once; several in one are taken apart."""
        found = problem.problems if isinstance(problem, Problems) else (problem,)
        told = {str(p) for p in self.problems}
        self.problems += [p for p in found if str(p) not in told]

    def done(self) -> None:
        """Raise what was kept."""
        if len(self.problems) == 1:
            raise self.problems[0]
        if self.problems:
            raise Problems(self.problems)


def _or(names: Sequence[str]) -> str:
    quoted = [str(n) for n in names]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " or " + quoted[-1]
