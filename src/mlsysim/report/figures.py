"""What all figures share: matplotlib without a screen, ink, lettering, and prefixes of units."""

from __future__ import annotations

from typing import Any

from mlsysim.errors import MissingExtra

INK, MUTED = "#1c2733", "#75808c"
LETTERING = {"font.family": "DejaVu Sans", "font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "mlsysim"}
SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))
"""Prefixes of units, largest first."""


def pyplot(purpose: str) -> Any:
    """Return matplotlib's pyplot, which draws into files.

    Raises
    ------
    MissingExtra
        matplotlib is not installed; ``purpose`` is what it is needed for.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingExtra("matplotlib", "plot", purpose) from None
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    return plt
