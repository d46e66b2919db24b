"""What all pages share: the templates, from which each is made as one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlsysim.errors import MissingExtra


def template(name: str, purpose: str, **filters: Callable[..., str]) -> Any:
    """Return a packaged template: what it shows is escaped, and what it does not get is an error.

    Raises
    ------
    MissingExtra
        jinja2 is not installed; ``purpose`` is what it is needed for.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise MissingExtra("jinja2", "plot", purpose) from None
    pages = Environment(
        loader=PackageLoader("mlsysim.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters.update(filters)
    return pages.get_template(name)
