"""The estimators for scikit-learn: rows of arrays and frames in the order of time.

``fit`` is one pass over the rows from scratch, ``partial_fit`` goes on where the last call ended.
``predict`` rolls on through the rows that it is given, on a copy: every row is predicted as what
comes after the one before, without a label, and the model stays where it is. So the order of rows
counts in both, and a split must keep it, such as ``TimeSeriesSplit``; folds whose rows come from
all over the stream are no streams. Scores are those of predictions many steps ahead; for one step
ahead, with labels in between, use :mod:`river_attention.model_selection`.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from .estimators import StreamingAttentionClassifier, StreamingAttentionRegressor
from .estimators._frames import Table

__all__ = ["AttentionClassifier", "AttentionRegressor"]

# time has to stand still while labels are awaited: not for rows that are learned as they come
NOT_TAKEN = ("advance_on",)


class _Bridge(BaseEstimator):
    """What both share: rows go to a model of river, in order."""

    _kind: type[Any]
    model_: Any

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Within, the estimator stays as it was if anything is raised.

        scikit-learn notes number and names of the columns before anything is checked. The model
        itself learns all of a block or nothing.
        """
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _rows(self, X: Any, reset: bool, **y: Any) -> Any:
        """X as scikit-learn wants it checked: an array, or a frame with columns of all kinds."""
        if hasattr(X, "dtypes") and not _is_numeric(X):
            validate_data(self, X, reset=reset, skip_check_array=True)
            if not y:
                return X
            labels = _check_y(y["y"], y_numeric=y["y_numeric"], estimator=self)
            check_consistent_length(X, labels)
            return X, labels
        checks = {"dtype": np.float64, "ensure_all_finite": False, "reset": reset}
        return validate_data(self, X, **y, **checks)

    def _learn(self, X: Any, y: Any, sample_weight: Any, first: bool) -> Self:
        names = self._names(X)
        weights = 1.0 if sample_weight is None else _check_sample_weight(sample_weight, X)
        model = self._kind(**self.get_params(deep=False)) if first else self.model_
        model.learn_many(X, y, weights, names=names)
        self.model_ = model
        return self

    def _names(self, X: Any) -> list[Any] | None:
        """Names of the columns of an array; None where a frame has its own."""
        if not isinstance(X, np.ndarray):
            return None
        return list(getattr(self, "feature_names_in_", range(self.n_features_in_)))

    def _ahead(self, X: Any) -> tuple[Table, Any]:
        """The rows of X, and a copy of the model to go through them with."""
        check_is_fitted(self, "model_")
        X = self._rows(X, reset=False)
        return Table(X, self._names(X)), copy.deepcopy(self.model_)

    def _rolled(self, X: Any, ask: str) -> Iterator[Any]:
        """What a copy says of every row, time passing by the rows before."""
        table, model = self._ahead(X)
        row, says = model._rows(table), getattr(model, ask)
        for x in map(row, range(table.n_rows)):
            yield says(x)
            model.advance_one(x)


def _is_numeric(frame: Any) -> bool:
    """Whether all columns of a frame are numbers."""
    try:
        kinds = [np.dtype(kind).kind for kind in frame.dtypes]
    except TypeError:  # one that NumPy does not know
        return False
    return all(kind in "biuf" for kind in kinds)


class AttentionRegressor(RegressorMixin, _Bridge):
    """:class:`river_attention.StreamingAttentionRegressor` for scikit-learn; see the module.

    Parameters are those of that estimator, but for ``advance_on``.

    Attributes
    ----------
    model_
        The model, which has learned all rows.
    n_features_in_, feature_names_in_
        Number and names of the columns.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
    >>> from river_attention.sklearn import AttentionRegressor
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> y = X[:, 0] + 0.5 * np.roll(X[:, 1], 1)
    >>> search = GridSearchCV(
    ...     AttentionRegressor(memory=0, window=0, n_lags=0, readout="rls", prior="mean"),
    ...     {"mode": [None, "gla"]},
    ...     cv=TimeSeriesSplit(3),
    ... )
    >>> search.fit(X, y).best_params_
    {'mode': 'gla'}
    """

    _kind = StreamingAttentionRegressor

    def __init__(
        self,
        mode: Any = "gated_delta_net",
        n_heads: int = 4,
        d_key: int = 4,
        d_value: int = 4,
        memory: int = 16,
        window: int = 1000,
        n_lags: int = 6,
        long_lags: int = 50,
        readout: str = "mixture",
        forgetting_factor: Any = 0.998,
        delta: float | None = None,
        huber: bool = True,
        prior: str = "persistence",
        drift_detector: Any = None,
        max_features: int | None = 256,
        categorical: Any = None,
        trees: int = 0,
        seed: int | None = 42,
    ) -> None:
        self.mode = mode
        self.n_heads = n_heads
        self.d_key = d_key
        self.d_value = d_value
        self.memory = memory
        self.window = window
        self.n_lags = n_lags
        self.long_lags = long_lags
        self.readout = readout
        self.forgetting_factor = forgetting_factor
        self.delta = delta
        self.huber = huber
        self.prior = prior
        self.drift_detector = drift_detector
        self.max_features = max_features
        self.categorical = categorical
        self.trees = trees
        self.seed = seed

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn the rows one after the other, from scratch.

        Parameters
        ----------
        X
            Features [n, d], in the order of time; NaN is missing. Frames may have columns of dates,
            and of strings where ``categorical`` names them.
        y
            Targets [n].
        sample_weight
            Weights [n]; a row with 0 passes, and trains nothing.
        """
        with self._all_or_nothing():
            X, y = self._rows(X, True, y=y, y_numeric=True)
            return self._learn(X, y, sample_weight, first=True)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn the rows that follow those of the last call; see ``fit``."""
        first = not hasattr(self, "model_")
        with self._all_or_nothing():
            X, y = self._rows(X, first, y=y, y_numeric=True)
            return self._learn(X, y, sample_weight, first)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predictions [n] for rows that follow those learned, without labels in between."""
        table, model = self._ahead(X)
        answers, at = np.empty(table.n_rows), 0
        if model._twin is not None and table.matrix is not None:
            # the compiled core lets time pass where a label is NaN
            labels, weights = np.full(table.n_rows, np.nan), np.ones(table.n_rows)
            at = model._twin.learn_rows(table.names, table.matrix, labels, weights, answers, 0)
        row = model._rows(table)
        for i in range(at, table.n_rows):
            x = row(i)
            answers[i] = model.predict_one(x)
            model.advance_one(x)
        return answers


class AttentionClassifier(ClassifierMixin, _Bridge):
    """:class:`river_attention.StreamingAttentionClassifier` for scikit-learn; see the module.

    Parameters are those of that estimator, but for ``advance_on``.

    Attributes
    ----------
    model_
        The model, which has learned all rows.
    classes_
        The classes, sorted.
    n_features_in_, feature_names_in_
        Number and names of the columns.

    Examples
    --------
    >>> import numpy as np
    >>> from river_attention.sklearn import AttentionClassifier
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> y = np.where(X[:, 0] > 0, "up", "down")
    >>> AttentionClassifier().fit(X[:200], y[:200]).score(X[200:], y[200:]) > 0.9
    True
    """

    _kind = StreamingAttentionClassifier

    def __init__(
        self,
        mode: Any = "gated_delta_net",
        n_heads: int = 4,
        d_key: int = 4,
        d_value: int = 4,
        memory: int = 16,
        window: int = 1000,
        n_lags: int = 6,
        long_lags: int = 50,
        forgetting_factor: Any = (0.998, 0.9999),
        delta: float | None = None,
        drift_detector: Any = None,
        max_features: int | None = 256,
        categorical: Any = None,
        trees: int = 0,
        seed: int | None = 42,
    ) -> None:
        self.mode = mode
        self.n_heads = n_heads
        self.d_key = d_key
        self.d_value = d_value
        self.memory = memory
        self.window = window
        self.n_lags = n_lags
        self.long_lags = long_lags
        self.forgetting_factor = forgetting_factor
        self.delta = delta
        self.drift_detector = drift_detector
        self.max_features = max_features
        self.categorical = categorical
        self.trees = trees
        self.seed = seed

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn the rows one after the other, from scratch.

        Parameters
        ----------
        X
            Features [n, d], in the order of time; NaN is missing. Frames may have columns of dates,
            and of strings where ``categorical`` names them.
        y
            Labels [n].
        sample_weight
            Weights [n]; a row with 0 passes, and trains nothing.
        """
        with self._all_or_nothing():
            X, y = self._rows(X, True, y=y, y_numeric=False)
            self.__dict__.pop("told_", None)
            return self._learn_classes(X, y, sample_weight, np.unique(y), first=True)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Learn the rows that follow those of the last call; see ``fit``.

        ``classes`` are all that may come, with the first call; without them classes join as they
        come.
        """
        first = not hasattr(self, "model_")
        with self._all_or_nothing():
            X, y = self._rows(X, first, y=y, y_numeric=False)
            told = getattr(self, "told_", None) if classes is None else np.unique(classes)
            found = np.unique(y)
            if told is not None:
                unknown = np.setdiff1d(found, told)
                if len(unknown):
                    raise ValueError(
                        f"y has the classes {unknown.tolist()}: not in classes={told!r}"
                    )
                found = told
            elif not first:
                found = np.union1d(self.classes_, found)
            self._learn_classes(X, y, sample_weight, found, first)
            if told is not None:
                self.told_ = told
        return self

    def _learn_classes(
        self, X: Any, y: Any, sample_weight: Any, classes: NDArray[Any], first: bool
    ) -> Self:
        check_classification_targets(y)
        self._learn(X, y.tolist(), sample_weight, first)
        self.classes_ = classes
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities [n, classes] for rows that follow those learned, without labels."""
        said = list(self._rolled(X, "predict_proba_one"))
        labels = self.classes_.tolist()
        return np.array([[one.get(label, 0.0) for label in labels] for one in said])

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable classes [n] for rows that follow those learned, without labels."""
        probabilities = self.predict_proba(X)
        predictions: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return predictions
