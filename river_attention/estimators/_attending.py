"""What estimators share whose memory is of the softmax family: over a window, latent, an LSTM.

Encoder, moments, target, readouts and walk are those of the estimators that they extend; here is
only which memory they hold.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .._validation import check_choice, check_int, check_number
from ..core import Classification, MemoryFeatures, Regression, Target
from ..core.trained import (
    TrainedClasses,
    TrainedClassification,
    TrainedReadout,
    TrainedRegression,
    check_optimizer,
)
from ..layers import Memory, PagePool, Retrieval, RingKVCache
from ..layers.sequence import SequenceMemory, build_core, last_attention, pooled
from ..state import Writer
from ._stream import LabelledStream, Stream, build_detector
from .classifier import StreamingAttentionClassifier
from .regressor import StreamingAttentionRegressor
from .transformer import AttentionTransformer

Array = NDArray[np.float64]

_SHOWN = 5

SMALL: dict[str, Any] = {"window_size": 4, "n_heads": 2, "head_dim": 4}
"""Sizes for tests."""


class _Attending(Stream):
    """Part of estimators whose memory is of the softmax family.

    A leaf class keeps the options of its layers, names them in ``_core_options``, and calls the
    constructor of what it extends with everything else.
    """

    _kind: ClassVar[str]
    _core_options: ClassVar[tuple[str, ...]]
    _sizes: ClassVar[tuple[str, ...]] = ("n_heads", "head_dim", "n_lags", "long_lags")

    def _options(self) -> dict[str, Any]:
        """The options of the layers."""
        return {name: getattr(self, name) for name in self._core_options}

    def _memories(self, seed: int, retrieval: type[Retrieval]) -> dict[str, Memory]:
        return {"attention": SequenceMemory(self._kind, seed, **self._options())}

    def _caches(self) -> list[Any]:
        """The states of the layers, wherever they are."""
        features = self.features_
        if "attention" in features.states:
            states: list[Any] = features.states["attention"]
            return states
        carry: list[Any] = self._whole().readout.carry
        return carry

    def make_pool(self, rows: int, page_size: int = 16, dtype: str | None = None) -> PagePool:
        """A pool of pages for models like this one, ``rows`` in all.

        When it is full the sequence that was used least recently loses its pages. A model with
        several layers of attention holds a sequence for each. Pages are of the model's ``dtype``,
        or "float16".
        """
        check_int("rows", rows, page_size)
        cache = next(own for own in self._caches() if isinstance(own, RingKVCache))
        kind = cache.dtype if dtype is None else dtype
        return PagePool(rows // page_size, page_size, cache.fields, "evict", kind)

    def use_pool(self, pool: PagePool) -> None:
        """Keep the context in pages of a pool from now on, together with other models."""
        states = pooled(self._caches(), pool)
        self._memo = None
        if "attention" in self.features_.states:
            self.features_.states["attention"] = states
        else:
            self._whole().readout.carry = states

    @property
    def attention_weights_(self) -> Array | None:
        """What the last step looked at [H, n], by age, the step itself first; None before any."""
        if "attention" not in self.features_.memories:
            trained: Array | None = self._whole().readout.looked
            return trained
        memory: Any = self.features_.memories["attention"]
        _, last = last_attention(memory.core)
        looked = self.features_.states["attention"][last].looked
        return None if looked is None else looked[:, ::-1].copy()

    def look_one(self, x: dict[Any, Any]) -> Array:
        """What x would look at if it came next: weights [H, n] by age, x itself first."""
        step = self._step(x)
        features = self.features_
        if "attention" not in features.memories:
            trained: Array = self._whole().readout.look(step.evidence["token"])
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


class _Trainable(_Attending, LabelledStream):
    """Part of estimators whose weights of attention may be learned, with ``readout="sgd"``.

    The arguments that this takes are those of ``TrainedReadout``; all others are passed on.
    """

    window_size: int
    readout: str
    seed: int | None

    def __init__(
        self, *, optimizer: Any, bptt: int | None, clip_gradient: float, l2: float, **options: Any
    ) -> None:
        self.optimizer = optimizer
        self.bptt = None if bptt is None else check_int("bptt", bptt, 1)
        self.clip_gradient = check_number("clip_gradient", clip_gradient, above=0.0)
        self.l2 = check_number("l2", l2, at_least=0.0)
        check_optimizer(optimizer)
        everything: dict[str, Any] = {"mode": None, "memory": 0, "window": 0} | options
        super().__init__(**everything)

    def _memories(self, seed: int, retrieval: type[Retrieval]) -> dict[str, Memory]:
        # made even if it is the readout that attends, so that its options are checked
        memories = super()._memories(seed, retrieval)
        return {} if self.readout == "sgd" else memories

    def _begin(self, task: Any) -> None:
        if self.readout == "sgd":
            task.late = self.advance_on == "predict"
        super()._begin(task)

    def transfer(self, io: Writer, *_: Any) -> None:
        super().transfer(io)
        if self.readout == "sgd":
            readout = self.task_.readout
            for i, evidence in enumerate(self._pending.waiting()):
                before = evidence.before or readout.before()
                below = io.below(f"pending.{i}")
                evidence.before = readout.transfer_before(below, before)

    def _trained(self, kind: type[TrainedReadout], seed: int) -> Any:
        """A readout that learns the layers."""
        core = build_core(self._kind, seed, **self._options(), locked=False)
        bptt = self.window_size if self.bptt is None else self.bptt
        optimizer = check_optimizer(self.optimizer)
        return kind(core, bptt, optimizer, self.clip_gradient, self.l2, seed)


class Regressor(_Trainable, StreamingAttentionRegressor):
    """Part of regressors: the weights of attention are drawn, or learned with ``readout="sgd"``."""

    _readouts = ("mixture", "rls", "sgd")

    def __init__(self, *, readout: str, **options: Any) -> None:
        self.readout = readout
        super().__init__(readout=readout, **options)

    def _build_task(self, features: MemoryFeatures, target: Target, seed: int) -> Regression:
        if self.readout != "sgd":
            return super()._build_task(features, target, seed)
        readout = self._trained(TrainedReadout, seed)
        return TrainedRegression(features, target, readout, build_detector(self.drift_detector))

    def debug_one(self, x: dict[Any, Any]) -> str:
        """How the prediction for x comes about, and what the heads look at, as text."""
        return super().debug_one(x) + "\n" + self._looked(x)


class Classifier(_Trainable, StreamingAttentionClassifier):
    """Part of classifiers: the weights of attention are drawn, or learned with "sgd"."""

    def __init__(self, *, readout: str, **options: Any) -> None:
        self.readout = check_choice("readout", readout, ("mixture", "sgd"))
        super().__init__(**options)

    def _build_task(
        self, features: MemoryFeatures, factors: tuple[float, ...], seed: int
    ) -> Classification:
        if self.readout != "sgd":
            return super()._build_task(features, factors, seed)
        readout = self._trained(TrainedClasses, seed)
        detector = build_detector(self.drift_detector, binary=True)
        return TrainedClassification(features, readout, self.n_lags, self.long_lags, detector)

    def debug_one(self, x: dict[Any, Any]) -> str:
        """How the prediction for x comes about, and what the heads look at, as text."""
        return super().debug_one(x) + "\n" + self._looked(x)


class Transformer(_Attending, AttentionTransformer):
    """Part of transformers."""

    _sizes: ClassVar[tuple[str, ...]] = ("n_heads", "head_dim", "n_lags")

    def __init__(self, **options: Any) -> None:
        super().__init__(mode=None, memory=0, window=0, **options)
