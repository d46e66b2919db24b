"""``mlsysim break-even MODEL --a "h100 specialist" --b "h100 own" --over utilisation``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import click

from mlsysim.cli import options, paying

_ALIASES = {"batch": "batch_size", "price": "usd_per_hour", "once": "fixed_usd"}
"""Short names of what is stated of a side, or varied of both."""
_OWNED = ("years", "discount_rate", "pue")
"""What is stated of a side that is owned, and is part of how it is owned."""
_PAID = ("rent", "usd_per_hour", "utilisation", "usd", "usd_per_kwh", "power_w", "fixed_usd")
_RUN = ("devices", "batch_size", "precision", "plan", "efficiency", "draft", "draft_tokens", "acceptance", "region")
"""What one side may have of its own, in place of what is stated of both."""
_UNITS = {"usd": "USD", "fixed_usd": "USD", "power_w": "W"}
_SIDE = "a device, then any of: own, a kind of rent, NAME=VALUE"


@click.command("break-even", short_help="Tell from where on one option is better than another: rent or own, A or B.")
@click.argument("model")
@click.option("--a", "a", required=True, help=f"{_SIDE}: 'h100 specialist', 'h100 price=2.5 devices=2'")
@click.option("--b", "b", required=True, help="likewise: 'b200', 'h100 own usd=30000 utilisation=70%'")
@click.option(
    "--over",
    default="utilisation",
    help="what is varied: utilisation, price (of B), batch, context, seq_len, devices, tokens, years, usd_per_kwh "
    " [default: utilisation]",
)
@click.option("--of", default="usd_per_million", help="what is compared  [default: usd_per_million]")
@click.option("--region", help="where both run: what electricity costs an owner, carbon and water")
@click.option("--plan", help="how devices share the work and what runs it: 'tp8', 'engine=vllm tp=2'")
@click.option("--efficiency", type=options.Eta(), help=options.ETA)
@options.question
@options.output
def command(model: str, a: str, b: str, over: str, of: str, output: str, **question: Any) -> None:
    """Tell from where on option B is better than option A by one quantity, all else as it is.

    An option is a device and how it is paid for, on demand if nothing is said:

    \b
      --a h100                            rented on demand
      --a "h100 specialist"               rented: on-demand, hyperscaler, specialist,
                                          marketplace, spot or reserved
      --a "h100 price=2.5"                rented at 2.5 USD/h
      --b "h100 own" --region virginia    bought, with the electricity of a region
      --b "h100 own usd=30000 usd_per_kwh=0.07 utilisation=70% years=4"
      --b "b200 once=20000"               20,000 USD are paid once: --over tokens
      --b "2 x b200 batch=64 plan=tp2"    a side may differ in how it is run

    \b
    Rent or own, by the hours in use:
      mlsysim break-even llama-3.1-8b --a "h100 specialist" --b "h100 own" --region virginia
    From which batch on the newer device is cheaper:
      mlsysim break-even llama-3.1-8b --a h100 --b b200 --over batch --phase decode

    Exits with 1 where B is nowhere better.
    """
    from mlsysim.errors import Checks
    from mlsysim.report.choices import break_even_table
    from mlsysim.report.tables import emit
    from mlsysim.whatif.asked import phase_of
    from mlsysim.whatif.break_even import break_even
    from mlsysim.whatif.option import option

    over = _called(over)
    question["phase"] = phase_of((of,), question["phase"]) or ("decode" if over == "context" else None)
    checks = Checks()
    sides = [checks(partial(_side, text, f"--{name}", question)) for name, text in (("a", a), ("b", b))]
    checks.done()
    told = [side for side in sides if side is not None]
    _check_over(over, told)
    first, second = (option(model, **side) for side in told)
    found = break_even(first, second, over="price" if over == "usd_per_hour" else over, of=of)
    emit(output, found.to_dict(), break_even_table(found))
    options.say_results_notes([first.result, second.result])
    sys.exit(1 if found.side == "never" else 0)


def _called(name: str) -> str:
    word = name.strip().lower().replace("-", "_")
    return _ALIASES.get(word, word)


def _check_over(over: str, sides: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to vary what neither side has, and say how a side gets it.

    Raises
    ------
    InvalidValue
        It is of what is owned, or paid once, and no side is.
    """
    from mlsysim.errors import InvalidValue

    for names, field, rule in (
        (("years", "usd_per_kwh"), "own", "of a side that is owned: --b 'h100 own'"),
        (("tokens",), "fixed_usd", "of a side that costs something once: --b 'b200 once=20000'"),
    ):
        if over in names and not any(side.get(field) for side in sides):
            raise InvalidValue("--over", rule, over)


def _side(text: str, field: str, both: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an option from its words; what is stated of both is its own where it says nothing.

    Raises
    ------
    InvalidValue, UnknownName
        No device; a word that is none of those known; a value that is none.
    """
    from mlsysim.costs.prices import KINDS
    from mlsysim.errors import InvalidValue, UnknownName
    from mlsysim.registry import nearest
    from mlsysim.whatif.pay import share_of

    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if not words or "=" in words[0]:
        raise InvalidValue(field, _SIDE, text)
    side: dict[str, Any] = {}
    if len(words) > 2 and words[0].isdecimal() and words[1] == "x":  # as options are labelled: 2 x h100
        side["devices"] = int(words[0])
        words = words[2:]
    side["hardware"] = words[0]
    short = {long: name for name, long in _ALIASES.items()}
    known = ("own", *KINDS, *(f"{short.get(name, name)}=" for name in (*_PAID, *_OWNED, *_RUN)))
    for word in words[1:]:
        name, equals, value = word.partition("=")
        name = _called(name) if equals else name.lower()
        if not equals and name in KINDS:
            side["rent"] = name
        elif not equals and name == "own":
            side["own"] = True
        elif equals and name in (*_PAID, *_OWNED, *_RUN):
            side[name] = _read(name, value)
        else:
            listed = "known: " + ", ".join(known)
            raise UnknownName(f"word in {field}:", word, nearest(word.partition("=")[0], known), listed)
    if "utilisation" in side:
        side["utilisation"] = share_of(side["utilisation"])
    owned = {name: side.pop(name) for name in _OWNED if name in side}
    if owned or side.get("own"):
        side["own"] = paying.owned(side.get("own", False), **owned)
    found = {**both, **side}
    if found.get("own") and found.get("region") is None and "usd_per_kwh" not in found:
        raise InvalidValue(field, "given with --region, or usd_per_kwh=: an owner pays for electricity", text)
    return found


def _read(name: str, text: str) -> Any:
    """Return the value of a word: a number, a quantity in its unit, or the text."""
    value = options.eta(text) if name == "efficiency" else options.number(text)
    if name in _UNITS:
        return paying.quantity(value, _UNITS[name], name)
    if name == "discount_rate":
        return paying.quantity(value, "1", name)
    return value
