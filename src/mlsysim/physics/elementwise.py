"""Maximum, minimum, choice, logarithm and spacing for floats and for arrays.

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
        return a if a >= b else b
    import numpy as np

    return np.maximum(a, b)


def minimum(a: Real, b: Real) -> Any:
    """Return the smaller of two, element by element."""
    if isinstance(a, _SCALARS) and isinstance(b, _SCALARS):
        return a if a <= b else b
    import numpy as np

    return np.minimum(a, b)


def all_finite(a: Real) -> bool:
    """Return whether a number, or every one of an array, is finite."""
    if isinstance(a, _SCALARS):
        return math.isfinite(a)
    import numpy as np

    return bool(np.isfinite(a).all())


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


def spacing(a: Real) -> Any:
    """Return the distance to the next larger float, element by element."""
    if isinstance(a, _SCALARS):
        return math.ulp(a)
    import numpy as np

    return np.spacing(a)


def whole(a: Real) -> Any:
    """Return the nearest whole number, halves to even, element by element."""
    if isinstance(a, _SCALARS):
        return round(a) if math.isfinite(a) else a
    import numpy as np

    return np.rint(a)
