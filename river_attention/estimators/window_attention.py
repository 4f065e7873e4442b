"""Estimators with softmax attention over a window of the stream as their memory."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from river import base, optim

from ..core.drift import Detector
from ._attending import SMALL, Classifier, Regressor, Transformer

_OPTIONS = (
    "window_size",
    "n_heads",
    "head_dim",
    "n_layers",
    "n_kv_heads",
    "ffn_dim",
    "position",
    "qk_norm",
    "dtype",
)


class SlidingWindowAttentionRegressor(Regressor):
    """Regression with softmax attention over the last steps as memory.

    The weights of attention are drawn, and readouts that learn from every label see what the heads
    read; or they are learned, with ``readout="sgd"``. See ``docs/window.md``.

    Parameters
    ----------
    window_size
        Steps that attention looks back on, the present one counted.
    n_heads, head_dim
        Heads, and numbers of each: n_heads · head_dim reads.
    n_layers
        Layers of attention, all but the last in blocks with residuals.
    n_kv_heads
        Heads of keys and values, a divisor of ``n_heads``; None for as many, 1 for one.
    ffn_dim
        Width of the net in a block; None for none.
    position
        "relative": each head looks at one age, 0, 1, 2 and so on, or spread over the window where
        there are fewer heads than steps; "rope", "alibi" or None.
    qk_norm
        "rms", "layer" or None.
    readout
        "mixture" or "rls": weights of attention stay as drawn, and the readout is that of
        ``StreamingAttentionRegressor``. "sgd": they are learned by truncated back-propagation.
    optimizer
        For "sgd": an optimizer of ``river.optim`` that trains arrays; None for Adam(0.003).
    bptt
        For "sgd": steps that a gradient goes through; None for ``window_size``. From n_layers ·
        (window_size - 1) + 1 on it is exact, with 1 keys of old weights are looked at.
    clip_gradient, l2
        For "sgd": the largest norm of a gradient, and the weight of the squared norm.
    n_lags, long_lags, forgetting_factor, delta, huber, prior, advance_on, drift_detector
        Those of ``StreamingAttentionRegressor``.
    dtype
        "float64", or "float32": weights of attention, caches and what heads compute take half the
        memory, and differ at 1e-6; inputs, moments, readouts and optimizers stay float64.
    max_features, categorical, seed
        Those of ``StreamingAttentionRegressor``.

    Attributes
    ----------
    attention_weights_
        What the last step looked at [H, n], by age, the step itself first.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> from river_attention import SlidingWindowAttentionRegressor
    >>> model = SlidingWindowAttentionRegressor(window_size=8)
    >>> for x, y in datasets.TrumpApproval().take(30):
    ...     model.learn_one(x, y)
    >>> model.attention_weights_.shape, 35 < model.predict_one(x) < 50
    ((4, 8), True)
    """

    _kind = "window"
    _core_options = _OPTIONS

    def __init__(
        self,
        window_size: int = 32,
        n_heads: int = 4,
        head_dim: int = 8,
        n_layers: int = 1,
        n_kv_heads: int | None = None,
        ffn_dim: int | None = None,
        position: str | None = "relative",
        qk_norm: str | None = None,
        n_lags: int = 6,
        long_lags: int = 50,
        readout: str = "mixture",
        forgetting_factor: float | tuple[float, ...] = 0.998,
        delta: float | None = None,
        huber: bool = True,
        prior: str = "persistence",
        optimizer: optim.base.Optimizer | None = None,
        bptt: int | None = None,
        clip_gradient: float = 1.0,
        l2: float = 0.0,
        advance_on: str = "learn",
        drift_detector: base.DriftDetector | None = None,
        max_features: int | None = 256,
        categorical: tuple[Hashable, ...] | None = None,
        dtype: str = "float64",
        seed: int | None = 42,
    ) -> None:
        self.window_size = window_size
        self.head_dim = head_dim
        self.n_layers = n_layers
        self.n_kv_heads = n_kv_heads
        self.ffn_dim = ffn_dim
        self.position = position
        self.qk_norm = qk_norm
        self.dtype = dtype
        super().__init__(
            n_heads=n_heads,
            n_lags=n_lags,
            long_lags=long_lags,
            readout=readout,
            forgetting_factor=forgetting_factor,
            delta=delta,
            huber=huber,
            prior=prior,
            optimizer=optimizer,
            bptt=bptt,
            clip_gradient=clip_gradient,
            l2=l2,
            advance_on=advance_on,
            drift_detector=drift_detector,
            max_features=max_features,
            categorical=categorical,
            seed=seed,
        )

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield SMALL
        small = SMALL | {"n_kv_heads": 1, "position": "rope", "dtype": "float32"}
        yield small | {"readout": "rls", "n_lags": 0}
        yield SMALL | {"n_layers": 2, "ffn_dim": 8, "prior": "mean", "position": "alibi"}


class SlidingWindowAttentionClassifier(Classifier):
    """Classification with softmax attention over the last steps as memory.

    The weights of attention are drawn, and readouts that learn from every label see what the heads
    read; or they are learned, with ``readout="sgd"``. See ``docs/window.md``.

    Parameters
    ----------
    window_size, n_heads, head_dim, n_layers, n_kv_heads, ffn_dim, position, qk_norm, dtype
        Those of :class:`SlidingWindowAttentionRegressor`.
    readout
        "mixture": weights of attention stay as drawn, and the readout is that of
        ``StreamingAttentionClassifier``. "sgd": they are learned by truncated back-propagation of
        log loss, with a row of the last layer for every class.
    optimizer, bptt, clip_gradient, l2
        For "sgd": those of :class:`SlidingWindowAttentionRegressor`.
    n_lags, long_lags, forgetting_factor, delta, advance_on, drift_detector
        Those of ``StreamingAttentionClassifier``.
    max_features, categorical, seed
        Those of ``StreamingAttentionClassifier``.

    Attributes
    ----------
    attention_weights_
        What the last step looked at [H, n], by age, the step itself first.

    Examples
    --------
    >>> from river_attention import SlidingWindowAttentionClassifier
    >>> model = SlidingWindowAttentionClassifier(window_size=4)
    >>> for t in range(200):
    ...     model.learn_one({"x": t % 3}, "abcabd"[t % 6])
    >>> model.predict_one({"x": 2})
    'c'
    """

    _kind = "window"
    _core_options = _OPTIONS

    def __init__(
        self,
        window_size: int = 32,
        n_heads: int = 4,
        head_dim: int = 8,
        n_layers: int = 1,
        n_kv_heads: int | None = None,
        ffn_dim: int | None = None,
        position: str | None = "relative",
        qk_norm: str | None = None,
        n_lags: int = 6,
        long_lags: int = 50,
        readout: str = "mixture",
        forgetting_factor: float | tuple[float, ...] = (0.998, 0.9999),
        delta: float | None = None,
        optimizer: optim.base.Optimizer | None = None,
        bptt: int | None = None,
        clip_gradient: float = 1.0,
        l2: float = 0.0,
        advance_on: str = "learn",
        drift_detector: Detector | None = None,
        max_features: int | None = 256,
        categorical: tuple[Hashable, ...] | None = None,
        dtype: str = "float64",
        seed: int | None = 42,
    ) -> None:
        self.window_size = window_size
        self.head_dim = head_dim
        self.n_layers = n_layers
        self.n_kv_heads = n_kv_heads
        self.ffn_dim = ffn_dim
        self.position = position
        self.qk_norm = qk_norm
        self.dtype = dtype
        super().__init__(
            n_heads=n_heads,
            n_lags=n_lags,
            long_lags=long_lags,
            readout=readout,
            forgetting_factor=forgetting_factor,
            delta=delta,
            optimizer=optimizer,
            bptt=bptt,
            clip_gradient=clip_gradient,
            l2=l2,
            advance_on=advance_on,
            drift_detector=drift_detector,
            max_features=max_features,
            categorical=categorical,
            seed=seed,
        )

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield SMALL
        yield SMALL | {"n_lags": 0, "n_kv_heads": 1, "position": "rope"}
        yield SMALL | {"n_layers": 2, "ffn_dim": 8, "position": "alibi"}


class SlidingWindowAttention(Transformer):
    """Softmax attention over the last steps as features for any river model.

    The weights of attention are drawn, not learned: readouts that learn from every label see what
    the heads read, and are those of the other estimators. See ``docs/window.md``.

    Parameters
    ----------
    window_size, n_heads, head_dim, n_layers, n_kv_heads, ffn_dim, position, qk_norm, dtype
        Those of :class:`SlidingWindowAttentionRegressor`.
    n_lags, with_forecast, keep_inputs, target, prefix, max_features, categorical, seed
        Those of ``AttentionTransformer``.

    Attributes
    ----------
    attention_weights_
        What the last step looked at [H, n], by age, the step itself first.

    Examples
    --------
    >>> from river import linear_model
    >>> from river_attention import SlidingWindowAttention
    >>> memory = SlidingWindowAttention(window_size=4, n_heads=1, head_dim=2, n_lags=1)
    >>> for t in range(20):
    ...     memory.learn_one({"x": t % 3}, t % 5)
    >>> list(memory.transform_one({"x": 1}))
    ['x', 'attn_next', 'attn_lag_1', 'attn_attention_1', 'attn_attention_2']
    """

    _kind = "window"
    _core_options = _OPTIONS

    def __init__(
        self,
        window_size: int = 32,
        n_heads: int = 4,
        head_dim: int = 8,
        n_layers: int = 1,
        n_kv_heads: int | None = None,
        ffn_dim: int | None = None,
        position: str | None = "relative",
        qk_norm: str | None = None,
        n_lags: int = 6,
        with_forecast: bool = True,
        keep_inputs: bool = True,
        target: str = "auto",
        prefix: str = "attn_",
        max_features: int | None = 256,
        categorical: tuple[Hashable, ...] | None = None,
        dtype: str = "float64",
        seed: int | None = 42,
    ) -> None:
        self.window_size = window_size
        self.head_dim = head_dim
        self.n_layers = n_layers
        self.n_kv_heads = n_kv_heads
        self.ffn_dim = ffn_dim
        self.position = position
        self.qk_norm = qk_norm
        self.dtype = dtype
        super().__init__(
            n_heads=n_heads,
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
        yield SMALL
        yield SMALL | {"n_lags": 0, "n_kv_heads": 1, "position": "rope"}
        yield SMALL | {"n_layers": 2, "ffn_dim": 8, "position": "alibi"}
