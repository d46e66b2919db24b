"""Named things in packaged tables: look-up by any spelling, with suggestions for a miss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Generic, TypeVar

from mlsysim.errors import InvalidValue, UnknownName

T = TypeVar("T")
SHORTEST_PART = 3
"""Letters from which a part of a name says something about the name."""
_LOOK_ALIKE = str.maketrans("oli", "011")
Row = dict[str, str]


def read_table(package: str, name: str) -> list[Row]:
    """Read a packaged table (``data/NAME`` inside ``package``) as a list of rows.

    The first line names the columns. Tabs stand between the cells and nowhere else, so that nothing is quoted.
    """
    header, *lines = read_text(package, name).splitlines()
    columns = header.split("\t")
    return [dict(zip(columns, line.split("\t"), strict=True)) for line in lines if line]


def read_text(package: str, name: str) -> str:
    """Read a packaged file, ``data/NAME`` inside ``package``."""
    import sys
    from pathlib import Path

    return (Path(sys.modules[package].__path__[0]) / "data" / name).read_bytes().decode("utf-8")


@lru_cache(maxsize=4096)
def normal(name: str) -> str:
    """Return the spelling that look-ups compare: lower case, no punctuation but between two digits.

    ``OPT_1_3B`` and ``opt-1.3b`` are the same, ``opt-13b`` is another.
    """
    kept: list[str] = []
    apart = False
    for c in name.lower():
        if c.isalnum():
            if apart and kept and kept[-1].isdigit() and c.isdigit():
                kept.append(".")
            kept.append(c)
        apart = not c.isalnum()
    return "".join(kept)


def nearest(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """Return the names most like ``name``, best first."""
    import difflib

    by_key: dict[str, str] = {}
    for candidate in names:
        by_key.setdefault(normal(candidate), candidate)
    key = normal(name)
    if key not in by_key and (typed := key.translate(_LOOK_ALIKE)) in by_key:
        return [by_key[typed]]
    found = difflib.get_close_matches(key, by_key, n=count, cutoff=0.6)
    if len(key) >= SHORTEST_PART:
        found += [k for k in by_key if key in k and k not in found]
    return [by_key[k] for k in found[:count]]


class Registry(Generic[T]):
    """The packaged specs of one kind: ``registry["h100"]``, ``registry.H100``, ``for name in registry``.

    The table is read on first use, a spec is built when it is first asked for. Look-up ignores case and
    punctuation and knows the aliases of each row. What is not packaged comes from ``more``, looked into at a miss.
    """

    def __init__(
        self,
        kind: str,
        listing: str,
        rows: Callable[[], Iterable[Row]],
        build: Callable[[Row], T],
        more: Callable[[], Mapping[str, Callable[[], T]]] = dict,
    ) -> None:
        self._kind, self._listing, self._rows, self._build, self._more = kind, listing, rows, build, more
        self._built: dict[str, T] = {}

    @cached_property
    def _by_name(self) -> dict[str, Row]:
        return {row["name"]: row for row in self._rows()}

    @cached_property
    def _keys(self) -> dict[str, str]:
        keys: dict[str, str] = {}
        for name, row in self._by_name.items():
            for spelling in (name, row["attribute"], *filter(None, row["aliases"].split(";"))):
                keys.setdefault(normal(spelling), name)
        return keys

    def __getitem__(self, name: str) -> T:
        if not isinstance(name, str):
            raise InvalidValue(self._kind, "a name or a spec", name)
        canonical = name if name in self._by_name else self._keys.get(normal(name))
        if canonical is None:
            others = self.others()
            found = others.get(name) or next((others[n] for n in others if normal(n) == normal(name)), None)
            if found is not None:
                return found()
            spellings = [s for row in self._by_name.values() for s in (row["name"], *row["aliases"].split(";")) if s]
            raise UnknownName(self._kind, name, nearest(name, [*spellings, *others]), self._listing)
        if canonical not in self._built:
            self._built[canonical] = self._build(self._by_name[canonical])
        return self._built[canonical]

    def others(self) -> Mapping[str, Callable[[], T]]:
        """Return what is not packaged by name, each with what builds it; a packaged name is never hidden."""
        return {name: build for name, build in self._more().items() if normal(name) not in self._keys}

    def row(self, name: str) -> Row:
        """Return the packaged row of a canonical name, without building its spec."""
        return self._by_name[name]

    def __getattr__(self, attribute: str) -> T:
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        try:
            return self[attribute]
        except UnknownName as miss:
            raise AttributeError(str(miss)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and normal(name) in self._keys

    def __repr__(self) -> str:
        return f"<{len(self)} {self._kind} specs: {', '.join([*self][:3])}, ...>"

    def __dir__(self) -> list[str]:
        return sorted([*object.__dir__(self), *(row["attribute"] for row in self._by_name.values())])
