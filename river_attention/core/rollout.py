"""Looking ahead: predictions that take each other for targets, while the model stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .regression import Regression
    from .step import Step

Array = NDArray[np.float64]


class Rollout:
    """One possible future of a regression: ``predict`` a step, ``advance`` with its target, repeat.

    Memory and target go on in a branch; scales, columns and readout are those of the model, which
    must not learn meanwhile.

    Parameters
    ----------
    task
        The regression to look ahead of.
    twin
        A compiled twin of it that looks ahead, None for NumPy.

    Examples
    --------
    >>> from river_attention import StreamingAttentionRegressor
    >>> model = StreamingAttentionRegressor(n_lags=2)
    >>> for t in range(200):
    ...     model.learn_one({}, t % 4)
    >>> future, ahead = model.rollout(), []
    >>> for _ in range(5):
    ...     ahead.append(future.predict({}))
    ...     future.advance(ahead[-1])
    >>> [round(y) for y in ahead]
    [0, 1, 2, 3, 0]
    """

    def __init__(self, task: Regression, twin: Any = None) -> None:
        # a compiled twin that looks ahead does all of it
        self._twin = twin
        self._task = task if twin is not None else task.branch()
        self._step: Step | None = None
        self._is_asked = False

    def predict(self, x: Mapping[Any, Any]) -> float:
        """The prediction for the next step; stays where it is in time."""
        if self._twin is not None:
            prediction: float = self._twin.predict(x)
        else:
            self._step = self._task.propose(self._task.features.encoder.encode(x))
            prediction = self._task.value(self._step.evidence)
        self._is_asked = True
        return prediction

    def attention(self) -> Array:
        """What retrieval looks back to from the step that was predicted last.

        Returns
        -------
        Weights [metric, temperature, n] of the n stored steps, the oldest first; n = 0 with fewer
        than five of them, and without retrieval.
        """
        self._check_asked()
        if self._step is None:
            weights: Array = self._twin.attention()
            return weights
        return self._task.attention(self._step)

    def advance(self, y: float) -> None:
        """Time passes by the step that was predicted last, with this target."""
        self._check_asked()
        if self._step is None:
            self._twin.follow(y)
        else:
            self._task.target.update(y)
            self._task.features.follow(self._step)
        self._is_asked = False

    def _check_asked(self) -> None:
        if not self._is_asked:
            raise ValueError("predict the next step first: it is the one to go on with")
