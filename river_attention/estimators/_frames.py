"""The border between data frames and rows; any backend that river accepts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from river.utils import dataframe

from .._validation import check_weight


def rows(X: Any) -> list[dict[Any, Any]]:
    """The rows of a data frame as dicts."""
    frame = dataframe.into_frame(X)
    columns = frame.columns
    return [dict(zip(columns, row, strict=True)) for row in frame.iter_rows()]


def labels(y: Any, n_rows: int) -> list[Any]:
    """A series, array or list of labels as a list of ``n_rows`` items."""
    values = y.to_list() if hasattr(y, "to_list") else list(y)
    if len(values) != n_rows:
        raise ValueError(f"y has {len(values)} labels for {n_rows} rows of X: one per row expected")
    return values


def label_rows(y: Any, n_rows: int) -> list[Any]:
    """The rows of a frame of labels as dicts; a series or list of dicts as it is."""
    if hasattr(y, "columns"):
        y = rows(y)
    return labels(y, n_rows)


def weights(w: Any, n_rows: int) -> Iterable[float]:
    """One sample weight for all rows, or one for each."""
    if np.ndim(w) == 0:
        return itertools.repeat(check_weight(w), n_rows)
    values = w.to_list() if hasattr(w, "to_list") else list(w)
    if len(values) != n_rows:
        raise ValueError(
            f"w has {len(values)} weights for {n_rows} rows of X: one per row expected"
        )
    return [check_weight(value) for value in values]


def to_series(values: list[float], X: Any) -> Any:
    """Predictions as a series of the kind, and with the index, of the frame X."""
    array = np.fromiter(values, dtype=np.float64)
    return dataframe.to_native_series(array, name=None, like=dataframe.into_frame(X))


def to_targets(records: list[dict[Any, float]], X: Any) -> Any:
    """Predictions of several targets as a frame of the kind, and with the index, of the frame X.

    A target that was not known in a row is NaN there.
    """
    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: [record.get(name, math.nan) for record in records] for name in names}
    return dataframe.to_native_frame(columns, like=dataframe.into_frame(X))


def to_labels(values: list[Any], X: Any) -> Any:
    """Predicted classes as a series of the kind, and with the index, of the frame X."""
    return dataframe.to_native_series(values, name=None, like=dataframe.into_frame(X))


def to_columns(records: list[dict[Any, float]], names: list[Any], X: Any) -> Any:
    """Numbers by name, any hashable, as a frame of the kind, and with the index, of the frame X."""
    columns = {name: [record[name] for record in records] for name in names}
    return dataframe.to_native_frame(columns, like=dataframe.into_frame(X))


def to_frame(records: list[dict[Any, float]], names: list[Any], X: Any) -> Any:
    """Transformed rows as a frame of the kind, and with the index, of the frame X."""
    if not all(isinstance(name, str) for name in names):
        return to_columns(records, names, X)  # the slower way, which takes any name
    array = np.array([[record[name] for name in names] for record in records], dtype=np.float64)
    array = array.reshape(len(records), len(names))
    return dataframe.to_native_frame(array, like=dataframe.into_frame(X), columns=names)
