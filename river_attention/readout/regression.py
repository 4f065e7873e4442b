r"""Readouts for numbers: a mixture that trusts whoever predicted best lately, or one expert alone.

.. math::

    \hat r = \sum_k p_k \hat r_k, \qquad
    p_k \leftarrow (1 - \alpha)\, \frac{p_k e^{-\eta\, \ell_k}}{\sum_j p_j e^{-\eta\, \ell_j}}
                  + \frac{\alpha}{K}, \qquad
    \ell_k = \min(|r - \hat r_k| / s,\ 10)

Exponential weighting with fixed share: η = 0.3, α = 0.005, s the running mean of the mixture's own
absolute error (each winsorised at 4s after 20 samples while s > 0, or one level shift would make
the mixture deaf). At first persistence, the running mean, all linear experts together and all reads
of retrieval together have the same share: kinds are alike, however many speak for each. Where even
the nearest expert is more than 10 s off for the fourth time in a row, as in exponential growth that
s cannot follow, the median of their errors takes the place of s: else all losses would be 10, and
nobody would be trusted more than another. The experts are persistence, the running mean, recursive
least squares on the skip features (λ and a faster 1 - 5(1 - λ)), on all features and on long lags,
for every λ, and the six reads of retrieval. All errors are in units of the readout.

Herbster, Warmuth 1998, *Tracking the best expert*; ``shares.py`` has the update.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..moments import Limit
from ..state import Stateful, Writer
from .pool import Expert, ExpertPool, faster_factor, padded
from .rls import LEAK, RecursiveLeastSquares
from .robust import SQUARE_LIMIT, NoiseVariance, RobustMean

Array = NDArray[np.float64]

ETA = 0.3
ETA_LATE = 0.1
"""η where labels come late: they are noisier news of who is right."""
PRIOR = 0.1
PRIOR_MEMORY = 0.01
PRIOR_SKIP = 0.03
FASTER = 5.0
LARGEST_LOSS = 10.0
LARGEST_WEIGHT = 1e6
PATIENCE = 3
_LIMIT = Limit(SQUARE_LIMIT)


class Linear(Stateful):
    """Recursive least squares as an expert.

    Parameters
    ----------
    forgetting_factor, huber
        Those of the recursive least squares.
    prior
        Prior variances of the features to begin with.
    late_prior
        Prior variance of the features that come later.
    """

    def __init__(
        self, forgetting_factor: float, prior: Array, late_prior: float, huber: bool
    ) -> None:
        self.rls = RecursiveLeastSquares(forgetting_factor, prior, leak=LEAK, huber=huber)
        self._late_prior = late_prior

    def transfer(self, io: Writer, *_: Any) -> None:
        self.rls = io.child("", self.rls)
        io.check(self.rls.n_targets is None, "weights have more than one target")

    def extend(self, kinds: Sequence[str]) -> None:
        """Append features."""
        self.rls.extend(np.full(len(kinds), self._late_prior))

    def renew(self, k: int) -> None:
        """Feature k is another one from now on."""
        self.rls.renew(k, self._late_prior)

    def update(self, phi: Array, r: float, w: float) -> None:
        """Learn a label; features that came after ``phi`` was made are 0."""
        rls = self.rls
        n = rls.n_features
        rls.update(phi if len(phi) == n else padded(phi, n), r, w)


def experts(
    n_memory: int,
    n_long: int,
    reads: Sequence[str],
    forgetting_factors: Sequence[float],
    delta: float | None,
    huber: bool,
) -> Iterator[Expert]:
    """The rows of the mixture.

    Parameters
    ----------
    n_memory
        Number of memory features, which come first among all features; without any there are no
        experts on all features.
    n_long
        Number of long lags; 0 means no experts on them.
    reads
        Names of the reads of retrieval.
    forgetting_factors
        λ of the linear experts: a set of them for every λ.
    delta
        Prior variance of all weights; None means 0.1.
    huber
        That of the recursive least squares.
    """
    variance = PRIOR if delta is None else delta

    def linear(part: str, n_features: int, factor: float) -> Expert:
        learner = Linear(factor, np.full(n_features, variance), variance, huber)
        return Expert(f"{part} {factor:.12g}", part, learner)

    yield Expert("persistence", "last")
    yield Expert("mean", "mean")
    for factor in forgetting_factors:
        yield linear("skip", 1, factor)
        faster = faster_factor(factor, FASTER)
        if faster < factor:
            yield linear("skip", 1, faster)
        if n_memory:
            yield linear("full", n_memory + 1, factor)
        if n_long:
            yield linear("long", n_long + 1, factor)
    for i, name in enumerate(reads):
        yield Expert(f"retrieval {name}", f"retrieved {i}")


class Mixture(ExpertPool):
    """The mixture; see the module for the equations.

    Parameters
    ----------
    rows
        The experts, see :func:`experts`.
    eta
        η.
    """

    def __init__(self, rows: Iterable[Expert], eta: float = ETA) -> None:
        super().__init__(rows)
        self.shares = alike_by_kind(self.experts)
        self.eta = eta
        self.n_answers = self.n_told = len(self.experts)
        self.scale = RobustMean()
        # rows in a row in which every expert was far off
        self._n_far = 0

    def transfer(self, io: Writer, *arguments: Any) -> None:
        super().transfer(io, *arguments)
        self.scale = io.child("scale", self.scale)
        self._n_far = io.integer("n_far", self._n_far)

    def predict(self, evidence: Any) -> float:
        """The prediction; the answers of all experts [K] join the evidence."""
        return float(self.shares.dot(self.answers(evidence)))

    def answers(self, evidence: Any) -> Array:
        """The answers in the evidence [K], of which those that parts of it tell are filled in."""
        buffer, layout = evidence.buffer, evidence.layout
        answers: Array = buffer[layout["answers"]]
        told = answers[: self.n_told]
        told[:] = [
            buffer[layout[part]] if learner is None else learner.rls.predict(buffer[layout[part]])
            for _, part, learner in self.experts[: self.n_told]
        ]
        _LIMIT.apply(told)
        return answers

    def spread(self, evidence: Any) -> float:
        """Σ p_k φ'P_k φ: the uncertainty of the weights, in units of the noise variance."""
        return sum(
            share * expert.learner.rls.spread(evidence[expert.part])
            for share, expert in zip(self.shares.tolist(), self.experts, strict=True)
            if expert.learner is not None
        )

    def update(self, evidence: Any, r: float, w: float) -> None:
        """Learn a label, given what the experts predicted for it."""
        buffer, layout = evidence.buffer, evidence.layout
        for _, part, learner in self.experts:
            if learner is not None:
                learner.update(buffer[layout[part]], r, w)
        if w > 0.0:
            answers = buffer[layout["answers"]]
            errors = np.abs(answers - r)[: self.n_awake]
            size = abs(float(self.shares.dot(answers)) - r)
            scale = self.scale.value
            if scale > 0.0:
                self._n_far = self._n_far + 1 if errors.min() > LARGEST_LOSS * scale else 0
                if self._n_far > PATIENCE:
                    scale = float(np.median(errors))
                losses = np.minimum(errors, LARGEST_LOSS * scale) / scale
                weighted = np.minimum(losses * min(w, LARGEST_WEIGHT), LARGEST_LOSS)
                self.learn_shares(losses, weighted, self.eta)
            self.scale.update(size)


def alike_by_kind(rows: Sequence[Expert]) -> Array:
    """The same share for persistence, the mean, all linear experts and all reads of retrieval."""
    kinds = ["linear" if row.learner is not None else row.name.split()[0] for row in rows]
    shares = np.array([1.0 / kinds.count(kind) for kind in kinds])
    return shares / shares.sum()


class SingleReadout(ExpertPool):
    """Recursive least squares on all features alone, several times cheaper than the mixture.

    Parameters
    ----------
    n_memory
        Number of memory features, which come first.
    forgetting_factor, huber
        Those of the recursive least squares.
    delta
        Prior variance of all weights; None means 0.01 for memory features and 0.03 for the others.
    """

    n_answers = 0

    def __init__(
        self, n_memory: int, forgetting_factor: float, delta: float | None, huber: bool
    ) -> None:
        skip = PRIOR_SKIP if delta is None else delta
        prior = np.full(n_memory + 1, PRIOR_MEMORY if delta is None else delta)
        prior[-1] = skip
        super().__init__([Expert("rls", "full", Linear(forgetting_factor, prior, skip, huber))])
        self.noise = NoiseVariance()

    @property
    def rls(self) -> RecursiveLeastSquares:
        """The recursive least squares."""
        rls: RecursiveLeastSquares = self.experts[0].learner.rls
        return rls

    def transfer(self, io: Writer, *arguments: Any) -> None:
        super().transfer(io, *arguments)
        self.noise = io.child("noise", self.noise)

    def predict(self, evidence: Any) -> float:
        """The prediction."""
        return min(max(self.rls.predict(evidence["full"]), -SQUARE_LIMIT), SQUARE_LIMIT)

    def spread(self, evidence: Any) -> float:
        """φ'Pφ: the uncertainty of the weights, in units of the noise variance."""
        return self.rls.spread(evidence["full"])

    def update(self, evidence: Any, r: float, w: float) -> None:
        """Learn a label, given what was predicted for it."""
        self.experts[0].learner.update(evidence["full"], r, w)
        if w > 0.0:
            self.noise.update(r - float(evidence["prediction"]))

    def reopen(self) -> None:
        """Get ready to learn quickly again, after a drift."""
        self.rls.reopen()

    def losses(self) -> dict[str, float]:
        """Root of the running mean of squared errors."""
        return {"rls": float(np.sqrt(self.noise.value))}
