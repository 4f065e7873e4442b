"""Estimators with attention over cached latents as their memory."""

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
    "kv_lora_dim",
    "rope_pairs",
    "dtype",
)


class LatentAttentionRegressor(Regressor):
    """Regression with attention over cached latents as memory.

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
    kv_lora_dim
        Length of the latent that is cached for a step.
    rope_pairs
        Pairs of numbers of the rotated key that is cached with it; 0 for none.
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
    >>> from river_attention import LatentAttentionRegressor
    >>> model = LatentAttentionRegressor(window_size=8)
    >>> for x, y in datasets.TrumpApproval().take(30):
    ...     model.learn_one(x, y)
    >>> model.attention_weights_.shape, 35 < model.predict_one(x) < 50
    ((4, 8), True)
    """

    _kind = "latent"
    _core_options = _OPTIONS

    def __init__(
        self,
        window_size: int = 32,
        n_heads: int = 4,
        head_dim: int = 8,
        n_layers: int = 1,
        kv_lora_dim: int = 8,
        rope_pairs: int = 2,
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
        self.kv_lora_dim = kv_lora_dim
        self.rope_pairs = rope_pairs
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
        yield SMALL | {"readout": "rls", "kv_lora_dim": 2, "rope_pairs": 0}
        yield SMALL | {"n_layers": 2, "prior": "zero"}


class LatentAttention(Transformer):
    """Attention over cached latents as features for any river model.

    The weights of attention are drawn, not learned: readouts that learn from every label see what
    the heads read, and are those of the other estimators. See ``docs/window.md``.

    Parameters
    ----------
    window_size, n_heads, head_dim, n_layers, kv_lora_dim, rope_pairs, dtype
        Those of :class:`LatentAttentionRegressor`.
    n_lags, with_forecast, keep_inputs, target, prefix, max_features, categorical, seed
        Those of ``AttentionTransformer``.

    Attributes
    ----------
    attention_weights_
        What the last step looked at [H, n], by age, the step itself first.

    Examples
    --------
    >>> from river import linear_model
    >>> from river_attention import LatentAttention
    >>> memory = LatentAttention(window_size=4, n_heads=1, head_dim=2, n_lags=1)
    >>> for t in range(20):
    ...     memory.learn_one({"x": t % 3}, t % 5)
    >>> list(memory.transform_one({"x": 1}))
    ['x', 'attn_next', 'attn_lag_1', 'attn_attention_1', 'attn_attention_2']
    """

    _kind = "latent"
    _core_options = _OPTIONS

    def __init__(
        self,
        window_size: int = 32,
        n_heads: int = 4,
        head_dim: int = 8,
        n_layers: int = 1,
        kv_lora_dim: int = 8,
        rope_pairs: int = 2,
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
        self.kv_lora_dim = kv_lora_dim
        self.rope_pairs = rope_pairs
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
        yield SMALL | {"kv_lora_dim": 2, "rope_pairs": 0}
        yield SMALL | {"n_layers": 2}
