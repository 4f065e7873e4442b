"""Forecasts many steps ahead."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river.time_series.base import Forecaster

from .._validation import check_int, check_target
from ..config import ConfigMixin
from ..core import Target
from ..core.ahead import ErrorsAhead, Origins, changes_ahead, experts_ahead
from ..files import Saved
from ..modes import Mode
from ..readout.intervals import ErrorQuantiles, Levels, check_levels
from ..state import Stateful, Writer
from ..values import check_categorical
from ._behind import Behind, Due
from ._stream import normal, resolve_seed
from .regressor import StreamingAttentionRegressor

Array = NDArray[np.float64]

# an origin is scored at the price of one prediction for each step ahead: no more than these a step
_PREDICTIONS_PER_STEP = 24


class StreamingAttentionForecaster(Stateful, Saved, ConfigMixin, Forecaster):
    r"""Forecasts of a stream with a memory of its past, a mixture of experts for every step ahead.

    .. math::

        \hat y_{t+h} = \sum_k p_{hk}\, \hat y_{t+h,k}, \qquad
        p_{hk} \propto p_{hk}\, e^{-\eta\, \ell_{hk}} \text{ with fixed share}, \qquad
        \ell_{hk} = \min\Bigl(\frac{|y_{t+h} - \hat y_{t+h,k}|}{\max(s_h, \tilde e_h)},\ 10\Bigr)

    with η = 0.1 at first, s_h the root of the running mean of the mixture's own squared errors h
    steps ahead and ẽ_h the median of the errors of the experts: where all of them are far off, as
    after a level shift, it still counts who was nearest. The experts are

    * the last value;
    * the recursive forecast of a :class:`StreamingAttentionRegressor`, which takes its own
      predictions for the targets that follow;
    * retrieval, which gives all steps at once: the attention of the origin over past origins i,
      applied to what happened next, :math:`y_{i+h} - y_{i-1}`, where that is known;
    * the median of these three;
    * with ``season=m``, the value of a whole number of seasons ago, and the same plus as many times
      the difference between the means of the last season and of the season before.

    **How the shares are learned.** ``forecast`` changes nothing, so the experts are put to the test
    while learning: they forecast from where the regressor was ``horizon`` steps ago, which knew
    nothing of what came in between, with the features that did come, and are compared with the
    targets that did come. Shares are uniform until then. Each of the first 1000 origins is scored
    so, by a second regressor that follows ``horizon`` steps behind; then an eighth of them, by a
    copy of the regressor for each that waits, with η = 0.4 (:class:`.core.ahead.Origins`; with a
    horizon beyond 24 one of ⌈horizon / 24⌉ or fewer, so that the mean cost of a step stays bounded,
    and there are never more than 26 copies). It costs one prediction for each of the ``horizon``
    steps of an origin, whatever is asked of ``forecast``. Steps beyond ``horizon`` use the shares
    of the last one.

    **Limits.** h steps ahead a forecast stays within the range of the targets seen so far, widened
    on both sides by its own width times 1 + h / m, with m the season, or without one the number of
    targets seen: as far as a trend that made this range can get. No input makes it NaN or infinite.

    Parameters
    ----------
    season
        Number of steps in a season, at least 2; None if there is none or it is not known: retrieval
        finds seasons by itself.
    horizon
        Number of steps ahead for which shares and errors are learned. Forecasts may go further.
    mode
        Name of an attention mode (see :data:`river_attention.modes.NAMED`), a mode object, or None
        for no heads.
    n_heads
        Number of heads.
    d_key
        Key dimension per head.
    d_value
        Value dimension per head.
    memory
        Number of complex units of the memory bank; 0 for none.
    window
        Number of steps that retrieval looks back on; 0 for no retrieval.
    n_lags
        Number of past targets in the input of the regressor; 0 for none.
    long_lags
        Number of past targets that one more expert of the regressor sees; 0 for none.
    readout
        That of the regressor: "mixture" or "rls".
    forgetting_factor
        λ of the readout, in (0, 1]; the mixture takes several as well.
    delta
        Prior variance of the weights of the readout; None for the default of the regressor.
    huber
        Whether samples with large errors get less weight.
    prior
        What the readout corrects: "persistence", "mean" or "zero".
    max_features
        The largest number of columns that features take; a new name beyond it takes the column of
        the one unseen for longest, and nothing is remembered of that. None for no bound.
    categorical
        Names of the features whose values are categories, such as ``("store", "day")``: strings,
        codes, anything hashable. Each becomes a column ``name=value``, 1 for its value and 0 for
        the others; a missing one is 0 in all. None if there are none.
    seed
        Seed of the projections; None draws a new one.

    Attributes
    ----------
    expert_weights_
        For each step ahead up to ``horizon`` the share of each expert, by name.
    n_evicted_
        How often the column of a feature was given to another one.
    n_scored_
        How many forecasts met their targets and moved the shares.
    past_
        The targets it still knows, the last one at the end.
    regressor_, behind_
        The regressor, and the regressor as it was where forecasts are scored next: None where no
        origin waits.

    Examples
    --------
    >>> from river import datasets
    >>> from river_attention import StreamingAttentionForecaster
    >>> rows = list(datasets.AirlinePassengers())
    >>> model = StreamingAttentionForecaster(season=12, horizon=3)
    >>> for x, y in rows[:-3]:
    ...     model.learn_one(y, x)
    >>> [y for x, y in rows[-3:]]
    [461, 390, 432]
    >>> [round(y) for y in model.forecast(3, xs=[x for x, y in rows[-3:]])]
    [456, 407, 451]

    Features of the steps to come are given as a list; without them they count as missing. With
    ``with_dist=True`` each step has a standard deviation too, from the errors made so far as many
    steps ahead:

    >>> near, _, far = model.forecast(3, with_dist=True)
    >>> near.sigma < far.sigma
    True
    """

    def __init__(
        self,
        season: int | None = None,
        horizon: int = 12,
        mode: str | Mode | None = "gated_delta_net",
        n_heads: int = 4,
        d_key: int = 4,
        d_value: int = 4,
        memory: int = 16,
        window: int = 1000,
        n_lags: int = 6,
        long_lags: int = 50,
        readout: str = "mixture",
        forgetting_factor: float | tuple[float, ...] = 0.998,
        delta: float | None = None,
        huber: bool = True,
        prior: str = "persistence",
        max_features: int | None = 256,
        categorical: tuple[Hashable, ...] | None = None,
        seed: int | None = 42,
    ) -> None:
        self.season = None if season is None else check_int("season", season, 2)
        self.horizon = check_int("horizon", horizon, 1)
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
        self.max_features = max_features
        self.categorical = check_categorical(categorical)
        self.seed = seed
        drawn = resolve_seed(seed)
        self.regressor_ = self._build(drawn)
        origins = Origins(math.ceil(self.horizon / _PREDICTIONS_PER_STEP))
        # targets are kept as far back as any expert looks from where an origin is
        reach = max(window + 1, 2 * (self.season or 1)) + self.horizon
        self._behind = Behind(self._build(drawn), self.horizon, reach, origins)
        self._known = ErrorsAhead(self.horizon, len(self._names()), origins.spacings)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"season": 4, "horizon": 2, "mode": "gla_vector", "memory": 0, "window": 20}
        yield {"horizon": 30, "mode": None, "memory": 2, "window": 0, "readout": "rls"}
        yield {"season": 2, "horizon": 3, "n_heads": 1, "n_lags": 0, "prior": "mean", "seed": 7}

    def transfer(self, io: Writer, *_: Any) -> None:
        self.regressor_ = io.child("regressor", self.regressor_)
        self._behind = io.child("", self._behind, self.regressor_)
        self._known = io.child("", self._known)

    def _build(self, seed: int) -> StreamingAttentionRegressor:
        return StreamingAttentionRegressor(
            mode=self.mode,
            n_heads=self.n_heads,
            d_key=self.d_key,
            d_value=self.d_value,
            memory=self.memory,
            window=self.window,
            n_lags=self.n_lags,
            long_lags=self.long_lags,
            readout=self.readout,
            forgetting_factor=self.forgetting_factor,
            delta=self.delta,
            huber=self.huber,
            prior=self.prior,
            max_features=self.max_features,
            categorical=self.categorical,
            seed=seed,
        )

    @property
    def n_evicted_(self) -> int:
        """How often the column of a feature was given to another one."""
        return self.regressor_.n_evicted_

    @property
    def past_(self) -> Array:
        """The targets it still knows, the last one at the end: as many as any expert looks back."""
        return self._behind.past["y"].copy()

    @property
    def behind_(self) -> StreamingAttentionRegressor | None:
        """The regressor as it was where forecasts are scored next; None if none wait."""
        return self._behind.model

    def _names(self) -> list[str]:
        """The experts, in the order of ``_experts``."""
        return [
            "last value",
            "recursive",
            *(["retrieval"] if self.window else []),
            "median",
            *(["seasonal", "seasonal + drift"] if self.season else []),
        ]

    @property
    def expert_weights_(self) -> list[dict[str, float]]:
        """Share of each expert, for each step ahead."""
        names = self._names()
        return [dict(zip(names, row, strict=True)) for row in self._known.shares.tolist()]

    def learn_one(self, y: float, x: dict[Any, Any] | None = None) -> None:
        """Learn the target of the next step; time advances by one step.

        Parameters
        ----------
        y
            Target, a finite number.
        x
            Features that were known before the target.
        """
        try:
            target = check_target(y)
        except ValueError:
            raise ValueError(
                f"y={y!r}: a target must be a finite number; to bridge a gap, learn the forecast: "
                "learn_one(forecast(1)[0])"
            ) from None
        features = self._clean(x)
        behind = self._behind
        origin = behind.begin(self.regressor_, self._known.size)
        # what code of a user may refuse comes first: nothing has changed by then
        behind.check(self.regressor_, features)
        due = behind.due(origin, features, target)
        if due is not None:
            self._score(due)
        self.regressor_.learn_one(features, target)
        behind.join(origin, features, target)

    def forecast(
        self,
        horizon: int,
        xs: Iterable[Mapping[Any, Any] | None] | None = None,
        *,
        with_dist: bool = False,
    ) -> list[Any]:
        """The next ``horizon`` targets; 0.0 before any is known. Changes nothing.

        Parameters
        ----------
        horizon
            Number of steps ahead.
        xs
            Features of the steps ahead, the next one first, at least ``horizon`` of them. None if
            they are not known: they count as missing.
        with_dist
            Whether to give a normal distribution for each step instead of a number. Its central
            90 % are as wide as the interval of ``forecast_interval``.
        """
        n_steps, features = self._ahead(horizon, xs)
        means = self._means(n_steps, features)
        if not with_dist:
            return means
        variances = self._variances(n_steps)
        return [normal(mean, variance) for mean, variance in zip(means, variances, strict=True)]

    def forecast_interval(
        self,
        horizon: int,
        xs: Iterable[Mapping[Any, Any] | None] | None = None,
        level: Levels = 0.9,
    ) -> list[Any]:
        """Where the next ``horizon`` targets lie, each for itself. Changes nothing.

        From quantiles of the errors made as many steps ahead, each in units of how large they were
        expected to be; see :mod:`river_attention.readout.intervals`. Before there are any, and
        beyond the horizon of the model, the width grows with the root of the steps, as that of a
        random walk.

        Parameters
        ----------
        horizon, xs
            Those of ``forecast``.
        level
            How probable each target is inside, in (0, 1); or a list or tuple of levels.

        Returns
        -------
        (low, high) for every step, or a list of them, one for each level.
        """
        levels, single = check_levels(level)
        n_steps, features = self._ahead(horizon, xs)
        target = self.regressor_.task_.target
        intervals = [
            target.around(mean, errors, levels, widening)
            for mean, (errors, widening) in zip(
                self._means(n_steps, features), self._widened(n_steps), strict=True
            )
        ]
        return [each[0] for each in intervals] if single else intervals

    def _means(self, n_steps: int, features: list[dict[Any, float]]) -> list[float]:
        """The forecast for each step ahead."""
        if not self._behind.n_steps:
            return [0.0] * n_steps
        weights = self._known.shares[np.minimum(np.arange(n_steps), self.horizon - 1)]
        experts = self._experts(self.regressor_, self._behind.past["y"], features)
        means: list[float] = self._mix(self.regressor_, weights, experts).tolist()
        return means

    def expert_forecasts(
        self, horizon: int, xs: Iterable[Mapping[Any, Any] | None] | None = None
    ) -> dict[str, list[float]]:
        """What every expert forecasts, by name; nothing before any target is known.

        Parameters
        ----------
        horizon, xs
            Those of ``forecast``.
        """
        _, features = self._ahead(horizon, xs)
        if not self._behind.n_steps:
            return {}
        experts = self._experts(self.regressor_, self._behind.past["y"], features)
        return dict(zip(self._names(), experts.tolist(), strict=True))

    def _ahead(
        self, horizon: int, xs: Iterable[Mapping[Any, Any] | None] | None
    ) -> tuple[int, list[dict[Any, float]]]:
        """The number of steps ahead and their features, checked."""
        n_steps = check_int("horizon", horizon, 1)
        rows = [None] * n_steps if xs is None else list(xs)
        if len(rows) < n_steps:
            raise ValueError(
                f"xs has {len(rows)} entries for horizon={n_steps}: give the features of every "
                "step ahead, a shorter horizon, or xs=None if they are not known"
            )
        return n_steps, [self._clean(x) for x in rows[:n_steps]]

    @property
    def n_scored_(self) -> int:
        """How many forecasts met their targets and moved the shares."""
        return self._known.n

    def _clean(self, x: Mapping[Any, Any] | None) -> dict[Any, float]:
        """The features that are known, checked; what is missing is absent."""
        if x is None:
            return {}
        # by way of what tells names only: asking for all features takes the state back from C
        known = self.regressor_._names().encoder.clean(x)
        length = math.hypot(*known.values())  # NaN if one of them is
        if length == length:
            return known
        return {name: value for name, value in known.items() if value == value}

    def _score(self, due: Due) -> None:
        """Let the experts forecast what waited, as seen from before, and move the shares.

        Errors count in units of what was expected of them at the origin.
        """
        model, features, targets, origin = due
        sparse = self._behind.origins.are_sparse(origin.at)
        if model._twin is not None and model._twin.score(
            features, targets, self.season or 0, self._known, origin.sizes, sparse
        ):
            return
        scale = model._target.scale
        if scale == 0.0:
            return
        past, truth = targets[: -self.horizon], targets[-self.horizon :]
        experts = self._experts(model, past, features)
        mixed = self._mix(model, self._known.shares, experts)
        self._known.learn(experts, mixed, truth, scale, origin.sizes, sparse)

    def _experts(
        self, model: StreamingAttentionRegressor, past: Array, xs: list[dict[Any, float]]
    ) -> Array:
        """What every expert forecasts from where ``model`` is [K, len(xs)]."""
        if model._twin is not None:
            found: Array | None = model._twin.look_ahead(xs, past, self.season or 0)
            if found is not None:
                return found
        recursive, changes = self._look_ahead(model, past, xs)
        return experts_ahead(recursive, changes if self.window else None, past, self.season)

    def _look_ahead(
        self, model: StreamingAttentionRegressor, past: Array, xs: list[dict[Any, float]]
    ) -> tuple[Array, Array]:
        """Predictions that take each other for targets, and what retrieval says of the changes."""
        rollout, (low, high) = model.rollout(), self._limits(model._target, len(xs))
        predictions, changes = np.empty(len(xs)), np.zeros(len(xs))
        for h, x in enumerate(xs):
            y = rollout.predict(x)
            if h == 0:
                # the metric that looks at the target first, the sharpest temperature: measured best
                changes = changes_ahead(rollout.attention()[0, -1], past, len(xs))
            # the range of the rollout grows with its predictions: its own guard does not bound it
            predictions[h] = min(max(y, float(low[h])), float(high[h]))
            rollout.advance(float(predictions[h]))
        return predictions, changes

    def _limits(self, target: Target, n_steps: int) -> tuple[Array, Array]:
        """The lowest and the highest forecast that is allowed, for each step ahead."""
        return target.limits(1.0 + np.arange(1, n_steps + 1) / (self.season or target.n))

    def _mix(self, model: StreamingAttentionRegressor, weights: Array, experts: Array) -> Array:
        """The forecast for each step ahead: weights [H, K], experts [K, H]."""
        low, high = self._limits(model._target, experts.shape[1])
        return np.clip(np.einsum("hk,kh->h", weights, experts), low, high)

    def _widened(self, n_steps: int) -> list[tuple[ErrorQuantiles, float]]:
        """The errors of each step ahead, and how much wider those of the step are.

        They grow as those of a random walk where none were seen, and beyond the horizon.
        """
        first = self.horizon if self.n_scored_ else 1
        return [
            (self._known.quantiles_of(min(h, self.horizon) - 1), math.sqrt(max(1.0, h / first)))
            for h in range(1, n_steps + 1)
        ]

    def _variances(self, n_steps: int) -> list[float]:
        """Variance of the forecast for each step ahead."""
        target = self.regressor_._target
        if target.scale == 0.0:
            return [target.ignorance] * n_steps
        # by way of the deviation, whose square still fits a float
        return [
            min(target.scale * (errors.deviation * widening), 1e150) ** 2
            for errors, widening in self._widened(n_steps)
        ]
