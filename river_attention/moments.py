r"""Running mean and variance with a floor on the rate of forgetting.

.. math::

    \rho_n = \max(1/n,\ 0.001), \qquad
    m \leftarrow m + \rho_n (x - m), \qquad
    s^2 \leftarrow (1 - \rho_n)\,\bigl(s^2 + \rho_n (x - m_{old})^2\bigr)

Up to a thousand values these are the plain mean and the variance with 1/n; from there on old
values fade, so that a change of scale is over after a few thousand rows instead of never.
The same formulas serve floats and arrays (West 1979, *Updating mean and variance estimates*).

**Accidents.** After twenty values, one counts as at most thirty deviations from the mean: a 1e308
from a broken sensor widens a deviation by a half, not for ever, while a lasting shift is followed
within a few dozen values.

**Calm.** At that rate it takes 26 000 rows to forget a jump by a million deviations. So a second,
quick variance of about the last hundred rows is kept beside; while it is less than a thousandth of
the other, values fade at 0.01. Exact repeats do not count as calm: a feature that is zero most of
the time keeps the scale of when it is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import ddot

from .state import Stateful, Writer

FORGETTING_RATE = 0.001
"""Smallest rate at which running moments forget."""

CALM_RATE = 0.01
"""Rate of forgetting while recent values vary much less than all values."""

WARMUP = 20
"""Number of values from which on one value can be told to be an accident."""

_CALM_SHARE = 1e-3
_QUICK_EVERY = 16
_QUICK_RATE = 0.15
_QUICK_WARMUP = 100
_SETTLED = int(1 / FORGETTING_RATE)

FARTHEST = 30.0
"""Deviations from the mean that a value counts as at most."""

TINY = 1e-140
"""Deviations below this count as zero: a clipped value (1e150) over it still fits a float64."""

Number = TypeVar("Number", float, NDArray[np.float64])


def running_rate(n: int, floor: float = FORGETTING_RATE) -> float:
    """Weight of the ``n``-th value (counting from one) in a running mean."""
    return max(1.0 / n, floor)


def update_moments(
    mean: Number, variance: Number, delta: Number, rate: Number | float
) -> tuple[Number, Number]:
    """One step of the module's equation for a float or elementwise for arrays.

    ``delta`` is the difference of the value from the mean.

    Examples
    --------
    >>> mean, variance = 0.0, 0.0
    >>> for n, value in enumerate([1.0, 2.0, 3.0], start=1):
    ...     mean, variance = update_moments(mean, variance, value - mean, running_rate(n))
    >>> round(mean, 6), round(variance, 6)
    (2.0, 0.666667)
    """
    step = rate * delta
    return mean + step, (1.0 - rate) * (variance + step * delta)


class Limit:
    """Clips arrays in place at ±limit.

    The bounds are arrays themselves: a ufunc converts a Python float at every call.

    Examples
    --------
    >>> values = np.array([-9.0, 1.0, 9.0])
    >>> Limit(3.0).apply(values)
    >>> values
    array([-3.,  1.,  3.])
    """

    def __init__(self, limit: float) -> None:
        self._low, self._high = np.array(-limit), np.array(limit)

    def apply(self, values: NDArray[np.float64]) -> None:
        """Clip in place."""
        np.maximum(values, self._low, out=values)
        np.minimum(values, self._high, out=values)


class ForgettingRate(Stateful):
    """Smallest rate of forgetting, raised where a variance is a relic of a scale long gone.

    Works on floats, or elementwise on arrays of ``n_columns``; looks at every sixteenth value.

    Examples
    --------
    >>> floor, rates = ForgettingRate(), []
    >>> for n in range(1, 1601):
    ...     value = float(n % 3) if n > 400 else 1e6 * (n % 3)
    ...     rates.append(floor.update(value - 1e6, 1e6, 1e12, n, True))
    >>> rates[399], round(rates[1599], 6)
    (0.001, 0.01)
    """

    def __init__(self, n_columns: int | None = None) -> None:
        self.n = 0
        zero: Any = 0.0 if n_columns is None else np.zeros(n_columns)
        self._sampled, self._mean, self._variance = zero, zero, zero
        self.rate: Any = FORGETTING_RATE

    def update(self, delta: Any, mean: Any, variance: Any, count: Any, present: Any) -> Any:
        """The rate after a value, ``delta`` from the mean.

        Mean, variance and count are those of the slow moments, before the value.
        """
        self.n += 1
        if not self.n % _QUICK_EVERY:
            self._look(mean + delta, mean, variance, count, present)
        return self.rate

    def _look(self, value: Any, mean: Any, variance: Any, count: Any, present: Any) -> None:
        fresh = (value != self._sampled) & present
        share = _QUICK_RATE * fresh
        step = share * (value - self._mean)
        young = count < _QUICK_WARMUP
        quick_mean = self._mean + step
        quick = (1.0 - share) * (self._variance + step * (value - self._mean))
        self._mean = quick_mean + young * (mean - quick_mean)
        self._variance = quick + young * (variance - quick)
        self._sampled = value
        self._set_rate(self._variance < _CALM_SHARE * variance)

    def _set_rate(self, calm: Any) -> None:
        if not np.any(calm):
            self.rate = FORGETTING_RATE
        else:
            self.rate = FORGETTING_RATE + (CALM_RATE - FORGETTING_RATE) * calm

    def transfer(self, io: Writer, *arguments: Any) -> None:
        self.n = io.integer("n", self.n)
        if isinstance(self._sampled, np.ndarray):
            n_columns = arguments[0] if arguments else len(self._sampled)
            self._sampled = io.array("sampled", self._sampled, n_columns)
            self._mean = io.array("mean", self._mean, n_columns)
            self._variance = io.array("variance", self._variance, n_columns, low=0.0)
            calm: Any = np.zeros(n_columns)
            columns = np.flatnonzero(np.broadcast_to(self.rate, n_columns) > FORGETTING_RATE)
            found = io.integers("calm", columns.tolist())
            io.check(all(column < n_columns for column in found), "calm: an unknown column")
            calm[found] = 1.0
        else:
            self._sampled = io.number("sampled", self._sampled)
            self._mean = io.number("mean", self._mean)
            self._variance = io.number("variance", self._variance, low=0.0)
            calm = float(io.integer("calm", int(self.rate > FORGETTING_RATE)) > 0)
        if io.reading:
            self._set_rate(calm)

    def append(self, n_columns: int) -> None:
        """Add columns that were never seen."""
        for name in ("_sampled", "_mean", "_variance"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(n_columns)]))
        self.rate = FORGETTING_RATE

    def renew(self, columns: Sequence[int]) -> None:
        """Forget what was seen of these columns."""
        for values in (self._sampled, self._mean, self._variance):
            values[columns] = 0.0
        if np.ndim(self.rate):
            self.rate[columns] = FORGETTING_RATE


def winsorised(delta: float, spread: float, n: int) -> float:
    """Difference of the n-th value from the mean: thirty deviations at most, if n is above twenty.

    Examples
    --------
    >>> winsorised(1e308, 2.0, 50), winsorised(3.0, 2.0, 50), winsorised(99.0, 2.0, 2)
    (60.0, 3.0, 99.0)
    """
    bound = FARTHEST * spread
    if bound == 0.0 or n <= WARMUP:
        return delta
    return min(max(delta, -bound), bound)


def deviation(variance: float) -> float:
    """Square root of a variance, 0 where it is too small to divide by."""
    root = math.sqrt(variance)
    return root if root > TINY else 0.0


class RunningMoments(Stateful):
    """Running mean and deviation of the columns of a stream of vectors.

    Columns may be appended at any time and may be missing (NaN) in any vector; each keeps its
    own count.

    Parameters
    ----------
    n_columns
        Number of columns at the start.

    Attributes
    ----------
    mean
        Running means [n].
    divisor
        Running deviations [n]; ``inf`` for a column that was constant so far (or never seen), so
        that dividing by it gives 0.
    count
        Number of values that each column had [n]; it stands still once all had so many that their
        number no longer matters.

    Examples
    --------
    >>> import numpy as np
    >>> moments = RunningMoments(2)
    >>> for row in ([1.0, 5.0], [3.0, np.nan], [5.0, 5.0]):
    ...     moments.update(np.array(row), complete=False)
    >>> moments.mean
    array([3., 5.])
    >>> moments.divisor.round(3)
    array([1.633,   inf])
    """

    def __init__(self, n_columns: int = 0) -> None:
        self.mean = np.zeros(n_columns)
        self.divisor = np.full(n_columns, np.inf)
        self._variance = np.zeros(n_columns)
        self.count = np.zeros(n_columns)
        self._floor = ForgettingRate(n_columns)
        # a lower bound on the counts
        self._fewest = 0
        self._some_constant = True

    def transfer(self, io: Writer, *arguments: Any) -> None:
        n_columns = arguments[0] if arguments else None
        self.mean = io.array("mean", self.mean, n_columns)
        n_columns = len(self.mean)
        self._variance = io.array("variance", self._variance, n_columns, low=0.0)
        self.count = io.array("count", self.count, n_columns, low=0.0)
        self._fewest = io.integer("fewest", self._fewest)
        self._floor = io.child("floor", self._floor, n_columns)
        if io.reading:
            self._some_constant = True
            self._divide()

    def _divide(self) -> None:
        divisor = np.sqrt(self._variance)
        if self._some_constant:
            constant = divisor <= TINY
            divisor[constant] = np.inf
            self._some_constant = bool(constant.any())
        elif self._floor.n % _QUICK_EVERY == 0:
            # a column that varied needs hundreds of thousands of repeats to become constant again
            self._some_constant = bool((divisor <= 2.0 * TINY).any())
        self.divisor = divisor

    def append(self, n_columns: int) -> None:
        """Add ``n_columns`` columns that were never seen."""
        self.mean = np.concatenate([self.mean, np.zeros(n_columns)])
        self.divisor = np.concatenate([self.divisor, np.full(n_columns, np.inf)])
        self._variance = np.concatenate([self._variance, np.zeros(n_columns)])
        self.count = np.concatenate([self.count, np.zeros(n_columns)])
        self._floor.append(n_columns)
        if n_columns:
            self._let_count(n_columns)

    def _let_count(self, n_new: int = 0) -> None:
        """Counts matter again, but of the last columns."""
        # they stand still while they do not
        self.count[: len(self.count) - n_new] += max(self._fewest - _SETTLED, 0)
        self._fewest = 0
        self._some_constant = True

    def renew(self, columns: Sequence[int]) -> None:
        """Forget these columns: from now on they are others, never seen."""
        if not columns:
            return
        self._let_count()
        for values in (self.mean, self._variance, self.count):
            values[columns] = 0.0
        self.divisor[columns] = np.inf
        self._floor.renew(columns)

    def update(self, values: NDArray[np.float64], complete: bool) -> None:
        """Let a vector [n] join the moments; ``complete`` promises that none is missing."""
        if not len(values):
            return
        rate: Any
        present: Any = True
        if complete:
            self._fewest += 1
            if self._fewest > _SETTLED:
                # every column has so many values that their number no longer matters
                rate = self._floor.rate
            else:
                self.count += 1.0
                rate = np.maximum(1.0 / self.count, self._floor.rate)
        else:
            present = values == values
            values = np.where(present, values, self.mean)
            if self._fewest <= _SETTLED:
                self.count += present
                self._fewest = int(self.count.min())
            rate = np.maximum(1.0 / np.maximum(self.count, 1.0), self._floor.rate) * present
        delta = values - self.mean
        far = delta / self.divisor
        if not ddot(far, far) <= FARTHEST * FARTHEST:
            bound = np.where(self.count < WARMUP, np.inf, FARTHEST * self.divisor)
            delta = np.minimum(np.maximum(delta, -bound), bound)
        self._floor.update(delta, self.mean, self._variance, self.count, present)
        self.mean, self._variance = update_moments(self.mean, self._variance, delta, rate)
        self._divide()
