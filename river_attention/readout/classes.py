r"""A mixture of experts on classes, under log loss.

Experts are logistic regressions (for every λ on the skip features, on all features, and on the long
past: long lags of the labels, the input and its last moves; and a faster
1 - 10(1 - λ) of the smallest λ on the skip features, where it is cheap), least squares on
codes ±1 (one against rest; (score + 1)/2 clipped at .001 and normalised), the class frequencies,
those given the last class, and a log-linear pool of all of these and of the votes of retrieval
(:mod:`river_attention.readout.opinion_pool`):

.. math::

    p = \sum_j s_j\, p_j, \qquad
    s_j \leftarrow (1 - \alpha) \frac{s_j\, p_j(y)^\eta}{\sum_i s_i\, p_i(y)^\eta}
                 + \frac{\alpha}{J}, \qquad \eta = 1

With η = 1 and no share α the mixture would be Bayes' rule over experts. Every expert's
probabilities are moved towards 1/K by a thousandth, so that none is below 1/(1000 K). The votes
have no share of their own: where order means nothing they are guesses of a few rows, and the pool
gives them the weight they deserve.

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
from .opinion_pool import LogLinearPool
from .pool import Expert, ExpertPool, faster_factor
from .rls import RecursiveLeastSquares

Array = NDArray[np.float64]

ETA = 1.0
PRIOR = 0.1
FASTER = 10.0
LONG_SHARE = 0.1
"""Prior variance of a long lag (±1) over that of an input."""
POOL = "log-linear pool"
FLOOR = 1e-3
"""Share of the uniform distribution in every probability."""

LARGEST_WEIGHT = 1e6


def class_experts(
    n_memory: int, forgetting_factors: Sequence[float], delta: float | None, n_long: int = 0
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
    n_long
        Number of long lags; 0 means no expert on the long past.
    """
    variance = PRIOR if delta is None else delta
    sizes = {"skip": 1, "full": n_memory + 1} if n_memory else {"skip": 1}

    def linear(kind: Any, name: str, part: str, factor: float) -> Expert:
        prior = np.full(sizes[part], variance)
        return Expert(f"{name} {factor:.12g}", part, kind(factor, prior, late_delta=variance))

    for factor in forgetting_factors:
        for part in sizes:
            yield linear(OnlineLogistic, part, part, factor)
        if n_long:
            prior = np.append(np.full(n_long, LONG_SHARE * variance), variance)
            learner = OnlineLogistic(factor, prior, late_delta=variance)
            yield Expert(f"long {factor:.12g}", "long", learner)
    quickest = min(forgetting_factors)
    if quickest < 1.0:
        yield linear(OnlineLogistic, "skip", "skip", faster_factor(quickest, FASTER))
    yield linear(Codes, "codes", list(sizes)[-1], forgetting_factors[0])
    yield Expert("frequency", "nobody")
    yield Expert("given the last", "last")
    yield Expert(POOL, "answers")


class ClassMixture(ExpertPool):
    """The mixture as a readout; see the module for the equations.

    Parameters
    ----------
    rows
        The experts, see :func:`class_experts`. Those that do not learn answer with the class
        frequencies given the class whose number is their part of the evidence; the last one is
        the pool.
    n_votes
        Number of rows of votes that retrieval gives.
    forgetting_factor, delta
        λ and prior variance of the pool.

    Attributes
    ----------
    n_classes
        Number of classes K that there is room for, at least 2.
    counts
        The class frequencies.
    pool
        The log-linear pool of the votes and all other experts.
    """

    def __init__(
        self, rows: Iterator[Expert], n_votes: int, forgetting_factor: float, delta: float | None
    ) -> None:
        super().__init__(rows)
        # experts that parts of the evidence tell: all before the pool
        self.n_told = self.names.index(POOL)
        self.n_classes = 2
        self.counts = ClassCounts()
        self.n_votes = n_votes
        variance = PRIOR if delta is None else delta
        self.pool = LogLinearPool(n_votes + self.n_told, forgetting_factor, variance)
        self._n_logits = sum(isinstance(row.learner, OnlineLogistic) for row in self.experts)

    def transfer(self, io: Writer, *arguments: Any) -> None:
        self.n_classes = arguments[0] if arguments else self.n_classes
        super().transfer(io, self.n_classes)
        self.counts = io.child("counts", self.counts, self.n_classes)
        self.pool = io.child(POOL, self.pool)

    @property
    def n_rows(self) -> int:
        """Number of rows of probabilities: votes, then experts."""
        return self.n_votes + len(self.experts)

    @property
    def n_answers(self) -> int:
        """Number of probabilities in the evidence, R · K."""
        return self.n_rows * self.n_classes

    @property
    def least_squares(self) -> dict[str, RecursiveLeastSquares]:
        """Weights and P of the linear experts by name, the pool among them."""
        return {**super().least_squares, POOL: self.pool.rls}

    def add_class(self) -> None:
        """One more class, as rare as can be."""
        self.n_classes += 1
        self.counts.add_class()
        for expert in self.learning:
            expert.learner.add_class()

    def extend(self, kinds: Sequence[str]) -> None:
        """Append features; of the long past every input is two: itself and its move."""
        for expert in self.learning:
            if expert.part == "long":
                expert.learner.extend(["input"] * (2 * kinds.count("input")))
            else:
                expert.learner.extend(kinds)

    def predict(self, evidence: Any, votes: Array | None = None) -> None:
        """Let the votes [V, K] and the probabilities of all experts [J, K] join the evidence."""
        counts, n_logits = self.counts, self._n_logits
        rows, answers = self._rows(evidence), self.answers(evidence)
        if votes is not None:
            rows[: self.n_votes] = votes
        for i, (_, part, learner) in enumerate(self.experts[: self.n_told]):
            seen = evidence[part]
            if learner is None:
                answers[i] = counts.given(int(seen))
            else:
                answers[i] = learner.answer(seen, learner.prior(counts))
        answers[:n_logits] = softmax(answers[:n_logits])
        pooled = self.n_votes + self.n_told
        raise_to_floor(rows[:pooled])
        rows[pooled] = softmax(self.pool.answer(np.log(rows[:pooled])))
        raise_to_floor(rows[pooled])

    def _rows(self, evidence: Any) -> Array:
        """The votes and the probabilities of all experts [R, K], as they were said."""
        rows: Array = evidence["answers"].reshape(self.n_rows, -1)
        return rows

    def answers(self, evidence: Any) -> Array:
        """The probabilities of all experts [J, K], as they were said."""
        return self._rows(evidence)[self.n_votes :]

    def mixed(self, evidence: Any) -> Array:
        """The probabilities of the mixture [K]."""
        return self.shares.dot(self.answers(evidence))

    def update(self, evidence: Any, y: int, w: float) -> None:
        """Learn a class, given what the experts said and which class was the last then."""
        for _, part, learner in self.experts:
            if learner is not None:
                learner.learn(evidence[part], self.counts, y, w)
        answers = self.answers(evidence)
        known = y < answers.shape[1]  # else nobody could have known of this class
        if known:
            self.pool.update(np.log(self._rows(evidence)[: self.n_votes + self.n_told]), y, w)
        if w > 0.0:
            self.counts.update(int(evidence["last"]), y, w)
            if known:
                losses = -np.log(answers[: self.n_awake, y])
                weighted = min(w, LARGEST_WEIGHT) * (losses - losses.min())
                self.learn_shares(losses, weighted, ETA)


def raise_to_floor(probabilities: Array) -> None:
    """Move probabilities [..., K] towards 1/K by a thousandth, in place."""
    probabilities *= 1.0 - FLOOR
    probabilities += FLOOR / probabilities.shape[-1]
