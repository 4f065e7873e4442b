r"""How large errors usually are, whatever accident happens: winsorised running means.

A value counts as at most a multiple of the scale before it, once 20 values are known
(:data:`WARMUP`) and while the scale is not 0: one accident must not widen intervals, silence a
mixture or open the door to all errors for hundreds of rows.

Huber 1964, *Robust estimation of a location parameter*.
"""

from __future__ import annotations

from typing import Any

from ..moments import WARMUP, running_rate
from ..state import Stateful, Writer

SQUARE_LIMIT = 1e100
"""Largest residual in units of a scale: squares of it still fit a float64."""

ROBUST_RATE = 0.005
SMALLEST_NOISE = 1e-12


class RobustMean(Stateful):
    """Running mean of sizes, each winsorised at four means; rate max(1/n, 0.001).

    Examples
    --------
    >>> scale = RobustMean()
    >>> for size in [1.0] * 30 + [1e6]:
    ...     scale.update(size)
    >>> round(scale.value, 2)
    1.1
    """

    def __init__(self) -> None:
        self.n = 0
        self.value = 0.0

    def transfer(self, io: Writer, *_: Any) -> None:
        self.n = io.integer("n", self.n)
        self.value = io.number("value", self.value, low=0.0)

    def update(self, size: float) -> None:
        """Let a size join, at least 0."""
        self.n += 1
        if self.n > WARMUP and self.value > 0.0:
            size = min(size, 4.0 * self.value)
        self.value += running_rate(self.n) * (size - self.value)


class HuberScale(Stateful):
    r"""The s of the Huber weight :math:`\omega = \min(1, s/|e|)`.

    An exponentially weighted mean of :math:`|e|` (rate max(1/n, 0.005), winsorised at 4s), never
    below a quarter of a slower mean (rate max(1/n, 0.001), winsorised at 10 000 s): without that
    floor a run of exact zeros locks s at 0 and nothing is ever learned again.
    """

    def __init__(self) -> None:
        self.n = 0
        self.fast = 0.0
        self.slow = 0.0

    def transfer(self, io: Writer, *_: Any) -> None:
        self.n = io.integer("n", self.n)
        self.fast = io.number("fast", self.fast, low=0.0)
        self.slow = io.number("slow", self.slow, low=0.0)

    def weight(self, size: float) -> float:
        """Huber weight of an error of this size, from the errors before it, which it joins."""
        scale = max(self.fast, 0.25 * self.slow)
        weight = 1.0 if self.n == 0 or size <= scale else scale / size
        self.n += 1
        settled = self.n > WARMUP and scale > 0.0
        if settled:
            size = min(size, 1e4 * scale)
        self.slow += running_rate(self.n) * (size - self.slow)
        if settled:
            size = min(size, 4.0 * scale)
        self.fast += running_rate(self.n, ROBUST_RATE) * (size - self.fast)
        return weight


class NoiseVariance(Stateful):
    """Running mean of squared errors, winsorised at three deviations; rate max(1/n, 0.005).

    Before the first error it is 1, the scale of a standardised target.

    Examples
    --------
    >>> noise = NoiseVariance()
    >>> for error in (1.0, -1.0, 2.0):
    ...     noise.update(error)
    >>> noise.value
    2.0
    """

    def __init__(self) -> None:
        self.n = 0
        self.value = 1.0

    def transfer(self, io: Writer, *_: Any) -> None:
        self.n = io.integer("n", self.n)
        self.value = io.number("value", self.value, low=0.0)

    def update(self, error: float) -> None:
        """Let the error of one sample join."""
        self.n += 1
        square = error * error
        if self.n > WARMUP:
            square = min(square, 9.0 * self.value)
        # a run of exact predictions must not winsorise all that follows to 0
        mean = self.value + running_rate(self.n, ROBUST_RATE) * (square - self.value)
        self.value = max(mean, SMALLEST_NOISE)
