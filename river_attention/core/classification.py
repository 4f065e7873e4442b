"""The task of classification: how a label is encoded, read and trained."""

from __future__ import annotations

import math
import numbers
from collections import deque
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from ..encoding import Encoded
from ..naming import LABEL_LAG
from ..readout import ClassMixture
from ..readout.class_counts import NOBODY
from ..state import Stateful, Writer
from .features import MemoryFeatures, check_sizes
from .step import Evidence, Step

CONTEXT = ("last", "nobody")
"""Number of the last class when x was seen, -1 for none; and always -1."""

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


class Classification(Stateful):
    """Features, past labels and readout of a model that predicts classes.

    Parameters
    ----------
    features
        Made with the context of this module, and ``is_lag`` for what is hidden.
    readout
        The experts.
    n_lags
        Number of past labels that the readout sees.

    Attributes
    ----------
    classes
        The classes in the order in which they were first seen.
    past
        Numbers of the last classes, the latest first.
    lags
        The past labels as features, one-hot.
    """

    check = staticmethod(check_label)

    def __init__(self, features: MemoryFeatures, readout: ClassMixture, n_lags: int) -> None:
        self.features = features
        self.readout = readout
        self.classes: list[Any] = []
        self.past: deque[int] = deque(maxlen=max(n_lags, 1))
        self.lags: dict[Any, float] = {}
        self._n_lags = n_lags
        self._index: dict[Hashable, int] = {}

    @property
    def last(self) -> int:
        """Number of the last class, -1 if there is none."""
        return self.past[0] if self.past else NOBODY

    def propose(self, encoded: Encoded) -> Step:
        """The step that an encoded x would make, and what the readout says of it."""
        step = self.features.propose(encoded, n_answers=self.readout.n_answers)
        step.evidence["last"] = self.last
        step.evidence["nobody"] = NOBODY
        self.readout.predict(step.evidence)
        return step

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
        self.readout.update(evidence, self._enter(y), w)

    def join(self, y: Hashable) -> None:
        """A label joins the past; before the first one there was no other, as far as is known."""
        label = self._enter(y)
        if self.past:
            self.past.appendleft(label)
        else:
            self.past.extend([label] * (self._n_lags or 1))
        self._show_lags()

    def _show_lags(self) -> None:
        n = min(len(self.classes), N_SLOTS)
        if self._n_lags and n > 1 and self.past:
            slots = (1,) if len(self.classes) == 2 else range(n)
            self.lags = {
                (LABEL_LAG, lag, slot): float(past == slot)
                for lag, past in enumerate(self.past, start=1)
                for slot in slots
            }

    def transfer(self, io: Writer, *_: Any) -> None:
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
            self._show_lags()
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
