"""The walk of a stream, the same for everything that has labels.

A step is found or made, answered, trained, made the past; with late labels it waits in between.
What a label is, how an answer is read and how one is trained is the task's (``core``).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from river import base, proba

from .._validation import check_seed, check_weight
from ..config import ConfigMixin
from ..core import (
    Classification,
    Evidence,
    MemoryFeatures,
    MultiRegression,
    Regression,
    Step,
    build_memories,
)
from ..core.drift import Detector
from ..core.pending import PendingSteps
from ..encoding import Encoded
from ..files import Saved
from ..layers import Memory, Retrieval
from ..modes import Mode
from ..state import Stateful, Writer
from ._blocks import Blocks
from ._twin import Twinned


def resolve_seed(seed: Any) -> int:
    """A checked seed; a fresh one for None."""
    checked = check_seed(seed)
    return secrets.randbits(63) if checked is None else checked


def build_detector(detector: Any, binary: bool = False) -> Detector | None:
    """An untrained copy of a drift detector of river; None for None.

    ``binary`` tells whether those of right and wrong are taken, beside those of real numbers.
    """
    kinds = (base.DriftDetector, base.BinaryDriftDetector) if binary else base.DriftDetector
    if detector is None:
        return None
    if not isinstance(detector, kinds):
        kind = "" if binary else " for real numbers"
        raise ValueError(
            f"drift_detector={detector!r}: must be a river drift detector{kind}, "
            "such as river.drift.ADWIN() or river.drift.PageHinkley()"
        )
    copy: Detector = detector.clone()
    return copy


def normal(mean: float, variance: float) -> proba.Gaussian:
    """A normal distribution, which river makes from data only."""
    return proba.Gaussian._from_state(1, mean, variance, 0)


class Stream(Twinned, Stateful, Saved, ConfigMixin):
    """An estimator around ``MemoryFeatures``: shows their states, keeps a memo of the last step.

    The memo is the work shared by a prediction and the update that follows. A prediction must not
    change a model, so it is no part of what is saved, copied or compared.

    Attributes
    ----------
    features_
        Encoder, memories and running moments, for a look inside.
    """

    _unsaved = ("_twin", "_memo", "_changes")
    _sizes: ClassVar[tuple[str, ...]] = ("n_heads", "d_value", "memory", "n_lags", "long_lags")
    """Parameters that make features, for the error that says there are too many."""

    mode: str | Mode | None
    n_heads: int
    d_key: int
    d_value: int
    memory: int
    window: int

    _memo: Step | None = None
    # what the twin had done when the memo was made
    _changes = 0

    def _memories(self, seed: int, retrieval: type[Retrieval]) -> dict[str, Memory]:
        """What remembers the stream, by name; other estimators have others."""
        return build_memories(
            self.mode,
            self.n_heads,
            self.d_key,
            self.d_value,
            self.memory,
            seed,
            self.window,
            retrieval,
        )

    def _check_size(self, features: MemoryFeatures, n_lags: int) -> None:
        """Raise if there are more features than a readout can take."""
        features.check_size(n_lags, {name: getattr(self, name) for name in self._sizes})

    def _keep(self, task: Any) -> None:
        super()._keep(task)
        self._memo = None
        self._changes = 0

    @property
    def features_(self) -> MemoryFeatures:
        """Encoder, memories and running moments; ask again after the next sample."""
        features: MemoryFeatures = self._whole()
        return features

    @property
    def state_(self) -> NDArray[Any] | None:
        """State of the heads; None without heads."""
        return self.features_.states.get("head")

    @property
    def bank_state_(self) -> NDArray[Any] | None:
        """State of the memory bank; None without bank."""
        return self.features_.states.get("bank")

    @property
    def n_evicted_(self) -> int:
        """How often the column of a feature was given to another one."""
        return self._names().encoder.n_evicted

    def _clean(self, x: Any) -> dict[Any, float]:
        return self._names().encoder.clean(x)

    def _names(self) -> MemoryFeatures:
        """The features for what no sample changes but one with new names: the columns."""
        features: MemoryFeatures = self._task
        return features

    def _given(self, x: Mapping[Any, Any]) -> Mapping[Any, Any]:
        """What of x are features: all of it; others know better."""
        return x

    def _encode(self, x: Mapping[Any, Any]) -> Encoded:
        return self._names().encoder.encode(x)

    def _propose(self, encoded: Encoded) -> Step:
        """The step that an encoded x would make; changes nothing."""
        raise NotImplementedError

    def _step(self, x: Mapping[Any, Any]) -> Step:
        """The step that x would make: that of the memo if it was made of the same values."""
        encoded = self._encode(x)
        memo = self._memo
        if self._twin is not None and self._changes != self._twin.changes:
            memo, self._changes = None, self._twin.changes
        if memo is not None and memo.key == encoded.values.tobytes():
            # new features have no column yet: the same step, but they enter with this commit
            memo.transition.encoded = encoded
            return memo
        self._memo = step = self._propose(encoded)
        return step

    def transfer(self, io: Writer, *_: Any) -> None:
        features = io.child("features", self.features_)
        if io.reading:
            self._keep(features)


def _waits_under(key: Hashable | None, signature: bytes | None) -> Hashable:
    """What a step waits under: the key that was given, else what x means."""
    return ("x", signature) if key is None else ("key", key)


class OneLabel:
    """Part of streams with one label: where they look back to, and when it drifted."""

    task_: Any

    @property
    def retrieved_(self) -> list[tuple[int, float]]:
        """The past steps that looked most like the last labelled one."""
        features = self.task_.features
        retrieval = features.memories.get("retrieved")
        if not isinstance(retrieval, Retrieval):
            return []
        return retrieval.strongest_of_last(features.states["retrieved"])

    @property
    def n_drifts_(self) -> int:
        """How often the drift detector fired."""
        n_drifts: int = self.task_.n_drifts
        return n_drifts


class LabelledStream(Stream, Blocks):
    """A stream with labels, which may come late; see the module.

    Attributes
    ----------
    task_
        Features, target and readout, for a look inside.
    """

    advance_on: str

    def _begin(self, task: Regression | Classification | MultiRegression) -> None:
        """The state before the first step."""
        self._keep(task)
        self._pending = PendingSteps()
        self.n_unmatched_ = 0

    @property
    def task_(self) -> Any:
        """Features, target and readout; ask again after the next sample."""
        return self._whole()

    def transfer(self, io: Writer, *_: Any) -> None:
        task = io.child("", self.task_)
        if io.reading:
            self._keep(task)
        readout = task.readout
        self._pending = io.child(
            "pending", self._pending, task.features, readout.n_rows, readout.n_answers
        )
        self.n_unmatched_ = io.integer("n_unmatched", self.n_unmatched_)

    @property
    def features_(self) -> MemoryFeatures:
        """Encoder, memories and running moments, for a look inside."""
        return self.task_.features

    @property
    def _target(self) -> Any:
        """The target of a regression, for a look that changes nothing."""
        return self._task.target if self._twin is None else self._twin.target()

    @property
    def expert_weights_(self) -> dict[str, float]:
        """Share of each expert in the prediction."""
        return self.task_.readout.weights()

    @property
    def expert_losses_(self) -> dict[str, float]:
        """Running mean of the loss of each expert."""
        return self.task_.readout.losses()

    @property
    def n_pending_(self) -> int:
        """Steps that were seen and wait for their label."""
        return len(self._pending)

    def waits_for(self, key: Hashable) -> bool:
        """Whether a step that was seen with this ``key`` waits for its label."""
        return ("key", key) in self._pending

    @property
    def n_dropped_(self) -> int:
        """Steps that were dropped because too many waited."""
        return self._pending.n_dropped

    def _names(self) -> MemoryFeatures:
        features: MemoryFeatures = self._task.features
        return features

    def _propose(self, encoded: Encoded) -> Step:
        return self.task_.propose(encoded)

    def _check(self, y: Any) -> Any:
        return self._task.check(y)

    def _foresee(self, x: Mapping[Any, Any]) -> Any:
        if self._twin is not None:
            prediction = self._twin.predict(x)
            if prediction is not None:
                return prediction
        return self.task_.value(self._step(x).evidence)

    def _see(
        self, x: Mapping[Any, Any], key: Hashable | None, read: Callable[[Evidence], Any]
    ) -> Any:
        """Answer for x; where labels come late time advances, and the evidence waits."""
        step = self._step(x)
        answer = read(step.evidence)
        if self.advance_on == "predict":
            signature = self._sign(step.transition.encoded) if key is None else None
            waits_under = _waits_under(key, signature)
            self._pending.first(waits_under)  # raises where a key cannot be compared
            self._commit(step)
            self._pending.add(waits_under, step.evidence)
        return answer

    def _sign(self, encoded: Encoded) -> bytes:
        # columns and names are those of the task, whoever holds its state
        return self._names().encoder.signature(encoded)

    def _see_compiled(self, key: Hashable | None) -> None:
        """Let time advance by the step that the twin has just answered for; its evidence waits."""
        if key is not None:
            self._pending.first(("key", key))  # raises where it is no key, or cannot be compared
        signature, buffer = self._twin.see(key is None)
        self._pending.add(_waits_under(key, signature), self._evidence(buffer))

    def _learn(self, x: Mapping[Any, Any], y: Any, w: float, key: Hashable | None = None) -> None:
        if self.advance_on == "learn":
            if self._twin is not None and self._twin.learn(x, y, w):
                return
            step = self._step(x)
            self.task_.train(step.evidence, y, w)
            self._commit(step)
        else:
            evidence, waited_under = self._find(x, key)
            trained = self._twin is not None and self._twin.train(evidence.buffer, y, w)
            if not trained:
                self.task_.train(evidence, y, w)
            # a detector of the user may have failed: only now it waits no longer
            if waited_under is None:
                self.n_unmatched_ += 1
            else:
                self._pending.pop(waited_under)
            if trained:
                return
            self._memo = None
        self.task_.join(y)

    def _find(self, x: Mapping[Any, Any], key: Hashable | None) -> tuple[Evidence, Hashable | None]:
        """What waits for the label of x, and under what; if nothing does, what x would be now."""
        # what a task adds to x is no part of what x means
        given = self._given(x)
        signature = None if self._twin is None else self._twin.signature(given)
        if signature is None:
            signature = self._sign(self._names().encoder.encode(given))
        waits_under = _waits_under(key, signature)
        evidence: Evidence | None = self._pending.first(waits_under)
        if evidence is not None:
            self._names().refresh(evidence)
            return evidence, waits_under
        seen = None if self._twin is None else self._twin.look(x)
        evidence = self._step(x).evidence if seen is None else self._evidence(seen)
        return evidence, None

    def _evidence(self, buffer: NDArray[np.float64]) -> Evidence:
        """What the twin saw, as an evidence of now."""
        features = self._names()
        layout = features.layout(self._task.readout.n_answers)
        return Evidence(buffer, layout, features.encoder.n_evicted)

    def _commit(self, step: Step) -> None:
        self.task_.commit(step)
        self._memo = None

    def learn_one(
        self, x: dict[Any, Any], y: Any, w: float = 1.0, key: Hashable | None = None
    ) -> None:
        """Learn one sample; time advances by one step, unless it did when x was seen.

        Parameters
        ----------
        x
            Features.
        y
            Label: a finite number for a regressor, a dict of them for one of several targets; for a
            classifier anything hashable but None and NaN. When a label is missing, call
            ``advance_one(x)``.
        w
            Sample weight. With 0 time advances and the past fades, the label joins what is known
            of the past, but it trains nothing.
        key
            What ``predict_one`` was given; with ``advance_on="predict"`` only.
        """
        # the twin at once, without a frame more in between
        twin = self._twin
        if twin is not None and self.advance_on == "learn" and twin.learn(x, y, w):
            return
        self._learn(x, self._check(y), check_weight(w), key)

    def advance_one(self, x: dict[Any, Any]) -> None:
        """Time passes without a label: the memory takes x in, nothing is trained, lags stay."""
        if self._twin is not None and self._twin.advance(x):
            return
        self._commit(self._step(x))

    def reset_state(self) -> None:
        """Forget the stream (memory, lags), keep what was learned (scales, weights)."""
        self.task_.forget_stream()
        self._pending.clear()
        self._memo = None
