"""Estimators with an LSTM, and softmax attention behind it, as their memory."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from river import base, optim

from ._attending import SMALL, Regressor, Transformer

_OPTIONS = (
    "window_size",
    "n_heads",
    "head_dim",
    "n_layers",
    "lstm_hidden",
    "mlp_sizes",
    "position",
    "dtype",
)


class LSTMAttentionRegressor(Regressor):
    """Regression with an LSTM and softmax attention behind it as memory.

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
    lstm_hidden
        Units of the LSTM in front.
    mlp_sizes
        Widths of layers with ReLU behind the attention; None for none.
    position
        "relative", "rope", "alibi" or None.
    readout, optimizer, bptt, clip_gradient, l2
        Those of :class:`SlidingWindowAttentionRegressor`.
    n_lags, long_lags, forgetting_factor, delta, huber, prior, advance_on, drift_detector
        Those of ``StreamingAttentionRegressor``.
    dtype
        That of :class:`SlidingWindowAttentionRegressor`.
    max_features, categorical, seed
        Those of ``StreamingAttentionRegressor``.

    Attributes
    ----------
    attention_weights_
        What the last step looked at [H, n], by age, the step itself first.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> from river_attention import LSTMAttentionRegressor
    >>> model = LSTMAttentionRegressor(window_size=8)
    >>> for x, y in datasets.TrumpApproval().take(30):
    ...     model.learn_one(x, y)
    >>> model.attention_weights_.shape, 35 < model.predict_one(x) < 50
    ((4, 8), True)
    """

    _kind = "lstm"
    _core_options = _OPTIONS

    def __init__(
        self,
        window_size: int = 32,
        n_heads: int = 4,
        head_dim: int = 8,
        n_layers: int = 1,
        lstm_hidden: int = 32,
        mlp_sizes: tuple[int, ...] | None = None,
        position: str | None = "relative",
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
        self.lstm_hidden = lstm_hidden
        self.mlp_sizes = mlp_sizes
        self.position = position
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
        yield SMALL | {"lstm_hidden": 4}
        yield SMALL | {"readout": "rls", "mlp_sizes": (5, 3), "lstm_hidden": 8}
        yield SMALL | {"lstm_hidden": 4, "position": None, "n_lags": 0}


class LSTMAttention(Transformer):
    """An LSTM and softmax attention behind it as features for any river model.

    The weights of attention are drawn, not learned: readouts that learn from every label see what
    the heads read, and are those of the other estimators. See ``docs/window.md``.

    Parameters
    ----------
    window_size, n_heads, head_dim, n_layers, lstm_hidden, mlp_sizes, position, dtype
        Those of :class:`LSTMAttentionRegressor`.
    n_lags, with_forecast, keep_inputs, target, prefix, max_features, categorical, seed
        Those of ``AttentionTransformer``.

    Attributes
    ----------
    attention_weights_
        What the last step looked at [H, n], by age, the step itself first.

    Examples
    --------
    >>> from river import linear_model
    >>> from river_attention import LSTMAttention
    >>> memory = LSTMAttention(window_size=4, n_heads=1, head_dim=2, n_lags=1)
    >>> for t in range(20):
    ...     memory.learn_one({"x": t % 3}, t % 5)
    >>> list(memory.transform_one({"x": 1}))
    ['x', 'attn_next', 'attn_lag_1', 'attn_attention_1', 'attn_attention_2']
    """

    _kind = "lstm"
    _core_options = _OPTIONS

    def __init__(
        self,
        window_size: int = 32,
        n_heads: int = 4,
        head_dim: int = 8,
        n_layers: int = 1,
        lstm_hidden: int = 32,
        mlp_sizes: tuple[int, ...] | None = None,
        position: str | None = "relative",
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
        self.lstm_hidden = lstm_hidden
        self.mlp_sizes = mlp_sizes
        self.position = position
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
        yield SMALL | {"lstm_hidden": 4}
        yield SMALL | {"mlp_sizes": (5, 3), "lstm_hidden": 8}
        yield SMALL | {"lstm_hidden": 4, "position": None, "n_lags": 0}
