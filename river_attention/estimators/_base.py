"""What the river estimators of this package have in common."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Mapping
from typing import Any, Self

from numpy.typing import NDArray

from .._validation import check_seed, check_target
from ..modes import from_plain, to_plain
from . import _frames
from ._features import MemoryFeatures, Step
from ._pending import PendingSteps


def resolve_seed(seed: Any) -> int:
    """A checked seed; a fresh one for None."""
    checked = check_seed(seed)
    return secrets.randbits(63) if checked is None else checked


class ConfigMixin:
    """Constructor arguments to a dict that JSON can hold, and back."""

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments, mode objects included, as plain data."""
        names = inspect.signature(type(self)).parameters
        return {name: to_plain(getattr(self, name)) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """An estimator from what ``get_config`` gave; what is left out takes its default.

        Raises
        ------
        ValueError
            If there is a key that is no argument of the constructor.
        """
        allowed = list(inspect.signature(cls).parameters)
        unknown = [key for key in config if key not in allowed]
        if unknown:
            raise ValueError(
                f"unknown key {unknown[0]!r} for {cls.__name__}: allowed are {', '.join(allowed)}"
            )
        return cls(**{key: from_plain(value) for key, value in config.items()})


class StreamMixin(ConfigMixin):
    """An estimator around ``MemoryFeatures``: shows their states, keeps a memo of the last step.

    The memo is the work shared by a prediction and the update that follows. A prediction must not
    change a model, so it is no part of what is saved, copied or compared.
    """

    _features: MemoryFeatures
    _memo: Step | None = None

    @property
    def state_(self) -> NDArray[Any] | None:
        """State of the heads; None without heads."""
        return self._features.states.get("head")

    @property
    def bank_state_(self) -> NDArray[Any] | None:
        """State of the memory bank; None without bank."""
        return self._features.states.get("bank")

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_memo", None)
        return state


class LabelledMixin(StreamMixin):
    """A stream estimator with a readout, whose labels may come late."""

    _readout: Any
    _pending: PendingSteps

    @property
    def expert_weights_(self) -> dict[str, float]:
        """Share of each expert in the prediction."""
        weights: dict[str, float] = self._readout.weights()
        return weights

    @property
    def expert_losses_(self) -> dict[str, float]:
        """Running mean of the loss of each expert."""
        losses: dict[str, float] = self._readout.losses()
        return losses

    @property
    def n_pending_(self) -> int:
        """Steps that were seen and wait for their label."""
        return len(self._pending)

    @property
    def n_dropped_(self) -> int:
        """Steps that were dropped because too many waited."""
        return self._pending.n_dropped


class BlockMixin:
    """Learning and predicting the rows of a data frame, for a regressor that knows single rows."""

    def predict_one(self, x: dict[Any, Any]) -> float:
        """The prediction if x came next."""
        raise NotImplementedError

    def _predict(self, x: Mapping[Any, Any]) -> float:
        """The prediction if x came next; pure."""
        raise NotImplementedError

    def _clean(self, x: Mapping[Any, Any]) -> dict[Any, float]:
        """The features as floats; raises what is wrong with them."""
        raise NotImplementedError

    def _learn(self, x: Mapping[Any, Any], y: float, w: float) -> None:
        """Learn one sample that was checked."""
        raise NotImplementedError

    def _checked(self, X: Any, y: Any, w: Any) -> list[tuple[dict[Any, float], float, float]]:
        """The rows of a block, all of them checked before the first is learned."""
        batch = [self._clean(row) for row in _frames.rows(X)]
        targets = [check_target(value) for value in _frames.labels(y, len(batch))]
        return list(zip(batch, targets, _frames.weights(w, len(batch)), strict=True))

    def learn_many(self, X: Any, y: Any, w: Any = 1.0) -> None:
        """Learn the rows of a data frame one after the other, after all have been checked.

        Parameters
        ----------
        X
            A data frame of features, in the order of time.
        y
            A series of targets.
        w
            One sample weight for all rows, or one for each.
        """
        for x, target, weight in self._checked(X, y, w):
            self._learn(x, target, weight)

    def predict_many(self, X: Any) -> Any:
        """A prediction for every row of a data frame, each as if that row came next."""
        return _frames.to_series([self._predict(row) for row in _frames.rows(X)], X)

    def predict_learn_many(self, X: Any, y: Any, w: Any = 1.0) -> Any:
        """Test, then train: every row is predicted, then learned. Returns the predictions."""
        predictions = []
        for x, target, weight in self._checked(X, y, w):
            predictions.append(self.predict_one(x))
            self._learn(x, target, weight)
        return _frames.to_series(predictions, X)
