r"""Recursive least squares with forgetting, robust weights and a leak towards the prior.

With features φ, target y, sample weight w, Huber weight ω and forgetting factor λ:

.. math::

    e = y - w^\top\varphi, \quad g = P\varphi, \quad
    c = \frac{1}{\lambda/\omega + \varphi^\top g}, \quad
    w \leftarrow w + c\,e\,g, \quad P \leftarrow (P - c\,g g^\top)/\lambda

Several targets share one P: y and e are vectors [m] then and w is a matrix [p, m].

Without Huber and leak, the weights after row t minimise

.. math:: \sum_{i \le t} \lambda^{t-i} \omega_i (y_i - w^\top \varphi_i)^2 + \lambda^t |w|^2/\delta.

**Symmetric.** Only one triangle of P is stored and updated: the textbook form loses symmetry in
rounding and diverges.

**Leak.** Forgetting inflates P without bound in directions that the features do not visit. So every
n-th update, :math:`m = \lceil p\,n\,(1-\lambda)\rceil` coordinates k in turn receive a
pseudo-observation of their prior: value 0 with noise variance
:math:`30\, P_0[k]\, m / ((1-\lambda)\, p\, n)`. The diagonal of P then stays within about
72 · P₀ whatever the input.

**Huber.** :math:`\omega = \min(1, s/|e|)`, s how large an error usually is; see ``robust.py``.

Sayed 2008, *Adaptive filters*, chapter 30.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg.blas import daxpy, ddot, dger, dsymv, dsyr

from .._validation import check_bool, check_int, check_number
from ..state import Stateful, Writer
from .robust import HuberScale

Array = NDArray[np.float64]

LEAK = 8
"""Every how many updates a readout leaks, where nothing else is said."""
LEAK_SLACK = 30.0
_COVARIANCE_LIMIT = 1e100
_EXTREME = 1e100
_LARGE = 1 << 14


def _add_outer(matrix: Array, column: Array, row: Array) -> Array:
    """The matrix plus the product of a column and a row; a large one is changed in place."""
    if matrix.size < _LARGE:
        return matrix + column[:, None] * row
    # one pass over the memory instead of three; BLAS wants columns first
    return dger(1.0, row, column, a=matrix.T, overwrite_a=1).T


class RecursiveLeastSquares(Stateful):
    """Recursive least squares on vectors; see the module for the equations.

    Parameters
    ----------
    forgetting_factor
        λ in (0, 1]; 1 remembers everything.
    delta
        Prior variance of the weights (the diagonal of P at first): one number, or one for each
        feature.
    leak
        Every ``leak``-th update pulls towards the prior; 0 switches it off. No effect at λ = 1.
    huber
        Whether large errors get smaller weights.

    Attributes
    ----------
    n_features
        Number of features p.
    n_updates
        Number of samples so far.
    prior
        Prior variances [p].
    scale
        How large errors usually are, for the Huber weight.
    n_resets_
        How often P had lost positivity and was set back to the prior. Always 0 with a leak; without
        one, rounding can destroy P after very many updates or with features of extreme size.

    Examples
    --------
    >>> import numpy as np
    >>> rls = RecursiveLeastSquares(delta=100.0)
    >>> for x in range(5):
    ...     _ = rls.update(np.array([1.0, x]), 3.0 + 2.0 * x)
    >>> rls.weights.round(2)
    array([2.99, 2.  ])
    """

    def __init__(
        self,
        forgetting_factor: float = 1.0,
        delta: ArrayLike = 1.0,
        leak: int = 0,
        huber: bool = False,
    ) -> None:
        self.forgetting_factor = check_number(
            "forgetting_factor", forgetting_factor, above=0.0, at_most=1.0
        )
        try:
            prior = np.asarray(delta, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            prior = np.array(np.nan)
        if prior.ndim > 1 or not (np.isfinite(prior).all() and (prior > 0).all()):
            raise ValueError(f"delta={delta!r}: must be positive, a number or one per feature")
        self.delta = delta
        self.leak = check_int("leak", leak, 0)
        self.huber = check_bool("huber", huber)
        self.n_resets_ = 0
        self.scale = HuberScale()
        self.n_updates = 0
        self._next_leak = 0
        self._growth = 1.0
        self._weights = np.zeros(0)
        self.prior = np.zeros(0)
        self._covariance = np.zeros((0, 0), order="F")
        if prior.ndim == 1:
            self.extend(prior)

    def transfer(self, io: Writer, *_: Any) -> None:
        self.n_updates = io.integer("n_updates", self.n_updates)
        self.n_resets_ = io.integer("n_resets", self.n_resets_)
        self._next_leak = io.integer("next_leak", self._next_leak)
        self._growth = io.number("growth", self._growth, low=0.0)
        self.prior = io.array("prior", self.prior, None, low=0.0)
        p = len(self.prior)
        targets = io.integers("n_targets", list(self._weights.shape[1:]))
        io.check(len(targets) < 2, "n_targets: one number at most")
        self._weights = io.array("weights", self._weights, p, *targets)
        self._covariance = io.triangle("P", self._covariance, p)
        if self.huber:
            self.scale = io.child("scale", self.scale)

    @property
    def n_targets(self) -> int | None:
        """Number of targets m, None where the target is a number."""
        (*_, m) = (None, *self._weights.shape[1:])
        return m

    @property
    def n_features(self) -> int:
        """Number of features p."""
        return len(self._weights)

    @property
    def weights(self) -> Array:
        """The weights w, [p] or [p, m] (a copy)."""
        return self._weights.copy()

    @property
    def covariance(self) -> Array:
        """P [p, p] (a copy), exactly symmetric."""
        lower = np.tril(self._covariance)
        return lower + np.tril(lower, -1).T

    def extend(self, prior: ArrayLike) -> None:
        """Append features with weight 0 and these prior variances [n], uncorrelated to the rest."""
        prior = np.asarray(prior, dtype=np.float64)
        old, new = self.n_features, self.n_features + len(prior)
        covariance = np.zeros((new, new), order="F")
        covariance[:old, :old] = self._covariance
        covariance[range(old, new), range(old, new)] = prior
        zeros = np.zeros((len(prior), *self._weights.shape[1:]))
        weights = np.concatenate([self._weights, zeros])
        self.prior = np.concatenate([self.prior, prior])
        self._weights, self._covariance = weights, covariance
        # the bound on the diagonal of P starts from its largest element
        self._growth = max(self._growth, float(prior.max(initial=0.0)))

    def renew(self, k: int, prior: float) -> None:
        """Let feature k be another one from now on: weight 0, this prior variance, no covariance.

        What is left is what is known of the other weights when that of k is not.
        """
        self._weights[k] = 0.0
        self._covariance[k, :k] = 0.0
        self._covariance[k:, k] = 0.0
        self._covariance[k, k] = self.prior[k] = prior
        self._growth = max(self._growth, prior)

    def predict(self, phi: Array) -> Any:
        """w'φ for features φ [p], a float or [m]; features not known yet count for nothing."""
        known = self.n_features
        if len(phi) < known:
            raise ValueError(f"phi has {len(phi)} features: expected at least {known}")
        if self._weights.ndim == 2:
            return phi[:known].dot(self._weights)
        return ddot(self._weights, phi, n=known) if known else 0.0

    def spread(self, phi: Array) -> float:
        """φ'Pφ: the variance of w'φ in units of the noise variance."""
        known = self.n_features
        if not known:
            return 0.0
        phi = phi[:known]
        return max(ddot(phi, dsymv(1.0, self._covariance, phi, lower=1)), 0.0)

    def reopen(self) -> None:
        """Set P back to the prior and keep the weights: ready to learn quickly again."""
        self._covariance = np.asfortranarray(np.diag(self.prior))
        self._growth = float(self.prior.max(initial=0.0))

    def update(self, phi: Array, y: Any, w: float = 1.0) -> Any:
        """Learn one sample; returns the prediction made before.

        Parameters
        ----------
        phi
            Features [p]. Features beyond the known ones are appended with the prior ``delta``.
        y
            The target, a float, or [m] for several targets; the first sample decides which.
        w
            Sample weight; with 0 the past fades but nothing is learned.
        """
        single = type(y) is float and self._weights.ndim == 1  # np.shape of a float is slow
        if not single and np.shape(y) != self._weights.shape[1:]:
            if self.n_updates:
                known = self._weights.shape[1:]
                raise ValueError(f"y has shape {np.shape(y)}: expected {known} as learned so far")
            self._weights = np.zeros((self.n_features, *np.shape(y)))
        prediction = self.predict(phi)
        if len(phi) > self.n_features:
            if np.ndim(self.delta) != 0:
                raise ValueError(
                    f"phi has {len(phi)} features but delta has {self.n_features}: "
                    "call extend() with the prior of the new ones first"
                )
            self.extend(np.full(len(phi) - self.n_features, self.delta))
        error = y - prediction
        size = abs(error) if self._weights.ndim == 1 else math.hypot(*error) / math.sqrt(len(error))
        if not math.isfinite(size):
            w = 0.0  # nothing sensible can be learned from an overflow
        omega = w
        if self.huber and w > 0.0:
            omega *= self.scale.weight(size)
        self.correct(phi, error, omega)
        return prediction

    def correct(self, phi: Array, error: Any, omega: float) -> None:
        """Learn one sample from the error of its prediction and a weight ω, then forget and leak.

        Parameters
        ----------
        phi
            Features [p].
        error
            Target minus prediction, a float, or [m] for several targets; finite.
        omega
            ω, the weight of the sample; with 0 the past fades but nothing is learned.
        """
        if omega > 0.0:
            self._observe(phi, error, self.forgetting_factor / omega)
        if self.forgetting_factor < 1.0:
            self._forget()
        self.n_updates += 1
        if self.leak and self.n_updates % self.leak == 0:
            self._leak()

    def retarget(self, combination: Array) -> None:
        """Replace the m targets by combinations of them [m, m'], w ← w M.

        A single target counts as m = 1.
        """
        self._weights = np.atleast_2d(self._weights.T).T.dot(combination)

    def add_target(self) -> None:
        """One more of several targets, with weights of 0."""
        self._weights = np.hstack([self._weights, np.zeros((self.n_features, 1))])

    def _observe(self, phi: Array, error: Any, noise: float) -> None:
        """Condition on one observation of φ'w: its error now, and its noise variance."""
        if not len(phi):
            return
        gain = dsymv(1.0, self._covariance, phi, lower=1)
        spread = ddot(phi, gain)
        if not spread >= 0.0:
            self._reset_covariance()
            gain = dsymv(1.0, self._covariance, phi, lower=1)
            spread = ddot(phi, gain)
        c = 1.0 / (noise + spread)
        if not 0.0 < c < _EXTREME:
            return  # nothing to learn from a sample infinitely uncertain, or certain, beforehand
        if self._weights.ndim == 1 and abs(c * error) < _EXTREME and spread < _EXTREME:
            self._weights = daxpy(gain, self._weights, a=c * error)
        elif not self._move(c * gain, error):
            return
        self._covariance = dsyr(-c, gain, lower=1, a=self._covariance, overwrite_a=1)

    def _move(self, gain: Array, error: Any) -> bool:
        """Move the weights of several targets, or where it may overflow; False leaves them."""
        if np.ndim(error) and np.abs(gain).max() * np.abs(error).max() < _EXTREME:
            self._weights = _add_outer(self._weights, gain, error)
            return True
        with np.errstate(all="ignore"):
            weights = self._weights + (
                gain * error if np.ndim(error) == 0 else np.outer(gain, error)
            )
        if not np.isfinite(weights).all():
            return False
        self._weights = weights
        return True

    def _forget(self) -> None:
        inflation = 1.0 / self.forgetting_factor
        self._growth *= inflation
        if not self._growth <= _COVARIANCE_LIMIT:
            self._growth = inflation * float(self._covariance.diagonal().max(initial=0.0))
            if not self._growth <= _COVARIANCE_LIMIT:  # NaN where λ is next to nothing
                return  # wound up: forgetting more would end in an overflow
        self._covariance *= inflation

    def _leak(self) -> None:
        """Pseudo-observations of the prior, for some coordinates in turn."""
        p, rate = self.n_features, 1.0 - self.forgetting_factor
        if p == 0 or rate == 0.0:
            return
        m = max(1, math.ceil(p * self.leak * rate))
        slack = LEAK_SLACK * m / (rate * p * self.leak)
        P = self._covariance
        for _ in range(m):
            k = self._next_leak % p
            self._next_leak = k + 1
            gain = np.concatenate([P[k, :k], P[k:, k]])
            c = 1.0 / (slack * self.prior[k] + P[k, k])
            if self._weights.ndim == 1:
                self._weights -= (c * self._weights[k]) * gain
            else:
                self._weights = _add_outer(self._weights, -c * gain, self._weights[k].copy())
            P = dsyr(-c, gain, lower=1, a=P, overwrite_a=1)
        self._covariance = P

    def _reset_covariance(self) -> None:
        self.n_resets_ += 1
        self.reopen()
        self._weights = np.nan_to_num(self._weights, nan=0.0, posinf=0.0, neginf=0.0)
