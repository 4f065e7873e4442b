"""The last rows of a stream, kept exactly: what retrieval and key-value caches look back on."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..state import Stateful, Writer

Array = NDArray[Any]


class Ring(Stateful):
    """The last ``capacity`` rows of some named fields, oldest first.

    A field is read as one contiguous array of the rows in the window: buffers are twice as long as
    the window and made anew once per window, so a row costs O(its length) on average. A row that
    was written never changes, so branches share them.

    Parameters
    ----------
    capacity
        Number of rows that are kept.
    dtype
        Of all fields.
    fields
        The shape of a row of every field: () for a number, (width,) for a vector.

    Attributes
    ----------
    n
        Number of rows in the window.
    n_appended
        Number of rows ever appended.

    Examples
    --------
    >>> ring = Ring(2, key=(3,), value=())
    >>> for t in range(5):
    ...     ring.append(key=np.full(3, t), value=t)
    >>> ring["value"], ring["key"].shape, ring.n_appended
    (array([3., 4.]), (2, 3), 5)
    """

    def __init__(self, capacity: int, dtype: str = "float64", **fields: tuple[int, ...]) -> None:
        self.capacity = capacity
        self.n = 0
        self.n_appended = 0
        self._end = 0
        self._is_branch = False
        self._rows = {
            name: np.zeros((2 * capacity, *shape), dtype) for name, shape in fields.items()
        }

    def transfer(self, io: Writer, *_: Any) -> None:
        n, fields = None, {}
        for field, rows in self._rows.items():
            # a vector may have widened since
            shape = (n, *(None for _ in rows.shape[1:]))
            fields[field] = io.array(field, self[field], *shape)
            n = len(fields[field])
        n = n or 0
        self.n_appended = io.integer("n_appended", self.n_appended, low=n)
        if io.reading:
            io.check(n <= self.capacity, f"{n} rows are more than {self.capacity}")
            self.n = self._end = n
            self._is_branch = False
            self._rows = {}
            for field, rows in fields.items():
                self._rows[field] = np.zeros((2 * self.capacity, *rows.shape[1:]), rows.dtype)
                self._rows[field][:n] = rows

    def __getitem__(self, field: str) -> Array:
        """The rows of a field in the window [n, ...], a view."""
        return self._rows[field][self._end - self.n : self._end]

    def append(self, **row: Any) -> None:
        """Append a row; vectors shorter than their field are filled up with 0."""
        if self._is_branch or self._end == 2 * self.capacity:
            self._make_room()
        for field, value in row.items():
            rows = self._rows[field]
            if rows.ndim == 1:
                rows[self._end] = value
            else:
                rows[self._end, : len(value)] = value
        self._end += 1
        self.n = min(self.n + 1, self.capacity)
        self.n_appended += 1

    def _make_room(self) -> None:
        """Take the rows along into buffers of one's own."""
        self.n = min(self.n, self.capacity - 1)
        n_free = 2 * self.capacity - self.n
        kept = {field: self[field] for field in self._rows}
        self._rows = {
            field: np.concatenate([rows, np.zeros((n_free, *rows.shape[1:]), rows.dtype)])
            for field, rows in kept.items()
        }
        self._end = self.n
        self._is_branch = False

    def widen(self, field: str, width: int) -> None:
        """Let the vectors of a field have ``width`` numbers; the past gets zeros."""
        rows = self._rows[field]
        wider = np.zeros((len(rows), width), rows.dtype)
        wider[:, : rows.shape[1]] = rows
        self._rows = self._rows | {field: wider}

    def branch(self) -> Ring:
        """A copy to go on from, which shares the rows until it appends one itself."""
        branch = copy.copy(self)
        branch._is_branch = True
        return branch

    def before_last(self) -> Ring:
        """A branch without its last row."""
        past = self.branch()
        past.n, past.n_appended, past._end = self.n - 1, self.n_appended - 1, self._end - 1
        return past
