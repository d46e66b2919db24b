"""The fields of a configuration, read with care: every problem is kept, with its field, and told at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from mlsysim.errors import Checks, InvalidValue

LARGEST = 10**9
"""No size in a configuration is larger: a vocabulary of a billion entries is a slip or an attack."""
MOST_LAYERS = 10_000
_ALMOST = 0.93
"""How alike two names are, from 0 to 1, of which one is a slip: a letter in a dozen."""


class Fields:
    """Typed access to a mapping; a problem is kept in ``checks`` and a harmless value returned in its place.

    ``usual`` are values of fields that may be left out of a file; which of them were needed is kept in ``assumed``.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        file: str,
        family: str,
        checks: Checks | None = None,
        prefix: str = "",
        usual: Mapping[str, Any] | None = None,
    ) -> None:
        self.values, self.file, self.family = values, file, family
        self.usual, self.assumed = usual or {}, dict[str, Any]()
        self.checks, self.prefix = checks or Checks(), prefix
        self.wrong, self.asked = set[str](), set[str]()

    def get(self, name: str) -> Any:
        """Return a field as it is in the file, or None."""
        self.asked.add(name)
        return self.values.get(name)

    def has(self, *names: str) -> bool:
        """Return whether one of the fields is there and not null."""
        return any(self.get(name) is not None for name in names)

    def misspelled(self) -> None:
        """Keep a problem for every field that nobody asked for and that is almost one that is not there."""
        missing = self.asked - self.values.keys()
        for name in self.values.keys() - self.asked:
            near = get_close_matches(str(name), missing, 1, _ALMOST)
            if near:
                self.problem(
                    str(name), "spelled as the architecture has it", self.values[name], f"did you mean {near[0]}?"
                )

    def problem(self, name: str, rule: str, value: object, hint: str = "") -> None:
        """Keep a problem of a field."""
        self.wrong.add(name)
        self.checks.add(InvalidValue(f"{self.file}: {self.prefix}{name}", rule, value, hint))

    def count(self, *names: str, default: int | None = None, least: int = 1, most: int = LARGEST) -> int:
        """Return a whole number: the first of the spellings that is there, or the default."""
        for name in names:
            value = self.get(name)
            if isinstance(value, list) and value and all(v == value[0] for v in value):
                value = value[0]  # one number a layer, the same in all
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                whole = isinstance(value, float) and value.is_integer()
                if not whole:
                    self.problem(name, "a whole number", value)
                    return max(least, 1)
                value = int(value)
            if not least <= value <= most:
                self.problem(name, f"from {least:,} to {most:,}", value)
                return max(least, 1)
            return value
        for name in names:
            if name in self.usual:
                self.assumed[name] = self.usual[name]
                return int(self.usual[name])
        if default is not None:
            return default
        self.problem(names[0], "given", None, f"also spelled {', '.join(names[1:])}" if names[1:] else "")
        return max(least, 1)

    def each_head(self, hidden: int, heads: int) -> int:
        """Return the width of a head where only the hidden size is stated, which must be a multiple of the heads."""
        if hidden % heads and not self.wrong:
            self.problem("hidden_size", f"a multiple of the {heads} heads where head_dim is not given", hidden)
        return max(hidden // heads, 1)

    def real(self, name: str, default: float) -> float:
        """Return a number above 0."""
        value = self.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            self.problem(name, "a number above 0", value)
            return default
        return float(value)

    def flag(self, *names: str, default: bool = False) -> bool:
        """Return a yes or no."""
        for name in names:
            value = self.get(name)
            if value is None:
                continue
            if not isinstance(value, (bool, int)) or value not in {0, 1}:
                self.problem(name, "true or false", value)
                return default
            return bool(value)
        for name in names:
            if name in self.usual:
                self.assumed[name] = self.usual[name]
                return bool(self.usual[name])
        return default

    def words(self, name: str, known: Iterable[str], length: int | None = None) -> list[str] | None:
        """Return a list of known words, or None where the field is not there."""
        value = self.get(name)
        if value is None:
            return None
        allowed = sorted(known)
        if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(v, str) for v in value):
            self.problem(name, "a list of words", value)
            return None
        if length is not None and len(value) != length:
            self.problem(name, f"a list of {length} words", len(value))
            return None
        strange = sorted(set(value) - set(allowed))
        if strange:
            self.problem(name, f"made of {', '.join(allowed)}", strange[0])
            return None
        return list(value)

    def numbers(self, name: str) -> list[int] | None:
        """Return a list of whole numbers, or None where the field is not there."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, Sequence) or not all(isinstance(v, int) and not isinstance(v, bool) for v in value):
            self.problem(name, "a list of whole numbers", value)
            return None
        return list(value)

    def inside(self, name: str) -> Fields:
        """Return the fields of a nested mapping (an empty one where it is not there)."""
        value = self.get(name)
        if value is None:
            value = {}
        elif not isinstance(value, Mapping):
            self.problem(name, "a group of fields", value)
            value = {}
        return Fields(value, self.file, self.family, self.checks, f"{self.prefix}{name}.")
