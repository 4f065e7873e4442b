"""One model per key, in one process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from typing import Any, Self

import numpy as np
from river import base, linear_model
from river.utils import dataframe

from .._validation import check_int
from ..estimators import _frames
from ..estimators.classifier import StreamingAttentionClassifier
from ..estimators.regressor import StreamingAttentionRegressor
from ..estimators.rls import RLSRegressor
from .keys import Key, checked, names_of, split, to_key
from .stepping import restored

Group = tuple[Hashable, list[int], Any]


class KeyedModel(base.Wrapper, base.Estimator):
    r"""One model per key: every meter, shop or user has its own, made when its first row comes.

    .. math::  \\hat y_t = f_{k(x_t)}(x_t), \\qquad f_k \\text{ learns the rows of the key } k
               \\text{ alone}

    This is a regressor or a classifier, with or without ``learn_many``, as the model that is given.
    Predictions are those of one clone of it per key by hand, to the last bit, whatever is in memory
    and what is in the store.

    **A key that is missing** (absent, None, NaN) is a key of its own, None, as in a GROUP BY: the
    other models do not suffer from such rows, and ``model_of(None)`` shows whether there were any.

    **Bounded memory.** At most ``max_keys`` models are in memory. When one more comes, the one that
    has learned nothing for longest goes to the ``store``, as bytes, and comes back from there when
    its key does. Only learning counts: predictions change neither the order nor the store, and a
    prediction for a new key makes no model that stays (but with ``advance_on="predict"``, where
    predicting is a step).

    **Keeping it.** ``flush()`` writes what changed to the store. A ``KeyedModel`` that is made with
    the same parameters and the same store goes on to the last bit. So does a pickle, if the store
    can be pickled: those on a disk refuse.

    Parameters
    ----------
    model
        A regressor or classifier, or a pipeline that ends in one. It stays as it is: models are
        clones of it, with the same seed.
    key
        Name of the feature that is the key, or a tuple of names. Their values can be of any
        hashable kind, the models do not see them. Or a function of x, which leaves x as it is.
    max_keys
        The most models in memory; None for no bound.
    store
        Where models go that are not in memory: any ``MutableMapping`` from bytes to bytes, such as
        :class:`SqliteStore`, :class:`FolderStore` or a dict (bytes are smaller than models). For
        models of this package. Without a store a model that leaves memory is lost, and its key
        begins anew.
    max_rows
        For models with attention over a window (``SlidingWindowAttentionRegressor`` and its
        family): the most rows of context that all models together keep, in pages of 16; at least
        one window of every layer. The key that was used least recently loses its context, and
        keeps what it has learned; it begins with an empty window when it comes again. None leaves
        every model its own window.
    on_evict
        Called as ``on_evict(key, model)`` when a model has left memory.

    Attributes
    ----------
    models_
        The models in memory by their keys, first the one that has learned nothing for longest.
    n_evicted_
        How often a model left memory.
    n_loaded_
        How often one came back.
    pool_
        The pages of ``max_rows``: ``pool_.used``, ``.nbytes``, ``.n_evicted``; None without it.

    Examples
    --------
    >>> from river_attention import RLSRegressor
    >>> from river_attention.keyed import KeyedModel
    >>> model = KeyedModel(RLSRegressor(delta=100.0), key="shop", max_keys=1, store={})
    >>> for t in range(20):
    ...     model.learn_one({"shop": "north", "a": t}, 2.0 * t)
    ...     model.learn_one({"shop": "south", "a": t}, 5.0)
    >>> round(model.predict_one({"shop": "north", "a": 3}), 1)
    6.0
    >>> round(model.predict_one({"shop": "south", "a": 3}), 1)
    5.0
    >>> list(model.models_), list(model.store)
    (['south'], [b'"north"', b'"south"'])
    """

    def __init__(
        self,
        model: base.Estimator,
        key: Key,
        max_keys: int | None = None,
        store: MutableMapping[bytes, bytes] | None = None,
        on_evict: Callable[[Hashable, Any], None] | None = None,
        max_rows: int | None = None,
    ) -> None:
        if not isinstance(model, (base.Regressor, base.Classifier)):
            raise ValueError(
                f"model={model!r:.200}: must be a regressor or classifier; for transformers there "
                "is river.compose.Grouper"
            )
        if not callable(key) and (key == () or not isinstance(key, Hashable)):
            raise ValueError(
                f"key={key!r}: must be the name of a feature, a tuple of names, or a function of x"
            )
        if store is not None:
            _check_can_be_stored(model)
        self.model = model
        self.key = key
        self.max_keys = None if max_keys is None else check_int("max_keys", max_keys, 1)
        self.store = store
        self.on_evict = on_evict
        self.max_rows = max_rows
        self.pool_ = None if max_rows is None else self._make_pool(max_rows)
        self.models_: OrderedDict[Hashable, Any] = OrderedDict()
        self.n_evicted_ = 0
        self.n_loaded_ = 0
        # those that have learned since they were written
        self._changed: set[Hashable] = set()
        # found or made for a prediction: what learns next is most often the same
        self._aside: tuple[Hashable, Any, bool] | None = None
        # where labels come late, asking a model changes it
        last = self._last_step
        self._asking_changes = getattr(last, "advance_on", "learn") != "learn"

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"model": RLSRegressor(), "key": "gallup", "max_keys": 50}
        yield {
            "model": StreamingAttentionRegressor(window=9, memory=2, readout="rls"),
            "key": ("ipsos", "gallup"),
            "max_keys": 2,
            "store": {},
        }
        yield {
            "model": StreamingAttentionClassifier(mode=None, memory=2, n_lags=0),
            "key": "is_popular",
            "max_keys": 3,
            "store": {},
        }
        yield {"model": linear_model.LogisticRegression(), "key": "ip_in_url"}

    def _unit_test_skips(self) -> set[str]:
        skips: set[str] = self.model._unit_test_skips()
        return skips

    @property
    def _wrapped_model(self) -> Any:
        return self.model

    @property
    def _last_step(self) -> Any:
        """What river asks for the kind of an estimator that stands for another one."""
        return getattr(self.model, "_last_step", self.model)

    def __repr__(self) -> str:
        store = None if self.store is None else type(self.store).__name__
        return (
            f"KeyedModel({self.model!r}, key={self.key!r}, max_keys={self.max_keys}, store={store})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_aside": None}

    def clone(
        self, new_params: dict[str, Any] | None = None, include_attributes: bool = False
    ) -> Self:
        """A fresh one with the same parameters; with a store, it has an empty dict for its own."""
        params = dict(new_params or {})
        store = params.pop("store", None if self.store is None else {})
        if include_attributes and self.store is not None:
            # the attributes are half of what it knows
            store.update(self.store)
        fresh = super().clone(params | {"store": None}, include_attributes)
        if store is not None:
            _check_can_be_stored(fresh.model)
            fresh.store = store
        return fresh

    # --- where models are

    def _make_pool(self, max_rows: Any) -> Any:
        last = self._last_step
        if not hasattr(last, "make_pool"):
            raise ValueError(
                f"max_rows={max_rows!r}: a {type(last).__name__} keeps no window of rows; this is "
                "for SlidingWindowAttentionRegressor and its family"
            )
        most = max(last.window_size, 1) * getattr(last, "n_layers", 1) + 16
        return last.clone().make_pool(check_int("max_rows", max_rows, most))

    def _pooled(self, model: Any) -> Any:
        """A model whose context is in the pages that all share."""
        if self.pool_ is not None:
            getattr(model, "_last_step", model).use_pool(self.pool_)
        return model

    def model_of(self, key: Hashable) -> Any:
        """The model of a key, for a look inside; None if there is none.

        It is the one that learns if it is in memory, else a copy from the store.
        """
        key = checked(key)
        return self.models_[key] if key in self.models_ else self._stored(key)

    def flush(self) -> None:
        """Write all models that have changed to the store, and ``commit()`` if it has that."""
        if self.store is None:
            raise ValueError("flush: there is no store; give one, as store=SqliteStore(path)")
        for key in list(self._changed):
            self._write(key)
        commit = getattr(self.store, "commit", None)
        if commit is not None:
            commit()

    def _stored(self, key: Hashable) -> Any:
        if self.store is None:
            return None
        data = self.store.get(to_key(key))
        return None if data is None else restored(data, self.model, f"key {key!r:.80}: ")

    def _write(self, key: Hashable) -> None:
        if self.store is not None and key in self._changed:
            self.store[to_key(key)] = self.models_[key].to_bytes()
            self._changed.discard(key)

    def _find(self, key: Hashable) -> Any:
        """The model of a key: one that stays if it is in memory, else one put aside."""
        found = self.models_.get(key)
        if found is None:
            found = self._put_aside(key)[1]
        return found

    def _put_aside(self, key: Hashable) -> tuple[Hashable, Any, bool]:
        if self._aside is None or self._aside[0] != key:
            stored = self._stored(key)
            self._aside = (
                key,
                self.model.clone() if stored is None else stored,
                stored is not None,
            )
        return self._aside

    def _change(self, key: Hashable, method: str, /, *args: Any, **kwargs: Any) -> Any:
        """Let the model of a key do what changes it; if that or the store fails, nothing has."""
        model = self.models_.get(key)
        if model is not None:
            result = getattr(model, method)(*args, **kwargs)
            self.models_.move_to_end(key)
            self._changed.add(key)
            return result
        _, model, loaded = self._put_aside(key)
        full = self.max_keys is not None and len(self.models_) >= self.max_keys
        coldest = next(iter(self.models_)) if full else None
        if full:
            self._write(coldest)
        result = getattr(model, method)(*args, **kwargs)
        self._aside = None
        self.models_[key] = self._pooled(model)
        self._changed.add(key)
        self.n_loaded_ += loaded
        if full:
            evicted = self.models_.pop(coldest)
            self._changed.discard(coldest)
            self.n_evicted_ += 1
            if self.on_evict is not None:
                self.on_evict(coldest, evicted)
        return result

    def _ask(self, x: dict[Any, Any], method: str, kwargs: dict[str, Any]) -> Any:
        key, rest = split(x, self.key)
        if self._asking_changes:
            return self._change(key, method, rest, **kwargs)
        return getattr(self._find(key), method)(rest, **kwargs)

    # --- rows

    def learn_one(self, x: dict[Any, Any], y: Any, **kwargs: Any) -> None:
        """The model of the key of x learns one sample.

        Parameters
        ----------
        x
            Features, the key among them.
        y
            Label.
        kwargs
            What else its ``learn_one`` takes, such as ``w``.
        """
        key, rest = split(x, self.key)
        self._change(key, "learn_one", rest, y, **kwargs)

    def predict_one(self, x: dict[Any, Any], **kwargs: Any) -> Any:
        """What the model of the key of x predicts; for a new key, what a new model does."""
        return self._ask(x, "predict_one", kwargs)

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """The probabilities that the model of the key of x gives."""
        probabilities: dict[Any, float] = self._ask(x, "predict_proba_one", kwargs)
        return probabilities

    def advance_one(self, x: dict[Any, Any], **kwargs: Any) -> None:
        """Time passes for the model of the key of x, without a label."""
        key, rest = split(x, self.key)
        self._change(key, "advance_one", rest, **kwargs)

    # --- blocks of rows

    def learn_many(self, X: Any, y: Any, **kwargs: Any) -> None:
        """Every model learns the rows of its key, in their order.

        With models of this package all rows are checked before the first is learned.

        Parameters
        ----------
        X
            A data frame of features, the key among them.
        y
            A series of labels.
        kwargs
            What else ``learn_many`` takes, such as ``w``.
        """
        for key, _, X_k, y_k, kwargs_k in self._labelled(X, y, kwargs):
            self._change(key, "learn_many", X_k, y_k, **kwargs_k)

    def predict_many(self, X: Any, **kwargs: Any) -> Any:
        """A prediction for every row of a data frame, each as if that row came next."""
        values: list[Any] = [None] * len(X)
        for key, rows, X_k in self._groups(X):
            _put(values, rows, self._find(key).predict_many(X_k, **kwargs))
        return dataframe.to_native_series(values, name=None, like=dataframe.into_frame(X))

    def predict_proba_many(self, X: Any, **kwargs: Any) -> Any:
        """Probabilities for every row of a data frame; 0 for a class that a model never saw."""
        records: list[dict[Any, float]] = [{} for _ in range(len(X))]
        for key, rows, X_k in self._groups(X):
            found = self._find(key).predict_proba_many(X_k, **kwargs)
            for i, record in zip(rows, _frames.Table(found).rows(), strict=True):
                records[i] = record
        classes = list(dict.fromkeys(label for record in records for label in record))
        columns = {label: [record.get(label, 0.0) for record in records] for label in classes}
        return dataframe.to_native_frame(columns, like=dataframe.into_frame(X))

    def predict_learn_many(self, X: Any, y: Any, **kwargs: Any) -> Any:
        """Test, then train: every row is predicted by the model of its key, then learned."""
        values: list[Any] = [None] * len(X)
        for key, rows, X_k, y_k, kwargs_k in self._labelled(X, y, kwargs):
            _put(values, rows, self._change(key, "predict_learn_many", X_k, y_k, **kwargs_k))
        return dataframe.to_native_series(values, name=None, like=dataframe.into_frame(X))

    def _groups(self, X: Any) -> list[Group]:
        """For every key its rows: their numbers, and a frame without the key."""
        frame = dataframe.into_frame(X)
        names = [name for name in names_of(self.key) if name in frame.columns]
        looked_at = frame if callable(self.key) else frame.select(names)
        numbers: dict[Hashable, list[int]] = {}
        if callable(self.key) or names:
            for i, row in enumerate(_frames.Table(looked_at.to_native()).rows()):
                numbers.setdefault(split(row, self.key)[0], []).append(i)
        elif len(frame):
            numbers[split({}, self.key)[0]] = list(range(len(frame)))
        rest = frame.drop(names)
        return [(key, rows, rest[rows].to_native()) for key, rows in numbers.items()]

    def _labelled(
        self, X: Any, y: Any, kwargs: dict[str, Any]
    ) -> list[tuple[Hashable, list[int], Any, Any, dict[str, Any]]]:
        """The groups with their labels and weights, checked as far as the model can."""
        labels = _frames.labels(y, len(X))
        weights = kwargs.get("w", 1.0)
        groups = []
        for key, rows, X_k in self._groups(X):
            like = dataframe.into_frame(X_k)
            y_k = dataframe.to_native_series([labels[i] for i in rows], name=None, like=like)
            kwargs_k = kwargs
            if np.ndim(weights):
                w = list(_frames.weights(weights, len(X)))
                kwargs_k = kwargs | {"w": [w[i] for i in rows]}
            groups.append((key, rows, X_k, y_k, kwargs_k))
        check = getattr(self.model, "check_many", None)
        if check is not None:
            for _, _, X_k, y_k, kwargs_k in groups:
                check(X_k, y_k, **kwargs_k)
        return groups


def _put(values: list[Any], rows: list[int], found: Any) -> None:
    for i, value in zip(rows, found.to_list(), strict=True):
        values[i] = value


def _check_can_be_stored(model: Any) -> None:
    """Raise what would be raised when the first model leaves memory."""
    if not hasattr(model, "to_bytes"):
        raise ValueError(
            f"store: a {type(model).__name__} has no to_bytes(), which the models of "
            "river_attention have; leave store= and max_keys= out to keep all models in memory"
        )
    model.to_bytes()
