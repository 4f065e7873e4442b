r"""One model per key under Spark Structured Streaming.

.. math::  \text{rows of a key in a micro-batch},\ \text{state of the key}
           \ \mapsto\ \text{predictions},\ \text{new state}

Spark partitions the stream by key, keeps the state of every key as bytes and writes it to the
checkpoint of the query; :func:`river_attention.keyed.step` does the rest. A query that is killed
and started again from its checkpoint gives what it would have given.

Needs the extra ``spark``, ``pip install "river-attention[spark]"``, and what Spark itself needs, a
Java runtime of version 17 or newer (for Spark 3.5, 8, 11 or 17): ``apt install
openjdk-17-jre-headless``, ``brew install openjdk@17``, ``conda install -c conda-forge openjdk=17``,
or https://adoptium.net. Nothing is imported from pyspark before a function is called.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from river import base

from .stepping import check_model, step

PROVIDER = "spark.sql.streaming.stateStore.providerClass"
ROCKSDB = {
    PROVIDER: "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
    # writes what changed instead of everything
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
}
"""Settings of a session that keep states on the disk; Spark's default is the memory of the JVM."""


def predict_learn(
    df: Any,
    model: base.Estimator,
    *,
    key: str | Sequence[str],
    time: str,
    target: str,
    features: Sequence[str] | None = None,
    prediction: str = "prediction",
) -> Any:
    """Test, then train: every row is predicted by the model of its key, which then learns it.

    The rows that a micro-batch has of a key are sorted by time (those of the same time by their
    other columns, so that a repetition gives the same) and learned as one block. A row that comes
    in a later micro-batch is learned later, whatever its time; join or sort before where that
    matters. A row whose target is null is predicted, and time passes.

    Parameters
    ----------
    df
        A streaming DataFrame.
    model
        A regressor or classifier of this package, with a seed. Every key has a clone of it.
    key
        Name of the column that says which model, or several; null is a key of its own.
    time
        Name of the column to sort by.
    target
        Name of the column of labels.
    features
        Names of the columns that the model sees; None for all but key, time and target. ``time``
        may be among them: dates become calendar features.
    prediction
        Name of the column to add.

    Returns
    -------
    A streaming DataFrame, in append mode: the rows of ``df`` and their predictions, of type double
    for a regressor, of the type of the target for a classifier.

    Raises
    ------
    ImportError
        If pyspark, pandas or pyarrow is missing.
    ValueError
        If a column is missing, or the model is none that ``step`` takes.
    """
    types, state = _pyspark()
    check_model(model)
    keys = [key] if isinstance(key, str) else list(key)
    if features is None:
        features = [name for name in df.columns if name not in (*keys, time, target)]
    for parameter, names in {
        "key": keys,
        "time": [time],
        "target": [target],
        "features": features,
    }.items():
        for name in names:
            if name not in df.columns:
                columns = ", ".join(map(repr, df.columns))
                raise ValueError(f"{parameter}={name!r}: df has the columns {columns}")
    if prediction in df.columns:
        raise ValueError(f"prediction={prediction!r}: df has a column of that name; choose another")
    if "RocksDB" not in str(df.sparkSession.conf.get(PROVIDER, "")):
        warnings.warn(
            "this session keeps the models of all keys in the memory of the JVM: set "
            "river_attention.keyed.spark.ROCKSDB when building it",
            stacklevel=2,
        )
    kind = types.DoubleType()
    if isinstance(model, base.Classifier):
        kind = df.schema[target].dataType
    output = types.StructType([*df.schema.fields, types.StructField(prediction, kind)])
    return df.groupBy(*keys).applyInPandasWithState(
        _block(model, time, target, list(features), prediction),
        outputStructType=output,
        stateStructType=types.StructType([types.StructField("model", types.BinaryType())]),
        outputMode="append",
        timeoutConf=state.GroupStateTimeout.NoTimeout,
    )


def _pyspark() -> tuple[Any, Any]:
    try:
        import pandas  # noqa: F401
        import pyarrow  # noqa: F401
        from pyspark.sql import types
        from pyspark.sql.streaming import state
    except ImportError as error:
        raise ImportError(
            f'{error}: install the extra, pip install "river-attention[spark]"; Spark also needs a '
            "Java runtime, version 17 or newer (apt install openjdk-17-jre-headless, brew install "
            "openjdk@17, or https://adoptium.net)"
        ) from error
    return types, state


def _block(
    model: Any, time: str, target: str, features: list[str], prediction: str
) -> Callable[[Any, Iterable[Any], Any], Iterator[Any]]:
    """What Spark calls with the rows and the state of one key."""

    def learn(key: Any, frames: Iterable[Any], state: Any) -> Iterator[Any]:
        import pandas as pd

        parts = list(frames)
        frame = in_order(parts[0] if len(parts) == 1 else pd.concat(parts), time)
        columns = [frame[name].to_list() for name in features]
        values = zip(*columns, strict=True) if columns else [()] * len(frame)
        rows = (dict(zip(features, row, strict=True)) for row in values)
        before = bytes(state.get[0]) if state.exists else None
        try:
            after, predictions = step(
                before, zip(rows, frame[target].to_list(), strict=True), model
            )
        except (TypeError, ValueError) as error:
            error.add_note(f"in the rows of key {key!r}")
            raise
        state.update((after,))
        frame[prediction] = pd.Series(predictions, index=frame.index)
        yield frame

    return learn


def in_order(frame: Any, time: str) -> Any:
    """The rows by time, and those of the same time by their other columns."""
    times = frame[time]
    if times.is_monotonic_increasing and times.is_unique:
        return frame
    by = [time] if times.is_unique else [time, *frame.columns.drop(time)]
    return frame.sort_values(
        by,
        kind="stable",
        ignore_index=True,
        key=lambda column: column.map(repr) if column.dtype == object else column,
    )
