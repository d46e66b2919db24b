"""What all figures share: matplotlib without a screen, ink, lettering, prefixes of units, and files."""

from __future__ import annotations

import errno
import os
from io import BytesIO
from pathlib import Path
from typing import Any

from mlsysim.errors import InvalidValue, MissingExtra
from mlsysim.files import write_whole

INK, MUTED = "#1c2733", "#75808c"
GRID = "#e6e9ed"
LETTERING = {"font.family": "DejaVu Sans", "font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "mlsysim"}
SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))
"""Prefixes of units, largest first."""
_UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


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


def rendered(figure: Any, kind: str) -> bytes:
    """Return a figure as the content of a file (``png``, ``svg``, ``pdf``...): the same for the same figure."""
    import matplotlib as mpl

    content = BytesIO()
    with mpl.rc_context({"svg.hashsalt": LETTERING["svg.hashsalt"]}):
        figure.savefig(content, format=kind, dpi=160, metadata=_UNDATED.get(kind))
    return content.getvalue()


def write(figure: Any, path: str | Path, also: str = "") -> None:
    """Write a figure to a file, whole or not at all, and close it; the ending says in which format.

    ``also`` names an ending that the caller knows beside those of figures.

    Raises
    ------
    InvalidValue
        matplotlib knows no such format.
    """
    import matplotlib.pyplot as plt

    path = Path(path)
    try:
        check(path, also)
        put(path, rendered(figure, path.suffix.removeprefix(".").lower()))
    finally:
        plt.close(figure)


def check(path: str | Path, also: str = "") -> None:
    """Refuse a file that a figure cannot be written to, before anything is worked out for it.

    ``also`` names an ending that the caller knows beside those of figures.

    Raises
    ------
    MissingExtra, InvalidValue
        matplotlib is not installed; or it knows no such format.
    FileNotFoundError
        There is no such folder.
    """
    path, endings_known = Path(path), [also]
    if path.suffix.lower() != also:
        pyplot("the plot")
        from matplotlib.backend_bases import FigureCanvasBase

        endings_known += [f".{kind}" for kind in FigureCanvasBase.get_supported_filetypes()]
    if path.suffix.lower() not in endings_known:
        endings = [".png", ".svg", ".pdf", *([also] if also else [])]
        known = f"{', '.join(endings[:-1])} or {endings[-1]}"
        raise InvalidValue("plot", f"a file that ends with {known}", str(path))
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; where that fails, the error names the file."""
    try:
        write_whole(path, content)
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(path)) from None
