r"""Forecasts of many steps: how experts of every step ahead are mixed, and what is known of errors.

.. math::

    \hat y_{t+h} = \sum_k p_{hk}\, \hat y_{t+h,k}, \qquad
    p_{hk} \propto p_{hk}\, e^{-\eta\, \ell_{hk}} \text{ with fixed share}, \qquad
    \ell_{hk} = \min\Bigl(\frac{|y_{t+h} - \hat y_{t+h,k}|}{\max(s_h, \tilde e_h)},\ 10\Bigr)

with s_h the root of the running mean of the mixture's own squared errors h steps ahead
(:class:`~river_attention.readout.robust.NoiseVariance`) and ẽ_h the median of the errors of the
experts. Quantiles and sizes of the errors are those of
:class:`~river_attention.readout.ErrorQuantiles`, for all steps at once.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..moments import TINY, WARMUP, running_rate
from ..readout.intervals import (
    DOWN,
    ERROR_LIMIT,
    FAST,
    FAST_SHARE,
    SLOW,
    SMALLEST_SIZE,
    UP,
    ErrorQuantiles,
)
from ..readout.robust import ROBUST_RATE, SMALLEST_NOISE, SQUARE_LIMIT, NoiseVariance
from ..readout.shares import reweighted
from ..state import Stateful, Writer

Array = NDArray[np.float64]

ETAS = 0.1, 0.4
"""η of the shares, from origins at first, and from fewer."""

_LARGEST_LOSS = 10.0
_FIRST = 1000
_SPARSELY = 8
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


class Origins:
    """The steps from which forecasts are put to the test.

    Each of the first 1000, then an eighth of them: with what comes after, errors of neighbours
    share most of their news. o is taken where the fraction of o times the golden ratio is below
    1/8, so that in any season every phase has its turn (Weyl 1916, *Über die Gleichverteilung von
    Zahlen mod. Eins*).

    Parameters
    ----------
    at_least
        No more than one of so many, from the first on.

    Attributes
    ----------
    spacings
        How far they are apart on average, at first and later.

    Examples
    --------
    >>> origins = Origins()
    >>> [o for o in range(998, 1040) if o in origins]
    [998, 999, 1000, 1005, 1013, 1021, 1026, 1034]
    >>> origins.spacings, origins.are_sparse(1000)
    ((1, 8), True)
    """

    def __init__(self, at_least: int = 1) -> None:
        self.spacings = at_least, max(_SPARSELY, at_least)

    def __contains__(self, origin: int) -> bool:
        return origin * _GOLDEN % 1.0 < 1.0 / self.spacings[self.are_sparse(origin)]

    @staticmethod
    def are_sparse(origin: int) -> bool:
        """Whether there were so many that fewer do."""
        return origin >= _FIRST


class ErrorsAhead(Stateful):
    """Shares of K experts and what is known of the errors, for each of H steps ahead.

    The arrays are written in place, by the compiled core as well.

    Parameters
    ----------
    n_steps, n_experts
        H and K.
    spacings
        How far origins are apart, at first and later: how many errors in a row share their news
        depends on it.

    Attributes
    ----------
    n
        How many forecasts met their targets.
    shares
        Share of each expert [H, K].
    squares
        Running mean of squared errors [H].
    fast, slow, size, quantiles
        Those of :class:`ErrorQuantiles` [H], [H, 13].

    Examples
    --------
    >>> import numpy as np
    >>> known = ErrorsAhead(n_steps=2, n_experts=2)
    >>> truth, expected = np.zeros(2), known.size.copy()
    >>> experts = np.array([[0.1, 0.1], [1.0, 1.0]])
    >>> for _ in range(20):
    ...     known.learn(experts, experts.mean(axis=0), truth, 1.0, expected)
    >>> bool((known.shares[:, 0] > 0.7).all()), known.squares.round(2)
    (True, array([0.3, 0.3]))
    """

    def __init__(self, n_steps: int, n_experts: int, spacings: tuple[int, int] = (1, 8)) -> None:
        self.n = 0
        self.shares = np.full((n_steps, n_experts), 1.0 / n_experts)
        self.squares = np.ones(n_steps)
        steps = np.arange(1, n_steps + 1)
        self._rates = [
            np.outer(1.0 / np.maximum(1.0, steps / spacing), [FAST, SLOW]) for spacing in spacings
        ]
        one = ErrorQuantiles()
        self.fast, self.slow = np.full(n_steps, one.fast), np.full(n_steps, one.slow)
        self.quantiles = np.tile(one.quantiles, (n_steps, 1))
        self.size = self._measured()
        self.up, self.down = np.array(UP), np.array(DOWN)

    def __len__(self) -> int:
        return len(self.squares)

    def transfer(self, io: Writer, *_: object) -> None:
        n = len(self)
        self.shares = io.array("shares", self.shares, *self.shares.shape, low=0.0)
        totals = self.shares.sum(axis=1)
        io.check(bool((np.abs(totals - 1.0) < 1e-3).all()), "shares do not sum to 1")
        noise, errors = io.below("noise"), io.below("errors")
        noises = [noise.child(str(h), self._noise(h)) for h in range(n)]
        quantiles = [errors.child(str(h), self.quantiles_of(h)) for h in range(n)]
        # follows from the others, but to the last bit from whoever took the powers
        self.size = io.array("size", self.size, n, low=SMALLEST_SIZE)
        if io.reading:
            counts = {*(one.n for one in noises), *(one.n for one in quantiles)}
            io.check(len(counts) == 1, "noise and errors are not of as many forecasts")
            self.n = counts.pop()
            self.squares = np.array([one.value for one in noises])
            self.fast = np.array([one.fast for one in quantiles])
            self.slow = np.array([one.slow for one in quantiles])
            self.quantiles = np.array([one.quantiles for one in quantiles])

    def pace(self, sparse: bool) -> tuple[float, Array]:
        """η, and the rates of ``fast`` and ``slow`` [H, 2], where origins are sparse or not."""
        return ETAS[sparse], self._rates[sparse]

    def quantiles_of(self, h: int) -> ErrorQuantiles:
        """What is known of the errors h + 1 steps ahead."""
        errors = ErrorQuantiles()
        errors.n, errors.quantiles = self.n, self.quantiles[h].tolist()
        errors.fast, errors.slow = float(self.fast[h]), float(self.slow[h])
        return errors

    def _noise(self, h: int) -> NoiseVariance:
        noise = NoiseVariance()
        noise.n, noise.value = self.n, float(self.squares[h])
        return noise

    def _measured(self) -> Array:
        """How large the next errors will be [H]."""
        size: Array = self.fast**FAST_SHARE * self.slow ** (1.0 - FAST_SHARE)
        return np.maximum(size, SMALLEST_SIZE)

    def learn(
        self,
        experts: Array,
        mixed: Array,
        truth: Array,
        scale: float,
        expected: Array,
        sparse: bool = False,
    ) -> None:
        """Targets met their forecasts.

        Parameters
        ----------
        experts
            What was forecast by each [K, H].
        mixed
            What the mixture made of it [H].
        truth
            The targets [H].
        scale
            The unit of the errors.
        expected
            ``size`` when the forecasts were made [H].
        sparse
            Whether few origins are scored: shares learn faster then.
        """
        eta, rates = self.pace(sparse)
        errors = np.minimum(np.abs(experts - truth) / scale, SQUARE_LIMIT).T
        unit = np.median(errors, axis=1)
        if self.n:
            unit = np.maximum(unit, np.sqrt(self.squares))
        # not 0, where most of the experts are exact the first time
        unit = np.maximum(unit, TINY)[:, np.newaxis]
        losses = np.minimum(errors, _LARGEST_LOSS * unit) / unit
        self.shares[:] = reweighted(self.shares, losses, eta)
        self.n += 1
        missed = np.clip((truth - mixed) / scale, -SQUARE_LIMIT, SQUARE_LIMIT)
        self._learn_noise(missed * missed)
        self._learn_quantiles(missed, expected, rates)

    def _learn_noise(self, squares: Array) -> None:
        if self.n > WARMUP:
            squares = np.minimum(squares, 9.0 * self.squares)
        rate = running_rate(self.n, ROBUST_RATE)
        mean = self.squares + rate * (squares - self.squares)
        self.squares[:] = np.maximum(mean, SMALLEST_NOISE)

    def _learn_quantiles(self, missed: Array, expected: Array, rates: Array) -> None:
        z = (missed / expected)[:, np.newaxis]
        self.quantiles += np.where(self.quantiles > z, self.down, self.up)
        sizes = np.abs(missed)
        if self.n > WARMUP:
            sizes = np.minimum(sizes, ERROR_LIMIT * self.size)
        fast, slow = np.maximum(rates, 1.0 / self.n).T
        self.fast += fast * (sizes - self.fast)
        self.slow += slow * (sizes - self.slow)
        self.size[:] = self._measured()


def experts_ahead(
    recursive: Array, changes: Array | None, past: Array, season: int | None
) -> Array:
    """What every expert forecasts [K, H].

    The last value, the recursive forecast, what retrieval says, the median of these, and with a
    season the value of a whole number of seasons ago, without and with drift.

    Parameters
    ----------
    recursive
        Predictions that took each other for targets [H].
    changes
        Changes from the last target that followed steps like the one at the origin [H]; None
        without retrieval.
    past
        Past targets, the latest last, at least one.
    season
        Number of steps in a season; None for none.
    """
    n_steps = len(recursive)
    experts = [np.full(n_steps, past[-1]), recursive]
    if changes is not None:
        experts.append(past[-1] + changes)
    experts.append(np.median(experts, axis=0))
    if season:
        experts.extend(_seasonal(past, season, n_steps))
    return np.array(experts)


def changes_ahead(weights: Array, past: Array, n_steps: int) -> Array:
    """The change from the last target that followed steps with these weights [n_steps]."""
    n, changes = len(weights), np.zeros(n_steps)
    y = past[-(n + 1) :]
    for h in range(min(n_steps, n)):
        known = weights[: n - h]
        changes[h] = known.dot(y[1 + h :] - y[: n - h]) / known.sum()
    return changes


def _seasonal(past: Array, season: int, n_steps: int) -> list[Array]:
    """The values of a whole number of seasons ago, without and with drift; else the last value."""
    steps = np.arange(1, n_steps + 1)
    if len(past) < season:
        naive = np.full(n_steps, past[-1])
        return [naive, naive]
    seasons = -(-steps // season)
    naive = past[len(past) - 1 + steps - season * seasons]
    if len(past) < 2 * season:
        return [naive, naive]
    drift = past[-season:].mean() - past[-2 * season : -season].mean()
    return [naive, naive + seasons * drift]
