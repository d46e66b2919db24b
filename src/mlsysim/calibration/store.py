"""Calibrations kept as files: ``calibrations/NAME.toml`` in the project, or in the folder of the user.

A file is a list of revisions, the newest last: one for every time that the calibration was measured. A revision is
added below the others, whose text stays as it is. The file is written whole beside the old one and put in its place,
under a lock, so that neither a kill nor another process loses anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from mlsysim.calibration.profile import Profile
from mlsysim.calibration.records import calibration_of, record_of
from mlsysim.errors import Checks, InvalidValue, UnknownName, UsageError
from mlsysim.files import LARGEST_BYTES, read_fields, writable_folder, write_whole
from mlsysim.hardware import Hardware
from mlsysim.own import user_folder
from mlsysim.registry import nearest
from mlsysim.scenario import hardware_of
from mlsysim.workload import model_of

FOLDER = "calibrations"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*", re.IGNORECASE)
_LONGEST = 100
"""Letters of a name: file systems have room for 255 bytes, ending and all."""
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
    path: Path | None = None

    @property
    def profile(self) -> Profile:
        """Return the calibrations of the revision; work, ceiling and eta are counted anew."""
        where = f"{self.path or self.name}, revision {self.number}"
        listed = enumerate(self.records, 1)
        return Profile(tuple(calibration_of(record, f"{where}, point {n}") for n, record in listed))

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
            "eta": [r["eta"][0] for r in self.records if isinstance(r.get("eta"), list) and r["eta"]],
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
        A name that no file can have; a folder that cannot be written into; what could not be found again; a file that
        would be too large to be read.
    """
    path = place(name, user=user)
    if user:
        model, hardware = _from_anywhere(model), _from_anywhere(hardware)
    records = [record_of(c, model, hardware) for c in profile]
    with _locked(path):
        earlier = list(revisions(name, path)) if path.exists() else []
        if earlier:
            _refuse_other_runs(name, earlier[-1].records, records)
        known = len(earlier)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        added = Revision(name, known + 1, now, note, records, path)
        write_whole(path, _with(path.read_bytes().rstrip() + b"\n\n" if known else _HEAD.encode(), added))
    return path, added


def _refuse_other_runs(name: str, before: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]) -> None:
    """Refuse a revision whose model or device no point before it had: nothing of the two could be compared."""
    for field, find in (("model", model_of), ("hardware", hardware_of)):
        old, new = ({_called(r.get(field, ""), find) for r in records} for records in (before, now))
        if not old & new:
            hint = f"revisions of one name are of one {field}, to be compared: save this under another"
            raise InvalidValue(field, f"that of {name} ({', '.join(sorted(old))})", ", ".join(sorted(new)), hint)


def _called(name: Any, find: Callable[[Any], Any]) -> str:
    """Return the name of what a record names, in one spelling where it is still found."""
    try:
        return str(find(name).name)
    except UsageError:
        return str(name)


def place(name: str, *, user: bool = False) -> Path:
    """Return the file in which a calibration of a name is kept; its folder is there, and can be written into.

    Raises
    ------
    InvalidValue
        A name that no file can have; a folder that cannot be written into.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise InvalidValue("name", f"letters, digits, dots and dashes, {_LONGEST} at most", name)
    return writable_folder(user_folder(FOLDER) if user else project_folder(), "calibrations") / f"{name}.toml"


def _from_anywhere(name: str) -> str:
    """Return the whole path where a name is one, so that it is found from every working directory."""
    return str(Path(name).resolve()) if name and Path(name).exists() else name


def _with(before: bytes, added: Revision) -> bytes:
    """Return the text of a file with a revision below what it holds.

    Raises
    ------
    InvalidValue
        The whole could not be read again: it is too large, or was edited into a form to which nothing can be added.
    """
    import tomllib

    import tomli_w

    table = {"recorded": added.recorded, **({"note": added.note} if added.note else {}), "point": list(added.records)}
    whole = before + tomli_w.dumps({"revision": [table]}).encode()
    if len(whole) > LARGEST_BYTES:
        hint = f"{added.path} would have {len(whole) / 1e6:.1f} MB, and no more than {LARGEST_BYTES / 1e6:g} are read"
        raise InvalidValue("name", "that of a smaller calibration, or a new one", added.name, hint)
    try:
        tomllib.loads(whole.decode())
    except tomllib.TOMLDecodeError as problem:
        hint = f"it was edited by hand: {problem}"
        raise InvalidValue("calibration", "a file that ends with a revision", str(added.path), hint) from None
    return whole


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
    if not listed or not isinstance(listed, list) or not all(_whole(r) for r in listed):
        raise InvalidValue("calibration", "a file of [[revision]] tables with [[revision.point]] tables", str(where))
    for number, r in enumerate(listed, 1):
        yield Revision(name, number, str(r.get("recorded", "")), str(r.get("note", "")), r["point"], where)


def _whole(revision: object) -> bool:
    points = revision.get("point") if isinstance(revision, dict) else None
    return isinstance(points, list) and bool(points) and all(isinstance(p, dict) for p in points)


def _path(name: str) -> Path:
    if name.lower().endswith(".toml") and Path(name).is_file():
        return Path(name)
    known = names()
    if name not in known:
        _refuse_another(name)
        listed = f"there are {', '.join(sorted(known))}" if known else "none is saved: `mlsysim calibrate ... --save`"
        raise UnknownName("calibration", name, nearest(name, known), listed)
    return known[name]


def _refuse_another(name: str) -> None:
    """Refuse what is no name of a calibration, but of something else."""
    rule = "the name of a saved calibration, or its .toml file"
    if Path(name).is_file():
        hint = f"a log is calibrated first: `mlsysim calibrate {name} --save NAME`"
        raise InvalidValue("calibration", rule, name, hint)
    if name in Hardware:
        raise InvalidValue("calibration", rule, name, "that is hardware: are the two swapped?")


def load(name: str) -> Revision:
    """Return the newest revision of a calibration, or the one that ``NAME@2`` names.

    Raises
    ------
    UnknownName, InvalidValue
        No such calibration or revision; a file that is no calibration.
    """
    stem, at, number = (name, "", "") if name.lower().endswith(".toml") else name.rpartition("@")
    stem, number = (stem, number) if at else (name, "")
    found = list(revisions(stem))
    if not at:
        return found[-1]
    if not number.isdecimal() or not 1 <= int(number) <= len(found):
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
