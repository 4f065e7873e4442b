"""Options as models."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import (
    StreamingAttentionClassifier,
    StreamingAttentionForecaster,
    StreamingAttentionRegressor,
)
from .._baselines import baseline_classifiers, baseline_models
from ..keyed import KeyedModel
from ..values import calendar_features
from .columns import Columns
from .errors import InputError, reason

KINDS: dict[str, Callable[..., Any]] = {
    "regressor": StreamingAttentionRegressor,
    "classifier": StreamingAttentionClassifier,
    "forecaster": StreamingAttentionForecaster,
}


def settings(mode: str | None, readout: str | None, more: Sequence[str]) -> dict[str, Any]:
    """Parameters of a model from ``--mode``, ``--readout`` and all ``--set NAME=VALUE``.

    Examples
    --------
    >>> settings("gla", None, ["window=0", "forgetting_factor=[0.99, 0.998]", "prior=mean"])
    {'mode': 'gla', 'window': 0, 'forgetting_factor': (0.99, 0.998), 'prior': 'mean'}
    """
    given: dict[str, Any] = {}
    if mode is not None:
        given["mode"] = None if mode.lower() == "none" else mode
    if readout is not None:
        given["readout"] = readout
    for each in more:
        name, equals, text = each.partition("=")
        if not equals or not name.strip():
            raise InputError(f"--set {each}: must be NAME=VALUE, such as --set window=500")
        given[name.strip()] = plain(text.strip())
    return given


def plain(text: str) -> Any:
    """A value as JSON writes it, lists as tuples; what is no JSON is a string."""
    try:
        return tupled(json.loads(text))
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)


def tupled(value: Any) -> Any:
    """Lists as tuples, which is how parameters of models hold several values."""
    return tuple(map(tupled, value)) if isinstance(value, list) else value


def build(kind: str, given: Mapping[str, Any], categorical: Sequence[str] = ()) -> Any:
    """A model with these parameters.

    Raises
    ------
    InputError
        If it has no such parameter, or not with such a value.
    """
    make = KINDS[kind]
    known = list(inspect.signature(make).parameters)
    for name in given:
        if name not in known:
            raise InputError(f"{name}: a {kind} has no such parameter; it has {', '.join(known)}")
    params = dict(given)
    if categorical:
        params.setdefault("categorical", tuple(categorical))
    try:
        return make(**params)
    except (ValueError, TypeError) as error:
        raise InputError(reason(error)) from None


def per_key(model: Any, key: str | None) -> Any:
    """One model for each value of a column, if there is one to tell them apart."""
    return model if key is None else KeyedModel(model, key)


def compared(columns: Columns, of_classes: bool, everything: bool) -> dict[str, Any]:
    """The models that ours is compared with: the simplest one, or all of them."""
    models = baseline_classifiers() if of_classes else baseline_models()
    names = list(models) if everything else list(models)[:1]
    key = columns.roles.key
    return {name: Plain(per_key(models[name], key), columns) for name in names}


class Plain:
    """A model of river with features it can bear: dates as calendar, categories as zeros and ones.

    What is missing is left out, as river's models have it. The key stays as it is.
    """

    def __init__(self, model: Any, columns: Columns) -> None:
        self.model = model
        self.columns = columns

    def _features(self, x: Mapping[str, Any]) -> dict[Any, Any]:
        columns = self.columns
        found: dict[Any, Any] = {}
        for name, value in x.items():
            if name in columns.categorical:
                found[f"{name}={value}"] = 1.0
            elif name != columns.roles.key:
                found[name] = value
        found = {
            name: float(value) for name, value in calendar_features(found).items() if value == value
        }
        if columns.roles.key is not None:
            found[columns.roles.key] = x.get(columns.roles.key)
        return found

    def predict_one(self, x: Mapping[str, Any]) -> Any:
        return self.model.predict_one(self._features(x))

    def predict_proba_one(self, x: Mapping[str, Any]) -> Any:
        return self.model.predict_proba_one(self._features(x))

    def learn_one(self, x: Mapping[str, Any], y: Any) -> None:
        self.model.learn_one(self._features(x), y)
