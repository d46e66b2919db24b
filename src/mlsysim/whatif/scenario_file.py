"""Scenario files: a question or a sweep and what must hold, in TOML, YAML or JSON.

    model = "llama-3.1-8b"
    hardware = ["h100", "l40s"]
    phase = "decode"
    batch_size = "1..64*2"
    assert = ["tpot_s < 50 ms"]

    [[scenario]]                 # several share the fields above
    name = "long context"
    context = 32768

All problems of a file are told at once, each with its place in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlsysim.errors import Checks, InvalidValue, UnknownName
from mlsysim.files import read_fields
from mlsysim.registry import nearest
from mlsysim.sweep.grouping import ALL_QUANTITIES, condition
from mlsysim.sweep.slips import unmatched
from mlsysim.whatif.assertions import Assertion, assertion
from mlsysim.whatif.file_shape import UNSOUND, Told, placed, sound
from mlsysim.whatif.file_tables import OWN, listed
from mlsysim.whatif.file_values import resolved
from mlsysim.whatif.reductions import Conditional, reduction

if TYPE_CHECKING:
    from mlsysim.sweep.grid import Grid

T = TypeVar("T")
ENDINGS = (".toml", ".yaml", ".yml", ".json")
"""What the name of a scenario file ends with."""


@dataclass(frozen=True)
class Section:
    """One scenario of a file: a question or a sweep, what is kept of it, and what must hold.

    ``fields`` are those of :meth:`Engine.sweep`, ``model`` and ``hardware`` among them; ``drawing`` says how what is
    uncertain is drawn: its ``quantiles`` and ``draws``, where the file states them.
    """

    name: str
    description: str
    fields: Mapping[str, Any]
    assertions: tuple[Assertion, ...] = ()
    keep: tuple[str, ...] | None = None
    reduce: tuple[Conditional, ...] = ()
    drawing: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def grid(self) -> Grid:
        """Return the points that are asked about."""
        from mlsysim.sweep.fields import grid_of

        fields = dict(self.fields)
        return grid_of(fields.pop("model"), fields.pop("hardware"), fields, **self.drawing)

    def sweep(self, **how: Any) -> Any:
        """Return the answers, as :meth:`Engine.sweep` does; ``how`` are its arguments other than fields."""
        from mlsysim.engine import Engine

        stated = {"keep": self.keep, "reduce": self.reduce or None, **self.drawing, **how}
        return Engine.sweep(**self.fields, **stated)


@dataclass(frozen=True, slots=True)
class ScenarioFile:
    """A file that was read: its scenarios in their order, one where it has no sections."""

    path: Path
    name: str
    description: str
    scenarios: tuple[Section, ...]


def read_scenarios(path: str | Path) -> ScenarioFile:
    """Read a scenario file.

    Raises
    ------
    InvalidValue, UnknownName, Problems, MissingExtra
        Not readable; keys that are unknown, values that no field can have, conditions that cannot be read, questions
        that cannot be asked: all told with their places.
    """
    file = Path(path).expanduser()
    if file.suffix.lower() not in ENDINGS:
        raise InvalidValue("scenario file", f"one that ends with {', '.join(ENDINGS)}", str(path))
    checks = Told()
    raw = sound(_stated(read_fields(file, "scenario file")), file, checks)
    readers = list(_readers(raw, file, checks))
    sections = [reader.section() for reader in readers]
    names = [section.name for section in sections]
    for n, name in enumerate(names):
        if name in names[:n]:
            checks.add(InvalidValue(f"{readers[n].place}name", "unlike that of another scenario", name))
    if all(reader.asked for reader in readers):
        for slip in _unmatched(sections):
            checks.add(slip)
    checks.done()
    return ScenarioFile(file, raw.get("name", file.stem), raw.get("description", ""), tuple(sections))


def _readers(raw: dict[str, Any], file: Path, checks: Told) -> Iterator[_Reader]:
    """Yield what reads each scenario; where none is sound, what reads the fields that all would share."""
    if "scenario" not in raw:
        yield _Reader(raw, {}, None, file, checks)
        return
    tables = raw["scenario"]
    if not tables:
        checks.add(InvalidValue(f"{file.name}: scenario", "a list of one table or more", tables))
    numbered = [(n, own) for n, own in enumerate(listed(tables)) if own != UNSOUND]
    for number, own in numbered:
        yield _Reader(raw, own, number, file, checks)
    if not numbered:
        unsaid = {"hardware": UNSOUND} if "models" in raw else {"model": UNSOUND, "hardware": UNSOUND}
        yield _Reader({**unsaid, **raw}, {}, None, file, checks)


@dataclass
class _Reader:
    """One scenario as the file has it: what all share (``raw``), and its own."""

    raw: Mapping[str, Any]
    own: Mapping[str, Any]
    number: int | None
    path: Path
    checks: Told
    asked: bool = False
    head: str = field(init=False)
    place: str = field(init=False)

    def __post_init__(self) -> None:
        self.head = f"{self.path.name}: "
        self.place = self.head if self.number is None else f"{self.head}scenario[{self.number}]."

    def at(self, key: str) -> str:
        """Return the place of the table that has a key."""
        return self.head if key in self.raw and key not in self.own else self.place

    def checked(self, place: str, function: Callable[..., T], *arguments: Any) -> T | None:
        """Return what a function returns, or None and keep its problems, told with their place."""
        found = Checks()
        value = found(function, *arguments)
        for problem in found.problems:
            self.checks.add(placed(problem, place))
        return value

    def section(self) -> Section:
        """Return the scenario, checked; a part with a problem is left out."""
        both = {**self.raw, **self.own}
        called = self.raw.get("name", self.path.stem) if self.number is None else f"scenario[{self.number}]"
        found = Section(
            name=self.own.get("name", called),
            description=both.get("description", ""),
            fields=self.fields(),
            assertions=tuple(self.assertions(both)),
            keep=self.kept(both),
            reduce=tuple(self.reductions(both)),
            drawing={name: both[name] for name in ("quantiles", "draws") if both.get(name, UNSOUND) != UNSOUND},
        )
        self.ask(found)
        return found

    def fields(self) -> dict[str, Any]:
        """Return the fields of the question, with files and calibrations found."""
        given = {**self._fields(self.raw), **self._fields(self.own)}
        for name in ("model", "hardware"):
            if name not in given:
                self.checks.add(InvalidValue(f"{self.place}{name}", "given", None))
                given[name] = UNSOUND
        return {
            name: UNSOUND
            if (found := self.checked(self.at(name), resolved, name, value, self.path, given)) is None
            else found
            for name, value in given.items()
        }

    def _fields(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields in one table of the file; ``models`` is another word for ``model``."""
        found = {key: value for key, value in table.items() if key not in OWN}
        if "models" in found:
            if "model" in found:
                place = self.place if table is self.own else self.head
                self.checks.add(InvalidValue(f"{place}models", "left out beside model", found["models"]))
            found["model"] = found.pop("models")
        return found

    def assertions(self, both: Mapping[str, Any]) -> list[Assertion]:
        """Return what must hold: what all scenarios share, and what is stated for this one."""
        ranks = next((table["by"] for table in listed(both.get("reduce")) if "top" in table and "by" in table), "")
        tables = [(self.head, self.raw), *([(self.place, self.own)] if self.number is not None else [])]
        stated = [(f"{at}assert[{n}]", one) for at, t in tables for n, one in enumerate(listed(t.get("assert")))]
        found = [self.checks(assertion, one, at, ranks) for at, one in stated if one != UNSOUND]
        return [one for one in found if one]

    def reductions(self, both: Mapping[str, Any]) -> list[Conditional]:
        """Return what is to be kept in place of all points."""
        at, tables = self.at("reduce"), listed(both.get("reduce"))
        found = [
            self.checked(f"{at}reduce[{n}].", reduction, table) for n, table in enumerate(tables) if table != UNSOUND
        ]
        return [one for one in found if one]

    def kept(self, both: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return the quantities that are kept."""
        from mlsysim.sweep.quantities import QUANTITIES, base_of

        for name in listed(both.get("keep")):
            if not base_of(name):
                near = nearest(name, QUANTITIES)
                self.checks.add(UnknownName(f"quantity in {self.at('keep')}keep:", name, near, ALL_QUANTITIES))
        return tuple(listed(both["keep"])) if "keep" in both else None

    def ask(self, section: Section) -> None:
        """Find out whether the question can be asked; the problems of its fields are told at their places."""
        found, told = Checks(), Told()
        self.asked = found(lambda: section.grid) is not None
        for problem in found.problems:
            told.add(problem)  # type: ignore[arg-type]
        said: set[tuple[str, str]] = set()
        for problem in told.problems:
            named = re.match(r"\w*", str(getattr(problem, "field", "") or getattr(problem, "kind", "")))
            name = named[0] if named else ""
            one = name, problem.name if isinstance(problem, UnknownName) else ""
            if not name or one not in said:  # what follows from the first problem of a field says nothing more
                self.checks.add(placed(problem, self.at(name)))
            said.add(one)


def _stated(value: Any) -> Any:
    """Return tables without the keys that hold nothing (``null``): they are left out."""
    if isinstance(value, list):
        return [_stated(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _stated(one) for key, one in value.items() if one is not None}
    return value


def _unmatched(sections: Sequence[Section]) -> Iterator[UnknownName]:
    """Yield the words of conditions that no point of any section has."""
    known: dict[str, list[str]] = {}
    for name in sections[0].grid.words:
        if all(name in section.grid.words for section in sections):
            known[name] = [str(label) for section in sections for label, _ in section.grid.words[name]]
    conditions = [a.that for section in sections for a in section.assertions]
    conditions += [found for s in sections for r in s.reduce if (found := condition(r.where))]
    return unmatched(conditions, known, "in this file")
