r"""A mixture of experts that trusts whoever predicted best lately.

.. math::

    \hat r = \sum_k p_k \hat r_k, \qquad
    p_k \leftarrow (1 - \alpha)\, \frac{p_k e^{-\eta\, \ell_k}}{\sum_j p_j e^{-\eta\, \ell_j}}
                  + \frac{\alpha}{K}, \qquad
    \ell_k = \min(|r - \hat r_k| / s,\ 10)

Exponential weighting with fixed share: η = 0.3, α = 0.005, weights uniform at first, s the running
mean of the mixture's own absolute error (each winsorised at 4s after 20 samples while s > 0, or one
level shift would make the mixture deaf). The experts are persistence, the running mean, recursive
least squares on the skip features (λ and a faster 1 - 5(1 - λ)), on all features and on long lags,
for every λ, and the six reads of retrieval. All errors are in units of the readout.

Herbster, Warmuth 1998, *Tracking the best expert*; ``shares.py`` has the update.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..moments import Limit, running_rate
from .inputs import Inputs, padded
from .noise import NoiseVariance
from .rls import RecursiveLeastSquares
from .shares import reweighted

Array = NDArray[np.float64]

ETA = 0.3
ETA_LATE = 0.1
PRIOR = 0.1
_LARGEST_LOSS = 10.0
_LARGEST_WEIGHT = 1e6
# squares of errors still fit a float
_RESIDUAL_LIMIT = Limit(1e100)
_FASTER = 5.0
_FASTEST = 0.5
_WINSOR = 4.0
_WARMUP = 20


class _Linear(NamedTuple):
    part: str
    rls: RecursiveLeastSquares


class Mixture:
    """The mixture as a readout; see the module for the equations.

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
    leak, huber
        Those of the recursive least squares.
    eta
        η; None means 0.3. Labels that come late are noisier news of who is right: 0.1.
    """

    def __init__(
        self,
        n_memory: int,
        n_long: int,
        reads: tuple[str, ...],
        forgetting_factors: tuple[float, ...],
        delta: float | None,
        leak: int,
        huber: bool,
        eta: float | None = None,
    ) -> None:
        self._eta = eta
        self._variance = PRIOR if delta is None else delta
        self._linear: dict[str, _Linear] = {}
        sizes = {"skip": 1, "full": n_memory + 1, "long": n_long + 1}
        for factor in forgetting_factors:
            # rounded, or two ways to the same factor would make two experts of it
            faster = round(max(1.0 - _FASTER * (1.0 - factor), _FASTEST), 12)
            candidates = [
                ("skip", factor),
                *([("skip", faster)] if faster < factor else []),
                *([("full", factor)] if n_memory else []),
                *([("long", factor)] if n_long else []),
            ]
            for part, value in candidates:
                rls = RecursiveLeastSquares(
                    value, np.full(sizes[part], self._variance), leak=leak, huber=huber
                )
                self._linear.setdefault(f"{part} {value:.12g}", _Linear(part, rls))
        self.names = ["persistence", "mean", *self._linear, *reads]
        self._weights = np.full(len(self.names), 1.0 / len(self.names))
        self._losses = np.zeros(len(self.names))
        self._noise = NoiseVariance()
        self._n = 0
        self._n_losses = 0
        self._scale = 0.0

    @property
    def n_experts(self) -> int:
        """Number of experts K."""
        return len(self.names)

    def extend(self, n_lags: int, n_inputs: int) -> None:
        """Append short lags (not for the experts on long ones) and inputs."""
        for part, rls in self._linear.values():
            rls.extend(np.full(n_inputs + (0 if part == "long" else n_lags), self._variance))

    def predict(self, inputs: Inputs) -> tuple[float, Array]:
        """The prediction, and those of all experts [K]."""
        experts = np.array(
            [
                inputs.last,
                inputs.mean,
                *[rls.predict(getattr(inputs, part)) for part, rls in self._linear.values()],
                *inputs.reads.tolist(),
            ]
        )
        _RESIDUAL_LIMIT.apply(experts)
        return float(self._weights.dot(experts)), experts

    def variance(self, inputs: Inputs) -> float:
        """Variance of the predictive distribution: σ² (1 + Σ p_k φ'P_k φ).

        σ² is the variance of the mixture's own errors, which hold the noise and the disagreement of
        its experts as they partly cancel; the rest is the uncertainty of their weights.
        """
        spread = sum(
            share * rls.spread(getattr(inputs, part))
            for share, (part, rls) in zip(
                self._weights[2:].tolist(), self._linear.values(), strict=False
            )
        )
        return self._noise.value * (1.0 + spread)

    def named(self, prediction: float, experts: Array) -> dict[str, float]:
        """The predictions of all experts by name."""
        return dict(zip(self.names, experts.tolist(), strict=True))

    def update(self, inputs: Inputs, prediction: float, experts: Array, r: float, w: float) -> None:
        """Learn a label, given what the experts predicted for it."""
        for part, rls in self._linear.values():
            rls.update(padded(getattr(inputs, part), rls.n_features), r, w)
        if w > 0.0:
            self._learn_shares(experts, r, w)

    def _learn_shares(self, experts: Array, r: float, w: float) -> None:
        errors = np.abs(experts - r)
        size = abs(float(self._weights.dot(experts)) - r)
        self._noise.update(size)
        scale = self._scale
        self._n += 1
        if scale > 0.0:
            losses = np.minimum(errors, _LARGEST_LOSS * scale) / scale
            self._n_losses += 1
            self._losses += running_rate(self._n_losses) * (losses - self._losses)
            weighted = np.minimum(losses * min(w, _LARGEST_WEIGHT), _LARGEST_LOSS)
            eta = ETA if self._eta is None else self._eta
            self._weights = reweighted(self._weights, weighted, eta)
            if self._n > _WARMUP:
                size = min(size, _WINSOR * scale)
        self._scale += running_rate(self._n) * (size - self._scale)

    def reopen(self) -> None:
        """Trust all experts alike again and let them learn quickly, after a drift."""
        self._weights = np.full(len(self.names), 1.0 / len(self.names))
        for _, rls in self._linear.values():
            rls.reopen()

    def weights(self) -> dict[str, float]:
        """The share of each expert."""
        return dict(zip(self.names, self._weights.tolist(), strict=True))

    def losses(self) -> dict[str, float]:
        """Running mean of the loss of each expert, in units of the mixture's own error."""
        return dict(zip(self.names, self._losses.tolist(), strict=True))

    @property
    def least_squares(self) -> dict[str, RecursiveLeastSquares]:
        """The linear experts by name."""
        return {name: rls for name, (_, rls) in self._linear.items()}

    def linear(self) -> tuple[RecursiveLeastSquares, float] | None:
        """The first expert on all features and its share of the prediction, if there is one."""
        for name, (part, rls) in self._linear.items():
            if part == "full":
                return rls, self.weights()[name]
        return None
