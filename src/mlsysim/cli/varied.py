"""The options of commands that vary a question: the tokens of a training run, and what of a stated eta is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from mlsysim.cli.options import Word


def varied(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options."""
    tokens = click.option(
        "--tokens", type=Word(), help="tokens that a training run reads in all, for run_s and run_usd"
    )
    hold = click.option("--hold", default="eta", help="keep a stated eta, or its attainment  [default: eta]")
    return tokens(hold(function))
