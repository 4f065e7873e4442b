"""The border between blocks of rows and single ones: arrays, and any data frame river accepts."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray
from river.utils import dataframe

from .._validation import LIMIT, check_target, check_weight

Array = NDArray[np.float64]

_PLAIN = (
    nw.Boolean,
    *(nw.Int8, nw.Int16, nw.Int32, nw.Int64),
    *(nw.UInt8, nw.UInt16, nw.UInt32, nw.UInt64),
    *(nw.Float32, nw.Float64),
)
"""Types of columns whose values are, or are rounded to, one float64 each."""


class Table:
    """The rows of a block: one matrix where all values are plain numbers, else dicts.

    Parameters
    ----------
    X
        A data frame that river accepts, or an array [n, d].
    names
        Names of the columns of an array; None names them 0 to d - 1.

    Attributes
    ----------
    n_rows
        The number of rows n.
    names
        Name of every column, none twice.
    matrix
        The values [n, d], C-contiguous, NaN and ±inf as they came; None if some are no numbers.

    Examples
    --------
    >>> table = Table(np.array([[1, 2], [3, 4]]), names=["a", "b"])
    >>> table.matrix.tolist(), table.row(1)
    ([[1.0, 2.0], [3.0, 4.0]], {'a': 3.0, 'b': 4.0})
    """

    def __init__(self, X: Any, names: Iterable[Hashable] | None = None) -> None:
        self._frame: Any = None
        if isinstance(X, np.ndarray):
            self._array = X if isinstance(X, np.ma.MaskedArray) else np.asarray(X)
            if X.ndim != 2:
                raise ValueError(
                    f"X is an array of shape {X.shape}: expected rows and columns, [n, d]; a "
                    "single row is X.reshape(1, -1)"
                )
            self.names = _check_names(names, X.shape[1])
            self.n_rows = len(X)
            self.matrix = _matrix_of_array(self._array)
        elif names is not None:
            raise ValueError(
                f"names={names!r:.200}: names are for arrays, and X is a {type(X).__name__}; "
                "rename its columns instead"
            )
        else:
            self._frame = dataframe.into_frame(X)
            self.names = list(self._frame.columns)
            self.n_rows = len(self._frame)
            self.matrix = _matrix_of_frame(self._frame)
        if any(name != name for name in self.names):
            self.matrix = None  # not even equal to itself: nothing that finds a column

    def row(self, i: int) -> dict[Hashable, float]:
        """A row of the matrix as a dict."""
        values: Sequence[float] = () if self.matrix is None else self.matrix[i].tolist()
        return dict(zip(self.names, values, strict=True))

    def iter_rows(self) -> Iterator[dict[Hashable, Any]]:
        """The rows as dicts, one at a time."""
        if self.matrix is not None:
            return map(self.row, range(self.n_rows))
        found = self._array if self._frame is None else self._frame.iter_rows()
        return (dict(zip(self.names, row, strict=True)) for row in found)

    def rows(self) -> list[dict[Hashable, Any]]:
        """All rows as dicts."""
        return list(self.iter_rows())

    def series(self, values: Any) -> Any:
        """Answers as a series of the kind, and with the index, of X; for an array an array.

        An array of answers that are no numbers has objects.
        """
        if self._frame is None:
            return values if isinstance(values, np.ndarray) else _objects(values)
        return dataframe.to_native_series(values, name=None, like=self._frame)

    def frame(self, matrix: Array, names: Sequence[Any]) -> Any:
        """Answers [n, len(names)] as a frame of the kind, and with the index, of X, or an array."""
        if self._frame is None:
            return matrix
        if not all(isinstance(name, str) for name in names):
            # the slower way, which takes any name
            columns = {name: matrix[:, i].tolist() for i, name in enumerate(names)}
            return dataframe.to_native_frame(columns, like=self._frame)
        return dataframe.to_native_frame(matrix, like=self._frame, columns=names)

    def frame_of(self, records: Sequence[Mapping[Any, float]], names: Sequence[Any]) -> Any:
        """The same for answers by name; NaN where a row does not have one."""
        values = [[record.get(name, math.nan) for name in names] for record in records]
        return self.frame(np.array(values, np.float64).reshape(len(records), len(names)), names)


def _check_names(names: Iterable[Hashable] | None, n: int) -> list[Hashable]:
    if names is None:
        return list(range(n))
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise ValueError(f"names={names!r}: must be a list with the name of every column of X")
    found = list(names)
    if len(found) != n:
        raise ValueError(
            f"names has {len(found)} names for {n} columns of X: one per column expected"
        )
    try:
        n_different = len(set(found))
    except TypeError as error:
        raise ValueError(f"names={found!r:.200}: {error}; a name must be hashable") from None
    if n_different != n:
        twice = next(name for i, name in enumerate(found) if name in found[:i])
        raise ValueError(f"names: {twice!r} is there twice; every column needs a name of its own")
    return found


def _matrix_of_array(X: NDArray[Any]) -> Array | None:
    """The numbers of an array; None if it has others, or such as do not fit a float64."""
    if X.dtype.kind not in "fiub" or X.dtype.itemsize > 8:
        return None
    if isinstance(X, np.ma.MaskedArray):
        X = np.ma.filled(X.astype(np.float64), np.nan)
    return np.ascontiguousarray(X, np.float64)


def _matrix_of_frame(frame: Any) -> Array | None:
    if not all(kind in _PLAIN for kind in frame.schema.values()):
        return None
    if not frame.columns:
        return np.empty((len(frame), 0))
    if not frame.implementation.is_pandas_like():
        try:
            # of a frame with gaps, or ints beside bools, other backends make objects
            frame = frame.select(nw.all().cast(nw.Float64))
        except Exception:  # whatever the backend raises, about ints beyond 2^53 for instance
            return None
    return np.ascontiguousarray(dataframe.to_numpy(frame))


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    """An array of objects [n], also where these are sequences."""
    found = np.empty(len(values), object)
    for i, value in enumerate(values):
        found[i] = value
    return found


def labels(y: Any, n_rows: int) -> list[Any]:
    """A series, array or list of labels as a list of ``n_rows`` items."""
    if hasattr(y, "columns"):
        raise ValueError(
            f"y is a {type(y).__name__} with columns: expected a series or list with one label for "
            "every row"
        )
    if isinstance(y, np.ndarray) and y.ndim != 1:
        raise ValueError(
            f"y is an array of shape {y.shape}: expected one label for every row, [n]; y.ravel() "
            "makes it of a single column"
        )
    values = y.to_list() if hasattr(y, "to_list") else list(y)
    if len(values) != n_rows:
        raise ValueError(f"y has {len(values)} labels for {n_rows} rows of X: one per row expected")
    return values


def targets(y: Any, n_rows: int) -> Array:
    """Labels of a regression [n], all of them checked as ``check_target`` does."""
    array = _numbers(y)
    if array is not None and len(array) == n_rows and np.isfinite(array).all():
        return np.clip(array, -LIMIT, LIMIT)
    values = labels(y, n_rows)
    return np.fromiter(map(check_target, values), np.float64, n_rows)


def label_rows(y: Any, n_rows: int) -> list[Any]:
    """The rows of a frame or array [n, m] of labels as dicts; a series or list as it is.

    The targets of an array are named 0 to m - 1.
    """
    if hasattr(y, "columns") or (isinstance(y, np.ndarray) and y.ndim == 2):
        y = Table(y).rows()
    return labels(y, n_rows)


def weights(w: Any, n_rows: int) -> Array:
    """One sample weight for all rows, or one for each, as an array [n] to be read."""
    if np.ndim(w) == 0:
        return np.broadcast_to(check_weight(w), n_rows)
    array = _numbers(w)
    if array is None or not (np.isfinite(array) & (array >= 0.0)).all():
        values = w.to_list() if hasattr(w, "to_list") else list(w)
        array = np.fromiter(map(check_weight, values), np.float64, len(values))
    if len(array) != n_rows:
        raise ValueError(f"w has {len(array)} weights for {n_rows} rows of X: one per row expected")
    return array


def _numbers(values: Any) -> Array | None:
    """Plain numbers of an array or series as an array [n]; None for others."""
    found = values.to_numpy() if hasattr(values, "to_numpy") else values
    if not isinstance(found, np.ndarray) or type(found) is np.ma.MaskedArray or found.ndim != 1:
        return None
    if found.dtype.kind not in "fiub" or found.dtype.itemsize > 8:
        return None
    return np.asarray(found, np.float64)
