"""What is kept of a stream that may be long: a bounded number of points, evenly over all of it."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")

N_POINTS = 256
"""How many points are kept at most."""


class Thinned(Generic[Item]):
    """Every s-th of what comes; when ``N_POINTS`` are there every second goes and s doubles.

    Parameters
    ----------
    step
        s at the beginning.

    Examples
    --------
    >>> seen = Thinned()
    >>> for row in range(1000):
    ...     if seen.wants(row):
    ...         seen.add(row, row * row)
    >>> len(seen.items), seen.rows[:3], seen.rows[-1], seen.items[2]
    (250, [0, 4, 8], 996, 64)
    """

    def __init__(self, step: int = 1) -> None:
        self.step = step
        self.rows: list[int] = []
        self.items: list[Item] = []

    def wants(self, row: int) -> bool:
        """Whether the item of a row would be kept, so that others need not be made."""
        return row % self.step == 0

    def add(self, row: int, item: Item) -> None:
        """Keep the item of a row that is wanted."""
        self.rows.append(row)
        self.items.append(item)
        if len(self.rows) > N_POINTS:
            self.step *= 2
            kept = [i for i, at in enumerate(self.rows) if at % self.step == 0]
            self.rows = [self.rows[i] for i in kept]
            self.items = [self.items[i] for i in kept]


class BucketMeans:
    """Means over so many rows after another; with ``N_POINTS`` of them two become one.

    Examples
    --------
    >>> means = BucketMeans()
    >>> for row in range(1024):
    ...     means.add(row % 4)
    >>> means.width, means.means().tolist()[:3], means.rows().tolist()[:3]
    (8, [1.5, 1.5, 1.5], [8, 16, 24])
    """

    def __init__(self, width: int = 1) -> None:
        self.width = width
        self._sums: list[float] = []
        self._n = 0
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Take the number of the next row."""
        self._sum += value
        self._n += 1
        if self._n == self.width:
            self._sums.append(self._sum)
            self._n, self._sum = 0, 0.0
            if len(self._sums) == N_POINTS:
                pairs = zip(self._sums[::2], self._sums[1::2], strict=True)
                self._sums = [one + two for one, two in pairs]
                self.width *= 2

    def means(self) -> NDArray[np.float64]:
        """The mean of every bucket that is full [n]; of what there is where none is."""
        if not self._sums and self._n:
            return np.array([self._sum / self._n])
        return np.array(self._sums) / self.width

    def rows(self) -> NDArray[np.int64]:
        """How many rows had been seen at the end of each [n]."""
        if not self._sums and self._n:
            return np.array([self._n])
        return self.width * np.arange(1, len(self._sums) + 1)


class Reservoir:
    """A random sample of numbers, all equally likely to be in it (Vitter 1985, algorithm R).

    Examples
    --------
    >>> sample = Reservoir(3)
    >>> for i in range(100):
    ...     sample.add(float(i))
    >>> sample.n, len(sample.values)
    (100, 3)
    """

    def __init__(self, size: int = 2000, seed: int = 0) -> None:
        self.size = size
        self.n = 0
        self.values: list[Any] = []
        self._rng = np.random.default_rng(seed)

    def add(self, value: Any) -> None:
        """Take one more."""
        self.n += 1
        if len(self.values) < self.size:
            self.values.append(value)
        else:
            at = int(self._rng.integers(self.n))
            if at < self.size:
                self.values[at] = value
