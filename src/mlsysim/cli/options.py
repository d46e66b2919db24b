"""What the commands share: the options of a question, the words they are read from, and how notes are said."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.registry import nearest
from mlsysim.results import Note, Result

if TYPE_CHECKING:
    from mlsysim.calibration import Profile

FORMATS = ("table", "json", "csv", "markdown")


def number(text: str | None) -> Any:
    """Return the number a word spells, or the word itself, so that an error can quote it as it was written."""
    if text is None:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Return the input and the shape that ``x=1,3,224,224`` names."""
    name, equals, sizes = text.rpartition("=")
    try:
        shape = tuple(int(size) for size in sizes.split(","))
    except ValueError:
        shape = ()
    if not equals or not shape:
        raise InvalidValue("shape", "a name and sizes such as x=1,3,224,224", text)
    return name, shape


class Word(click.ParamType[Any]):
    """A number where the word spells one, else the word: checked where all other problems are, told with them."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number or the word."""
        return number(value) if isinstance(value, str) else value


class Eta(Word):
    """A share, ``predicted``, or the name of a saved calibration, which is read; ``many`` takes lists and ranges."""

    name = "eta"

    def __init__(self, *, many: bool = False) -> None:
        self.many = many

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, the words a sweep reads, or the profile that was saved under the name."""
        return eta(value, many=self.many) if isinstance(value, str) else value


def eta(text: str, *, many: bool = False) -> Any:
    """Return what an eta is said to be: a number, a word as it is, or a saved calibration.

    Of several calibrations with commas all points count together; where there may be ``many`` etas, each is one.

    Raises
    ------
    InvalidValue
        A name under which no calibration is saved.
    """
    if isinstance(found := number(text), (int, float)):
        return found
    parts = [part.strip() for part in text.split(",")]
    named = list(map(_named, parts))
    if not any(named) or not (many or all(named)):
        return text
    if not many:
        return _calibration(*parts)
    each = [_calibration(part) if _named(part) else number(part) for part in parts if part]
    return each if len(each) > 1 else each[0]


def _named(word: str) -> bool:
    """Return whether a word can be a name, and is no number, quantity or range."""
    if word.lower() in {"predicted", "nan", "inf"} or not any(map(str.isalpha, word)):
        return False
    return word[0].isalpha() or _stem(word) in _saved()


def _calibration(*names: str) -> Profile:
    from mlsysim.calibration import store

    saved = _saved()
    for name in names:
        if name.lower().endswith(".toml") or _stem(name) in saved:
            continue
        near = nearest(_stem(name), saved)
        listed = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(saved)}" if saved else ""
        listed = listed or "none is saved: `mlsysim calibrate ... --save NAME`"
        raise InvalidValue("efficiency", "a number in (0, 1], or the name of a calibration", name, listed)
    return store.combined(names)


def _stem(name: str) -> str:
    return name.partition("@")[0]


def _saved() -> list[str]:
    from mlsysim.calibration import store

    return sorted(store.names())


class Format(click.ParamType[str]):
    """One of :data:`FORMATS`."""

    name = "format"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the format, or say which there are."""
        word = str(value).lower()
        if word not in FORMATS:
            raise UnknownName("output", str(value), nearest(word, FORMATS), "known: " + ", ".join(FORMATS))
        return word


output = click.option("--output", "-o", type=Format(), default="table", help="table, json, csv or markdown")

ETA = "end-to-end eta in (0, 1], or the name of a saved calibration; left out, it is predicted"

_QUESTION = (
    click.option("--phase", help="forward (prefill), decode or training  [default: forward]"),
    click.option(
        "--batch",
        "--batch-size",
        "batch_size",
        type=Word(),
        help="prompts, sequences in flight, or the global training batch  [default: 1]",
    ),
    click.option("--seq-len", type=Word(), help="tokens of each prompt or training sequence  [default: 2048]"),
    click.option("--context", type=Word(), help="tokens already in the KV cache at decode  [default: 2048]"),
    click.option(
        "--precision", help="fp8, w4a16kv8, q4_k_m, ...  [default: the file's, or the device's 16-bit format]"
    ),
)
_MODIFIERS = (
    click.option("--recompute", help="in training: none, selective or full  [default: full]"),
    click.option("--lora-rank", type=Word(), help="train low-rank adapters beside frozen weights"),
    click.option("--freeze", help="train all but the encoder, or all but the body: encoder or body"),
    click.option("--draft", help="speculative decoding: a smaller model, or mtp for the model's own modules"),
    click.option("--draft-tokens", type=Word(), help="tokens drafted a step"),
    click.option("--acceptance", type=Word(), help="share of drafted tokens that is kept, in (0, 1]"),
    click.option("--target-len", type=Word(), help="tokens on the decoder's side of a model with encoder"),
    click.option("--steps", type=Word(), help="denoising steps of a diffusion model"),
)
_DEVICES = (click.option("--devices", type=Word(), help="identical devices that share the work  [default: 1]"),)
_EFFICIENCY = click.option("--efficiency", type=Eta(), help=ETA)
_EFFICIENCIES = click.option("--efficiency", type=Eta(many=True), help=ETA)
_BESIDE = (
    click.option("--usd-per-hour", help="price of one device, for the cost of a step"),
    click.option("--plan", help="how devices share the work and what runs it: 'tp8 pp4', 'engine=vllm tp=2'"),
    click.option("--region", help="where it runs, for carbon and water: sweden, virginia, us-east-1, ..."),
    click.option("--pue", type=Word(), help="what the building takes over the equipment  [default: the operator's]"),
)
_STRICT = (click.option("--strict", is_flag=True, help="refuse an eta above the roofline ceiling"),)


def question(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what is run and on how many devices."""
    return _add((*_QUESTION, *_DEVICES, *_MODIFIERS), function)


def workload(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what is run, on whatever hardware: phase, sizes, precision, modifiers."""
    return _add((*_QUESTION, *_MODIFIERS), function)


def efficiency(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what eta is assumed, of one question."""
    return _add((_EFFICIENCY, *_BESIDE, *_STRICT), function)


def efficiencies(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what eta is assumed, of many points: none of them is refused."""
    return _add((_EFFICIENCIES, *_BESIDE), function)


def _add(options: Iterable[Callable[..., Any]], function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(tuple(options)):
        function = option(function)
    return function


def saved(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that keep what was measured."""
    return _add(
        (
            click.option("--save", help="keep it as calibrations/NAME.toml, as a further revision if there is one"),
            click.option("--user", is_flag=True, help="keep it in your own folder, not in the project's"),
            click.option("--note", default="", help="a word on the measurement, to be kept with it"),
        ),
        function,
    )


def save(profile: Profile, name: str, *, user: bool, note: str, model: str = "", hardware: str = "") -> str:
    """Keep what was measured, and return where, for people."""
    from mlsysim.calibration import store

    path, revision = store.save(profile, name, user=user, note=note, model=model, hardware=hardware)
    return f"saved as {name}, revision {revision.number}: {path}"


def say_left_out(profile: Profile) -> None:
    """Say what of a log is not in the measurement: the first lines of each reason, and how many more."""
    origin = profile.main.origin
    reasons: dict[str, list[int]] = defaultdict(list)
    for part in origin.left_out if origin else ():
        reasons[part.reason].append(part.line)
    for reason, lines in reasons.items():
        told = [str(line) for line in lines[:3] if line]
        more = f" and {len(lines) - 3:,} more" if len(lines) > 3 else ""
        where = f"line {', '.join(told)}{more}: " if told else ""
        print(f"[left-out] {where}{reason}", file=sys.stderr)


def say_notes(notes: Iterable[Note], prefix: str = "") -> None:
    """Write notes to standard error, a line each."""
    for note in notes:
        print(f"{prefix}[{note.code}] {note.message}", file=sys.stderr)


def say_points_notes(profile: Profile) -> None:
    """Write the notes of the points of a profile, each once, with the points it is said of unless it is all of them."""
    said: dict[Note, list[str]] = defaultdict(list)
    for c in profile:
        label = c.origin.label if c.origin else ""
        for note in dict.fromkeys((*c.notes, *(c.scenario.notes() if c.scenario else ()))):
            said[note].append(label)
    for note, where in said.items():
        labels = "; ".join(filter(None, where))
        say_notes([note], prefix=f"{labels}: " if labels and len(where) < len(profile) else "")


def say_results_notes(results: Sequence[Result]) -> None:
    """Write the notes of several results, each once, with the devices it is said of unless it is all of them."""
    said: dict[Note, list[str]] = defaultdict(list)
    for result in results:
        for note in result.notes:
            said[note].append(result.hardware)
    for note, where in said.items():
        say_notes([note], prefix="" if len(where) == len(results) else f"{', '.join(where)}: ")


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """Show a bar a part of the work on standard error; yield what takes a label and the share of the part, 0 to 1."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<46}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    bars = Progress(*columns, console=Console(stderr=True))
    parts: list[TaskID] = []

    def tell(label: str, share: float) -> None:
        bars.start()  # not before: a mistake that is found at once leaves no empty line
        if not parts or share < bars.tasks[parts[-1]].completed:
            parts.append(bars.add_task(label, total=1.0))
        bars.update(parts[-1], description=label, completed=share)

    try:
        yield tell
    finally:
        if parts:
            bars.stop()
