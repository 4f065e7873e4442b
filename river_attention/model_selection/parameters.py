"""Parameters of river objects by the names that grids give them: ``step__param``."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any

from river import base, compose

_SEPARATOR = "__"


def parameters(obj: Any) -> dict[str, Any]:
    """What of an object can be set by name: steps of a pipeline or union, parameters of others.

    Examples
    --------
    >>> from river import linear_model, preprocessing
    >>> list(parameters(preprocessing.StandardScaler() | linear_model.PARegressor()))
    ['StandardScaler', 'PARegressor']
    >>> parameters(linear_model.PARegressor(C=0.5))
    {'C': 0.5, 'mode': 1, 'eps': 0.1, 'learn_intercept': True}
    """
    if isinstance(obj, compose.Pipeline):
        return dict(obj.steps)
    if isinstance(obj, compose.TransformerUnion):
        return dict(obj.transformers)
    if not isinstance(obj, base.Base):
        return {}
    return {
        name: getattr(obj, name)
        for name, parameter in inspect.signature(type(obj)).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }


def check_names(obj: Any, params: Mapping[str, Any], owner: str = "") -> None:
    """Raise if a name is not that of a parameter.

    Parameters
    ----------
    obj
        The estimator, or a part of it.
    params
        Values by name. A part that is replaced is asked for the names below it.
    owner
        The name of ``obj`` with ``__`` behind it, if it is a part.

    Raises
    ------
    ValueError
        With the name and those that are known.

    Examples
    --------
    >>> from river import linear_model
    >>> check_names(linear_model.PARegressor(), {"c": 1.0})
    Traceback (most recent call last):
        ...
    ValueError: unknown parameter 'c' of PARegressor: known are C, mode, eps, learn_intercept
    """
    known = parameters(obj)
    for name, (given, below) in _by_head(params).items():
        if name not in known:
            tail = _SEPARATOR + next(iter(below)) if below else ""
            raise ValueError(
                f"unknown parameter {owner + name + tail!r} of {type(obj).__name__}: known are "
                f"{', '.join(_all_names(known, owner)) or 'none'}"
            )
        if below:
            check_names(given[0] if given else known[name], below, owner + name + _SEPARATOR)


def with_params(obj: Any, params: Mapping[str, Any]) -> Any:
    """A fresh, untrained copy of an object with other parameters, which are copied as well.

    Examples
    --------
    >>> from river import linear_model, preprocessing
    >>> model = preprocessing.StandardScaler() | linear_model.PARegressor()
    >>> with_params(model, {"PARegressor__C": 0.5})["PARegressor"].C
    0.5
    """
    known, changed = parameters(obj), {}
    for name, (given, below) in _by_head(params).items():
        part = given[0] if given else known[name]
        changed[name] = with_params(part, below) if below else fresh(part)
    if isinstance(obj, compose.Pipeline):
        # functions and lists become steps when a pipeline is made
        return compose.Pipeline(*({**_fresh_parts(known, changed), **changed}).items())
    if isinstance(obj, compose.TransformerUnion):
        return compose.TransformerUnion(*({**_fresh_parts(known, changed), **changed}).items())
    return obj.clone(changed)


def fresh(value: Any) -> Any:
    """A copy of a parameter that shares nothing with it; of river's objects an untrained one."""
    return value.clone() if isinstance(value, base.Base) else copy.deepcopy(value)


def _fresh_parts(known: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if name in changed else fresh(part) for name, part in known.items()}


def _by_head(params: Mapping[str, Any]) -> dict[str, tuple[list[Any], dict[str, Any]]]:
    """For the part before the first ``__``: its value if there is one, and what goes below it."""
    grouped: dict[str, tuple[list[Any], dict[str, Any]]] = {}
    for name, value in params.items():
        head, separator, tail = name.partition(_SEPARATOR)
        given, below = grouped.setdefault(head, ([], {}))
        if separator:
            below[tail] = value
        else:
            given.append(value)
    return grouped


def _all_names(known: Mapping[str, Any], owner: str) -> list[str]:
    """Names of the parameters and, of river's objects among them, of theirs."""
    names = []
    for name, part in known.items():
        names.append(owner + name)
        names += [owner + name + _SEPARATOR + below for below in parameters(part)]
    return names
