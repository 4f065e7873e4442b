"""The readout alone as a river regressor."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from .._validation import check_number, check_target, check_weight
from ..config import ConfigMixin
from ..core.linear import LinearTask
from ..encoding import Encoded, Encoder
from ..files import Saved
from ..readout import RecursiveLeastSquares
from ..state import Stateful, Writer
from ..values import check_categorical
from ._blocks import Blocks, Numbers
from ._twin import Twinned


class RLSRegressor(Numbers, Twinned, Stateful, Saved, Blocks, ConfigMixin, base.MiniBatchRegressor):
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
    max_features
        The largest number of features; a new name beyond it takes the place of the one unseen for
        longest, whose weight is forgotten. None for no bound.
    categorical
        Names of the features whose values are categories, such as ``("store", "day")``: strings,
        codes, anything hashable. Each becomes a feature ``name=value``, 1 for its value and 0 for
        the others; a missing one is 0 in all. None if there are none.

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
        max_features: int | None = 256,
        categorical: tuple[Hashable, ...] | None = None,
    ) -> None:
        self.forgetting_factor = forgetting_factor
        self.delta = delta
        self.leak = leak
        self.huber = huber
        check_number("delta", delta, above=0.0)
        self.max_features = max_features
        self.categorical = check_categorical(categorical)
        rls = RecursiveLeastSquares(forgetting_factor, delta, leak, huber)
        self._keep(LinearTask(Encoder(max_features, categorical), rls))

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

    @property
    def n_evicted_(self) -> int:
        """How often the column of a feature was given to another one."""
        return self.encoder_.n_evicted

    def _clean(self, x: Any) -> dict[Any, float]:
        return self.encoder_.clean(x)

    def _features(self, x: Mapping[Any, Any]) -> tuple[NDArray[np.float64], Encoded]:
        encoded = self.encoder_.encode(x)
        phi = np.empty(1 + len(encoded.values))
        phi[0] = 1.0
        phi[1:] = encoded.values
        if not encoded.complete:
            phi[phi != phi] = 0.0
        return phi, encoded

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
        phi, encoded = self._features(x)
        appended, recycled = self.encoder_.enter(encoded)
        if encoded.new:
            names, new = self.encoder_.names, encoded.new
            added = [new[name] for name in names[len(names) - len(appended) :]]
            phi = np.concatenate([phi, added])
            for column, _ in recycled:
                phi[1 + column] = new[names[column]]
                self.rls_.renew(1 + column, self.delta)
        self.rls_.update(phi, y, w)
