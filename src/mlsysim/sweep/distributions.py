"""Numbers that are not known exactly, and the points at which they are drawn.

Draws are in the order of an additive recurrence in as many dimensions as there are uncertain things (Roberts, The
Unreasonable Effectiveness of Quasirandom Sequences, 2018), with one draw of each thing in each of equally likely parts
(McKay, Beckman, Conover, Technometrics 21(2), 1979): spread evenly, the same each time, so that a few hundred of them
do what thousands of random ones would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Protocol

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.registry import nearest
from mlsysim.results import NORMAL_90, Interval
from mlsysim.units import parse

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


class Distribution(Protocol):
    """A number that is not known exactly."""

    def at(self, z: Array) -> Array:
        """Return what is so many standard deviations of a normal distribution from the median."""

    @property
    def ends(self) -> tuple[float, float]:
        """Return the least and the most that it is tried at."""


@dataclass(frozen=True, slots=True)
class Between:
    """Between two numbers in 90 % of cases, with the median in the geometric middle unless it is given."""

    low: float
    high: float
    median: float | None = None

    def __post_init__(self) -> None:
        middle = (self.low * self.high) ** 0.5 if self.median is None and self.low > 0 else self.median
        if not 0 < self.low < self.high or middle is None or not self.low < middle < self.high:
            raise InvalidValue("distribution", "between two numbers above 0, the lower first", self._shown())

    def _shown(self) -> str:
        return f"low {self.low:g}, high {self.high:g}" + ("" if self.median is None else f", median {self.median:g}")

    def at(self, z: Array) -> Array:
        """Return what is ``z`` standard deviations from the median, in logarithms, either side apart."""
        middle = (self.low * self.high) ** 0.5 if self.median is None else self.median
        found: Array = Interval(middle, self.low, self.high).at(z).value  # type: ignore[assignment]
        return found

    @property
    def ends(self) -> tuple[float, float]:
        """Return the ends of the interval."""
        return self.low, self.high


@dataclass(frozen=True, slots=True)
class Normal:
    """Normally distributed; nothing below a millionth of the mean is drawn."""

    mean: float
    deviation: float

    def __post_init__(self) -> None:
        if not self.mean > 0 or not self.deviation > 0:
            shown = f"mean {self.mean:g}, deviation {self.deviation:g}"
            raise InvalidValue("distribution", "normal with mean and deviation above 0", shown)

    def at(self, z: Array) -> Array:
        """Return mean + z deviations."""
        import numpy as np

        return np.maximum(self.mean + z * self.deviation, 1e-6 * self.mean)

    @property
    def ends(self) -> tuple[float, float]:
        """Return what 90 % lie between."""
        half = NORMAL_90 * self.deviation
        return max(self.mean - half, 1e-6 * self.mean), self.mean + half


@dataclass(frozen=True, slots=True)
class Uniform:
    """As likely anywhere between two numbers."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high:
            raise InvalidValue("distribution", "uniform from a number above 0 to a larger one", (self.low, self.high))

    def at(self, z: Array) -> Array:
        """Return the quantile."""
        return self.low + (self.high - self.low) * _share(z)

    @property
    def ends(self) -> tuple[float, float]:
        """Return the two numbers."""
        return self.low, self.high


@dataclass(frozen=True, slots=True)
class Triangular:
    """Between two numbers, most likely at a third."""

    low: float
    mode: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.mode <= self.high or not self.low < self.high:
            shown = (self.low, self.mode, self.high)
            raise InvalidValue("distribution", "triangular with low <= mode <= high, above 0", shown)

    def at(self, z: Array) -> Array:
        """Return the quantile."""
        import numpy as np

        u = _share(z)
        wide, left, right = self.high - self.low, self.mode - self.low, self.high - self.mode
        return np.where(
            u * wide < left,
            self.low + np.sqrt(u * wide * left),
            self.high - np.sqrt((1 - u) * wide * right),
        )

    @property
    def ends(self) -> tuple[float, float]:
        """Return the two numbers."""
        return self.low, self.high


_FORMS = {"normal": (Normal, 2), "uniform": (Uniform, 2), "triangular": (Triangular, 3)}
_KEYS = ("low", "high", "median", *_FORMS)


def distribution_of(value: object, field: str, unit: str = "1") -> Distribution | None:
    """Return a distribution that is given, or that a table states; None where the value is no such thing.

    ``{low = 0.3, high = 0.5}`` (with ``median`` where that is not the geometric middle), ``{normal = [0.4, 0.05]}``,
    ``{uniform = [2, 3]}`` and ``{triangular = [2, 2.5, 4]}``.

    Raises
    ------
    InvalidValue, UnknownName
        A table with other keys, or numbers that make no such distribution.
    """
    if isinstance(value, (Between, Normal, Uniform, Triangular)):
        return value
    if not isinstance(value, Mapping) or not {*value} & {*_KEYS}:
        return None
    for key in value:
        if key not in _KEYS:
            raise UnknownName(f"key of {field}", str(key), nearest(str(key), _KEYS), "known: " + ", ".join(_KEYS))
    named = [key for key in _FORMS if key in value]
    if not named:
        if "low" not in value or "high" not in value:
            raise InvalidValue(field, "a distribution with low and high", dict(value))
        return Between(**{key: parse(number, unit, f"{field}.{key}") for key, number in value.items()})
    kind, count = _FORMS[named[0]]
    numbers = value[named[0]]
    if len(value) > 1 or not isinstance(numbers, (list, tuple)) or len(numbers) != count:
        raise InvalidValue(field, f"{named[0]} = a list of {count} numbers and nothing else", dict(value))
    made: Distribution = kind(*(parse(number, unit, f"{field}.{named[0]}") for number in numbers))
    return made


def _share(z: Array) -> Array:
    """Return the share of a normal distribution below z: the uniform number that z was made from."""
    import numpy as np

    return np.array([_NORMAL.cdf(float(one)) for one in z.reshape(-1)]).reshape(z.shape)


_NORMAL = NormalDist()


@lru_cache(maxsize=8)
def draws_of(sources: Sequence[str], count: int) -> Mapping[str, Array]:
    """Return ``count`` draws of each source as standard deviations from the median, evenly spread over all of them."""
    import numpy as np

    root = 2.0
    for _ in range(64):  # the root of x^(d + 1) = x + 1, which generalises the golden ratio
        root = (1.0 + root) ** (1.0 / (len(sources) + 1.0))
    n = np.arange(1, count + 1)
    found = {}
    for k, source in enumerate(sources):
        rank = ((n * root ** -(k + 1.0)) % 1.0).argsort().argsort()
        found[source] = np.array([_NORMAL.inv_cdf((int(one) + 0.5) / count) for one in rank])
    return found
