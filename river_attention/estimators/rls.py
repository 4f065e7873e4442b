"""The readout alone as a river regressor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from .._validation import check_number, check_target, check_weight
from ..config import ConfigMixin
from ..core.linear import LinearTask
from ..encoding import Encoder
from ..files import Saved
from ..readout import RecursiveLeastSquares
from ..state import Stateful, Writer
from ._stream import Blocks
from ._twin import Twinned


class RLSRegressor(Twinned, Stateful, Saved, Blocks, ConfigMixin, base.MiniBatchRegressor):
    r"""Linear regression by recursive least squares.

    .. math::

        \hat y = w_0 + \sum_i w_i x_i, \qquad
        w = \arg\min \sum_{i \le t} \lambda^{t-i} (y_i - \hat y_i)^2 + \lambda^t |w|^2 / \delta

    River's ``LinearRegression`` by another method: no learning rate, no scaler needed, exact after
    every sample. Costs O(p²) a sample for p features. Missing features count as 0.

    Parameters
    ----------
    forgetting_factor
        λ in (0, 1]; 1 remembers everything, 0.99 about the last hundred samples.
    delta
        Prior variance of the weights; large values mean little regularisation.
    leak
        Every ``leak``-th update pulls the weights a little towards 0, which keeps the model stable
        for ever when λ < 1. 0 switches it off; 8 is a good value.
    huber
        Whether samples with large errors get less weight.

    References
    ----------
    Sayed 2008, *Adaptive filters*, chapter 30.

    Examples
    --------
    >>> from river import metrics
    >>> from river_attention import RLSRegressor
    >>> model, mae = RLSRegressor(delta=100.0), metrics.MAE()
    >>> for i in range(50):
    ...     x = {"a": i % 7, "b": i % 3}
    ...     y = 5 + 2 * x["a"] - x["b"]
    ...     mae.update(y, model.predict_one(x))
    ...     model.learn_one(x, y)
    >>> mae
    MAE: 0.216443
    >>> round(model.intercept_, 1), {name: round(w, 1) for name, w in model.weights_.items()}
    (5.0, {'a': 2.0, 'b': -1.0})
    """

    def __init__(
        self,
        forgetting_factor: float = 1.0,
        delta: float = 1.0,
        leak: int = 0,
        huber: bool = False,
    ) -> None:
        self.forgetting_factor = forgetting_factor
        self.delta = delta
        self.leak = leak
        self.huber = huber
        check_number("delta", delta, above=0.0)
        rls = RecursiveLeastSquares(forgetting_factor, delta, leak, huber)
        self._keep(LinearTask(Encoder(), rls))

    @property
    def encoder_(self) -> Encoder:
        """Names to columns."""
        encoder: Encoder = self._task.encoder
        return encoder

    @property
    def rls_(self) -> RecursiveLeastSquares:
        """The recursive least squares; ask again after the next sample."""
        rls: RecursiveLeastSquares = self._whole().rls
        return rls

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"forgetting_factor": 0.99, "leak": 8}
        yield {"huber": True, "delta": 100.0}

    def transfer(self, io: Writer, *_: Any) -> None:
        encoder = io.child("encoder", self.encoder_)
        rls = io.child("rls", self.rls_)
        if io.reading:
            self._keep(LinearTask(encoder, rls))
        n, known = self.rls_.n_features, len(self.encoder_)
        io.check(n == known + 1 or n == known == 0, f"rls has {n} weights for {known} features")
        io.check(self.rls_.n_targets is None, "rls has more than one target")

    @property
    def weights_(self) -> dict[Any, float]:
        """The weight of every feature seen so far."""
        return dict(zip(self.encoder_.names, self.rls_.weights[1:].tolist(), strict=True))

    @property
    def intercept_(self) -> float:
        """The weight of the constant."""
        return float(self.rls_.weights[0]) if self.rls_.n_features else 0.0

    def _features(self, x: Mapping[Any, Any]) -> tuple[NDArray[np.float64], dict[Any, float]]:
        encoded = self.encoder_.encode(x)
        phi = np.empty(1 + len(encoded.values))
        phi[0] = 1.0
        phi[1:] = encoded.values
        if not encoded.complete:
            phi[phi != phi] = 0.0
        return phi, encoded.new

    def predict_one(self, x: dict[Any, Any]) -> float:
        """The prediction for x; 0.0 before anything was learned."""
        if self._twin is not None:
            said: float | None = self._twin.predict(x)
            if said is not None:
                return said
        phi, _ = self._features(x)
        prediction = self.rls_.predict(phi) if self.rls_.n_features else 0.0
        # only features of extreme size can overflow here; a NaN would poison what comes after
        return float(np.nan_to_num(prediction, nan=0.0))

    def _foresee(self, x: Mapping[Any, Any]) -> float:
        return self.predict_one(dict(x))

    _check = staticmethod(check_target)

    def learn_one(self, x: dict[Any, Any], y: float, w: float = 1.0) -> None:
        """Learn one sample.

        Parameters
        ----------
        x
            Features.
        y
            Target, a finite number.
        w
            Sample weight; with 0 the past fades but nothing is learned.
        """
        if self._twin is None or not self._twin.learn(x, y, w):
            self._learn(x, check_target(y), check_weight(w))

    def _learn(self, x: Mapping[Any, Any], y: float, w: float) -> None:
        if self._twin is not None and self._twin.learn(x, y, w):
            return
        phi, new = self._features(x)
        if new:
            self.encoder_.extend(new)
            added = [new[name] for name in self.encoder_.names if name in new]
            phi = np.concatenate([phi, added])
        self.rls_.update(phi, y, w)
