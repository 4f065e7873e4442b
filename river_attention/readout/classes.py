r"""A mixture of experts on classes, under log loss.

Experts are logistic regressions (skip features and all features for every λ, and a faster
1 - 10(1 - λ) of the smallest λ on the skip features, where it is cheap), least squares on
codes ±1 (one against rest; (score + 1)/2 clipped at .001 and normalised), the class
frequencies, and those given the last class:

.. math::

    p = \sum_j s_j\, p_j, \qquad
    s_j \leftarrow (1 - \alpha) \frac{s_j\, p_j(y)^\eta}{\sum_i s_i\, p_i(y)^\eta}
                 + \frac{\alpha}{J}, \qquad \eta = 1

With η = 1 and no share α the mixture would be Bayes' rule over experts. Every expert's
probabilities are moved towards 1/K by a thousandth, so that none is below 1/(1000 K).

Herbster, Warmuth 1998, *Tracking the best expert*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..state import Writer
from .class_counts import ClassCounts
from .logistic import Codes, OnlineLogistic, softmax
from .pool import Expert, ExpertPool, faster_factor

Array = NDArray[np.float64]

ETA = 1.0
PRIOR = 0.1
FASTER = 10.0
FLOOR = 1e-3
"""Share of the uniform distribution in every probability."""

_LARGEST_WEIGHT = 1e6


def class_experts(
    n_memory: int, forgetting_factors: Sequence[float], delta: float | None
) -> Iterator[Expert]:
    """The rows of the mixture; those that answer in logits come first.

    Parameters
    ----------
    n_memory
        Number of memory features, which come first among all features; without any there are no
        experts on all features.
    forgetting_factors
        λ of the logistic regressions; the first is that of the least squares as well.
    delta
        Prior variance of all weights; None means 0.1.
    """
    variance = PRIOR if delta is None else delta
    sizes = {"skip": 1, "full": n_memory + 1} if n_memory else {"skip": 1}

    def linear(kind: Any, name: str, part: str, factor: float) -> Expert:
        prior = np.full(sizes[part], variance)
        return Expert(f"{name} {factor:.12g}", part, kind(factor, prior, late_delta=variance))

    for factor in forgetting_factors:
        for part in sizes:
            yield linear(OnlineLogistic, part, part, factor)
    quickest = min(forgetting_factors)
    if quickest < 1.0:
        yield linear(OnlineLogistic, "skip", "skip", faster_factor(quickest, FASTER))
    yield linear(Codes, "codes", list(sizes)[-1], forgetting_factors[0])
    yield Expert("frequency", "nobody")
    yield Expert("given the last", "last")


class ClassMixture(ExpertPool):
    """The mixture as a readout; see the module for the equations.

    Parameters
    ----------
    rows
        The experts, see :func:`class_experts`. Those that do not learn answer with the class
        frequencies given the class whose number is their part of the evidence.

    Attributes
    ----------
    n_classes
        Number of classes K that there is room for, at least 2.
    counts
        The class frequencies.
    """

    def __init__(self, rows: Iterator[Expert]) -> None:
        super().__init__(rows)
        self.n_classes = 2
        self.counts = ClassCounts()
        self._n_logits = sum(isinstance(row.learner, OnlineLogistic) for row in self.experts)

    def transfer(self, io: Writer, *arguments: Any) -> None:
        self.n_classes = arguments[0] if arguments else self.n_classes
        super().transfer(io, self.n_classes)
        self.counts = io.child("counts", self.counts, self.n_classes)

    @property
    def n_answers(self) -> int:
        """Number of probabilities that all experts answer, J · K."""
        return len(self.experts) * self.n_classes

    def add_class(self) -> None:
        """One more class, as rare as can be."""
        self.n_classes += 1
        self.counts.add_class()
        for expert in self.learning:
            expert.learner.add_class()

    def predict(self, evidence: Any) -> None:
        """Let the probabilities of all experts [J · K] join the evidence."""
        counts, n_logits = self.counts, self._n_logits
        answers = self.answers(evidence)
        for i, (_, part, learner) in enumerate(self.experts):
            seen = evidence[part]
            if learner is None:
                answers[i] = counts.given(int(seen))
            else:
                answers[i] = learner.answer(seen, learner.prior(counts))
        answers[:n_logits] = softmax(answers[:n_logits])
        answers *= 1.0 - FLOOR
        answers += FLOOR / self.n_classes

    def answers(self, evidence: Any) -> Array:
        """The probabilities of all experts [J, K], as they were said."""
        answers: Array = evidence["answers"].reshape(len(self.experts), -1)
        return answers

    def mixed(self, evidence: Any) -> Array:
        """The probabilities of the mixture [K]."""
        return self.shares.dot(self.answers(evidence))

    def update(self, evidence: Any, y: int, w: float) -> None:
        """Learn a class, given what the experts said and which class was the last then."""
        for _, part, learner in self.experts:
            if learner is not None:
                learner.learn(evidence[part], self.counts, y, w)
        if w > 0.0:
            self.counts.update(int(evidence["last"]), y, w)
            answers = self.answers(evidence)
            if y < answers.shape[1]:  # else nobody could have known of this class
                losses = -np.log(answers[:, y])
                weighted = min(w, _LARGEST_WEIGHT) * (losses - losses.min())
                self.learn_shares(losses, weighted, ETA)
