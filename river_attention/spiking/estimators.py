"""river estimators whose memory is a population of spiking neurons.

Encoder, moments, target, retrieval, readouts, late labels and intervals are those of the estimators
on linear attention; only what is remembered of the input is different.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, ClassVar

from river import base

from ..core.drift import Detector
from ..estimators import (
    AttentionTransformer,
    StreamingAttentionClassifier,
    StreamingAttentionRegressor,
)
from ._stream import OnPopulation


class SpikingAttentionRegressor(OnPopulation, StreamingAttentionRegressor):
    """Regression on a stream, remembered by spiking neurons.

    :class:`StreamingAttentionRegressor` with a population of spiking neurons
    (:mod:`river_attention.spiking.population`) in the place of heads and memory bank: the readout
    sees their potentials, spikes and exponential spike traces, standardised like all reads. What
    else it is made of, and every method, is explained there.

    Parameters
    ----------
    n_neurons
        Number of neurons; the readout gets three features of each.
    dim
        Number of slots of the state of a neuron, into which keys are hashed.
    window_size
        Number of steps of the local mean of a neuron.
    lambda_decay
        What is left of the state of a neuron after one step, in [0, 1]; None spreads the decays
        over time constants from 1 to 64 steps.
    threshold
        A neuron fires when its potential is above it.
    global_weight
        Share of the state in the potential, in [0, 1]; the rest is that of the window.
    trace_steps
        How many steps a spike is remembered in its trace.
    target_rate
        Spikes per step, in (0, 1), that thresholds see to; None leaves them alone.
    threshold_rate
        How fast thresholds move.
    time
        Name of the feature that says when a row is, a number or a date; None for a step per row.
        The population is stepped by the difference to the last row, as if it had gone through the
        silence in between. Where it is missing, one step has passed, where it is not later than
        before, none. A number is taken out of the input, a date stays for its calendar features.
        With a time only the population runs in the compiled core, the walk of a row on NumPy.
    time_step
        How long a step is, in units of the time; seconds for dates.
    window, n_lags, long_lags, readout, forgetting_factor, delta, huber, prior, advance_on, \
drift_detector, max_features, categorical, seed
        Those of :class:`StreamingAttentionRegressor`; ``window`` is that of retrieval.

    Attributes
    ----------
    firing_
        State of the population: ``firing_.spikes``, ``.potentials``, ``.traces``, ``.thresholds``.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> from river_attention import SpikingAttentionRegressor
    >>> model = SpikingAttentionRegressor(n_neurons=8)
    >>> evaluate.progressive_val_score(datasets.TrumpApproval(), model, metrics.MAE())
    MAE: 0.1...
    >>> model.firing_.spikes.shape
    (8,)
    """

    def __init__(
        self,
        n_neurons: int = 16,
        dim: int = 16,
        window_size: int = 16,
        lambda_decay: float | None = None,
        threshold: float = 1.0,
        global_weight: float = 0.5,
        trace_steps: float = 10.0,
        target_rate: float | None = None,
        threshold_rate: float = 0.01,
        time: Hashable | None = None,
        time_step: float = 1.0,
        window: int = 1000,
        n_lags: int = 6,
        long_lags: int = 50,
        readout: str = "mixture",
        forgetting_factor: float | tuple[float, ...] = 0.998,
        delta: float | None = None,
        huber: bool = True,
        prior: str = "persistence",
        advance_on: str = "learn",
        drift_detector: base.DriftDetector | None = None,
        max_features: int | None = 256,
        categorical: tuple[Hashable, ...] | None = None,
        seed: int | None = 42,
    ) -> None:
        self.n_neurons = n_neurons
        self.dim = dim
        self.window_size = window_size
        self.lambda_decay = lambda_decay
        self.threshold = threshold
        self.global_weight = global_weight
        self.trace_steps = trace_steps
        self.target_rate = target_rate
        self.threshold_rate = threshold_rate
        self.time = time
        self.time_step = time_step
        super().__init__(
            mode=None,
            memory=0,
            window=window,
            n_lags=n_lags,
            long_lags=long_lags,
            readout=readout,
            forgetting_factor=forgetting_factor,
            delta=delta,
            huber=huber,
            prior=prior,
            advance_on=advance_on,
            drift_detector=drift_detector,
            max_features=max_features,
            categorical=categorical,
            seed=seed,
        )

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"n_neurons": 8}
        yield {"n_neurons": 3, "dim": 4, "window_size": 1, "readout": "rls", "target_rate": 0.2}
        yield {"n_neurons": 4, "lambda_decay": 0.9, "window": 20, "long_lags": 0, "prior": "mean"}
        yield {"n_neurons": 2, "dim": 4, "window": 10, "long_lags": 3, "time": "time"}


class SpikingAttentionClassifier(OnPopulation, StreamingAttentionClassifier):
    """Classification on a stream, remembered by spiking neurons.

    :class:`StreamingAttentionClassifier` with a population of spiking neurons
    (:mod:`river_attention.spiking.population`) in the place of heads and memory bank: the readout
    sees their potentials, spikes and exponential spike traces. What else it is made of, and every
    method, is explained there.

    Parameters
    ----------
    n_neurons, dim, window_size, lambda_decay, threshold, global_weight, trace_steps, target_rate, \
threshold_rate, time, time_step
        Those of :class:`SpikingAttentionRegressor`.
    window, n_lags, long_lags, forgetting_factor, delta, advance_on, drift_detector, max_features, \
categorical, seed
        Those of :class:`StreamingAttentionClassifier`; ``window`` is that of retrieval.

    Attributes
    ----------
    firing_
        State of the population: ``firing_.spikes``, ``.potentials``, ``.traces``, ``.thresholds``.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> from river_attention import SpikingAttentionClassifier
    >>> model = SpikingAttentionClassifier(n_neurons=8)
    >>> evaluate.progressive_val_score(datasets.Phishing(), model, metrics.Accuracy())
    Accuracy: 8...%
    """

    def __init__(
        self,
        n_neurons: int = 16,
        dim: int = 16,
        window_size: int = 16,
        lambda_decay: float | None = None,
        threshold: float = 1.0,
        global_weight: float = 0.5,
        trace_steps: float = 10.0,
        target_rate: float | None = None,
        threshold_rate: float = 0.01,
        time: Hashable | None = None,
        time_step: float = 1.0,
        window: int = 1000,
        n_lags: int = 6,
        long_lags: int = 50,
        forgetting_factor: float | tuple[float, ...] = (0.998, 0.9999),
        delta: float | None = None,
        advance_on: str = "learn",
        drift_detector: Detector | None = None,
        max_features: int | None = 256,
        categorical: tuple[Hashable, ...] | None = None,
        seed: int | None = 42,
    ) -> None:
        self.n_neurons = n_neurons
        self.dim = dim
        self.window_size = window_size
        self.lambda_decay = lambda_decay
        self.threshold = threshold
        self.global_weight = global_weight
        self.trace_steps = trace_steps
        self.target_rate = target_rate
        self.threshold_rate = threshold_rate
        self.time = time
        self.time_step = time_step
        super().__init__(
            mode=None,
            memory=0,
            window=window,
            n_lags=n_lags,
            long_lags=long_lags,
            forgetting_factor=forgetting_factor,
            delta=delta,
            advance_on=advance_on,
            drift_detector=drift_detector,
            max_features=max_features,
            categorical=categorical,
            seed=seed,
        )

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"n_neurons": 8}
        yield {"n_neurons": 3, "dim": 4, "window_size": 1, "window": 0, "target_rate": 0.2}
        yield {"n_neurons": 4, "lambda_decay": 0.9, "window": 20, "n_lags": 1, "long_lags": 0}
        yield {"n_neurons": 2, "dim": 4, "window": 10, "long_lags": 3, "time": "age_of_domain"}


class SpikingAttentionTransformer(OnPopulation, AttentionTransformer):
    """What spiking neurons know of the stream, as features for any river model.

    :class:`AttentionTransformer` with a population of spiking neurons
    (:mod:`river_attention.spiking.population`) in the place of heads and memory bank. Features are
    the potentials of the neurons, their spikes and exponential spike traces, ``spike_potential_1``,
    ..., ``spike_spike_1``, ..., ``spike_trace_1``, ..., each of the three a group of squared norm
    ¼, beside those that are explained there: forecast, past targets, retrieval, input. It may stand
    beside an ``AttentionTransformer`` in a union; the input is passed on once.

    Parameters
    ----------
    n_neurons, dim, window_size, lambda_decay, threshold, global_weight, trace_steps, target_rate, \
threshold_rate, time, time_step
        Those of :class:`SpikingAttentionRegressor`.
    window, n_lags, with_forecast, keep_inputs, target, prefix, max_features, categorical, seed
        Those of :class:`AttentionTransformer`; ``window`` is that of retrieval.

    Attributes
    ----------
    firing_
        State of the population: ``firing_.spikes`` (0 or 1), ``.potentials``, ``.traces`` and
        ``.thresholds`` as they are.

    Examples
    --------
    >>> from river import datasets, evaluate, linear_model, metrics
    >>> from river_attention import AttentionTransformer, SpikingAttentionTransformer
    >>> spiking = SpikingAttentionTransformer(n_neurons=2, window=0, n_lags=1)
    >>> for x, y in datasets.ChickWeights().take(50):
    ...     spiking.learn_one(x, y)
    >>> list(spiking.transform_one(x))[5:]
    ['spike_potential_1', 'spike_potential_2', 'spike_spike_1', 'spike_spike_2', 'spike_trace_1',
     'spike_trace_2']
    >>> both = AttentionTransformer() + SpikingAttentionTransformer()
    >>> model = both | linear_model.LinearRegression()
    >>> evaluate.progressive_val_score(datasets.WaterFlow(), model, metrics.MAE())
    MAE: 1.7...
    """

    _sizes: ClassVar[tuple[str, ...]] = ("n_neurons", "n_lags")

    def __init__(
        self,
        n_neurons: int = 16,
        dim: int = 16,
        window_size: int = 16,
        lambda_decay: float | None = None,
        threshold: float = 1.0,
        global_weight: float = 0.5,
        trace_steps: float = 10.0,
        target_rate: float | None = None,
        threshold_rate: float = 0.01,
        time: Hashable | None = None,
        time_step: float = 1.0,
        window: int = 1000,
        n_lags: int = 6,
        with_forecast: bool = True,
        keep_inputs: bool = True,
        target: str = "auto",
        prefix: str = "spike_",
        max_features: int | None = 256,
        categorical: tuple[Hashable, ...] | None = None,
        seed: int | None = 42,
    ) -> None:
        self.n_neurons = n_neurons
        self.dim = dim
        self.window_size = window_size
        self.lambda_decay = lambda_decay
        self.threshold = threshold
        self.global_weight = global_weight
        self.trace_steps = trace_steps
        self.target_rate = target_rate
        self.threshold_rate = threshold_rate
        self.time = time
        self.time_step = time_step
        super().__init__(
            mode=None,
            memory=0,
            window=window,
            n_lags=n_lags,
            with_forecast=with_forecast,
            keep_inputs=keep_inputs,
            target=target,
            prefix=prefix,
            max_features=max_features,
            categorical=categorical,
            seed=seed,
        )

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"n_neurons": 4}
        yield {"n_neurons": 3, "window": 20, "keep_inputs": False, "target_rate": 0.2}
        yield {"n_neurons": 2, "dim": 1, "n_lags": 0, "window": 0, "with_forecast": False}
        yield {"n_neurons": 2, "dim": 4, "window": 10, "time": "time"}
