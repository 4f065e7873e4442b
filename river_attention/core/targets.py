"""Several targets in units that a readout can learn: the equations of ``target.py`` on arrays.

A row of the arrays is a target. Means and deviations of the targets and of their differences are
columns of one :class:`RunningMoments`, in which a target that is missing is a value that is
missing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._validation import check_choice
from ..moments import TINY, RunningMoments
from ..readout.robust import SQUARE_LIMIT, RobustMean
from ..state import Stateful, Writer
from .target import LAG_LIMIT, PRIORS, STEPS_PER_SCALE

Array = NDArray[np.float64]


def _clipped(values: Array, limit: float) -> Array:
    return np.minimum(np.maximum(values, -limit), limit)


class Targets(Stateful):
    """What is known of m targets so far; see :class:`Target` for the meaning of everything.

    Parameters
    ----------
    prior
        "persistence", "mean" or "zero": what is predicted when the readout says 0.
    n_lags
        Number of past values kept of each.

    Attributes
    ----------
    anchor, scale, delta
        As those of :class:`Target` [m].
    last
        The last value of each [m], NaN if there is none (since ``forget_stream``).
    past
        Past values as they were [m, n_lags], the latest first.
    lags
        The same standardised and clipped at ±3.
    low, high
        The smallest and the largest value of each [m].

    Examples
    --------
    >>> import numpy as np
    >>> targets = Targets("persistence", n_lags=2)
    >>> targets.add(2)
    >>> for row in ([1.0, 5.0], [3.0, np.nan], [2.0, 6.0]):
    ...     targets.update(np.array(row))
    >>> targets.anchor, targets.scale.round(3)
    (array([2., 6.]), array([0.816, 0.5  ]))
    >>> targets.lags.round(3)
    array([[ 0.   ,  1.225],
           [ 1.   , -1.   ]])
    """

    def __init__(self, prior: str = "persistence", n_lags: int = 6) -> None:
        self.prior = check_choice("prior", prior, PRIORS)
        self.last: Array = np.zeros(0)
        self.low: Array = np.zeros(0)
        self.high: Array = np.zeros(0)
        self.delta: Array = np.zeros(0)
        self.past: Array = np.zeros((0, n_lags))
        self.step_sizes: list[RobustMean] = []
        # of each target two columns: its values and their differences
        self.moments = RunningMoments()
        self._derive()

    def __len__(self) -> int:
        return len(self.last)

    def add(self, n: int) -> None:
        """Targets that were never seen; ``update`` has to follow at once."""
        self.last = np.concatenate([self.last, np.full(n, np.nan)])
        self.low = np.concatenate([self.low, np.full(n, np.inf)])
        self.high = np.concatenate([self.high, np.full(n, -np.inf)])
        self.delta = np.concatenate([self.delta, np.zeros(n)])
        self.past = np.concatenate([self.past, np.zeros((n, self.past.shape[1]))])
        self.step_sizes = [*self.step_sizes, *(RobustMean() for _ in range(n))]
        self.moments.append(2 * n)

    def update(self, values: Array) -> None:
        """Values become known and the past [m]; NaN for a target that is missing."""
        seen = values == values
        difference = values - self.last
        moved = difference == difference
        columns = np.empty(2 * len(values))
        columns[0::2], columns[1::2] = values, difference
        all_moved = bool(moved.all())
        self.moments.update(columns, complete=all_moved)
        delta = _clipped(difference / self.moments.divisor[1::2], LAG_LIMIT)
        if all_moved:
            self.delta, self.last = delta, values
            self.past[:, 1:] = self.past[:, :-1]
            self.past[:, :1] = values[:, None]
        else:
            self.delta = np.where(moved, delta, self.delta)
            self.last = np.where(seen, values, self.last)
            self.past[moved, 1:] = self.past[moved, :-1]
            self.past[moved, :1] = values[moved, None]
            first = seen & ~moved
            self.past[first] = values[first, None]
        for j, step in enumerate(np.abs(difference).tolist()):
            size = self.step_sizes[j]
            if step == step and (size.n or step):
                size.update(step)
        self.low, self.high = np.fmin(self.low, values), np.fmax(self.high, values)
        self._derive()

    def _derive(self) -> None:
        """What follows from the rest: scale, anchor, lags."""
        self.mean: Array = self.moments.mean[0::2]
        divisor = self.moments.divisor[0::2]
        steps = np.array([size.value for size in self.step_sizes])
        scale = np.minimum(divisor, STEPS_PER_SCALE * steps)
        self.scale: Array = scale * ((scale > TINY) & (divisor < np.inf))
        lags = self.past - self.mean[:, None]
        lags /= divisor[:, None]
        np.maximum(lags, -LAG_LIMIT, out=lags)
        np.minimum(lags, LAG_LIMIT, out=lags)
        self.known: NDArray[np.bool_] = self.last == self.last
        if not self.known.all():
            lags[~self.known] = 0.0
        self.lags: Array = lags
        if self.prior == "zero":
            self.anchor: Array = np.zeros(len(self))
        elif self.prior == "persistence":
            self.anchor = np.where(self.known, self.last, self.mean)
        else:
            self.anchor = self.mean

    def transfer(self, io: Writer, *arguments: int) -> None:
        """``arguments``: number of targets."""
        m = arguments[0] if arguments else len(self)
        known = io.array("known", self.known.astype(np.float64), m, low=0.0) > 0.0
        last = io.array("last", np.where(self.known, self.last, 0.0), m)
        self.last = np.where(known, last, np.nan)
        self.low = io.array("low", self.low, m)
        self.high = io.array("high", self.high, m)
        self.delta = io.array("delta", self.delta, m, low=-LAG_LIMIT)
        self.past = io.array("past", self.past, m, self.past.shape[1])
        self.moments = io.child("moments", self.moments, 2 * m)
        sizes = [RobustMean() for _ in range(m)] if io.reading else self.step_sizes
        self.step_sizes = [io.child(f"step_size {j}", size) for j, size in enumerate(sizes)]
        if io.reading:
            in_range = (self.low <= self.last) & (self.last <= self.high)
            in_range |= (self.last != self.last) & (self.low <= self.high)
            io.check(bool(in_range.all()), "last, low, high: no range")
            self._derive()

    def forget_stream(self) -> None:
        """Forget the last values; means, scales and ranges stay."""
        self.last = np.full(len(self), np.nan)
        self.delta = np.zeros(len(self))
        self._derive()

    def residuals(self, values: Array, anchors: Array) -> Array:
        """Labels in the units of the readout, r [m]; 0 for a target without a scale."""
        known = self.scale > 0.0
        r = (values - anchors) / np.where(known, self.scale, 1.0)
        return _clipped(r * known, SQUARE_LIMIT)

    def restore(self, r: Array) -> Array:
        """Predictions of the readout in the units of the targets, limited by the guard [m]."""
        width = self.high - self.low
        prediction = self.anchor + self.scale * r
        prediction = np.where(prediction == prediction, prediction, self.anchor)
        return np.minimum(np.maximum(prediction, self.low - width), self.high + width)

    @property
    def in_units(self) -> tuple[Array, Array]:
        """Last values and running means in the units of the readout [m]; 0 without a scale."""
        last = np.where(self.known, self.last, self.mean)
        return self.residuals(last, self.anchor), self.residuals(self.mean, self.anchor)
