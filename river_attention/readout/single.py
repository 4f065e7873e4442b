"""One recursive least squares on all features as a readout."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .inputs import Inputs, padded
from .noise import NoiseVariance
from .rls import RecursiveLeastSquares

Array = NDArray[np.float64]

PRIOR_MEMORY = 0.01
PRIOR_SKIP = 0.03
# squares of errors still fit a float
_LARGEST = 1e100
_NOBODY = np.zeros(0)


class SingleReadout:
    """Recursive least squares on all features, several times cheaper than the mixture.

    Parameters
    ----------
    n_memory
        Number of memory features, which come first.
    forgetting_factor, leak, huber
        Those of the recursive least squares.
    delta
        Prior variance of all weights; None means 0.01 for memory features and 0.03 for the others.
    """

    def __init__(
        self,
        n_memory: int,
        forgetting_factor: float,
        delta: float | None,
        leak: int,
        huber: bool,
    ) -> None:
        self._skip_variance = PRIOR_SKIP if delta is None else delta
        self.rls = RecursiveLeastSquares(
            forgetting_factor,
            np.full(n_memory, PRIOR_MEMORY if delta is None else delta),
            leak=leak,
            huber=huber,
        )
        self.rls.extend(np.full(1, self._skip_variance))
        self._noise = NoiseVariance()

    def extend(self, n_lags: int, n_inputs: int) -> None:
        """Append short lags and inputs."""
        self.rls.extend(np.full(n_lags + n_inputs, self._skip_variance))

    def predict(self, inputs: Inputs) -> tuple[float, Array]:
        """The prediction, and those of experts: none beside it."""
        return min(max(self.rls.predict(inputs.full), -_LARGEST), _LARGEST), _NOBODY

    def named(self, prediction: float, experts: Array) -> dict[str, float]:
        """The predictions of all experts by name."""
        return {"rls": prediction}

    def variance(self, inputs: Inputs) -> float:
        """Variance of the predictive distribution."""
        return self._noise.value * (1.0 + self.rls.spread(inputs.full))

    def update(self, inputs: Inputs, prediction: float, experts: Array, r: float, w: float) -> None:
        """Learn a label, given what was predicted for it."""
        self.rls.update(padded(inputs.full, self.rls.n_features), r, w)
        if w > 0.0:
            self._noise.update(r - prediction)

    def reopen(self) -> None:
        """Get ready to learn quickly again, after a drift."""
        self.rls.reopen()

    def weights(self) -> dict[str, float]:
        """The share of each expert."""
        return {"rls": 1.0}

    def losses(self) -> dict[str, float]:
        """Root of the running mean of squared errors."""
        return {"rls": float(np.sqrt(self._noise.value))}

    @property
    def least_squares(self) -> dict[str, RecursiveLeastSquares]:
        """The recursive least squares by the name of its expert."""
        return {"rls": self.rls}

    def linear(self) -> tuple[RecursiveLeastSquares, float]:
        """The recursive least squares on all features and its share of the prediction."""
        return self.rls, 1.0
