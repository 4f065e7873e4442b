r"""How often classes came lately, overall and after each other.

.. math::

    \pi_k = \frac{n_k + 1}{N + K}, \qquad
    \pi_{k \mid l} = \frac{n_{lk} + 2\, \pi_k}{N_l + 2}

Counts are scaled down whenever their sum N, or N_l, is beyond 1000. The first 16 classes have a
row l of their own, all others share one: the size is linear in K.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..state import Stateful, Writer

Array = NDArray[np.float64]

MEMORY = 1000.0
"""Number of labels that class frequencies remember."""
N_LAST = 16
"""Last classes that have frequencies of their own; all later ones share a row."""
NOBODY = -1
"""The last class before there was one."""

_SHRINKAGE = 2.0


class ClassCounts(Stateful):
    r"""Class frequencies of about the last thousand labels, overall and given the last class.

    .. math::

        \pi_k = \frac{n_k + 1}{N + K}, \qquad
        \pi_{k \mid l} = \frac{n_{lk} + 2\, \pi_k}{N_l + 2}

    Counts are scaled down whenever their sum N, or N_l, is beyond 1000. The first 16 classes have a
    row l of their own, all others share one: the size is linear in K.

    Examples
    --------
    >>> counts = ClassCounts()
    >>> for last, y in [(-1, 0), (0, 1), (1, 0), (0, 1)]:
    ...     counts.update(last, y, 1.0)
    >>> counts.frequencies.tolist(), counts.given(0).tolist()
    ([0.5, 0.5], [0.25, 0.75])
    """

    def __init__(self) -> None:
        self._counts = np.zeros(2)
        self._pairs = np.zeros((N_LAST + 1, 2))
        self._refresh()

    def _refresh(self) -> None:
        n_classes = len(self._counts)
        self.frequencies = (self._counts + 1.0) / (self._counts.sum() + n_classes)
        self.log_frequencies = np.log(self.frequencies)

    def transfer(self, io: Writer, *arguments: Any) -> None:
        n_classes = arguments[0] if arguments else len(self._counts)
        self._counts = io.array("counts", self._counts, n_classes, low=0.0)
        self._pairs = io.array("pairs", self._pairs, N_LAST + 1, n_classes, low=0.0)
        if io.reading:
            self._refresh()

    def add_class(self) -> None:
        """One more class, never seen."""
        self._counts = np.append(self._counts, 0.0)
        self._pairs = np.hstack([self._pairs, np.zeros((N_LAST + 1, 1))])
        self._refresh()

    def given(self, last: int) -> Array:
        """Frequencies [K] after the class ``last``; -1 for none."""
        if last == NOBODY:
            return self.frequencies
        row = self._pairs[min(last, N_LAST)]
        return (row + _SHRINKAGE * self.frequencies) / (row.sum() + _SHRINKAGE)

    def update(self, last: int, y: int, w: float) -> None:
        """Count a class that came after another."""
        w = min(w, MEMORY)
        rows = [self._counts]
        if last != NOBODY:
            rows.append(self._pairs[min(last, N_LAST)])
        for row in rows:
            row[y] += w
            total = row.sum()
            if total > MEMORY:
                row *= MEMORY / total
        self._refresh()
