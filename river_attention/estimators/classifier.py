"""A classifier with temporal memory."""

from __future__ import annotations

import math
import numbers
from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
from river import base
from river.utils import pretty

from .._validation import check_choice, check_int, check_number, check_weight
from ..encoding import Encoded
from ..modes import Mode
from ..readout import ClassMixture, Target
from . import _frames
from ._base import LabelledMixin, resolve_seed
from ._features import MemoryFeatures, Step
from ._pending import PendingSteps

LEAK = 8
N_SLOTS = 16
"""Number of classes whose past labels are features."""

_SHOWN = 10


class _LabelLag:
    """First part of the names of label lags: equal to nothing that a user may name a feature."""

    def __repr__(self) -> str:
        return "lag"

    def __reduce__(self) -> str:
        return "_LABEL_LAG"


_LABEL_LAG = _LabelLag()


def check_label(y: Any) -> Hashable:
    """Return a class label, any hashable value that is not missing.

    Raises
    ------
    ValueError
        If ``y`` is None, NaN, NaT or infinite.
    TypeError
        If ``y`` is not hashable.
    """
    remedy = "call advance_one(x) to let time pass without a label"
    missing = y is None or type(y).__name__ in ("NAType", "NaTType")
    if not missing and isinstance(y, (numbers.Number, np.generic)):
        try:
            missing = bool(y != y) or abs(y) == math.inf  # type: ignore[arg-type]
        except (TypeError, ArithmeticError):  # a string of NumPy, a signalling NaN
            missing = isinstance(y, numbers.Number)
    if missing:
        raise ValueError(f"y={y!r}: a label must not be missing or infinite; {remedy}")
    try:
        hash(y)
    except TypeError:
        raise TypeError(
            f"y={y!r} is a {type(y).__name__}: a label must be hashable, such as a string, number, "
            "bool or tuple"
        ) from None
    label: Hashable = y
    return label


class StreamingAttentionClassifier(LabelledMixin, base.MiniBatchClassifier):
    r"""Classification on a stream with a memory of its past.

    .. math::

        p_t = \sum_j s_j\, p_{tj}, \qquad
        p_{tj} = \mathrm{softmax}(\log \pi + W_j^\top \varphi_{tj})
        \ \text{ for most experts } j

    The input — features standardised online — is written into the state of linear attention heads
    and a bank of damped oscillators. Online Newton logistic regressions on the input and the last
    labels, with and without the reads of the memory, are experts of a mixture under log loss,
    beside least squares on codes ±1, the class frequencies π, and those given the last class. See
    :mod:`river_attention.readout.logistic`.

    Labels may be anything hashable, two or many classes, and appear at any time: a new one starts
    from its frequency, not from 1/K, and is soon likely only for x like that of its first label.
    Labels that are equal are one class (1, 1.0 and True; a string and its NumPy form), predicted in
    the form that was seen first. Probabilities sum to 1; once two classes are known, none of K
    classes has less than 1/(1000 K).

    The last ``n_lags`` labels enter one-hot, a column for each of the first 16 classes: the first,
    not the most frequent, because a column must keep its meaning once weights were learned for it.
    Later classes have no columns; two classes need one column per lag only. The readout sees these
    columns, the memory does not: where labels are noisy they would drown the input in it, and
    nowhere was it measured to be better.

    Nothing has to be scaled by hand: put no scaler in front. Features may appear, vanish and be
    missing; dates become calendar features. ``learn_one`` advances time by one step, predictions
    are pure.

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
    n_lags
        Number of past labels that the readout sees; 0 for none.
    forgetting_factor
        λ of the readout, in (0, 1], one or several with experts for each. The first is that of
        the least squares on codes as well.
    delta
        Prior variance of the weights of the readout; None means 0.1.
    advance_on
        "learn": time advances by one step when a label is learned, and predictions are pure.
        "predict": for labels that come late. Time advances when x is seen: every call of
        ``predict_one`` or ``predict_proba_one`` is a step, so call one of them once per x.
        ``learn_one`` trains on what was seen then: on the step with the same ``key`` where one is
        given, else on the oldest that waits with the same x. An x that nobody waits for is trained
        on as it looks now and counted in ``n_unmatched_``. ``predict_many``,
        ``predict_proba_many`` and ``debug_one`` stay pure.
    seed
        Seed of the projections; None draws a new one.

    Attributes
    ----------
    classes_
        The classes in the order in which they were first seen.
    state_
        State of the heads, one array whose shape the mode decides; None without heads.
    bank_state_
        State of the memory bank [memory], complex; None without bank.
    expert_weights_
        Share of each expert in the prediction, by name.
    expert_losses_
        Running mean of the log loss of each expert, by name.
    n_pending_, n_dropped_, n_unmatched_
        With ``advance_on="predict"``: steps that wait for their label, steps dropped because more
        than 4096 waited, labels that matched no step.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> from river_attention import StreamingAttentionClassifier
    >>> model = StreamingAttentionClassifier()
    >>> evaluate.progressive_val_score(datasets.Phishing(), model, metrics.Accuracy())
    Accuracy: 8...%

    What comes next in a sequence without features:

    >>> model = StreamingAttentionClassifier()
    >>> for label in "abcabcabcabcabcabcabcabcab":
    ...     model.learn_one({}, label)
    >>> model.predict_one({})
    'c'
    """

    def __init__(
        self,
        mode: str | Mode | None = "gated_delta_net",
        n_heads: int = 4,
        d_key: int = 4,
        d_value: int = 4,
        memory: int = 16,
        n_lags: int = 6,
        forgetting_factor: float | tuple[float, ...] = (0.998, 0.9999),
        delta: float | None = None,
        advance_on: str = "learn",
        seed: int | None = 42,
    ) -> None:
        self.mode = mode
        self.n_heads = n_heads
        self.d_key = d_key
        self.d_value = d_value
        self.memory = memory
        self.n_lags = check_int("n_lags", n_lags, 0)
        self.forgetting_factor = forgetting_factor
        self.delta = None if delta is None else check_number("delta", delta, above=0.0)
        self.advance_on = check_choice("advance_on", advance_on, ("learn", "predict"))
        self.seed = seed
        self._features = MemoryFeatures(
            mode,
            n_heads,
            d_key,
            d_value,
            memory,
            window=0,
            n_lags=0,
            n_long=0,
            experts=False,
            seed=resolve_seed(seed),
            hidden=_is_lag,
        )
        # labels are no numbers: there is nothing to scale, and lags enter as features
        self._target = Target("zero", 0, for_retrieval=False)
        self._readout = self._build_readout()
        self._pending = PendingSteps()
        self.n_unmatched_ = 0
        self.classes_: list[Any] = []
        self._index: dict[Hashable, int] = {}
        self._past: deque[int] = deque(maxlen=max(n_lags, 1))
        self._lags: dict[Any, float] = {}
        self._memo: Step | None = None

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"mode": "gla_vector", "memory": 0, "forgetting_factor": 0.99}
        yield {"mode": None, "memory": 2, "n_lags": 1}
        yield {
            "mode": None,
            "memory": 0,
            "n_lags": 0,
            "forgetting_factor": 1.0,
            "delta": 0.5,
        }

    @property
    def _multiclass(self) -> bool:
        return True

    def _build_readout(self) -> ClassMixture:
        factors = self.forgetting_factor
        factors = factors if isinstance(factors, tuple) else (factors,)
        for factor in factors:
            check_number("forgetting_factor", factor, above=0.0, at_most=1.0)
        if len(set(factors)) != len(factors) or not factors:
            raise ValueError(
                f"forgetting_factor={self.forgetting_factor!r}: must be different numbers"
            )
        return ClassMixture(self._features.n_reads, factors, self.delta, LEAK)

    @property
    def _last(self) -> int:
        """Index of the last class, -1 if there is none."""
        return self._past[0] if self._past else -1

    def _step(self, x: Mapping[Any, Any]) -> Step:
        if type(x) is not dict and not isinstance(x, Mapping):
            self._features.encoder.clean(x)  # says what is wrong
        inputs = {**x, **self._lags}
        self._memo = step = self._features.compute(inputs, self._target, self._memo)
        if step.prediction is None:
            step.prediction = step.anchor = float(self._last)
            step.experts = self._readout.predict(step.inputs, self._last)
        return step

    def _probabilities(self, step: Step) -> dict[Any, float]:
        if len(self.classes_) < 2:
            return dict.fromkeys(self.classes_, 1.0)
        mixed = self._readout.mixed(step.experts)
        return dict(zip(self.classes_, mixed.tolist(), strict=True))

    @staticmethod
    def _most_probable(probabilities: dict[Any, float]) -> Any:
        return max(probabilities, key=probabilities.__getitem__, default=None)

    def predict_proba_one(  # type: ignore[override]  # swallows no misspelt keywords
        self, x: dict[Any, Any], key: Hashable | None = None
    ) -> dict[Any, float]:
        """The probability of every known class if x came next; {} before any label.

        Parameters
        ----------
        x
            Features.
        key
            What ``learn_one`` will find the step by; with ``advance_on="predict"`` only, where
            every call is a step.
        """
        step = self._step(x)
        answer = self._probabilities(step)
        if self.advance_on == "predict":
            waits_under = self._key(step, key)
            self._commit(step)
            step.lighten()
            self._pending.add(waits_under, step)
        return answer

    def predict_one(  # type: ignore[override]
        self, x: dict[Any, Any], key: Hashable | None = None
    ) -> Any:
        """The most probable class if x came next; None before any label.

        Parameters
        ----------
        x
            Features.
        key
            What ``learn_one`` will find the step by; with ``advance_on="predict"`` only, where
            every call is a step.
        """
        return self._most_probable(self.predict_proba_one(x, key))

    def _key(self, step: Step, key: Hashable | None) -> Hashable:
        if key is not None:
            hash(key)
            return ("key", key)
        # the labels known when x was seen are not those known when its own label comes
        encoded, names = step.encoded, self._features.encoder.names
        own = [i for i, name in enumerate(names) if not _is_lag(name)]
        new = {name: value for name, value in encoded.new.items() if not _is_lag(name)}
        return ("x", self._features.signature(Encoded(encoded.values[own], False, new)))

    def learn_one(
        self, x: dict[Any, Any], y: Any, w: float = 1.0, key: Hashable | None = None
    ) -> None:
        """Learn one sample; time advances by one step, unless it did when x was seen.

        Parameters
        ----------
        x
            Features.
        y
            Class label, hashable, not None or NaN. When a label is missing, call
            ``advance_one(x)``.
        w
            Sample weight. With 0 time advances and the past fades, the label joins classes and
            lags, but it trains nothing.
        key
            What ``predict_one`` was given; with ``advance_on="predict"`` only.
        """
        self._learn(x, check_label(y), check_weight(w), key)

    def _learn(
        self, x: Mapping[Any, Any], y: Hashable, w: float, key: Hashable | None = None
    ) -> None:
        step = self._step(x)
        if self.advance_on == "predict":
            waiting: Step | None = self._pending.pop(self._key(step, key))
            if waiting is None:
                self.n_unmatched_ += 1
            else:
                step = waiting
        label = self._enter(y)
        self._readout.update(step.inputs, step.experts, int(step.anchor), label, w)
        if self.advance_on == "learn":
            self._commit(step)
        self._memo = None
        self._remember(label)

    def _enter(self, y: Hashable) -> int:
        """The index of a class, which becomes known."""
        index = self._index.get(y)
        if index is None:
            index = self._index[y] = len(self.classes_)
            self.classes_.append(y)
            if index >= self._readout.n_classes:
                self._readout.add_class()
        return index

    def _remember(self, label: int) -> None:
        """A label joins the past; before the first one there was no other, as far as is known."""
        if self._past:
            self._past.appendleft(label)
        else:
            self._past.extend([label] * (self.n_lags or 1))
        n = min(len(self.classes_), N_SLOTS)
        if self.n_lags and n > 1:
            slots = (1,) if len(self.classes_) == 2 else range(n)
            self._lags = {
                (_LABEL_LAG, lag, slot): float(past == slot)
                for lag, past in enumerate(self._past, start=1)
                for slot in slots
            }

    def _commit(self, step: Step) -> None:
        _, n_inputs = self._features.commit(step)
        if n_inputs:
            self._readout.extend(
                [_is_lag(name) for name in self._features.encoder.names[-n_inputs:]]
            )
        self._memo = None

    def advance_one(self, x: dict[Any, Any]) -> None:
        """Time passes without a label: the memory takes x in, nothing is trained, lags stay."""
        self._commit(self._step(x))

    def reset_state(self) -> None:
        """Forget the stream (memory, lags), keep what was learned (classes, scales, weights)."""
        self._features.reset()
        self._past.clear()
        self._lags = {}
        self._pending.clear()
        self._memo = None

    def _checked(self, X: Any, y: Any, w: Any) -> list[tuple[dict[Any, float], Hashable, float]]:
        """The rows of a block, all of them checked before the first is learned."""
        batch = [self._features.encoder.clean(row) for row in _frames.rows(X)]
        labels = [check_label(value) for value in _frames.labels(y, len(batch))]
        return list(zip(batch, labels, _frames.weights(w, len(batch)), strict=False))

    def learn_many(self, X: Any, y: Any, w: Any = 1.0) -> None:
        """Learn the rows of a data frame one after the other, after all have been checked.

        Parameters
        ----------
        X
            A data frame of features, in the order of time.
        y
            A series of class labels.
        w
            One sample weight for all rows, or one for each.
        """
        for x, label, weight in self._checked(X, y, w):
            self._learn(x, label, weight)

    def _predict_rows(self, X: Any) -> list[dict[Any, float]]:
        return [self._probabilities(self._step(row)) for row in _frames.rows(X)]

    def predict_proba_many(self, X: Any) -> Any:
        """Probabilities for every row of a data frame, each as if that row came next.

        Returns
        -------
        A data frame with a column for every class; frames that know names only that are strings
        get those.
        """
        return _frames.to_probabilities(self._predict_rows(X), self.classes_, X)

    def predict_many(self, X: Any) -> Any:
        """The most probable class for every row of a data frame, each as if that row came next."""
        rows = self._predict_rows(X)
        return _frames.to_labels([self._most_probable(row) for row in rows], X)

    def predict_learn_many(self, X: Any, y: Any, w: Any = 1.0) -> Any:
        """Test, then train: every row is predicted, then learned. Returns the predictions."""
        predictions = []
        for x, label, weight in self._checked(X, y, w):
            predictions.append(self.predict_one(x))
            self._learn(x, label, weight)
        return _frames.to_labels(predictions, X)

    def debug_one(self, x: dict[Any, Any]) -> str:
        """How the prediction for x comes about, as text.

        The most probable classes, and the experts with their shares and what they say of the most
        probable one.
        """
        step = self._step(x)
        probabilities = self._probabilities(step)
        best = sorted(probabilities, key=probabilities.__getitem__, reverse=True)[:_SHOWN]
        lines = [
            f"Prediction: {best[0] if best else None!r}",
            f"Classes: {len(self.classes_)}, the last one: "
            f"{self.classes_[self._last] if self._past else None!r}",
            *(
                f"Norm of the state ({name}): {np.linalg.norm(state):,.5f}"
                for name, state in self._features.states.items()
            ),
        ]
        if len(best) > 1:
            said = step.experts[:, self._index[best[0]]]
            shares = self.expert_weights_
            order = sorted(range(len(said)), key=lambda i: -list(shares.values())[i])
            lines += [
                "",
                pretty.print_table(
                    headers=["Class", "Probability"],
                    columns=[
                        [repr(label) for label in best],
                        [f"{probabilities[label]:.5f}" for label in best],
                    ],
                ),
                "",
                pretty.print_table(
                    headers=["Expert", "Share", f"Probability of {best[0]!r}"],
                    columns=[
                        list(shares),
                        [f"{share:.5f}" for share in shares.values()],
                        [f"{value:.5f}" for value in said.tolist()],
                    ],
                    order=order,
                ),
            ]
        return "\n".join(lines)


def _is_lag(name: Any) -> bool:
    return isinstance(name, tuple) and len(name) > 0 and name[0] is _LABEL_LAG
