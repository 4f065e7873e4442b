r"""A readout for several targets: the mixture of ``regression.py``, with shares of every target.

Experts on features that all targets share have one P, of which weights are a matrix [p, m]:

.. math::

    c = \frac{1}{\lambda / \bar\omega + \varphi^\top P \varphi}, \qquad
    w_j \leftarrow w_j + c\, \frac{\omega_j}{\bar\omega}\, e_j\, P\varphi, \qquad
    \bar\omega = \max_j \omega_j

with a Huber weight :math:`\omega_j` from the errors of each target: P follows the target that
trusts a row most, and for the others the error is made smaller in its place (modified residuals
instead of weights: Huber 1981, *Robust statistics*, section 7.8). No target oversteps, for
:math:`\omega_j \le \bar\omega`, and with one target it is what ``rls.py`` does. A target that is
missing has :math:`\omega_j = 0`: its weights stay.

Experts on a target's own past (long lags, what retrieval read for it) have a P for each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..moments import FORGETTING_RATE, Limit
from ..state import Stateful, Writer
from .pool import Expert, ExpertPool, faster_factor, padded
from .regression import (
    ETA,
    FASTER,
    LARGEST_LOSS,
    LARGEST_WEIGHT,
    PATIENCE,
    PRIOR,
    PRIOR_MEMORY,
    PRIOR_SKIP,
)
from .rls import LEAK, RecursiveLeastSquares
from .robust import SQUARE_LIMIT, HuberScale, RobustMean
from .shares import reweighted

Array = NDArray[np.float64]

_LIMIT = Limit(SQUARE_LIMIT)


class SharedLinear(Stateful):
    """Recursive least squares for all targets, on features that they share.

    Parameters
    ----------
    forgetting_factor, huber
        Those of the recursive least squares.
    prior
        Prior variances of the features to begin with.
    late_prior
        Prior variance of the features that come later.

    Examples
    --------
    >>> import numpy as np
    >>> expert = SharedLinear(1.0, np.ones(2), 1.0, huber=False)
    >>> expert.add_target(), expert.add_target()
    (None, None)
    >>> for x in range(9):
    ...     y, rows = np.array([1.0 + x, 2.0 * x]), [0, 1] if x < 5 else [0]
    ...     expert.update(np.array([1.0, x]), y, rows, 1.0)
    >>> expert.predict(np.array([[1.0, 3.0]])).round(1)
    array([3.9, 5.8])
    """

    def __init__(
        self, forgetting_factor: float, prior: Array, late_prior: float, huber: bool
    ) -> None:
        self.rls = RecursiveLeastSquares(forgetting_factor, prior, leak=LEAK)
        self.rls.retarget(np.zeros((1, 0)))
        self.scales: list[HuberScale] = []
        self._huber = huber
        self._late_prior = late_prior

    def transfer(self, io: Writer, *arguments: int) -> None:
        """``arguments``: number of targets."""
        self.rls = io.child("", self.rls)
        n_targets = arguments[0] if arguments else len(self.scales)
        io.check(self.rls.n_targets == n_targets, f"weights are not for {n_targets} targets")
        fresh = [HuberScale() for _ in range(n_targets)]
        scales = fresh if io.reading else self.scales
        self.scales = [io.child(f"scale {j}", scale) for j, scale in enumerate(scales)]

    @property
    def n_features(self) -> int:
        """Number of features p."""
        return self.rls.n_features

    def add_target(self) -> None:
        """One more target, with weights of 0."""
        self.rls.add_target()
        self.scales.append(HuberScale())

    def extend(self, kinds: Sequence[str]) -> None:
        """Append features."""
        self.rls.extend(np.full(len(kinds), self._late_prior))

    def renew(self, k: int) -> None:
        """Feature k is another one from now on."""
        self.rls.renew(k, self._late_prior)

    def predict(self, part: Array) -> Array:
        """The answers [m] for features [1, p]."""
        answers: Array = self.rls.predict(part[0])
        return answers

    def update(self, part: Array, r: Array, rows: Sequence[int], w: float) -> None:
        """Learn the labels [m] of some targets; features that came later are 0."""
        rls = self.rls
        phi = padded(part.reshape(-1), rls.n_features)
        errors = r - rls.predict(phi)
        if not math.isfinite(errors.dot(errors)):  # nothing can be learned from an overflow
            finite = np.abs(errors) < SQUARE_LIMIT
            errors = np.where(finite, errors, 0.0)
            rows = [j for j in rows if finite[j]]
        omega = [0.0] * len(r)
        for j, error in zip(rows, errors[rows].tolist(), strict=True):
            omega[j] = self.scales[j].weight(abs(error)) if self._huber and w > 0.0 else 1.0
        most = max(omega, default=0.0)
        if most > 0.0:
            errors *= np.array(omega) / most
        rls.correct(phi, errors, w * most)


class OwnLinear(Stateful):
    """Recursive least squares for every target, on features of its own.

    Parameters
    ----------
    forgetting_factor, huber
        Those of the recursive least squares.
    n_features
        Number of features to begin with.
    variance
        Prior variance of all weights.
    """

    def __init__(
        self, forgetting_factor: float, n_features: int, variance: float, huber: bool
    ) -> None:
        self.rls: list[RecursiveLeastSquares] = []
        self.n_features = n_features
        self._forgetting_factor = forgetting_factor
        self._variance = variance
        self._huber = huber

    def _fresh(self) -> RecursiveLeastSquares:
        prior = np.full(self.n_features, self._variance)
        return RecursiveLeastSquares(self._forgetting_factor, prior, LEAK, self._huber)

    def transfer(self, io: Writer, *arguments: int) -> None:
        """``arguments``: number of targets."""
        self.n_features = io.integer("n_features", self.n_features)
        n_targets = arguments[0] if arguments else len(self.rls)
        if io.reading:
            empty = np.zeros(0)
            rls = [
                RecursiveLeastSquares(self._forgetting_factor, empty, LEAK, self._huber)
                for _ in range(n_targets)
            ]
        else:
            rls = self.rls
        self.rls = [io.child(f"target {j}", one) for j, one in enumerate(rls)]
        for one in self.rls:
            fits = one.n_targets is None and one.n_features == self.n_features
            io.check(fits, f"weights are not for {self.n_features} features of one target")

    def add_target(self) -> None:
        """One more target, which knows nothing."""
        self.rls.append(self._fresh())

    def extend(self, kinds: Sequence[str]) -> None:
        """Append features."""
        self.n_features += len(kinds)
        for one in self.rls:
            one.extend(np.full(len(kinds), self._variance))

    def renew(self, k: int) -> None:
        """Feature k is another one from now on."""
        for one in self.rls:
            one.renew(k, self._variance)

    def predict(self, part: Array) -> list[float]:
        """The answers [m] for features [m, p]."""
        return [one.predict(phi) for one, phi in zip(self.rls, part, strict=True)]

    def update(self, part: Array, r: Array, rows: Sequence[int], w: float) -> None:
        """Learn the labels [m] of some targets; features that came later are 0."""
        for j, label in zip(rows, r[rows].tolist(), strict=True):
            one = self.rls[j]
            one.update(padded(part[j], one.n_features), label, w)


def experts_of_several(
    n_memory: int,
    n_own: int,
    reads: Sequence[str],
    forgetting_factors: Sequence[float],
    delta: float | None,
    huber: bool,
) -> Iterator[Expert]:
    """The rows of the mixture; the arguments are those of :func:`.regression.experts`.

    Parameters
    ----------
    n_own
        Number of a target's own features without bias and input (long lags, reads of retrieval);
        0 means no experts on them.
    """
    variance = PRIOR if delta is None else delta

    def shared(part: str, n_features: int, factor: float) -> Expert:
        learner = SharedLinear(factor, np.full(n_features, variance), variance, huber)
        return Expert(f"{part} {factor:.12g}", part, learner)

    yield Expert("persistence", "last")
    yield Expert("mean", "mean")
    for factor in forgetting_factors:
        yield shared("skip", 1, factor)
        faster = faster_factor(factor, FASTER)
        if faster < factor:
            yield shared("skip", 1, faster)
        if n_memory:
            yield shared("full", n_memory + 1, factor)
        if n_own:
            own = OwnLinear(factor, n_own + 1, variance, huber)
            yield Expert(f"long {factor:.12g}", "long", own)
    for i, name in enumerate(reads):
        yield Expert(f"retrieval {name}", f"retrieved {i}")


def single_of_several(
    n_memory: int, forgetting_factor: float, delta: float | None, huber: bool
) -> Iterator[Expert]:
    """The only row of a readout without a mixture: least squares on all shared features."""
    skip = PRIOR_SKIP if delta is None else delta
    prior = np.full(n_memory + 1, PRIOR_MEMORY if delta is None else delta)
    prior[-1] = skip
    yield Expert("rls", "full", SharedLinear(forgetting_factor, prior, skip, huber))


class MixtureOfSeveral(ExpertPool):
    """The mixture; see the module for the equations.

    Parameters
    ----------
    rows
        The experts, see :func:`experts_of_several`.
    eta
        η of the shares.

    Attributes
    ----------
    n_targets
        Number of targets m.
    shares
        Share of each expert in the prediction of each target [m, K].
    mean_losses
        Running mean of the losses [m, K].
    """

    def __init__(self, rows: Iterator[Expert], eta: float = ETA) -> None:
        self.n_targets = 0
        super().__init__(rows)
        self.eta = eta
        self.scales: list[RobustMean] = []
        self.mean_losses = np.zeros((0, len(self.experts)))
        self._counts = np.zeros(0)
        # rows in a row in which every expert was far off
        self._n_far = np.zeros(0)

    @property
    def n_answers(self) -> int:
        """Number of answers of all experts, m · K."""
        return self.n_targets * len(self.experts)

    def trust_alike(self) -> None:
        """Give all experts the same share."""
        n = len(self.experts)
        self.shares = np.full((self.n_targets, n), 1.0 / n)

    def transfer(self, io: Writer, *arguments: int) -> None:
        """``arguments``: number of targets."""
        m = self.n_targets = arguments[0] if arguments else self.n_targets
        n = len(self.experts)
        self.shares = io.array("shares", self.shares, m, n, low=0.0)
        close = np.abs(self.shares.sum(axis=1) - 1.0) < 1e-3
        io.check(bool(close.all()), "shares do not sum to 1")
        self.mean_losses = io.array("mean_losses", self.mean_losses, m, n)
        self._counts = io.array("n_losses", self._counts, m, low=0.0)
        self._n_far = io.array("n_far", self._n_far, m, low=0.0)
        scales = [RobustMean() for _ in range(m)] if io.reading else self.scales
        self.scales = [io.child(f"scale {j}", scale) for j, scale in enumerate(scales)]
        self.experts = [
            row if row.learner is None else row._replace(learner=io.child(row.name, row.learner, m))
            for row in self.experts
        ]

    @property
    def least_squares(self) -> dict[str, RecursiveLeastSquares]:
        """Weights and P of the linear experts by name; of those of one target with its number."""
        found: dict[str, RecursiveLeastSquares] = {}
        for name, _, learner in self.learning:
            if isinstance(learner, OwnLinear):
                found |= {f"{name}, target {j}": one for j, one in enumerate(learner.rls)}
            else:
                found[name] = learner.rls
        return found

    def add_target(self) -> None:
        """One more target, which trusts all experts alike."""
        self.n_targets += 1
        n = len(self.experts)
        self.shares = np.concatenate([self.shares, np.full((1, n), 1.0 / n)])
        self.mean_losses = np.concatenate([self.mean_losses, np.zeros((1, n))])
        self._counts = np.append(self._counts, 0.0)
        self._n_far = np.append(self._n_far, 0.0)
        self.scales.append(RobustMean())
        for expert in self.learning:
            expert.learner.add_target()

    def predict(self, evidence: Any) -> Array:
        """The predictions [m]; the answers of all experts [m · K] join the evidence."""
        answers = self._answers(evidence)
        for k, (_, part, learner) in enumerate(self.experts):
            seen = evidence[part]
            answers[:, k] = seen if learner is None else learner.predict(self._rows(part, seen))
        _LIMIT.apply(answers)
        predictions: Array = np.add.reduce(self.shares * answers, axis=1)
        return predictions

    def _answers(self, evidence: Any) -> Array:
        answers: Array = evidence["answers"].reshape(-1, len(self.experts))
        return answers

    def _rows(self, part: str, seen: Array, n_targets: int | None = None) -> Array:
        """A part as a row for every target, or one that all of them share."""
        n = self.n_targets if n_targets is None else n_targets
        return seen.reshape(n if part == "long" else 1, -1)

    def update(self, evidence: Any, r: Array, seen: NDArray[np.bool_], w: float) -> None:
        """Learn the labels [m] that were ``seen``, given what the experts predicted for them.

        Evidence may be of a time when there were fewer targets; those that came since are not
        seen.
        """
        answers = self._answers(evidence)
        m, rows = len(answers), np.flatnonzero(seen).tolist()
        for _, part, learner in self.experts:
            if learner is not None:
                learner.update(self._rows(part, evidence[part], m), r, rows, w)
        if w > 0.0:
            labels, predictions = r[rows], evidence["prediction"]
            if len(rows) < m:
                answers, predictions = answers[rows], predictions[rows]
            errors = np.abs(answers - labels[:, None])
            self._learn_shares(rows, errors, np.abs(predictions - labels), w)

    def _learn_shares(self, rows: list[int], errors: Array, sizes: Array, w: float) -> None:
        scales = [self.scales[j] for j in rows]
        scale = np.array([one.value for one in scales])
        if not scale.all():
            known = scale > 0.0
            rows, errors, scale = np.array(rows)[known].tolist(), errors[known], scale[known]
        if rows:
            # a view where all are there
            at: Any = slice(None) if len(rows) == self.n_targets else rows
            far = np.minimum.reduce(errors, axis=1) > LARGEST_LOSS * scale
            n_far = self._n_far[at] = np.where(far, self._n_far[at] + 1.0, 0.0)
            lost = n_far > PATIENCE
            if lost.any():
                scale = np.where(lost, np.median(errors, axis=1), scale)
            scale = scale[:, None]
            losses = np.minimum(errors, LARGEST_LOSS * scale)
            losses /= scale
            weighted = np.minimum(losses * min(w, LARGEST_WEIGHT), LARGEST_LOSS)
            counts = self._counts[at] = self._counts[at] + 1.0
            rate = np.maximum(1.0 / counts, FORGETTING_RATE)[:, None]
            mean = self.mean_losses[at]
            self.mean_losses[at] = mean + rate * (losses - mean)
            self.shares[at] = reweighted(self.shares[at], weighted, self.eta)
        for one, size in zip(scales, sizes.tolist(), strict=True):
            one.update(size)
