"""A regressor with temporal memory for several targets."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from .._validation import check_bool, check_choice, check_int, check_number
from ..core import MultiRegression, SharedFeatures, build_memories
from ..encoding import Encoded
from ..layers.retrieval import READS
from ..layers.retrieval_of_several import RetrievalOfSeveral
from ..modes import Mode
from ..readout import check_factors
from ..readout.regression import ETA, ETA_LATE
from ..readout.several import MixtureOfSeveral, experts_of_several, single_of_several
from ..values import check_categorical
from . import _frames
from ._stream import LabelledStream, resolve_seed


class StreamingAttentionMultiRegressor(  # type: ignore[misc]  # learn_one takes no kwargs
    LabelledStream, base.MultiTargetRegressor
):
    r"""Regression of several targets on one stream, with one memory of their past.

    .. math::

        \hat y_{tj} = y_{t-1,j} + s_j \sum_k p_{jk}\, \hat r_{tjk}, \qquad
        \hat r_{tjk} = w_{jk}^\top \varphi_{tk},\ w_{jk}^\top \varphi_{tjk}
        \ \text{ or } \ \rho_{tjk}

    :class:`StreamingAttentionRegressor` for a dict of targets. The input and the last values of
    all targets are written into one memory, and the linear experts that read it have one
    covariance P for all targets. Of its own a target has its scale, an expert on its long past,
    where in the shared past it looks back to, and its shares of the mixture. Ten targets cost half
    of what ten regressors do, and targets that move together help each other.

    A target may be missing in a row (absent, None or NaN): it is not trained then, and its past
    stays as it is. A target may come at any time. Predictions are a dict of the targets seen so
    far.

    Parameters
    ----------
    mode
        Name of an attention mode (see :data:`river_attention.modes.NAMED`), a mode object, or None
        for no heads.
    n_heads
        Number of heads; their time constants are spread from 1 to 64 steps.
    d_key
        Key dimension per head.
    d_value
        Value dimension per head.
    memory
        Number of complex units of the memory bank; 0 for none.
    window
        Number of labelled steps that retrieval looks back on; 0 for none.
    n_lags
        Number of past values of every target in the input that all of them share; 0 for none.
    long_lags
        Number of its past values that an expert of every target sees; 0 for none. Only with the
        mixture.
    readout
        "mixture", or "rls": one recursive least squares on the shared features, several times
        cheaper.
    forgetting_factor
        λ of the readout, in (0, 1]; 0.998 remembers about the last 500 samples. The mixture takes
        several as well, with experts for each.
    delta
        Prior variance of the weights of the readout; None means 0.1 in the mixture, and in a single
        RLS 0.03 for bias and input and 0.01 for the reads.
    huber
        Whether samples with large errors get less weight, for every target by its own errors.
    prior
        What the readout corrects: "persistence" (the last value of a target), "mean" (its running
        mean) or "zero".
    advance_on
        "learn": time advances by one step when labels are learned, and predictions are pure.
        "predict": for labels that come late, see :class:`StreamingAttentionRegressor`.
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
    targets_
        The targets in the order in which they were first seen.
    state_
        State of the heads, one array whose shape the mode decides; None without heads.
    bank_state_
        State of the memory bank [memory], complex; None without bank.
    expert_weights_
        Share of each expert in the prediction of each target, by the names of both.
    expert_losses_
        Running mean of the loss of each expert for each target.
    n_evicted_
        How often the column of a feature was given to another one.
    n_pending_, n_dropped_, n_unmatched_
        With ``advance_on="predict"``: steps that wait for their labels, steps dropped because more
        than 4096 waited, labels that matched no step.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> from river_attention import StreamingAttentionMultiRegressor
    >>> model = StreamingAttentionMultiRegressor(window=0)
    >>> rows = [({}, {"a": t % 4, "b": (t % 6) / 10}) for t in range(300)]
    >>> metric = metrics.multioutput.MacroAverage(metrics.MAE())
    >>> evaluate.progressive_val_score(rows, model, metric)
    MacroAverage(MAE): 0.0...

    Missing targets are not trained:

    >>> model.learn_one({}, {"a": 0, "b": None})
    >>> {name: round(y, 1) for name, y in model.predict_one({}).items()}
    {'a': 1.0, 'b': 0.0}
    """

    task_: MultiRegression

    def __init__(
        self,
        mode: str | Mode | None = "gated_delta_net",
        n_heads: int = 4,
        d_key: int = 4,
        d_value: int = 4,
        memory: int = 16,
        window: int = 1000,
        n_lags: int = 1,
        long_lags: int = 50,
        readout: str = "mixture",
        forgetting_factor: float | tuple[float, ...] = 0.998,
        delta: float | None = None,
        huber: bool = True,
        prior: str = "persistence",
        advance_on: str = "learn",
        max_features: int | None = 256,
        categorical: tuple[Hashable, ...] | None = None,
        seed: int | None = 42,
    ) -> None:
        self.mode = mode
        self.n_heads = n_heads
        self.d_key = d_key
        self.d_value = d_value
        self.memory = memory
        self.window = check_int("window", window, 0)
        self.n_lags = check_int("n_lags", n_lags, 0)
        self.long_lags = check_int("long_lags", long_lags, 0)
        self.readout = check_choice("readout", readout, ("mixture", "rls"))
        self.forgetting_factor = forgetting_factor
        self.delta = None if delta is None else check_number("delta", delta, above=0.0)
        self.huber = check_bool("huber", huber)
        self.prior = prior
        self.advance_on = check_choice("advance_on", advance_on, ("learn", "predict"))
        self.max_features = max_features
        self.categorical = check_categorical(categorical)
        self.seed = seed
        memories = build_memories(mode, n_heads, d_key, d_value, memory, resolve_seed(seed))
        has_experts = readout == "mixture"
        n_long, window = (long_lags, window) if has_experts else (0, 0)
        mixture = self._build_readout(sum(one.n_outputs for one in memories.values()))
        n_retrieved = len(READS) if window else 0
        features = SharedFeatures(
            memories, n_long, n_retrieved, len(mixture.experts), max_features, categorical
        )
        self._check_size(features, max(n_lags, n_long))
        retrieval = RetrievalOfSeveral(window) if window else None
        self._begin(MultiRegression(features, mixture, retrieval, prior, n_lags, n_long))

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"window": 20, "long_lags": 5}
        yield {"mode": None, "memory": 2, "forgetting_factor": (0.99, 1.0), "long_lags": 3}
        yield {"mode": "gla_vector", "memory": 0, "window": 0, "n_lags": 2, "prior": "mean"}
        yield {"n_heads": 1, "n_lags": 0, "readout": "rls", "huber": False, "prior": "zero"}

    def _build_readout(self, n_reads: int) -> MixtureOfSeveral:
        factors = check_factors(self.forgetting_factor)
        if self.readout == "mixture":
            names = READS if self.window else ()
            n_own = self.long_lags + len(names) if self.long_lags else 0
            rows = experts_of_several(n_reads, n_own, names, factors, self.delta, self.huber)
        elif len(factors) > 1:
            raise ValueError(
                f"forgetting_factor={self.forgetting_factor!r}: one number for readout='rls'; "
                "several take readout='mixture'"
            )
        else:
            rows = single_of_several(n_reads, factors[0], self.delta, self.huber)
        return MixtureOfSeveral(rows, ETA if self.advance_on == "learn" else ETA_LATE)

    @property
    def targets_(self) -> list[Any]:
        """The targets in the order in which they were first seen."""
        return self._task.names

    def _by_target(self, table: Any) -> dict[Any, dict[str, float]]:
        experts = self.task_.readout.names
        return {
            name: dict(zip(experts, row, strict=True))
            for name, row in zip(self.targets_, table.tolist(), strict=True)
        }

    @property
    def expert_weights_(self) -> dict[Any, dict[str, float]]:  # type: ignore[override]
        """Share of each expert in the prediction of each target."""
        return self._by_target(self.task_.readout.shares)

    @property
    def expert_losses_(self) -> dict[Any, dict[str, float]]:  # type: ignore[override]
        """Running mean of the loss of each expert for each target."""
        return self._by_target(self.task_.readout.mean_losses)

    def _encode(self, x: Mapping[Any, Any]) -> Encoded:
        if type(x) is not dict and not isinstance(x, Mapping):
            self._clean(x)  # says what is wrong
        return self._names().encoder.encode({**x, **self.task_.lags})

    def predict_one(self, x: dict[Any, Any], key: Hashable | None = None) -> dict[Any, float]:
        """The prediction of every target seen so far if x came next; {} before any.

        Parameters
        ----------
        x
            Features.
        key
            What ``learn_one`` will find the step by; with ``advance_on="predict"`` only.
        """
        if self._twin is not None:
            said: dict[Any, float] | None = self._twin.predict(x)
            if said is not None and (self.advance_on == "learn" or not self._twin.new):
                if self.advance_on == "predict":
                    self._see_compiled(key)
                return said
        predictions: dict[Any, float] = self._see(x, key, self.task_.value)
        return predictions

    def _labels(self, y: Any, n_rows: int) -> list[Any]:
        """The labels of a block, checked; those of an array [n, m] are named 0 to m - 1."""
        return [self._check(value) for value in _frames.label_rows(y, n_rows)]

    def _compact(self, labels: Any) -> tuple[list[Any], NDArray[np.float64]]:
        """The targets of a block, and their values [n, m], NaN where they are missing."""
        names = list(dict.fromkeys(name for row in labels for name in row))
        values = [[row.get(name, math.nan) for name in names] for row in labels]
        return names, np.array(values, np.float64).reshape(len(labels), len(names))

    def _room(self, n_rows: int) -> list[Any]:
        return [None] * n_rows

    def _answered(self, answers: Any, table: _frames.Table) -> Any:
        """A column for every target known by the last row; NaN where one was not known yet."""
        return table.frame_of(answers, list(dict.fromkeys(name for row in answers for name in row)))
