r"""Intervals that hold: quantiles of the standardised errors, followed one error at a time.

.. math::

    z_t = e_t / h_t, \qquad
    q_p \leftarrow q_p + \eta_p \bigl(p - [z_t < q_p]\bigr), \qquad
    \eta_p = \frac{0.01}{f(\Phi^{-1}(p))}, \qquad
    h = h_{fast}^{0.7}\, h_{slow}^{0.3}

Each of 13 quantiles, p from 0.005 to 0.995, takes a step up when an error is above it and a step
down when it is below, in such a proportion that it only rests where a share p of the errors is
below: after T errors that share is off by at most the width of the quantile's path over η T,
whatever the stream does (online gradient descent on the pinball loss). Lower and upper quantiles
are followed each for itself, so errors may be skew. f is the density of a normal distribution in
the unit of h: with these steps every quantile follows the last hundred errors or so, at the start
that of a normal distribution.

h is how large errors are just now, known before the error: means of |e| (rates max(1/n, 0.1) and
max(1/n, 0.005)), each error winsorised at 8h after 20. It makes intervals breathe with the stream,
the quantiles make them hold.

Other levels lie between on lines over :math:`\Phi^{-1}(p)`; beyond the last quantile the distance
to the median grows as that of a normal distribution. Quantiles that crossed are sorted when they
are read (Chernozhukov, Fernández-Val, Galichon 2010), so intervals of different levels are nested.

Gibbs, Candès 2021, *Adaptive conformal inference under distribution shift* (arXiv:2106.00170);
Angelopoulos, Candès, Tibshirani 2023, *Conformal PID control for time series prediction*
(arXiv:2307.16895): this is its quantile tracker, on scaled errors.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from .._validation import check_number
from ..moments import WARMUP, running_rate
from ..state import Stateful, Writer

Levels = float | Sequence[float]

PROBABILITIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995)
"""The quantiles that are followed."""

FAST = 0.1
SLOW = 0.005
FAST_SHARE = 0.7
QUANTILE_RATE = 0.01
ERROR_LIMIT = 8.0
SMALLEST_SIZE = 1e-6

_NORMAL = NormalDist()
_MEAN_SIZE = math.sqrt(2.0 / math.pi)
"""Mean size of a standard normal error, the unit of the quantiles."""

_PLACES = [_NORMAL.inv_cdf(p) for p in PROBABILITIES]
_STEPS = [QUANTILE_RATE / (_MEAN_SIZE * _NORMAL.pdf(place)) for place in _PLACES]
UP = [p * step for p, step in zip(PROBABILITIES, _STEPS, strict=True)]
DOWN = [(p - 1.0) * step for p, step in zip(PROBABILITIES, _STEPS, strict=True)]
_MEDIAN = PROBABILITIES.index(0.5)
_LOW, _HIGH = PROBABILITIES.index(0.05), PROBABILITIES.index(0.95)


def check_levels(level: Any) -> tuple[list[float], bool]:
    """Levels in (0, 1) as a list, and whether there was a single one, or ``ValueError``."""
    single = not isinstance(level, (list, tuple))
    levels = [level] if single else level
    return [check_number("level", each, above=0.0, below=1.0) for each in levels], single


class ErrorQuantiles(Stateful):
    """What is known of the size and the shape of errors; see the module for the equations.

    Parameters
    ----------
    overlap
        How many errors in a row share their news, as those of forecasts many steps ahead do: h
        follows them that much slower.

    Attributes
    ----------
    n
        Number of errors seen.
    fast, slow
        Means of |e|.
    quantiles
        The quantiles of e / h at ``PROBABILITIES`` [13], as they are followed: unsorted.

    Examples
    --------
    >>> import numpy as np
    >>> errors = ErrorQuantiles()
    >>> for e in np.random.default_rng(0).exponential(size=3000).tolist():
    ...     errors.update(e - 1.0)
    >>> low, high = errors.intervals([0.9])[0]
    >>> high > -1.3 * low > 0.0
    True
    """

    def __init__(self, overlap: float = 1.0) -> None:
        self._rates = FAST / overlap, SLOW / overlap
        self.n = 0
        self.fast = self.slow = _MEAN_SIZE
        # a list: with so few, arrays would take twice as long
        self.quantiles = [place / _MEAN_SIZE for place in _PLACES]

    def transfer(self, io: Writer, *_: Any) -> None:
        self.n = io.integer("n", self.n)
        self.fast = io.number("fast", self.fast, low=0.0)
        self.slow = io.number("slow", self.slow, low=0.0)
        quantiles = io.array("quantiles", np.array(self.quantiles), len(PROBABILITIES))
        self.quantiles = quantiles.tolist()

    @property
    def size(self) -> float:
        """h, how large the next error will be; that of a standard normal one before the first."""
        return max(self.fast**FAST_SHARE * self.slow ** (1.0 - FAST_SHARE), SMALLEST_SIZE)

    @property
    def deviation(self) -> float:
        """σ of the normal distribution whose central 90 % are as wide as the interval."""
        low, high = self._offsets([0.9])[0]
        return max(self.size * (high - low) / (2.0 * _PLACES[_HIGH]), SMALLEST_SIZE)

    def update(self, error: float, size: float | None = None) -> None:
        """Let an error join.

        Parameters
        ----------
        error
            Truth minus prediction.
        size
            h of the time when the prediction was made; None for that of now.
        """
        now = self.size
        z = error / (now if size is None else size)
        self.quantiles = [
            q + (down if q > z else up)
            for q, up, down in zip(self.quantiles, UP, DOWN, strict=True)
        ]
        self.n += 1
        error = abs(error)
        if self.n > WARMUP:
            error = min(error, ERROR_LIMIT * now)
        fast, slow = self._rates
        self.fast += running_rate(self.n, fast) * (error - self.fast)
        self.slow += running_rate(self.n, slow) * (error - self.slow)

    def intervals(self, levels: Sequence[float]) -> list[tuple[float, float]]:
        """Where the next error lies with these probabilities."""
        size = self.size
        return [(size * low, size * high) for low, high in self._offsets(levels)]

    def _offsets(self, levels: Sequence[float]) -> list[tuple[float, float]]:
        """Quantiles at both ends of central intervals, in units of h."""
        quantiles = sorted(self.quantiles)
        places = [_NORMAL.inv_cdf((1.0 - level) / 2.0) for level in levels]
        return [(_read(quantiles, place), _read(quantiles, -place)) for place in places]


def _read(quantiles: list[float], place: float) -> float:
    """A quantile from sorted ones; not decreasing in its place, to the last bit."""
    if not _PLACES[0] <= place <= _PLACES[-1]:
        end = 0 if place < 0.0 else -1
        median = quantiles[_MEDIAN]
        return median + (quantiles[end] - median) * max(place / _PLACES[end], 1.0)
    i = min(bisect_right(_PLACES, place), len(_PLACES) - 1)
    low, high = quantiles[i - 1], quantiles[i]
    share = (place - _PLACES[i - 1]) / (_PLACES[i] - _PLACES[i - 1])
    return min(low + share * (high - low), high)
