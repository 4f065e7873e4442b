r"""A step of a keyed stream as a pure function, for engines that keep the state.

.. math::  (\text{state}, \text{rows}) \mapsto (\text{state}', \hat y)

Engines partition a stream by key, keep some bytes for each, and may do the same work again after a
failure: it must give the same. Here it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._validation import is_missing
from ..files import from_bytes
from ..state import StateError

Row = tuple[Mapping[Any, Any], Any]


def step(state: bytes | None, rows: Iterable[Row], model: Any) -> tuple[bytes, list[Any]]:
    """Predict the next rows of one key, and learn them: the new state, and the predictions.

    The same as ``predict_one`` and then ``learn_one`` for every row, and the same however a stream
    is cut into calls. Neither ``model`` nor anything else is changed.

    Parameters
    ----------
    state
        What the last call for this key gave; None before the first.
    rows
        Pairs of features and label, in the order of time. **Without a label** (None, NaN) a row is
        predicted, and time passes: the memory takes x in, nothing is trained. With a model that has
        ``advance_on="predict"``, a row without a label is one that is seen, and waits; with its
        label it comes a second time, and is not predicted then but learned.
    model
        A regressor or classifier of this package, with a seed; keys begin with a clone of it.

    Returns
    -------
    The new state, and a prediction for every row, None where there is none.

    Raises
    ------
    StateError
        If the bytes are damaged, or of a model with other parameters.
    ValueError, TypeError
        If a row or the model is not usable. As the function is pure, nothing has happened then.

    Examples
    --------
    >>> from river_attention import RLSRegressor
    >>> rows = [({"a": float(t)}, 2.0 * t) for t in range(20)]
    >>> state, predictions = step(None, rows[:15], RLSRegressor())
    >>> state, predictions = step(state, rows[15:] + [({"a": 20.0}, None)], RLSRegressor())
    >>> [round(y) for y in predictions]
    [30, 32, 34, 36, 38, 40]
    """
    check_model(model)
    current = model.clone() if state is None else restored(state, model)
    late = getattr(model, "advance_on", "learn") == "predict"
    predictions: list[Any] = []
    block: list[Row] = []
    for x, y in rows:
        if not is_missing(y) and not late:
            block.append((x, y))
            continue
        predictions += current.predict_learn_rows(block)
        block = []
        if is_missing(y):
            predictions.append(current.predict_one(x))
            if not late and hasattr(current, "advance_one"):
                current.advance_one(x)
        else:
            predictions.append(None)
            current.learn_one(x, y)
    predictions += current.predict_learn_rows(block)
    return current.to_bytes(), predictions


def check_model(model: Any) -> None:
    """Raise what keeps a model from being the one of ``step``."""
    if not hasattr(model, "predict_learn_rows"):
        raise ValueError(
            f"model={model!r:.200}: must be a regressor or classifier of river_attention"
        )
    if model._is_stochastic:
        raise ValueError(
            f"{type(model).__name__}(seed=None) draws other numbers when an engine repeats its "
            "work: give a seed"
        )


def restored(data: bytes, model: Any, what: str = "") -> Any:
    """The model that bytes hold, if it has the class and the parameters of ``model``.

    Raises
    ------
    StateError
        If the bytes are damaged, or of a model with other parameters.
    """
    try:
        found = from_bytes(data)
    except StateError as error:
        raise type(error)(f"{what}{error}") from None
    if type(found) is not type(model):
        raise StateError(
            f"{what}the state is that of a {type(found).__name__}, no {type(model).__name__}"
        )
    has, wants = found.get_config(), model.get_config()
    if has != wants:
        differs = ", ".join(
            f"{name}={has[name]!r:.40} instead of {wants[name]!r:.40}"
            for name in wants
            if has[name] != wants[name]
        )
        raise StateError(
            f"{what}the state is that of a {type(model).__name__} with other parameters, {differs}:"
            " use those, or begin with a new store or checkpoint"
        )
    return found
