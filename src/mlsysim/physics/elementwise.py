"""Maximum, minimum, choice, logarithm, exponential and power of two for floats and for arrays.

Plain numbers take Python's own operations, so that a single answer never loads numpy (which costs more than all
the rest of it together); everything else is numpy's. This is the only place in physics that looks at a type.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy.typing as npt

    Real: TypeAlias = float | npt.NDArray[Any]
else:
    Real = Any
    """A float or an array of floats; functions of several broadcast as numpy does."""

_SCALARS = (float, int)


def maximum(a: Real, b: Real) -> Any:
    """Return the larger of two, element by element."""
    if isinstance(a, _SCALARS) and isinstance(b, _SCALARS):
        return a if a >= b or a != a else b  # noqa: PLR0124  # NaN stays, as in arrays
    import numpy as np

    return np.maximum(a, b)


def minimum(a: Real, b: Real) -> Any:
    """Return the smaller of two, element by element."""
    if isinstance(a, _SCALARS) and isinstance(b, _SCALARS):
        return a if a <= b or a != a else b  # noqa: PLR0124
    import numpy as np

    return np.minimum(a, b)


def all_finite(a: Real) -> bool:
    """Return whether a number, or every one of an array, is finite."""
    if isinstance(a, _SCALARS):
        return math.isfinite(a)
    import numpy as np

    return bool(np.isfinite(a).all())


def at_least(a: Real, limit: float) -> bool:
    """Return whether a number, or every one of an array, is ``limit`` or more."""
    if isinstance(a, _SCALARS):
        return a >= limit
    return bool((a >= limit).all())


def where(condition: Any, a: Real, b: Real) -> Any:
    """Return ``a`` where the condition holds and ``b`` elsewhere."""
    if isinstance(condition, _SCALARS):
        return a if condition else b
    import numpy as np

    return np.where(condition, a, b)


def log(a: Real) -> Any:
    """Return the natural logarithm, element by element."""
    if isinstance(a, _SCALARS):
        return math.log(a)
    import numpy as np

    return np.log(a)


def exp(a: Real) -> Any:
    """Return e to a power, element by element."""
    if isinstance(a, _SCALARS):
        return math.exp(a)
    import numpy as np

    return np.exp(a)


def binade(a: Real) -> Any:
    """Return the power of two at or below a positive number, element by element."""
    if isinstance(a, _SCALARS):
        return math.ldexp(1.0, math.frexp(a)[1] - 1) if math.isfinite(a) else a
    import numpy as np

    bits = np.ascontiguousarray(a, dtype=np.float64).view(np.int64)
    return (bits & _EXPONENT).view(np.float64)


_EXPONENT = 0x7FF << 52
"""The bits of a double that hold its exponent."""
