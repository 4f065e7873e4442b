"""How large errors are: a running, winsorised mean of squares."""

from __future__ import annotations

from typing import Any

import numpy as np

RATE = 0.005
_WINSOR = 3.0
_WARMUP = 20


class NoiseVariance:
    """Running mean of squared errors, of one model [] or of several side by side [K].

    Rate max(1/n, 0.005); after 20 errors each is winsorised at three deviations, so that one
    accident does not widen the intervals for hundreds of rows. Before the first error it is 1, the
    scale of a standardised target.

    Examples
    --------
    >>> noise = NoiseVariance()
    >>> for error in (1.0, -1.0, 2.0):
    ...     noise.update(error)
    >>> float(noise.value)
    2.0
    """

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.n = 0
        self.value: Any = np.ones(shape)

    def update(self, error: Any) -> None:
        """Let the errors of one sample join."""
        self.n += 1
        square = error * error
        if self.n > _WARMUP:
            square = np.minimum(square, _WINSOR * _WINSOR * self.value)
        # a floor, or a run of exact predictions would winsorise all that follows to 0
        self.value = np.maximum(self.value + max(1.0 / self.n, RATE) * (square - self.value), 1e-12)
