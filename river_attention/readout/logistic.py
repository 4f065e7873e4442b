r"""Probabilities of classes: online Newton logistic regression, and a mixture under log loss.

**Logistic regression.** With features φ, classes k = 1..K and running class frequencies π:

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

**Mixture.** Experts are the logistic regressions (skip features and all features for every λ, and
a faster 1 - 10(1 - λ) of the smallest λ on the skip features, where it is cheap), least squares on
codes ±1 (one against rest; (score + 1)/2 clipped at .001 and normalised), the class
frequencies, and those given the last class:

.. math::

    p = \sum_j s_j\, p_j, \qquad
    s_j \leftarrow (1 - \alpha) \frac{s_j\, p_j(y)^\eta}{\sum_i s_i\, p_i(y)^\eta}
                 + \frac{\alpha}{J}, \qquad \eta = 1

With η = 1 and no share α the mixture would be Bayes' rule over experts. Every expert's
probabilities are moved towards 1/K by a thousandth, so that none is below 1/(1000 K).

Herbster, Warmuth 1998, *Tracking the best expert*; Hazan, Agarwal, Kale 2007, *Logarithmic regret
algorithms for online convex optimization*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..moments import running_rate
from .inputs import Inputs, padded
from .rls import RecursiveLeastSquares
from .shares import reweighted

Array = NDArray[np.float64]

ETA = 1.0
PRIOR = 0.1
LAG_SHARE = 0.3
"""Prior variance of a label lag over that of an input: with many classes they are many."""
SMALLEST_CURVATURE = 1e-3
FLOOR = 1e-3
"""Share of the uniform distribution in every probability."""
MEMORY = 1000.0
"""Number of labels that class frequencies remember."""
N_LAST = 16
"""Last classes that have frequencies of their own; all later ones share a row."""

_FASTER = 10.0
_FASTEST = 0.5
_SHRINKAGE = 2.0
_LARGEST_LOGIT = 100.0
_LARGEST_WEIGHT = 1e6
_NOBODY = -1
_SMALLEST = 1e-30


def softmax(logits: Array) -> Array:
    """Probabilities along the last axis."""
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return p


class OnlineLogistic:
    """Online Newton logistic regression on vectors; see the module for the equations.

    Parameters
    ----------
    forgetting_factor, delta, leak
        Those of :class:`RecursiveLeastSquares`; ``delta`` holds one prior variance for each
        feature.

    Attributes
    ----------
    n_classes
        Number of classes K, at least 2.
    rls
        The weights [p], those of the log-odds of the second class, or [p, K]; and P.

    Examples
    --------
    >>> import numpy as np
    >>> model, even = OnlineLogistic(1.0, np.ones(2)), np.zeros(2)
    >>> for t in range(200):
    ...     model.update(np.array([1.0, t % 5 - 2.0]), even, int(t % 5 > 2), 1.0)
    >>> softmax(model.logits(np.array([1.0, 2.0]), even)).round(1)
    array([0., 1.])
    """

    def __init__(self, forgetting_factor: float, delta: Array, leak: int = 0) -> None:
        self.n_classes = 2
        self.rls = RecursiveLeastSquares(forgetting_factor, delta, leak=leak)

    def add_class(self) -> None:
        """One more class, with weights of 0."""
        if self.n_classes == 2:
            # softmax only sees differences: half of the log-odds for each of the two
            self.rls.retarget(np.array([[-0.5, 0.5, 0.0]]))
        else:
            self.rls.retarget(np.eye(self.n_classes, self.n_classes + 1))
        self.n_classes += 1

    def logits(self, phi: Array, prior: Array) -> Array:
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
            omega = _curvature(p * (1.0 - p), p if y else 1.0 - p)
            self.rls.correct(phi, (y - p) / omega, w * omega)
        else:
            error = -softmax(self.logits(phi, prior))
            omega = _curvature(0.5 * (1.0 - float(error.dot(error))), -float(error[y]))
            error[y] += 1.0
            error /= omega
            self.rls.correct(phi, error, w * omega)


def _curvature(omega: float, p: float) -> float:
    """ω, given the one of Newton's method and the probability of the class that came."""
    if p < 0.499:  # at 1/2 both are 1/4
        p = max(p, _SMALLEST)
        omega = max(omega, (0.5 - p) / math.log((1.0 - p) / p))
    return max(omega, SMALLEST_CURVATURE)


class _Codes:
    """Least squares on codes ±1, one against rest, as corrections of the class frequencies."""

    def __init__(self, forgetting_factor: float, delta: Array, leak: int) -> None:
        self.n_classes = 2
        self.rls = RecursiveLeastSquares(forgetting_factor, delta, leak=leak)

    def add_class(self) -> None:
        if self.n_classes == 2:
            self.rls.retarget(np.array([[-1.0, 1.0, 0.0]]))
        else:
            self.rls.retarget(np.eye(self.n_classes, self.n_classes + 1))
        self.n_classes += 1

    def predict(self, phi: Array, frequencies: Array) -> Array:
        """Probabilities [K]."""
        score = self.rls.predict(phi)
        if self.n_classes == 2:
            p = min(max(float(frequencies[1]) + 0.5 * score, 1e-3), 0.999)
            return np.array([1.0 - p, p])
        p = np.clip(frequencies + 0.5 * score, 1e-3, 0.999)
        return p / p.sum()

    def update(self, phi: Array, frequencies: Array, y: int, w: float) -> None:
        """Learn the class of features [p]."""
        if self.n_classes == 2:
            self.rls.update(phi, 2.0 * (y - float(frequencies[1])), w)
        else:
            target = -2.0 * frequencies
            target[y] += 2.0
            self.rls.update(phi, target, w)


class ClassCounts:
    r"""Class frequencies of about the last thousand labels, overall and given the last class.

    .. math::

        \pi_k = \frac{n_k + 1}{N + K}, \qquad
        \pi_{k \mid l} = \frac{n_{lk} + 2\, \pi_k}{N_l + 2}

    Counts are scaled down whenever their sum N, or N_l, is beyond 1000. The first 16 classes have a
    row l of their own, all others share one: the size is linear in K.

    Examples
    --------
    >>> counts = ClassCounts()
    >>> for last, y in [(-1, 0), (0, 1), (1, 0), (0, 1)]:
    ...     counts.update(last, y, 1.0)
    >>> counts.frequencies.tolist(), counts.given(0).tolist()
    ([0.5, 0.5], [0.25, 0.75])
    """

    def __init__(self) -> None:
        self._counts = np.zeros(2)
        self._pairs = np.zeros((N_LAST + 1, 2))
        self._refresh()

    def _refresh(self) -> None:
        n_classes = len(self._counts)
        self.frequencies = (self._counts + 1.0) / (self._counts.sum() + n_classes)
        self.log_frequencies = np.log(self.frequencies)

    def add_class(self) -> None:
        """One more class, never seen."""
        self._counts = np.append(self._counts, 0.0)
        self._pairs = np.hstack([self._pairs, np.zeros((N_LAST + 1, 1))])
        self._refresh()

    def given(self, last: int) -> Array:
        """Frequencies [K] after the class ``last``; -1 for none."""
        if last == _NOBODY:
            return self.frequencies
        row = self._pairs[min(last, N_LAST)]
        return (row + _SHRINKAGE * self.frequencies) / (row.sum() + _SHRINKAGE)

    def update(self, last: int, y: int, w: float) -> None:
        """Count a class that came after another."""
        w = min(w, MEMORY)
        rows = [self._counts]
        if last != _NOBODY:
            rows.append(self._pairs[min(last, N_LAST)])
        for row in rows:
            row[y] += w
            total = row.sum()
            if total > MEMORY:
                row *= MEMORY / total
        self._refresh()


class ClassMixture:
    """The mixture as a readout; see the module for the equations.

    Parameters
    ----------
    n_memory
        Number of memory features, which come first among all features; without any there are no
        experts on all features.
    forgetting_factors
        λ of the logistic regressions; the first is that of the least squares as well.
    delta
        Prior variance of all weights; None means 0.1.
    leak
        That of the recursive least squares.

    Examples
    --------
    >>> import numpy as np
    >>> mixture = ClassMixture(0, (0.998,), None, 8)
    >>> inputs = Inputs(np.ones(1), np.ones(1), np.zeros(0), np.zeros(0), 0.0, 0.0)
    >>> for t in range(50):
    ...     mixture.update(inputs, mixture.predict(inputs, t % 2), t % 2, 1 - t % 2, 1.0)
    >>> mixture.mixed(mixture.predict(inputs, 0)).round(1)
    array([0., 1.])
    >>> max(mixture.weights(), key=mixture.weights().get)
    'given the last'
    """

    def __init__(
        self,
        n_memory: int,
        forgetting_factors: tuple[float, ...],
        delta: float | None,
        leak: int,
    ) -> None:
        self.n_classes = 2
        self._variance = PRIOR if delta is None else delta
        parts = {"skip": 1, "full": n_memory + 1}
        if not n_memory:
            del parts["full"]
        candidates = [(part, factor) for factor in forgetting_factors for part in parts]
        quickest = min(forgetting_factors)
        if quickest < 1.0:
            # rounded, or two ways to the same factor would make two experts of it
            candidates.append(("skip", round(max(1.0 - _FASTER * (1.0 - quickest), _FASTEST), 12)))
        self._logistic = {
            f"{part} {factor:.12g}": (
                part,
                OnlineLogistic(factor, np.full(parts[part], self._variance), leak),
            )
            for part, factor in candidates
        }
        self._part = list(parts)[-1]
        first = forgetting_factors[0]
        self._codes = _Codes(first, np.full(parts[self._part], self._variance), leak)
        self.counts = ClassCounts()
        self.names = [*self._logistic, f"codes {first:.12g}", "frequency", "given the last"]
        self._weights = np.full(len(self.names), 1.0 / len(self.names))
        self._losses = np.zeros(len(self.names))
        self._n_losses = 0

    def add_class(self) -> None:
        """One more class, as rare as can be."""
        self.n_classes += 1
        self.counts.add_class()
        self._codes.add_class()
        for _, logistic in self._logistic.values():
            logistic.add_class()

    def extend(self, are_lags: Sequence[bool]) -> None:
        """Append inputs, some of them label lags."""
        prior = np.where(are_lags, LAG_SHARE * self._variance, self._variance)
        for rls in self.least_squares.values():
            rls.extend(prior)

    def predict(self, inputs: Inputs, last: int) -> Array:
        """The probabilities of all experts [J, K], given the last class (-1: none)."""
        counts, n_logistic = self.counts, len(self._logistic)
        experts = np.empty((len(self.names), self.n_classes))
        for row, (part, logistic) in enumerate(self._logistic.values()):
            phi = inputs.full if part == "full" else inputs.skip
            experts[row] = logistic.logits(phi, counts.log_frequencies)
        experts[:n_logistic] = softmax(experts[:n_logistic])
        phi = inputs.full if self._part == "full" else inputs.skip
        experts[n_logistic] = self._codes.predict(phi, counts.frequencies)
        experts[n_logistic + 1] = counts.frequencies
        experts[n_logistic + 2] = counts.given(last)
        experts *= 1.0 - FLOOR
        experts += FLOOR / self.n_classes
        return experts

    def mixed(self, experts: Array) -> Array:
        """The probabilities [K] of the mixture."""
        return self._weights.dot(experts)

    def update(self, inputs: Inputs, experts: Array, last: int, y: int, w: float) -> None:
        """Learn a class, given what the experts said and which class was the last then."""
        counts = self.counts
        for part, logistic in self._logistic.values():
            phi = padded(getattr(inputs, part), logistic.rls.n_features)
            logistic.update(phi, counts.log_frequencies, y, w)
        phi = padded(getattr(inputs, self._part), self._codes.rls.n_features)
        self._codes.update(phi, counts.frequencies, y, w)
        if w > 0.0:
            counts.update(last, y, w)
            self._learn_shares(experts, y, w)

    def _learn_shares(self, experts: Array, y: int, w: float) -> None:
        if y >= experts.shape[1]:
            return  # nobody could have known of this class
        losses = -np.log(experts[:, y])
        self._n_losses += 1
        self._losses += running_rate(self._n_losses) * (losses - self._losses)
        losses -= losses.min()
        self._weights = reweighted(self._weights, min(w, _LARGEST_WEIGHT) * losses, ETA)

    def weights(self) -> dict[str, float]:
        """The share of each expert."""
        return dict(zip(self.names, self._weights.tolist(), strict=True))

    def losses(self) -> dict[str, float]:
        """Running mean of the log loss of each expert."""
        return dict(zip(self.names, self._losses.tolist(), strict=True))

    @property
    def least_squares(self) -> dict[str, RecursiveLeastSquares]:
        """Weights and P of the linear experts by name."""
        return {
            **{name: logistic.rls for name, (_, logistic) in self._logistic.items()},
            self.names[len(self._logistic)]: self._codes.rls,
        }
