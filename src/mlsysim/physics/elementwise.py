"""Maximum, minimum and choice for floats and for arrays.

Plain numbers take Python's own operations, so that a single answer never loads numpy (which costs more than all
the rest of it together); everything else is numpy's. This is the only place in physics that looks at a type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy.typing as npt

    Real: TypeAlias = float | npt.NDArray[Any]
else:
    Real = Any
    """A float or an array of floats; functions of several broadcast as numpy does."""

_SCALARS = (float, int, bool)


def maximum(a: Real, b: Real) -> Any:
    """Return the larger of two, element by element."""
    if isinstance(a, _SCALARS) and isinstance(b, _SCALARS):
        return a if a >= b else b
    import numpy as np

    return np.maximum(a, b)


def minimum(a: Real, b: Real) -> Any:
    """Return the smaller of two, element by element."""
    if isinstance(a, _SCALARS) and isinstance(b, _SCALARS):
        return a if a <= b else b
    import numpy as np

    return np.minimum(a, b)


def where(condition: Any, a: Real, b: Real) -> Any:
    """Return ``a`` where the condition holds and ``b`` elsewhere."""
    if isinstance(condition, _SCALARS):
        return a if condition else b
    import numpy as np

    return np.where(condition, a, b)
