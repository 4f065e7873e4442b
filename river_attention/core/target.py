r"""The target in units that a readout can learn: prior, robust scale, lags, guard.

With the prior "persistence" the readout learns steps,

.. math::

    r_t = (y_t - y_{t-1}) / s_r, \qquad s_r = \min(s_y,\ 5 s_\Delta),

s_y the running deviation of past targets and :math:`s_\Delta` a robust step size: the running mean
of :math:`|y_t - y_{t-1}|` (rate max(1/n, 0.001)), each winsorised at :math:`4 s_\Delta` after 20
differences while :math:`s_\Delta > 0`. Zeros before the first step that is none do not count:
after a long constant start the scale would begin at a fraction of a step and grow under the weights
learned meanwhile. With :math:`s_y` alone one level shift would multiply the
effect of every weight. With the prior "mean" the running mean takes the place of
:math:`y_{t-1}`, with "zero" nothing does.

For retrieval, :math:`\Delta_t = (y_{t-1} - y_{t-2})` over the running (centred) deviation of the
differences, clipped at ±3.

Predictions are limited to the range of targets seen so far, widened by its own width on both
sides.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import LIMIT, check_choice
from ..moments import (
    TINY,
    ForgettingRate,
    Limit,
    deviation,
    running_rate,
    update_moments,
    winsorised,
)
from ..readout.intervals import ErrorQuantiles
from ..readout.robust import SQUARE_LIMIT, RobustMean
from ..state import Stateful, Writer

Array = NDArray[np.float64]

PRIORS = ("persistence", "mean", "zero")
LAG_LIMIT = 3.0
_NOTHING = np.zeros(0)
_LAG_LIMIT = Limit(LAG_LIMIT)
STEPS_PER_SCALE = 5.0
_WIDE = 1000.0


class Target(Stateful):
    """What is known of the target so far; see the module for the equations.

    Parameters
    ----------
    prior
        "persistence", "mean" or "zero": what is predicted when the readout says 0.
    n_lags
        Number of past targets kept as features.
    for_retrieval
        Whether to follow the standardised differences.
    differences
        Which lags the history compares with the last target, each below ``n_lags``.

    Attributes
    ----------
    n
        Number of targets seen.
    anchor
        What is predicted when the readout says 0.
    scale
        s_r, the unit of the readout's target; 0 until two different targets were seen.
    last
        The last target, None if there is none (since ``forget_stream``).
    delta
        The last difference of the target, standardised and clipped at ±3; 0 if there is none.
    low, high
        The smallest and the largest target.
    step_size
        s_Δ, a running mean.
    lags
        Standardised past targets [n_lags], the latest first, clipped at ±3. Missing ones are the
        oldest one available; all are 0 while every target was the same.

    Examples
    --------
    >>> target = Target("persistence", n_lags=2)
    >>> for y in (1.0, 3.0, 2.0):
    ...     target.update(y)
    >>> target.anchor, round(target.scale, 3), target.lags.round(3)
    (2.0, 0.816, array([0.   , 1.225]))
    >>> round(target.residual(2.5), 3), round(target.restore(0.612), 3)
    (0.612, 2.5)
    """

    def __init__(
        self,
        prior: str = "persistence",
        n_lags: int = 6,
        for_retrieval: bool = True,
        differences: Sequence[int] = (),
    ) -> None:
        self._for_retrieval = for_retrieval
        # which of the lags the history holds, the last target first
        self._in_history = [0, *differences] if differences else []
        self.prior = check_choice("prior", prior, PRIORS)
        self.n = 0
        self.anchor = 0.0
        self.scale = 0.0
        self.last: float | None = None
        self.lags = np.zeros(n_lags)
        self.delta = 0.0
        self._raw_lags = np.zeros(n_lags)
        self._floor = ForgettingRate()
        self._difference_floor = ForgettingRate()
        self._n_differences = 0
        self._difference_mean = 0.0
        self._difference_variance = 0.0
        self._mean = 0.0
        self._variance = 0.0
        self._spread = 0.0
        self.step_size = RobustMean()
        self.low = math.inf
        self.high = -math.inf

    def residual(self, y: float, anchor: float | None = None) -> float:
        """The label in the units of the readout, r; from another anchor if one is given."""
        r = (y - (self.anchor if anchor is None else anchor)) / self.scale
        return min(max(r, -SQUARE_LIMIT), SQUARE_LIMIT)

    def restore(self, r: float) -> float:
        """A prediction of the readout in the units of the target, limited by the guard."""
        if self.n == 0:
            return 0.0
        width = self.high - self.low
        prediction = self.anchor + self.scale * r
        if prediction != prediction:
            prediction = self.anchor
        return min(max(prediction, self.low - width), self.high + width)

    def update(self, y: float) -> None:
        """A target becomes known and the past."""
        self.n += 1
        delta = winsorised(y - self._mean, self._spread, self.n)
        floor = self._floor.update(delta, self._mean, self._variance, self.n, True)
        rate = running_rate(self.n, floor)
        self._mean, self._variance = update_moments(self._mean, self._variance, delta, rate)
        if self.last is None:
            self._raw_lags[:] = y
        else:
            if self._for_retrieval:
                self._measure_difference(y - self.last)
            step = abs(y - self.last)
            if self.step_size.n or step:
                self.step_size.update(step)
            if len(self.lags):
                self._raw_lags[1:] = self._raw_lags[:-1]
                self._raw_lags[0] = y
        self.last = y
        self.low = min(self.low, y)
        self.high = max(self.high, y)
        self._derive()

    def _derive(self) -> None:
        """What follows from the rest: scale, anchor, lags."""
        spread = self._spread = deviation(self._variance)
        self.scale = min(spread, STEPS_PER_SCALE * self.step_size.value)
        if self.scale <= TINY:
            self.scale = 0.0
        self._set_anchor()
        if not len(self.lags):
            pass
        elif spread > 0.0 and self.last is not None:
            lags = self._raw_lags - self._mean
            lags /= spread
            _LAG_LIMIT.apply(lags)
            self.lags = lags
        else:
            self.lags = np.zeros_like(self.lags)

    def transfer(self, io: Writer, *_: Any) -> None:
        self.n = io.integer("n", self.n)
        last = io.number("last", math.nan if self.last is None else self.last, finite=False)
        self.last = None if last != last else last
        self.delta = io.number("delta", self.delta, low=-LAG_LIMIT)
        self._mean = io.number("mean", self._mean)
        self._variance = io.number("variance", self._variance, low=0.0)
        self.low = io.number("low", self.low, finite=self.n > 0)
        self.high = io.number("high", self.high, finite=self.n > 0)
        self._n_differences = io.integer("n_differences", self._n_differences)
        self._difference_mean = io.number("difference_mean", self._difference_mean)
        self._difference_variance = io.number(
            "difference_variance", self._difference_variance, low=0.0
        )
        self._raw_lags = io.array("lags", self._raw_lags, len(self.lags))
        self._floor = io.child("floor", self._floor)
        self._difference_floor = io.child("difference_floor", self._difference_floor)
        self.step_size = io.child("step_size", self.step_size)
        if io.reading:
            in_range = self.last is None or self.low <= self.last <= self.high
            io.check(
                in_range and (not self.n or self.low <= self.high), "last, low, high: no range"
            )
            self._derive()

    def forget_stream(self) -> None:
        """Forget the last targets; mean, scale and range stay."""
        self.last = None
        self.delta = 0.0
        self.lags = np.zeros_like(self.lags)
        self._set_anchor()

    @property
    def in_units(self) -> tuple[float, float]:
        """Last target and running mean in the units of the readout; 0 while they have none."""
        if self.scale == 0.0:
            return 0.0, 0.0
        last = self._mean if self.last is None else self.last
        return self.residual(last), self.residual(self._mean)

    @property
    def history(self) -> Array:
        """The last target, and how earlier ones differ from it; NaN while there is none."""
        if not self._in_history:
            return _NOTHING
        if self.last is None:
            return np.full(len(self._in_history), math.nan)
        seen = self._raw_lags[self._in_history]
        seen[1:] -= seen[:1]
        return seen

    @property
    def ignorance(self) -> float:
        """Variance of a prediction while nothing can be learned: wide, whatever the unit."""
        return (_WIDE * max(1.0, abs(self.anchor))) ** 2

    @property
    def size(self) -> float:
        """How large targets are: size of the running mean, plus two running deviations."""
        return abs(self._mean) + 2.0 * self._spread

    def around(
        self, centre: float, errors: ErrorQuantiles, levels: Sequence[float], widening: float = 1.0
    ) -> list[tuple[float, float]]:
        """Intervals around a prediction, within ±1e150; wide while nothing can be learned.

        Parameters
        ----------
        centre
            The prediction.
        errors
            What is known of its errors, in units of the scale.
        levels
            How probable the target is within each.
        widening
            What the errors are multiplied by.
        """
        unit = self.scale * widening
        if self.scale == 0.0:
            unit, errors = math.sqrt(self.ignorance) * widening, ErrorQuantiles()
        return [
            (_within(centre + unit * low), _within(centre + unit * high))
            for low, high in errors.intervals(levels)
        ]

    def limits(self, room: Array) -> tuple[Array, Array]:
        """The range of the targets so far, widened on both sides by ``room`` times its width."""
        room = (self.high - self.low) * room
        return self.low - room, self.high + room

    def branch(self) -> Target:
        """A copy that goes its own way."""
        branch = copy.copy(self)
        branch.step_size = copy.copy(self.step_size)
        branch._floor = copy.copy(self._floor)
        branch._difference_floor = copy.copy(self._difference_floor)
        branch._raw_lags = self._raw_lags.copy()
        return branch

    def _measure_difference(self, difference: float) -> None:
        self._n_differences += 1
        mean, variance, n = self._difference_mean, self._difference_variance, self._n_differences
        delta = winsorised(difference - mean, deviation(variance), n)
        floor = self._difference_floor.update(delta, mean, variance, n, True)
        self._difference_mean, self._difference_variance = update_moments(
            mean, variance, delta, running_rate(n, floor)
        )
        spread = deviation(self._difference_variance)
        if spread > 0.0:
            self.delta = min(max(difference / spread, -LAG_LIMIT), LAG_LIMIT)
        else:
            self.delta = 0.0

    def _set_anchor(self) -> None:
        if self.prior == "zero":
            self.anchor = 0.0
        elif self.prior == "persistence" and self.last is not None:
            self.anchor = self.last
        else:
            self.anchor = self._mean


def _within(y: float) -> float:
    """What a target is clipped to."""
    return min(max(y, -LIMIT), LIMIT)
