"""Calibrations kept as files: ``calibrations/NAME.toml`` in the project, or in the folder of the user.

A file is a list of revisions, the newest last: one for every time that the calibration was measured. A revision is
added, none is ever changed. The file is written whole beside the old one and put in its place, under a lock, so that
neither a kill nor another process loses anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from mlsysim.calibration.profile import Profile
from mlsysim.calibration.records import calibration_of, record_of
from mlsysim.errors import Checks, InvalidValue, UnknownName
from mlsysim.files import read_fields, writable_folder, write_whole
from mlsysim.own import user_folder
from mlsysim.registry import nearest

FOLDER = "calibrations"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*", re.IGNORECASE)
_LOCK_S = 30.0
"""How long to wait for another process that writes the same file [s]."""
_HEAD = "# Calibrations of mlsysim. Each [[revision]] is one measurement; the newest is the last one.\n\n"


class Revision(NamedTuple):
    """A profile as it was measured on a day; ``number`` counts from 1."""

    name: str
    number: int
    recorded: str
    note: str
    records: Sequence[dict[str, Any]]

    @property
    def profile(self) -> Profile:
        """Return the calibrations of the revision; work, ceiling and eta are counted anew."""
        where = f"{self.name}@{self.number}"
        return Profile(tuple(calibration_of(record, where) for record in self.records))

    def to_dict(self) -> dict[str, Any]:
        """Return what names the revision, ready for JSON."""
        return {
            "name": self.name,
            "revision": self.number,
            "recorded": self.recorded,
            "note": self.note,
            "points_saved": len(self.records),
            "of": sorted({str(r.get("model", "stated FLOPs")) for r in self.records}),
            "on": sorted({str(r.get("hardware", "a stated peak")) for r in self.records}),
            "eta": [r["eta"][0] for r in self.records if r.get("eta")],
        }


def project_folder() -> Path:
    """Return the folder of the project's calibrations; it need not exist."""
    return Path(FOLDER)


def folders() -> list[Path]:
    """Return the folders that are looked into, the project's first."""
    return [folder for folder in (project_folder(), user_folder(FOLDER)) if folder.is_dir()]


def names() -> dict[str, Path]:
    """Return the file of each calibration by name; the project's hides the user's."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return found


def save(
    profile: Profile, name: str, *, user: bool = False, note: str = "", model: str = "", hardware: str = ""
) -> tuple[Path, Revision]:
    """Add a revision to the calibration of a name, and return its file and the revision.

    Parameters
    ----------
    profile
        What was measured.
    name
        Letters, digits, dots, dashes; the file is ``calibrations/NAME.toml``.
    user
        In the folder of the user, not of the project.
    note
        A word on the measurement, for people.
    model, hardware
        Under which names or paths they are found again; their own names if not given.

    Raises
    ------
    InvalidValue
        A name that no file can have; a folder that cannot be written into; what could not be found again.
    """
    if not _NAME.fullmatch(name):
        raise InvalidValue("name", "letters, digits, dots and dashes", name)
    records = [record_of(c, model, hardware) for c in profile]
    folder = writable_folder(user_folder(FOLDER) if user else project_folder(), "calibrations")
    path = folder / f"{name}.toml"
    with _locked(path):
        known = list(revisions(name, path)) if path.exists() else []
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        added = Revision(name, len(known) + 1, now, note, records)
        write_whole(path, _text([*known, added]).encode())
    return path, added


def _text(found: Sequence[Revision]) -> str:
    import tomli_w

    listed = [{"recorded": r.recorded, **({"note": r.note} if r.note else {}), "point": list(r.records)} for r in found]
    return _HEAD + tomli_w.dumps({"revision": listed})


def _locked(path: Path) -> Any:
    from filelock import FileLock

    return FileLock(path.with_name(f".{path.name}.lock"), timeout=_LOCK_S)


def revisions(name: str, path: Path | None = None) -> Iterator[Revision]:
    """Yield the revisions of a calibration, the oldest first.

    Raises
    ------
    UnknownName, InvalidValue
        No such calibration; a file that is no calibration.
    """
    where = path or _path(name)
    listed = read_fields(where, "calibration").get("revision")
    if not isinstance(listed, list) or not all(isinstance(r, dict) and r.get("point") for r in listed):
        raise InvalidValue("calibration", "a file of [[revision]] tables with points", str(where))
    for number, r in enumerate(listed, 1):
        yield Revision(name, number, str(r.get("recorded", "")), str(r.get("note", "")), r["point"])


def _path(name: str) -> Path:
    if name.lower().endswith(".toml") and Path(name).is_file():
        return Path(name)
    known = names()
    if name not in known:
        listed = f"there are {', '.join(sorted(known))}" if known else "none is saved: `mlsysim calibrate ... --save`"
        raise UnknownName("calibration", name, nearest(name, known), listed)
    return known[name]


def load(name: str) -> Revision:
    """Return the newest revision of a calibration, or the one that ``NAME@2`` names.

    Raises
    ------
    UnknownName, InvalidValue
        No such calibration or revision; a file that is no calibration.
    """
    stem, at, number = name.partition("@")
    found = list(revisions(stem))
    if not at:
        return found[-1]
    if not number.isdigit() or not 1 <= int(number) <= len(found):
        raise InvalidValue("revision", f"a number from 1 to {len(found)}", number)
    return found[int(number) - 1]


def combined(listed: Sequence[str]) -> Profile:
    """Return the points of several calibrations together.

    Raises
    ------
    UnknownName, InvalidValue
        As :func:`load`; or calibrations that cannot stand together.
    """
    names_ = [name for text in listed for name in text.split(",") if name.strip()]
    return Profile(tuple(c for name in names_ for c in load(name.strip()).profile))


def listing(checks: Checks) -> Iterator[Revision]:
    """Yield the newest revision of every calibration; ``checks`` collects the files that cannot be read."""
    for name in sorted(names()):
        found = checks(load, name)
        if found is not None:
            yield found


def before(name: str, day: str | None) -> Revision:
    """Return the last revision of a calibration before a day, the first if none is given.

    Raises
    ------
    UnknownName, InvalidValue
        No such calibration; not a day; no other revision than the newest, or none before the day.
    """
    found = list(revisions(name))[:-1]
    if not found:
        hint = "measure again and save it under the same name"
        raise InvalidValue("calibration", "one with an earlier revision to be compared", name, hint)
    if day is None:
        return found[0]
    try:
        date.fromisoformat(day)
    except ValueError:
        raise InvalidValue("since", "a day such as 2026-10-27", day) from None
    earlier = [r for r in found if r.recorded[:10] < day]
    if not earlier:
        raise InvalidValue("since", f"a day after {found[0].recorded[:10]}, the first revision", day)
    return earlier[-1]
