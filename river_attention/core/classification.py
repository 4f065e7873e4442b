"""The task of classification: how a label is encoded, read and trained."""

from __future__ import annotations

import math
import numbers
from collections import deque
from collections.abc import Hashable, Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import is_absent
from ..encoding import Encoded
from ..layers import ClassRetrieval
from ..naming import LABEL_LAG
from ..readout import BoostedClassMixture, ClassMixture
from ..readout.boosted_classes import N_LABELS
from ..readout.class_counts import NOBODY
from ..state import Stateful, Writer
from . import drift
from .features import MemoryFeatures, check_sizes
from .step import Evidence, Step

Array = NDArray[np.float64]

CONTEXT = ("last", "nobody")
"""Number of the last class when x was seen, -1 for none; and always -1."""

_NOTHING = np.zeros(0)

N_SLOTS = 16
"""Number of classes whose past labels are features."""


def is_lag(name: Any) -> bool:
    """Whether a feature is a past label."""
    return isinstance(name, tuple) and len(name) > 0 and name[0] is LABEL_LAG


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
    missing = is_absent(y)
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


class Classification(Stateful):
    """Features, past labels and readout of a model that predicts classes.

    Parameters
    ----------
    features
        Made with the context of this module, and ``is_lag`` for what is hidden.
    readout
        The experts.
    n_lags
        Number of past labels that the readout sees one-hot.
    n_long
        Number of past labels that the expert on the long past sees.
    detector
        A drift detector, None for none.

    Attributes
    ----------
    n_drifts
        How often the detector fired.
    classes
        The classes in the order in which they were first seen.
    past
        Numbers of the last classes, the latest first.
    lags
        The past labels as features, one-hot.
    long_lags
        The past labels for the expert on the long past [n_long], the latest first: 1 for the second
        class and -1 for all others, 0 before there was any label. For two classes that is all there
        is to know, for more it is what 50 numbers can tell.
    """

    check = staticmethod(check_label)

    def __init__(
        self,
        features: MemoryFeatures,
        readout: ClassMixture,
        n_lags: int,
        n_long: int = 0,
        detector: drift.Detector | None = None,
    ) -> None:
        self.features = features
        self.readout = readout
        self.detector = detector
        self.n_drifts = 0
        self.classes: list[Any] = []
        n_seen = N_LABELS if isinstance(readout, BoostedClassMixture) else 1
        self.past: deque[int] = deque(maxlen=max(n_lags, n_long, n_seen))
        self.lags: dict[Any, float] = {}
        self.long_lags = np.zeros(n_long)
        self._n_lags = n_lags
        self._index: dict[Hashable, int] = {}

    @property
    def last(self) -> int:
        """Number of the last class, -1 if there is none."""
        return self.past[0] if self.past else NOBODY

    def propose(self, encoded: Encoded) -> Step:
        """The step that an encoded x would make, and what the readout says of it."""
        last, readout = self.last, self.readout
        seen = (self.long_lags, float(last), readout.n_answers, self._history)
        step = self.features.propose(encoded, *seen)
        step.evidence["last"] = last
        step.evidence["nobody"] = NOBODY
        readout.predict(step.evidence, self._votes(step))
        return step

    @property
    def _history(self) -> Array:
        """The last classes, for trees [N_LABELS]; NaN where there are none."""
        if not isinstance(self.readout, BoostedClassMixture):
            return _NOTHING
        history = np.full(N_LABELS, math.nan)
        past = list(islice(self.past, N_LABELS))
        history[: len(past)] = past
        return history

    def _votes(self, step: Step) -> Array | None:
        """What retrieval says of the classes [6, K]; None without it."""
        retrieval = self.features.memories.get("retrieved")
        if not isinstance(retrieval, ClassRetrieval):
            return None
        state, proposal = self.features.states["retrieved"], step.transition.proposals["retrieved"]
        frequencies = self.readout.counts.frequencies
        return retrieval.votes(step.evidence["situation"], proposal, state, frequencies)

    def value(self, evidence: Evidence) -> dict[Any, float]:
        """The probability of every class."""
        if len(self.classes) < 2:
            return dict.fromkeys(self.classes, 1.0)
        return dict(zip(self.classes, self.readout.mixed(evidence).tolist(), strict=True))

    @staticmethod
    def most_probable(probabilities: Mapping[Any, float]) -> Any:
        """The most probable class, the first of equals; None if there is none."""
        return max(probabilities, key=probabilities.__getitem__, default=None)

    def train(self, evidence: Evidence, y: Hashable, w: float) -> None:
        """Learn a label with what was seen then."""
        # a user's detector may fail: before anything has changed
        drifted = w > 0.0 and bool(self.classes) and self._drifted(evidence, y)
        label = self._enter(y)
        self.readout.update(evidence, label, w)
        if w > 0.0:
            if isinstance(self.readout, BoostedClassMixture):
                self.readout.keep(evidence, label, w)
            self.features.learn(evidence, label)
        if drifted:
            self.n_drifts += 1
            self.readout.reopen()

    def _drifted(self, evidence: Evidence, y: Hashable) -> bool:
        if self.detector is None:
            return False
        expected = int(self.readout.mixed(evidence).argmax())
        return drift.drifted(self.detector, float(self._index.get(y) != expected))

    def join(self, y: Hashable) -> None:
        """A label joins the past; before the first one there was no other, as far as is known."""
        label = self._enter(y)
        if self.past:
            self.past.appendleft(label)
        else:
            self.past.extend([label] * (self.past.maxlen or 1))
        self._show_lags()

    def _show_lags(self) -> None:
        n = min(len(self.classes), N_SLOTS)
        if len(self.long_lags) and self.past:
            past = np.fromiter(islice(self.past, len(self.long_lags)), np.intp)
            self.long_lags = np.where(past == 1, 1.0, -1.0)
        if self._n_lags and n > 1 and self.past:
            slots = (1,) if len(self.classes) == 2 else range(n)
            self.lags = {
                (LABEL_LAG, lag, slot): float(past == slot)
                for lag, past in enumerate(islice(self.past, self._n_lags), start=1)
                for slot in slots
            }

    def transfer(self, io: Writer, *_: Any) -> None:
        drift.refuse(self.detector)
        self.n_drifts = io.integer("n_drifts", self.n_drifts)
        self.classes = io.names("classes", self.classes)
        past = io.integers("past", list(self.past))
        self.features = io.child("features", self.features)
        self.readout = io.child("readout", self.readout, max(len(self.classes), 2))
        if io.reading:
            self._index = {label: i for i, label in enumerate(self.classes)}
            io.check(len(self._index) == len(self.classes), "classes: a class is there twice")
            n_past = (self.past.maxlen or 1,) if past else (0,)
            fits = len(past) in n_past and all(label < len(self.classes) for label in past)
            io.check(fits, f"past has {len(past)} classes, or one that is unknown")
            self.past = deque(past, maxlen=self.past.maxlen)
            self.lags = {}
            self.long_lags = np.zeros_like(self.long_lags)
            self._show_lags()
            retrieval = self.features.memories.get("retrieved")
            if isinstance(retrieval, ClassRetrieval):
                n_stored = retrieval.n_classes(self.features.states["retrieved"])
                io.check(n_stored <= len(self.classes), "past of retrieval: an unknown class")
            check_sizes(io, self.features, self.readout)

    def commit(self, step: Step) -> None:
        """Make a step the past."""
        grown = self.features.commit(step)
        if grown.anything:
            self.readout.extend(grown.kinds)
            self.readout.renew(grown.recycled, self.features.layout(0).places)

    def forget_stream(self) -> None:
        """Forget memory and past labels; keep classes, scales, weights and shares."""
        self.features.reset()
        self.past.clear()
        self.lags = {}
        self.long_lags = np.zeros_like(self.long_lags)

    def number(self, y: Hashable) -> int:
        """The number of a class that is known."""
        return self._index[y]

    def _enter(self, y: Hashable) -> int:
        """The number of a class, which becomes known."""
        index = self._index.get(y)
        if index is None:
            index = self._index[y] = len(self.classes)
            self.classes.append(y)
            if index >= self.readout.n_classes:
                self.readout.add_class()
        return index
