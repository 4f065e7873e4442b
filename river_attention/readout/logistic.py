r"""Learners of class probabilities: online Newton logistic regression, and least squares on codes.

With features φ, classes k = 1..K and running class frequencies π:

.. math::

    p = \mathrm{softmax}(\log \pi + W^\top \varphi), \quad
    \omega = \max\bigl(10^{-3},\ \tfrac12 (1 - \textstyle\sum_k p_k^2),\
        \kappa(p_y)\bigr), \qquad
    \kappa(p) = \frac{\frac12 - p}{\log((1 - p)/p)} \text{ for } p < \tfrac12

.. math::

    P^{-1} \leftarrow \lambda P^{-1} + \omega\,\varphi\varphi^\top, \quad
    W \leftarrow W + P \varphi\,(e_y - p)^\top

P is updated as in recursive least squares, symmetric and leaking: the step is exactly a least
squares update with the error (e_y - p) / ω and the weight ω. All classes share one P. Two classes
have one vector of weights, for the log-odds, and the second term of ω is p(1 - p): Newton's method.

κ is the curvature of the tightest parabola above the loss (Jaakkola, Jordan 2000). It matters for
surprises: where a model is sure, p(1 - p) is next to nothing, P is large, and Newton's step from
the first label that contradicts, such as that of a new class, would overturn everything learned.

The frequencies are the prior: weights of 0 mean "as often as lately", so a class that was never
seen before begins rare for every x, and the leak pulls back to the frequencies, not to 1/K.

Hazan, Agarwal, Kale 2007, *Logarithmic regret algorithms for online convex optimization*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..state import Stateful, Writer
from .class_counts import ClassCounts
from .pool import padded
from .rls import LEAK, RecursiveLeastSquares

Array = NDArray[np.float64]

LAG_SHARE = 0.3
"""Prior variance of a label lag over that of an input: with many classes they are many."""
SMALLEST_CURVATURE = 1e-3

_LARGEST_LOGIT = 100.0
_SMALLEST = 1e-30


def softmax(logits: Array) -> Array:
    """Probabilities along the last axis."""
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return p


class ClassLearner(Stateful):
    """A linear expert on classes: one vector of weights for two of them, else one for each.

    Parameters
    ----------
    forgetting_factor, leak
        Those of :class:`RecursiveLeastSquares`.
    delta
        Prior variance of every feature to begin with [p].
    late_delta
        Prior variance of the inputs that come later.

    Attributes
    ----------
    n_classes
        Number of classes K, at least 2.
    rls
        The weights [p], those of the second class against the first, or [p, K]; and P.
    """

    split: tuple[float, float]
    """What two classes share the one vector of weights by, when a third comes."""

    def __init__(
        self, forgetting_factor: float, delta: Array, leak: int = LEAK, late_delta: float = 1.0
    ) -> None:
        self.n_classes = 2
        self.rls = RecursiveLeastSquares(forgetting_factor, delta, leak=leak)
        self._late_delta = late_delta

    def transfer(self, io: Writer, *arguments: Any) -> None:
        self.n_classes = arguments[0] if arguments else self.n_classes
        self.rls = io.child("", self.rls)
        n_targets = None if self.n_classes == 2 else self.n_classes
        io.check(self.rls.n_targets == n_targets, f"weights are not for {self.n_classes} classes")

    def add_class(self) -> None:
        """One more class, with weights of 0."""
        if self.n_classes == 2:
            self.rls.retarget(np.array([[*self.split, 0.0]]))
        else:
            self.rls.add_target()
        self.n_classes += 1

    def extend(self, kinds: Sequence[str]) -> None:
        """Append features; those that are hidden from the memories are label lags."""
        shares = np.array([LAG_SHARE if kind == "hidden" else 1.0 for kind in kinds])
        self.rls.extend(shares * self._late_delta)

    def renew(self, k: int) -> None:
        """Feature k, an input, is another one from now on."""
        self.rls.renew(k, self._late_delta)

    def learn(self, phi: Array, counts: ClassCounts, y: int, w: float) -> None:
        """Learn a class; features that came after ``phi`` was made are 0."""
        self.update(padded(phi, self.rls.n_features), self.prior(counts), y, w)

    @staticmethod
    def prior(counts: ClassCounts) -> Array:
        """What weights of 0 mean [K]."""
        raise NotImplementedError

    def answer(self, phi: Array, prior: Array) -> Array:
        """What it says of the classes [K]."""
        raise NotImplementedError

    def update(self, phi: Array, prior: Array, y: int, w: float) -> None:
        """Learn that the class of features [p] is ``y``, with a sample weight."""
        raise NotImplementedError


class OnlineLogistic(ClassLearner):
    """Online Newton logistic regression on vectors; see the module for the equations.

    Examples
    --------
    >>> import numpy as np
    >>> model, even = OnlineLogistic(1.0, np.ones(2), leak=0), np.zeros(2)
    >>> for t in range(200):
    ...     model.update(np.array([1.0, t % 5 - 2.0]), even, int(t % 5 > 2), 1.0)
    >>> softmax(model.answer(np.array([1.0, 2.0]), even)).round(1)
    array([0., 1.])
    """

    # softmax only sees differences: half of the log-odds for each of the two
    split = (-0.5, 0.5)

    @staticmethod
    def prior(counts: ClassCounts) -> Array:
        """The logarithm of the frequencies [K]."""
        return counts.log_frequencies

    def answer(self, phi: Array, prior: Array) -> Array:
        """Log-probabilities [K] up to a constant; ``prior`` [K] is the logarithm of π."""
        if self.n_classes > 2:
            logits: Array = prior + self.rls.predict(phi)
        else:
            logits = np.array([prior[0], prior[1] + self.rls.predict(phi)])
        return logits

    def update(self, phi: Array, prior: Array, y: int, w: float) -> None:
        """Learn that the class of features [p] is ``y``, with a sample weight."""
        if self.n_classes == 2:
            z = float(prior[1] - prior[0]) + self.rls.predict(phi)
            p = 1.0 / (1.0 + math.exp(-min(max(z, -_LARGEST_LOGIT), _LARGEST_LOGIT)))
            omega = curvature(p * (1.0 - p), p if y else 1.0 - p)
            self.rls.correct(phi, (y - p) / omega, w * omega)
        else:
            error = -softmax(self.answer(phi, prior))
            omega = curvature(0.5 * (1.0 - float(error.dot(error))), -float(error[y]))
            error[y] += 1.0
            error /= omega
            self.rls.correct(phi, error, w * omega)


def curvature(omega: float, p: float) -> float:
    """ω, given the one of Newton's method and the probability of the class that came."""
    if p < 0.499:  # at 1/2 both are 1/4
        p = max(p, _SMALLEST)
        omega = max(omega, (0.5 - p) / math.log((1.0 - p) / p))
    return max(omega, SMALLEST_CURVATURE)


class Codes(ClassLearner):
    """Least squares on codes ±1, one against rest, as corrections of the class frequencies."""

    split = (-1.0, 1.0)

    @staticmethod
    def prior(counts: ClassCounts) -> Array:
        """The frequencies [K]."""
        return counts.frequencies

    def answer(self, phi: Array, prior: Array) -> Array:
        """Probabilities [K]."""
        score = self.rls.predict(phi)
        if self.n_classes == 2:
            p = min(max(float(prior[1]) + 0.5 * score, 1e-3), 0.999)
            return np.array([1.0 - p, p])
        p = np.clip(prior + 0.5 * score, 1e-3, 0.999)
        return p / p.sum()

    def update(self, phi: Array, prior: Array, y: int, w: float) -> None:
        """Learn the class of features [p]."""
        if self.n_classes == 2:
            self.rls.update(phi, 2.0 * (y - float(prior[1])), w)
        else:
            target = -2.0 * prior
            target[y] += 2.0
            self.rls.update(phi, target, w)
