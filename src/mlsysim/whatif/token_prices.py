"""What a million tokens cost, read and written: prefill and decode of the same requests."""

from __future__ import annotations

from typing import Any, NamedTuple

from mlsysim.engine import Engine
from mlsysim.errors import Infeasible, InvalidValue
from mlsysim.results import Interval, Result
from mlsysim.units import whole

MILLION = 1e6


class TokenPrices(NamedTuple):
    """Prices of a million tokens that are read (``input``) and written (``output``) [USD], 90 % intervals.

    ``prefill`` and ``decode`` are the answers they follow from, ``blended`` the price of a million tokens of requests
    with ``prompt`` tokens read and ``answer`` written.
    """

    input: Interval
    output: Interval
    blended: Interval
    prompt: int
    answer: int
    prefill: Result
    decode: Result

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        prices = {name: getattr(self, name)._asdict() for name in ("input", "output", "blended")}
        both = {name: getattr(self, name).to_dict() for name in ("prefill", "decode")}
        return {**prices, "prompt": self.prompt, "answer": self.answer, **both}


def token_prices(
    model: Any, hardware: Any, *, prompt: int = 1024, answer: int = 256, batch_size: int = 32, **question: Any
) -> TokenPrices:
    """Return what a million tokens cost where ``batch_size`` requests are decoded at once, and prompts read one by one.

    Prompts are prefilled apart from decoding; the cache holds the prompt and, on average, half of the answer. The blend
    takes the ends of both together: prefill and decode share their model and device, and most of their errors.

    Raises
    ------
    UsageError
        A field breaks a rule.
    Infeasible
        The requests do not fit into memory.
    """
    prompt, answer = whole(prompt, "prompt"), whole(answer, "answer")
    context = prompt + answer // 2
    prefill = Engine.solve(model, hardware, phase="forward", batch_size=1, seq_len=prompt, **question)
    decode = Engine.solve(model, hardware, phase="decode", batch_size=batch_size, context=context, **question)
    if not decode.fits:
        raise Infeasible(next(note.message for note in decode.notes if note.code == "does-not-fit"))
    read, written = _per_million(prefill), _per_million(decode)
    ends = ((prompt * a + answer * b) / (prompt + answer) for a, b in zip(read, written, strict=True))
    return TokenPrices(read, written, Interval(*ends), prompt, answer, prefill, decode)


def _per_million(result: Result) -> Interval:
    """Return the price of a million tokens of an answer [USD]."""
    if result.cost_usd is None:
        raise InvalidValue("usd_per_hour", f"given: no price of {result.hardware} is known", None)
    tokens = result.throughput.value * result.time_s.value
    return result.cost_usd * (MILLION / tokens)
