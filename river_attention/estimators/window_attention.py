"""Estimators with softmax attention as their memory: over a window, latent, behind an LSTM.

Encoder, moments, target, readouts and walk are those of the other estimators; here is only which
memory they hold.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base, optim

from .._validation import check_bool, check_choice, check_int, check_number
from ..core import Classification, MemoryFeatures, Regression, Target
from ..core.classification import CONTEXT as CLASS_CONTEXT
from ..core.classification import N_SLOTS, is_lag
from ..core.drift import Detector
from ..core.regression import CONTEXT, EXPERTS_CONTEXT
from ..core.trained import TrainedReadout, TrainedRegression, check_optimizer
from ..encoding import check_categorical
from ..layers import Memory, Retrieval
from ..layers.sequence import SequenceMemory, build_core, last_attention
from ..readout import ClassMixture, check_factors
from ..readout.classes import class_experts
from ._stream import build_detector, resolve_seed
from .classifier import StreamingAttentionClassifier
from .regressor import StreamingAttentionRegressor
from .transformer import AttentionTransformer

Array = NDArray[np.float64]

_SHOWN = 5


class _Attending:
    """Part of estimators whose memory is of the softmax family."""

    _kind: str
    _core_options: tuple[str, ...]
    features_: MemoryFeatures

    def _attention(self, seed: int) -> SequenceMemory:
        options = {name: getattr(self, name) for name in self._core_options}
        return SequenceMemory(self._kind, seed, **options)

    @property
    def attention_weights_(self) -> Array | None:
        """What the last step looked at [H, n], by age, the step itself first; None before any."""
        if "attention" not in self.features_.memories:
            trained: Array | None = self.task_.readout.looked  # type: ignore[attr-defined]
            return trained
        memory: Any = self.features_.memories["attention"]
        _, last = last_attention(memory.core)
        looked = self.features_.states["attention"][last].looked
        return None if looked is None else looked[:, ::-1].copy()

    def look_one(self, x: dict[Any, Any]) -> Array:
        """What x would look at if it came next: weights [H, n] by age, x itself first."""
        step = self._step(x)  # type: ignore[attr-defined]
        features = self.features_
        if "attention" not in features.memories:
            trained: Array = self.task_.readout.look(step.evidence["token"])  # type: ignore[attr-defined]
            return trained
        memory: Any = features.memories["attention"]
        token = step.evidence["token"]
        if features._visible is not None:
            token = token[features._visible]
        weights: Array = memory.attention_weights(token, features.states["attention"])
        return weights

    def _looked(self, x: dict[Any, Any]) -> str:
        """What a step would look at, as text."""
        lines = ["", "Attention (steps ago, share):"]
        for head, weights in enumerate(self.look_one(x)):
            best = np.argsort(-weights, kind="stable")[:_SHOWN]
            shown = ", ".join(f"{age} ({weights[age]:.0%})" for age in best.tolist())
            lines.append(f"head {head + 1}: {shown}")
        return "\n".join(lines)


class _Regressor(_Attending, StreamingAttentionRegressor):
    """Part of regressors: the state before the first step."""

    window_size: int
    optimizer: Any
    bptt: int | None
    clip_gradient: float
    l2: float

    def _start(self) -> None:
        n_lags, n_long = (
            check_int("n_lags", self.n_lags, 0),
            check_int("long_lags", self.long_lags, 0),
        )
        check_choice("readout", self.readout, ("mixture", "rls", "sgd"))
        check_choice("advance_on", self.advance_on, ("learn", "predict"))
        bptt = self.bptt
        bptt = self.window_size if bptt is None else check_int("bptt", bptt, 1)
        check_number("clip_gradient", self.clip_gradient, above=0.0)
        check_number("l2", self.l2, at_least=0.0)
        optimizer = check_optimizer(self.optimizer)
        if self.readout == "sgd" and self.advance_on == "predict":
            raise ValueError("advance_on='predict': readout='sgd' trains on the step just seen")
        check_bool("huber", self.huber)
        if self.delta is not None:
            check_number("delta", self.delta, above=0.0)
        self.categorical = check_categorical(self.categorical)
        # no retrieval
        self.window = 0
        has_experts = self.readout == "mixture"
        n_long = n_long if has_experts else 0
        seed, is_trained = resolve_seed(self.seed), self.readout == "sgd"
        attention = self._attention(seed)
        features = MemoryFeatures(
            {} if is_trained else {"attention": attention},
            n_lags,
            n_long,
            CONTEXT + (EXPERTS_CONTEXT if has_experts else ()),
            max_features=self.max_features,
            categorical=self.categorical,
        )
        sizes = {
            name: getattr(self, name) for name in ("n_heads", "head_dim", "n_lags", "long_lags")
        }
        features.check_size(max(n_lags, n_long), sizes)
        target = Target(self.prior, max(n_lags, n_long), for_retrieval=False)
        detector = build_detector(self.drift_detector)
        if is_trained:
            options = attention.options | {"locked": False}
            core = build_core(self._kind, seed, **options)
            trained: Any = TrainedReadout(core, bptt, optimizer, self.clip_gradient, self.l2, seed)
            self._begin(TrainedRegression(features, target, trained, detector))
        else:
            readout = self._build_readout(features.n_reads)
            self._begin(Regression(features, target, readout, detector))

    def debug_one(self, x: dict[Any, Any]) -> str:
        """How the prediction for x comes about, and what the heads look at, as text."""
        return super().debug_one(x) + "\n" + self._looked(x)


class _Classifier(_Attending, StreamingAttentionClassifier):
    """Part of classifiers: the state before the first step."""

    def _start(self) -> None:
        n_lags, n_long = (
            check_int("n_lags", self.n_lags, 0),
            check_int("long_lags", self.long_lags, 0),
        )
        check_choice("advance_on", self.advance_on, ("learn", "predict"))
        if self.delta is not None:
            check_number("delta", self.delta, above=0.0)
        self.categorical = check_categorical(self.categorical)
        self.window = 0
        factors = check_factors(self.forgetting_factor)
        features = MemoryFeatures(
            {"attention": self._attention(resolve_seed(self.seed))},
            n_long=n_long,
            context=CLASS_CONTEXT,
            hidden=is_lag,
            moves=n_long > 0,
            max_features=self.max_features,
            categorical=self.categorical,
        )
        sizes = {
            name: getattr(self, name) for name in ("n_heads", "head_dim", "n_lags", "long_lags")
        }
        features.check_size(max(N_SLOTS * n_lags, n_long), sizes)
        rows = class_experts(features.n_reads, factors, self.delta, n_long)
        readout = ClassMixture(rows, 0, factors[0], self.delta)
        detector = build_detector(self.drift_detector, binary=True)
        self._begin(Classification(features, readout, n_lags, n_long, detector))

    def debug_one(self, x: dict[Any, Any]) -> str:
        """How the prediction for x comes about, and what the heads look at, as text."""
        return super().debug_one(x) + "\n" + self._looked(x)


class _Transformer(_Attending, AttentionTransformer):
    """Part of transformers: the memory is drawn in place of heads, bank and retrieval."""

    def _start(self) -> None:
        check_int("n_lags", self.n_lags, 0)
        check_bool("with_forecast", self.with_forecast)
        check_bool("keep_inputs", self.keep_inputs)
        check_choice("target", self.target, ("auto", "number", "class"))
        self.categorical = check_categorical(self.categorical)
        if not isinstance(self.prefix, str):
            raise ValueError(f"prefix={self.prefix!r}: must be a string")
        self.window = 0
        # for the names in errors of size
        self.d_value, self.memory = self.head_dim, 0
        self._seed = resolve_seed(self.seed)
        self._begin(of_classes=self.target == "class")

    head_dim: int

    def _memories(self, seed: int, retrieval: type[Retrieval]) -> dict[str, Memory]:
        return {"attention": self._attention(seed)}


class SlidingWindowAttentionRegressor(_Regressor):
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
    _core_options = (
        "window_size",
        "n_heads",
        "head_dim",
        "n_layers",
        "n_kv_heads",
        "ffn_dim",
        "position",
        "qk_norm",
    )

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
        seed: int | None = 42,
    ) -> None:
        self.window_size = window_size
        self.n_heads = n_heads
        self.head_dim = head_dim
        self.n_layers = n_layers
        self.n_kv_heads = n_kv_heads
        self.ffn_dim = ffn_dim
        self.position = position
        self.qk_norm = qk_norm
        self.n_lags = n_lags
        self.long_lags = long_lags
        self.readout = readout
        self.forgetting_factor = forgetting_factor
        self.delta = delta
        self.huber = huber
        self.prior = prior
        self.optimizer = optimizer
        self.bptt = bptt
        self.clip_gradient = clip_gradient
        self.l2 = l2
        self.advance_on = advance_on
        self.drift_detector = drift_detector
        self.max_features = max_features
        self.categorical = categorical
        self.seed = seed
        self._start()

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"window_size": 4, "n_heads": 2, "head_dim": 4}
        yield {
            "window_size": 4,
            "n_heads": 2,
            "head_dim": 4,
            "readout": "rls",
            "n_lags": 0,
            "n_kv_heads": 1,
            "position": "rope",
        }
        yield {
            "window_size": 4,
            "n_heads": 2,
            "head_dim": 4,
            "n_layers": 2,
            "ffn_dim": 8,
            "prior": "mean",
            "position": "alibi",
        }


class SlidingWindowAttentionClassifier(_Classifier):
    """Classification with softmax attention over the last steps as memory.

    The weights of attention are drawn, not learned: readouts that learn from every label see what
    the heads read, and are those of the other estimators. See ``docs/window.md``.

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
    _core_options = (
        "window_size",
        "n_heads",
        "head_dim",
        "n_layers",
        "n_kv_heads",
        "ffn_dim",
        "position",
        "qk_norm",
    )

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
        forgetting_factor: float | tuple[float, ...] = (0.998, 0.9999),
        delta: float | None = None,
        advance_on: str = "learn",
        drift_detector: Detector | None = None,
        max_features: int | None = 256,
        categorical: tuple[Hashable, ...] | None = None,
        seed: int | None = 42,
    ) -> None:
        self.window_size = window_size
        self.n_heads = n_heads
        self.head_dim = head_dim
        self.n_layers = n_layers
        self.n_kv_heads = n_kv_heads
        self.ffn_dim = ffn_dim
        self.position = position
        self.qk_norm = qk_norm
        self.n_lags = n_lags
        self.long_lags = long_lags
        self.forgetting_factor = forgetting_factor
        self.delta = delta
        self.advance_on = advance_on
        self.drift_detector = drift_detector
        self.max_features = max_features
        self.categorical = categorical
        self.seed = seed
        self._start()

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"window_size": 4, "n_heads": 2, "head_dim": 4}
        yield {
            "window_size": 4,
            "n_heads": 2,
            "head_dim": 4,
            "n_lags": 0,
            "n_kv_heads": 1,
            "position": "rope",
        }
        yield {
            "window_size": 4,
            "n_heads": 2,
            "head_dim": 4,
            "n_layers": 2,
            "ffn_dim": 8,
            "position": "alibi",
        }


class SlidingWindowAttention(_Transformer):
    """Softmax attention over the last steps as features for any river model.

    The weights of attention are drawn, not learned: readouts that learn from every label see what
    the heads read, and are those of the other estimators. See ``docs/window.md``.

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
    _core_options = (
        "window_size",
        "n_heads",
        "head_dim",
        "n_layers",
        "n_kv_heads",
        "ffn_dim",
        "position",
        "qk_norm",
    )

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
        seed: int | None = 42,
    ) -> None:
        self.window_size = window_size
        self.n_heads = n_heads
        self.head_dim = head_dim
        self.n_layers = n_layers
        self.n_kv_heads = n_kv_heads
        self.ffn_dim = ffn_dim
        self.position = position
        self.qk_norm = qk_norm
        self.n_lags = n_lags
        self.with_forecast = with_forecast
        self.keep_inputs = keep_inputs
        self.target = target
        self.prefix = prefix
        self.max_features = max_features
        self.categorical = categorical
        self.seed = seed
        self._start()

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"window_size": 4, "n_heads": 2, "head_dim": 4}
        yield {
            "window_size": 4,
            "n_heads": 2,
            "head_dim": 4,
            "n_lags": 0,
            "n_kv_heads": 1,
            "position": "rope",
        }
        yield {
            "window_size": 4,
            "n_heads": 2,
            "head_dim": 4,
            "n_layers": 2,
            "ffn_dim": 8,
            "position": "alibi",
        }


class LSTMAttentionRegressor(_Regressor):
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
    _core_options = (
        "window_size",
        "n_heads",
        "head_dim",
        "n_layers",
        "lstm_hidden",
        "mlp_sizes",
        "position",
    )

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
        seed: int | None = 42,
    ) -> None:
        self.window_size = window_size
        self.n_heads = n_heads
        self.head_dim = head_dim
        self.n_layers = n_layers
        self.lstm_hidden = lstm_hidden
        self.mlp_sizes = mlp_sizes
        self.position = position
        self.n_lags = n_lags
        self.long_lags = long_lags
        self.readout = readout
        self.forgetting_factor = forgetting_factor
        self.delta = delta
        self.huber = huber
        self.prior = prior
        self.optimizer = optimizer
        self.bptt = bptt
        self.clip_gradient = clip_gradient
        self.l2 = l2
        self.advance_on = advance_on
        self.drift_detector = drift_detector
        self.max_features = max_features
        self.categorical = categorical
        self.seed = seed
        self._start()

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"window_size": 4, "n_heads": 2, "head_dim": 4, "lstm_hidden": 4}
        yield {
            "window_size": 4,
            "n_heads": 2,
            "head_dim": 4,
            "readout": "rls",
            "mlp_sizes": (5, 3),
            "lstm_hidden": 8,
        }
        yield {
            "window_size": 4,
            "n_heads": 2,
            "head_dim": 4,
            "lstm_hidden": 4,
            "position": None,
            "n_lags": 0,
        }


class LSTMAttention(_Transformer):
    """An LSTM and softmax attention behind it as features for any river model.

    The weights of attention are drawn, not learned: readouts that learn from every label see what
    the heads read, and are those of the other estimators. See ``docs/window.md``.

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
    _core_options = (
        "window_size",
        "n_heads",
        "head_dim",
        "n_layers",
        "lstm_hidden",
        "mlp_sizes",
        "position",
    )

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
        seed: int | None = 42,
    ) -> None:
        self.window_size = window_size
        self.n_heads = n_heads
        self.head_dim = head_dim
        self.n_layers = n_layers
        self.lstm_hidden = lstm_hidden
        self.mlp_sizes = mlp_sizes
        self.position = position
        self.n_lags = n_lags
        self.with_forecast = with_forecast
        self.keep_inputs = keep_inputs
        self.target = target
        self.prefix = prefix
        self.max_features = max_features
        self.categorical = categorical
        self.seed = seed
        self._start()

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"window_size": 4, "n_heads": 2, "head_dim": 4, "lstm_hidden": 4}
        yield {"window_size": 4, "n_heads": 2, "head_dim": 4, "mlp_sizes": (5, 3), "lstm_hidden": 8}
        yield {
            "window_size": 4,
            "n_heads": 2,
            "head_dim": 4,
            "lstm_hidden": 4,
            "position": None,
            "n_lags": 0,
        }


class LatentAttentionRegressor(_Regressor):
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
    _core_options = ("window_size", "n_heads", "head_dim", "n_layers", "kv_lora_dim", "rope_pairs")

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
        seed: int | None = 42,
    ) -> None:
        self.window_size = window_size
        self.n_heads = n_heads
        self.head_dim = head_dim
        self.n_layers = n_layers
        self.kv_lora_dim = kv_lora_dim
        self.rope_pairs = rope_pairs
        self.n_lags = n_lags
        self.long_lags = long_lags
        self.readout = readout
        self.forgetting_factor = forgetting_factor
        self.delta = delta
        self.huber = huber
        self.prior = prior
        self.optimizer = optimizer
        self.bptt = bptt
        self.clip_gradient = clip_gradient
        self.l2 = l2
        self.advance_on = advance_on
        self.drift_detector = drift_detector
        self.max_features = max_features
        self.categorical = categorical
        self.seed = seed
        self._start()

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"window_size": 4, "n_heads": 2, "head_dim": 4}
        yield {
            "window_size": 4,
            "n_heads": 2,
            "head_dim": 4,
            "readout": "rls",
            "kv_lora_dim": 2,
            "rope_pairs": 0,
        }
        yield {"window_size": 4, "n_heads": 2, "head_dim": 4, "n_layers": 2, "prior": "zero"}


class LatentAttention(_Transformer):
    """Attention over cached latents as features for any river model.

    The weights of attention are drawn, not learned: readouts that learn from every label see what
    the heads read, and are those of the other estimators. See ``docs/window.md``.

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
    _core_options = ("window_size", "n_heads", "head_dim", "n_layers", "kv_lora_dim", "rope_pairs")

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
        seed: int | None = 42,
    ) -> None:
        self.window_size = window_size
        self.n_heads = n_heads
        self.head_dim = head_dim
        self.n_layers = n_layers
        self.kv_lora_dim = kv_lora_dim
        self.rope_pairs = rope_pairs
        self.n_lags = n_lags
        self.with_forecast = with_forecast
        self.keep_inputs = keep_inputs
        self.target = target
        self.prefix = prefix
        self.max_features = max_features
        self.categorical = categorical
        self.seed = seed
        self._start()

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"window_size": 4, "n_heads": 2, "head_dim": 4}
        yield {"window_size": 4, "n_heads": 2, "head_dim": 4, "kv_lora_dim": 2, "rope_pairs": 0}
        yield {"window_size": 4, "n_heads": 2, "head_dim": 4, "n_layers": 2}
