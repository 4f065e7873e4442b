"""What the package is compared with: persistence and river's own regressors, at their best chance.

A regressor of river sees neither the last target nor a scaled one by itself. Here each of them is

    TargetStandardScaler(StandardScaler() | Model())    with y[t-1] as one more feature,

which is several times better on the bundled streams than the bare `StandardScaler() | Model()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from river import base, dummy, forest, linear_model, preprocessing, time_series, tree

__all__ = [
    "FAST_SETTINGS",
    "LastTarget",
    "OneStepForecast",
    "Persistence",
    "baseline_classifiers",
    "baseline_models",
]

FAST_SETTINGS: dict[str, Any] = {
    "mode": "gla",
    "memory": 0,
    "window": 0,
    "n_lags": 0,
    "long_lags": 0,
    "readout": "rls",
}
"""Our regressor at its cheapest: heads and one recursive least squares."""

LAST_TARGET = "y[t-1]"


class Persistence(base.Regressor):
    """Predict the last target seen, 0 before the first.

    Examples
    --------
    >>> model = Persistence()
    >>> model.predict_one({})
    0.0
    >>> model.learn_one({}, 3.5)
    >>> model.predict_one({})
    3.5
    """

    def __init__(self) -> None:
        self._last = 0.0

    def learn_one(self, x: dict[base.typing.FeatureName, Any], y: float) -> None:
        self._last = y

    def predict_one(self, x: dict[base.typing.FeatureName, Any]) -> float:
        return self._last


class LastTarget(base.Wrapper, base.Regressor):
    """Give a regressor the last target as one more feature, 0 before the first.

    The features at t hold y[t-1] both when predicting and when learning; y[t] itself is stored only
    after the regressor has learned.

    Parameters
    ----------
    regressor
        The regressor to wrap.

    Examples
    --------
    >>> from river import linear_model
    >>> model = LastTarget(linear_model.LinearRegression())
    >>> model.learn_one({}, 2.0)
    >>> model.regressor.weights
    {'y[t-1]': 0.0}
    """

    def __init__(self, regressor: base.Regressor) -> None:
        self.regressor = regressor
        self._last = 0.0

    @property
    def _wrapped_model(self) -> base.Regressor:
        return self.regressor

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"regressor": _scaled(linear_model.LinearRegression())}

    def learn_one(self, x: dict[base.typing.FeatureName, Any], y: float, **kwargs: Any) -> None:
        self.regressor.learn_one({**x, LAST_TARGET: self._last}, y, **kwargs)
        self._last = y

    def predict_one(self, x: dict[base.typing.FeatureName, Any], **kwargs: Any) -> float:
        return self.regressor.predict_one({**x, LAST_TARGET: self._last}, **kwargs)


class OneStepForecast(base.Regressor):
    """A forecaster as a regressor: the prediction is the forecast one step ahead.

    Parameters
    ----------
    forecaster
        A forecaster that takes exogenous features, such as `river.time_series.SNARIMAX`.

    Examples
    --------
    >>> from river import time_series
    >>> model = OneStepForecast(time_series.SNARIMAX(p=1, d=1, q=0))
    >>> for y in [1.0, 2.0, 3.0]:
    ...     model.learn_one({}, y)
    >>> model.predict_one({}) > 3.0
    True
    """

    def __init__(self, forecaster: time_series.base.Forecaster) -> None:
        self.forecaster = forecaster

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"forecaster": time_series.SNARIMAX(p=1, d=1, q=0)}

    def learn_one(self, x: dict[base.typing.FeatureName, Any], y: float) -> None:
        self.forecaster.learn_one(y, x)

    def predict_one(self, x: dict[base.typing.FeatureName, Any]) -> float:
        return float(self.forecaster.forecast(1, [x])[0])


def _scaled(model: base.Regressor) -> base.Regressor:
    # A pipeline that ends in a regressor acts as one, though river does not declare it as one.
    return cast(base.Regressor, preprocessing.StandardScaler() | model)


def _standardised(model: base.Regressor) -> base.Regressor:
    return preprocessing.TargetStandardScaler(_scaled(model))


def _snarimax() -> base.Regressor:
    # The best single setting for the streams bundled with river, in hindsight and by the geometric
    # mean of the errors, among p of 1, 3, 6, 12, 24, d of 0, 1, q of 0, 3, and no season or sp = 1
    # or sd = 1 at m = 12 or 24. It makes its own lags of the target.
    snarimax = time_series.SNARIMAX(
        p=1,
        d=1,
        q=0,
        m=12,
        sp=1,
        regressor=_scaled(linear_model.LinearRegression()),
    )
    return preprocessing.TargetStandardScaler(OneStepForecast(snarimax))


def baseline_models(seed: int = 42) -> dict[str, base.Regressor]:
    """Return fresh baselines by name, persistence first.

    Parameters
    ----------
    seed
        Seed of the models that draw random numbers.

    Returns
    -------
    dict
        Regressors that have learned nothing yet.

    Examples
    --------
    >>> list(baseline_models())[:2]
    ['persistence', 'LinearRegression']
    """
    return {
        "persistence": Persistence(),
        "LinearRegression": LastTarget(_standardised(linear_model.LinearRegression())),
        "BayesianLinearRegression": LastTarget(
            _standardised(linear_model.BayesianLinearRegression())
        ),
        "ARFRegressor": LastTarget(_standardised(forest.ARFRegressor(seed=seed))),
        "SNARIMAX": _snarimax(),
    }


def baseline_classifiers(seed: int = 42) -> dict[str, base.Classifier]:
    """Return fresh classifiers by name, the last class as the next one first.

    Parameters
    ----------
    seed
        Seed of the models that draw random numbers.

    Examples
    --------
    >>> list(baseline_classifiers())[:2]
    ['last class', 'SoftmaxRegression']
    """
    return {
        "last class": dummy.NoChangeClassifier(),
        # a pipeline that ends in a classifier acts as one
        "SoftmaxRegression": cast(
            base.Classifier, preprocessing.StandardScaler() | linear_model.SoftmaxRegression()
        ),
        "HoeffdingAdaptiveTree": tree.HoeffdingAdaptiveTreeClassifier(seed=seed),
        "ARFClassifier": forest.ARFClassifier(seed=seed),
    }
