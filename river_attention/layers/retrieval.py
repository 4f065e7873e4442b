r"""Retrieval: softmax attention over the exact recent past, scored by how alike two pasts were.

.. math::

    D_t(i) &= g\, D_{t-1}(i-1) + (\Delta_t - \Delta_i)^2, \qquad g = 0.9 \\
    S_m(i) &= \frac{D_t(i)}{1 - g^{\,i - t_0 + 1}} + a_m \|\hat x_t - \hat x_i\|^2,
    \qquad a = (0.3,\ 10) \\
    \rho_{mk} &= \sum_i \mathrm{softmax}_i\Bigl(\frac{-S_m(i)}{h_k\, \overline{S_m}}\Bigr)\, r_i,
    \qquad h = (0.1,\ 0.025,\ 0.00625)

i runs over the last ``window`` stored steps, t₀ is the first step ever stored, Δ the standardised
last step of the target, x̂ the standardised input and r what was learned at step i (clipped at ±10).
The score is a recurrence: a context of unlimited length costs one multiply-add per stored step.
With fewer than five stored steps the reads are 0.

Analog forecasting (Lorenz 1969, *Atmospheric predictability as revealed by naturally occurring
analogues*) as a window of softmax attention, with the running distance of the matrix profile (Zhu
et al. 2016, *Matrix profile II*); Nadaraya-Watson regression in other words.
"""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import NDArray

from .._validation import check_int

Array = NDArray[np.float64]

FADING = 0.9
METRICS = (0.3, 10.0)
TEMPERATURES = (0.1, 0.025, 0.00625)
FEWEST = 5
RESIDUAL_LIMIT = 10.0
N_READS = len(METRICS) * len(TEMPERATURES)

# exponents below this change nothing, and the 16th power of exp of it is not yet denormal
_FARTHEST = -40.0
# a mean score below this is rounding: all stored steps are alike
_ALIKE = 1e-12


class RetrievalState:
    """The stored steps, oldest first, in buffers of twice the window that are moved now and then.

    Attributes
    ----------
    n
        Number of steps in the window.
    n_stored
        Number of steps ever stored.
    distance
        D of the last step that was seen [window]: entry ``-a`` is for the a-th last step that was
        stored when it was seen.
    seen_at
        Number of steps ever stored when it was seen.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.n = 0
        self.n_stored = 0
        self.distance = np.zeros(window)
        self.seen_at = -1
        self._end = 0
        self._x = np.zeros((2 * window, 0))
        self._norm = np.zeros(2 * window)
        self._delta = np.zeros(2 * window)
        self._residual = np.zeros(2 * window)

    @property
    def x(self) -> Array:
        """Inputs of the steps in the window [n, d]."""
        return self._x[self._end - self.n : self._end]

    @property
    def norm(self) -> Array:
        """Squared lengths of the inputs [n]."""
        return self._norm[self._end - self.n : self._end]

    @property
    def delta(self) -> Array:
        """Last steps of the target [n]."""
        return self._delta[self._end - self.n : self._end]

    @property
    def residual(self) -> Array:
        """What was learned [n]."""
        return self._residual[self._end - self.n : self._end]

    def follow(self, distance: Array, seen_at: int) -> None:
        """Time advances: the distances [n] of a step, and how many were stored when it was seen."""
        self.distance[: self.window - len(distance)] = 0.0
        self.distance[self.window - len(distance) :] = distance
        self.seen_at = seen_at

    def previous_distance(self) -> Array:
        """D of the step before, moved on by one: entry i is for stored step i - 1 [n]."""
        # one stored step for every step that is seen: nothing moves
        shift = self.n_stored - self.seen_at - 1
        if shift == 0:
            return self.distance[self.window - self.n :]
        moved = np.zeros(self.window)
        if 0 < shift < self.window:
            moved[:-shift] = self.distance[shift:]
        elif shift == -1:
            moved[1:] = self.distance[:-1]
        return moved[self.window - self.n :]

    def append(self, x: Array, delta: float, residual: float) -> None:
        """Store a step."""
        if len(x) > self._x.shape[1]:
            self.widen(len(x))
        if self._end == len(self._delta):
            kept = self.window - 1
            for buffer in (self._x, self._norm, self._delta, self._residual):
                buffer[:kept] = buffer[self._end - kept : self._end]
            self._end = kept
            self.n = min(self.n, kept)
        end = self._end
        self._x[end, : len(x)] = x
        self._x[end, len(x) :] = 0.0
        self._norm[end] = x.dot(x)
        self._delta[end] = delta
        self._residual[end] = residual
        self._end = end + 1
        self.n = min(self.n + 1, self.window)
        self.n_stored += 1

    def branch(self) -> RetrievalState:
        """A copy that may ``follow``, but not ``append``: it shares the stored steps."""
        branch = copy.copy(self)
        branch.distance = self.distance.copy()
        return branch

    def before_last(self) -> RetrievalState:
        """The state without its last step, whose distances are still known (a shallow copy)."""
        past = copy.copy(self)
        past.n, past.n_stored, past._end = self.n - 1, self.n_stored - 1, self._end - 1
        return past

    def widen(self, n_columns: int) -> None:
        """Inputs get more columns; in the past these were 0, at their mean."""
        x = np.zeros((len(self._x), n_columns))
        x[:, : self._x.shape[1]] = self._x
        self._x = x


class Retrieval:
    """The layer; see the module for the equations.

    Parameters
    ----------
    window
        Number of steps that are kept.

    Examples
    --------
    A target that repeats after three steps, and no input: the past that looks like the present had
    what comes next.

    >>> import numpy as np
    >>> layer, nothing = Retrieval(window=100), np.zeros(0)
    >>> state = layer.init_state()
    >>> for t in range(60):
    ...     reads, distance = layer.read(nothing, [0.0, 1.0, -1.0][t % 3], state)
    ...     state.follow(distance, state.n_stored)
    ...     layer.store(state, nothing, [0.0, 1.0, -1.0][t % 3], [1.0, -1.0, 0.0][t % 3])
    >>> layer.read(nothing, 0.0, state)[0].round(2)
    array([1., 1., 1., 1., 1., 1.])
    """

    n_outputs = N_READS

    def __init__(self, window: int = 1000) -> None:
        self.window = check_int("window", window, 1)

    def init_state(self) -> RetrievalState:
        """Nothing stored yet."""
        return RetrievalState(self.window)

    def read(self, x: Array, delta: float, state: RetrievalState) -> tuple[Array, Array]:
        """What the stored past says of a step, and how far it is; ``state`` stays as it is.

        Parameters
        ----------
        x
            Standardised input x̂ [d].
        delta
            Standardised last step of the target.
        state
            The stored steps.

        Returns
        -------
        The reads ρ [6], metric by metric, and the distances D from the steps in the window [n],
        which ``state.follow`` wants when time advances.
        """
        distance = self._distance(delta, state)
        reads = np.zeros(N_READS)
        if state.n >= FEWEST:
            for m, weights in enumerate(self._weights(x, distance, state)):
                first = m * len(TEMPERATURES)
                sums = weights.sum(axis=1)
                reads[first : first + len(TEMPERATURES)] = weights.dot(state.residual) / sums
        return reads, distance

    def store(self, state: RetrievalState, x: Array, delta: float, residual: float) -> None:
        """Store a step with its label, in units of the readout; changes ``state``.

        The neighbour of a stored step is the step stored before it, however late its label came.
        """
        state.append(x, delta, min(max(residual, -RESIDUAL_LIMIT), RESIDUAL_LIMIT))

    def weights(self, x: Array, distance: Array, state: RetrievalState) -> Array:
        """The attention of a step: softmax weights before they are divided by their sum.

        Parameters
        ----------
        x
            Standardised input x̂ [d].
        distance
            D of the step, as ``read`` gave it [n].
        state
            The stored steps.

        Returns
        -------
        Positive weights [metric, temperature, n], those of the oldest step first; all 1 where
        nothing tells the stored steps apart.
        """
        return np.stack(self._weights(x, distance, state))

    def strongest(
        self, x: Array, delta: float, state: RetrievalState, k: int = 5
    ) -> list[tuple[int, float]]:
        """The steps looked back to: (how many stored steps ago, share of the attention)."""
        if state.n < FEWEST:
            return []
        weights = self._weights(x, self._distance(delta, state), state)
        return self._shares(state, weights, k)

    def strongest_of_last(self, state: RetrievalState, k: int = 5) -> list[tuple[int, float]]:
        """As ``strongest``, for the last stored step and the steps before it."""
        if state.n < FEWEST + 1:
            return []
        past = state.before_last()
        return self._shares(past, self._weights(state.x[-1], past.distance[-past.n :], past), k)

    @staticmethod
    def _shares(state: RetrievalState, all_weights: list[Array], k: int) -> list[tuple[int, float]]:
        shares = np.zeros(state.n)
        for weights in all_weights:
            shares += (weights / weights.sum(axis=1, keepdims=True)).sum(axis=0)
        shares /= N_READS
        order = np.argsort(-shares, kind="stable")[:k]
        return [(int(state.n - i), float(shares[i])) for i in order]

    def _distance(self, delta: float, state: RetrievalState) -> Array:
        """D_t(i) for the steps in the window [n]."""
        difference = state.delta - delta
        difference *= difference
        difference += FADING * state.previous_distance()
        return difference

    def _weights(self, x: Array, distance: Array, state: RetrievalState) -> list[Array]:
        """Softmax weights of each metric, not normalised: [temperatures, n]."""
        n = state.n
        first = state.n_stored - n  # i - t₀ of the oldest step in the window
        if first < _SETTLED:
            terms = np.arange(first + 1, first + n + 1)
            distance = distance / (1.0 - FADING**terms)
        stored = state.x
        apart = np.zeros(n)
        if len(x):
            known = x[: stored.shape[1]]
            apart = stored.dot(known)
            apart *= -2.0
            apart += state.norm
            apart += x.dot(x)
        all_weights = []
        for scale in METRICS:
            score = apart * scale
            score += distance
            mean = score.mean()
            weights = np.ones((len(TEMPERATURES), n))
            if mean > _ALIKE:
                score -= score.min()
                score *= -1.0 / (TEMPERATURES[0] * mean)
                np.maximum(score, _FARTHEST, out=score)
                np.exp(score, out=weights[0])
                for k in range(1, len(TEMPERATURES)):
                    # temperatures are a factor 4 apart
                    np.multiply(weights[k - 1], weights[k - 1], out=weights[k])
                    weights[k] *= weights[k]
            all_weights.append(weights)
        return all_weights


# from this many steps on the missing past of the oldest step is below rounding
_SETTLED = 400
