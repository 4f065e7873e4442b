"""How large errors are: a running, winsorised mean of squares."""

from __future__ import annotations

from typing import Any

import numpy as np

RATE = 0.005
_WINSOR = 3.0
_WARMUP = 20
# a run of exact predictions must not winsorise all that follows to 0
_SMALLEST = 1e-12


class NoiseVariance:
    """Running mean of squared errors, of one model or of several side by side.

    Rate max(1/n, 0.005); after 20 errors each is winsorised at three deviations, so that one
    accident does not widen the intervals for hundreds of rows. Before the first error it is 1, the
    scale of a standardised target.

    Parameters
    ----------
    shape
        () for one model, whose errors are floats; else the shape of the errors.

    Examples
    --------
    >>> noise = NoiseVariance()
    >>> for error in (1.0, -1.0, 2.0):
    ...     noise.update(error)
    >>> noise.value
    2.0
    """

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.n = 0
        self.value: Any = np.ones(shape) if shape else 1.0
        # Python's own are several times faster on a float
        self._min: Any = np.minimum if shape else min
        self._max: Any = np.maximum if shape else max

    def update(self, error: Any) -> None:
        """Let the error of one sample join."""
        self.n += 1
        square = error * error
        if self.n > _WARMUP:
            square = self._min(square, _WINSOR * _WINSOR * self.value)
        rate = max(1.0 / self.n, RATE)
        self.value = self._max(self.value + rate * (square - self.value), _SMALLEST)
