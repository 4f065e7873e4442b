"""Reading a stream once, in blocks of rows."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import stream as river_stream

from ..estimators import _frames


class Row(NamedTuple):
    """What a stream says of one row: features, label, sample weight, what else models are told."""

    x: Any
    y: Any
    w: float | None
    more: Mapping[str, Any]


class Event(NamedTuple):
    """A row that is asked for (y is None) or answered; late labels have other rows in between."""

    number: int
    row: Row


class Table(NamedTuple):
    """Rows that are plain numbers by the same names: ``matrix`` [n, len(names)]."""

    names: list[Any]
    matrix: NDArray[np.float64]


@dataclass
class Block:
    """Rows of a stream that all candidates take before the next ones are read.

    Attributes
    ----------
    start
        How many rows came before.
    n_rows
        How many labels it has.
    rows
        Rows, each to be predicted, then learned.
    events
        Instead of them where labels are late.
    """

    start: int
    n_rows: int
    rows: list[Row]
    events: list[Event]

    @functools.cached_property
    def table(self) -> Table | None:
        """The features as one matrix; None unless all rows have the same names and plain numbers.

        Examples
        --------
        >>> Block(0, 1, [Row({"a": 1, "b": 0.5}, 1.0, None, {})], []).table
        Table(names=['a', 'b'], matrix=array([[1. , 0.5]]))
        """
        if not self.rows or any(type(row.x) is not dict or row.more for row in self.rows):
            return None
        names = list(self.rows[0].x)
        values = []
        for row in self.rows:
            if list(row.x) != names:
                return None
            values.append(list(row.x.values()))
        if not all(type(value) in (float, int, bool) for each in values for value in each):
            return None
        try:
            matrix = np.array(values, np.float64)
        except OverflowError:  # an int beyond any float
            return None
        return Table(names, matrix.reshape(len(values), len(names)))

    @functools.cached_property
    def truths(self) -> list[Any]:
        """The labels as they came."""
        return [row.y for row in self.rows]

    @functools.cached_property
    def labels(self) -> Any:
        """The labels as an array if they are floats, which takes the shortest way."""
        truths = self.truths
        return np.array(truths) if all(type(y) is float for y in truths) else truths

    @functools.cached_property
    def weights(self) -> list[float] | float:
        """The sample weights; 1.0 where none has one."""
        if all(row.w is None for row in self.rows):
            return 1.0
        return [1.0 if row.w is None else row.w for row in self.rows]

    def prepare(self) -> None:
        """Make now what several threads would else make at once, each for itself."""
        if self.table is not None:
            _ = self.labels, self.weights


def _row(x: Any, y: Any, extra: list[Any]) -> Row:
    more = dict(extra[0]) if extra else {}
    return Row(x, y, more.pop("w", None), more)


class Reader:
    """Reads rows (x, y) or (x, y, {"w": …}) from a stream, each of them once.

    Parameters
    ----------
    stream
        Any iterable, such as a dataset of river.
    moment, delay
        When labels are known, as in ``river.evaluate.progressive_val_score``.

    Examples
    --------
    >>> reader = Reader([({"a": 1.0}, 2.0), ({"a": 2.0}, 3.0), ({"a": 3.0}, 4.0)])
    >>> reader.read(2).n_rows, reader.read(2).n_rows, reader.read(2)
    (2, 1, None)
    """

    def __init__(self, stream: Iterable[Any], moment: Any = None, delay: Any = None) -> None:
        self._late = moment is not None or delay is not None
        self._n_read = 0
        self._source: Iterator[Any] = (
            river_stream.simulate_qa(stream, moment, delay, copy=False)
            if self._late
            else iter(stream)
        )

    def read(self, n: int) -> Block | None:
        """The next block of n labels, or fewer at the end; None behind it."""
        rows: list[Row] = []
        events: list[Event] = []
        n_labels = 0
        if self._late:
            for number, x, y, *extra in self._source:
                events.append(Event(number, _row(x, y, extra)))
                n_labels += y is not None
                if n_labels == n:
                    break
        else:
            rows = [_row(x, y, extra) for x, y, *extra in itertools.islice(self._source, n)]
            n_labels = len(rows)
        if not rows and not events:
            return None
        block = Block(self._n_read, n_labels, rows, events)
        self._n_read += n_labels
        return block


def as_stream(X: Any, y: Any = None) -> tuple[Iterable[Any], int | None]:
    """Rows (x, y) of a stream, or of features and labels in memory; and how many, if that is known.

    Parameters
    ----------
    X
        A stream of (x, y), or with ``y`` a data frame, an array [n, d], whose columns are named 0
        to d - 1, or a list of dicts.
    y
        The labels of X.

    Raises
    ------
    ValueError
        If there is not one label for each row, or no label at all.

    Examples
    --------
    >>> rows, n = as_stream(np.array([[1.0, 2.0]]), [3.0])
    >>> list(rows), n
    ([({0: 1.0, 1: 2.0}, 3.0)], 1)
    """
    if y is None:
        if isinstance(X, np.ndarray) or hasattr(X, "columns"):
            raise ValueError(
                f"X is a {type(X).__name__} and y is missing: call fit(X, y), or fit(stream) with "
                "an iterable of pairs (x, y)"
            )
        return X, _n_rows(X)
    rows: Iterable[Any]
    if isinstance(X, np.ndarray) or hasattr(X, "columns"):
        table = _frames.Table(X)
        n, rows = table.n_rows, table.iter_rows()
    else:
        rows = list(X)
        n = len(rows)
    labels = y.tolist() if isinstance(y, np.ndarray) and y.ndim == 1 else y
    return zip(rows, _frames.label_rows(labels, n), strict=True), n


def _n_rows(stream: Any) -> int | None:
    for n in (getattr(stream, "n_samples", None), getattr(stream, "__len__", lambda: None)()):
        if isinstance(n, int) and n > 0:
            return n
    return None
