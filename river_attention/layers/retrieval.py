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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._validation import check_int
from ..functional.recurrence import scan
from ..state import Writer
from .window import Ring

Array = NDArray[np.float64]

FADING = 0.9
METRICS = (0.3, 10.0)
TEMPERATURES = (0.1, 0.025, 0.00625)
READS = tuple(f"a={a:g} h={h:g}" for a in METRICS for h in TEMPERATURES)
"""Names of the reads."""
FEWEST = 5
RESIDUAL_LIMIT = 10.0

# exponents below this change nothing, and the 16th power of exp of it is not yet denormal
FARTHEST = -40.0
# a mean score below this is rounding: all stored steps are alike
ALIKE = 1e-12


@dataclass(slots=True)
class Lived:
    """The stored steps, and how far they are from the step that was seen last.

    Attributes
    ----------
    past
        What was stored: x̂ and its squared length, Δ, and r (``residual``).
    distance
        D of the last step that was seen [..., window]: entry ``-a`` is for the a-th last step that
        was stored when it was seen.
    seen_at
        Number of steps ever stored when it was seen.
    """

    past: Ring
    distance: Array
    seen_at: int = -1

    def moved_distance(self) -> Array:
        """D of the step that was seen last, moved on: entry i is for stored step i - 1 [..., n]."""
        # one stored step for every step that is seen: nothing moves
        window, n = self.distance.shape[-1], self.past.n
        shift = self.past.n_appended - self.seen_at - 1
        if shift == 0:
            return self.distance[..., window - n :]
        moved = np.zeros(self.distance.shape)
        if 0 < shift < window:
            moved[..., :-shift] = self.distance[..., shift:]
        elif shift == -1:
            moved[..., 1:] = self.distance[..., :-1]
        return moved[..., window - n :]


class Proposal(NamedTuple):
    """What committing a step needs: its distances [n], and how many steps were stored then."""

    distance: Array
    seen_at: int


class Retrieval:
    """The memory; see the module for the equations.

    Its input is the situation [Δ, x̂]: a step is recognised by how the target moved and what was
    measured. What it reads are labels, so unlike other memories it learns, too.

    Parameters
    ----------
    window
        Number of labelled steps that are kept.

    Examples
    --------
    A target that repeats after three steps, and no input: the past that looks like the present had
    what comes next.

    >>> import numpy as np
    >>> memory = Retrieval(window=100)
    >>> deltas, labels = np.array([0.0, 1.0, -1.0] * 20), np.array([1.0, -1.0, 0.0] * 20)
    >>> reads, state = memory.forward(deltas[:, None], memory.init_state(), labels)
    >>> memory.propose(np.array([0.0]), state)[0].round(2)
    array([1., 1., 1., 1., 1., 1.])
    """

    view = "situation"
    learns = True
    n_outputs = len(READS)

    def __init__(self, window: int = 1000) -> None:
        self.window = check_int("window", window, 1)

    def add_inputs(self, names: Iterable[str]) -> None:
        """Inputs need no weights: the store widens with the first step that has them."""

    def renew_input(self, i: int, name: str, state: Lived) -> Lived:
        """Forget what was stored of input i; works in place."""
        forget_column(state.past, i - 1)  # the first is Δ
        return state

    def init_state(self) -> Lived:
        """Nothing stored yet."""
        return Lived(
            Ring(self.window, x=(0,), norm=(), delta=(), residual=()), np.zeros(self.window)
        )

    def transfer(self, io: Writer, inputs: Sequence[str]) -> Retrieval:
        """Nothing: it has no weights."""
        return self

    def transfer_state(self, io: Writer, state: Lived, n_inputs: int) -> Lived:
        """The stored steps and the distances from the last one."""
        past = io.child("past", state.past)
        io.check(past["x"].shape[1] <= n_inputs, "past.x is wider than there are inputs")
        near = io.array("distance", np.trim_zeros(state.distance, "f"), None, low=0.0)
        seen_at = io.integer("seen_at", state.seen_at, low=-1)
        io.check(len(near) <= self.window and seen_at <= past.n_appended, "distance: too long")
        distance = np.zeros(self.window)
        distance[self.window - len(near) :] = near
        return Lived(past, distance, seen_at)

    def propose(self, x: Array, state: Lived) -> tuple[Array, Proposal]:
        """What the stored past says of a step; ``state`` stays as it is.

        Parameters
        ----------
        x
            The situation [1 + d]: standardised last step of the target Δ, standardised input x̂.
        state
            The stored steps.

        Returns
        -------
        The reads ρ [6], metric by metric, and what ``commit`` wants when time advances.
        """
        past = state.past
        distance = self._distance(float(x[0]), state)
        reads = np.zeros(len(READS))
        if past.n >= FEWEST:
            residual = past["residual"]
            for m, weights in enumerate(self._weights(x[1:], distance, past)):
                first = m * len(TEMPERATURES)
                sums = np.add.reduce(weights, 1)
                reads[first : first + len(TEMPERATURES)] = weights.dot(residual) / sums
        return reads, Proposal(distance, past.n_appended)

    def commit(self, state: Lived, proposal: Proposal) -> Lived:
        """Time advances by the step of a proposal; works in place."""
        start = self.window - len(proposal.distance)
        state.distance[:start] = 0.0
        state.distance[start:] = proposal.distance
        state.seen_at = proposal.seen_at
        return state

    def learn(self, state: Lived, x: Array, residual: float) -> Lived:
        """Store a situation with its label, in units of the readout; works in place.

        The neighbour of a stored step is the step stored before it, however late its label came.
        """
        scaled, past = x[1:], state.past
        if len(scaled) > past["x"].shape[1]:
            past.widen("x", len(scaled))
        past.append(
            x=scaled,
            norm=scaled.dot(scaled),
            delta=x[0],
            residual=self._value(residual),
        )
        return state

    def branch(self, state: Lived) -> Lived:
        """A copy to look ahead with; it shares the stored steps."""
        return replace(state, past=state.past.branch(), distance=state.distance.copy())

    def forward(
        self, X: Array, state: Lived, residuals: Array | None = None
    ) -> tuple[Array, Lived]:
        """A sequence: situations [T, 1 + d] and state to reads [T, 6] and final state.

        With ``residuals`` [T] each step is stored with its label before the next one.
        """

        def step(state: Lived, x: Array, *label: float) -> tuple[Lived, Array]:
            read, proposal = self.propose(x, state)
            for residual in label:
                self.learn(state, x, float(residual))
            return self.commit(state, proposal), read

        if not len(X):
            return np.zeros((0, self.n_outputs)), state
        labels = () if residuals is None else (np.asarray(residuals),)
        return scan(step, self.branch(state), X, *labels)

    def weights(self, x: Array, proposal: Proposal, state: Lived) -> Array:
        """The attention of a step: softmax weights before they are divided by their sum.

        Parameters
        ----------
        x
            The situation [1 + d].
        proposal
            That of the step.
        state
            The stored steps.

        Returns
        -------
        Positive weights [metric, temperature, n], those of the oldest step first; all 1 where
        nothing tells the stored steps apart. Nothing ([2, 3, 0]) with fewer than five steps.
        """
        if state.past.n < FEWEST:
            return np.zeros((len(METRICS), len(TEMPERATURES), 0))
        return np.stack(self._weights(x[1:], proposal.distance, state.past))

    def strongest(self, x: Array, state: Lived, k: int = 5) -> list[tuple[int, float]]:
        """The steps looked back to: (how many stored steps ago, share of the attention)."""
        if state.past.n < FEWEST:
            return []
        distance = self._distance(float(x[0]), state)
        return self._shares(self._weights(x[1:], distance, state.past), k)

    def strongest_of_last(self, state: Lived, k: int = 5) -> list[tuple[int, float]]:
        """As ``strongest``, for the last stored step and the steps before it."""
        if state.past.n < FEWEST + 1:
            return []
        x, past = state.past["x"][-1], state.past.before_last()
        return self._shares(self._weights(x, state.distance[-past.n :], past), k)

    @staticmethod
    def _shares(all_weights: list[Array], k: int) -> list[tuple[int, float]]:
        n = all_weights[0].shape[1]
        shares = np.zeros(n)
        for weights in all_weights:
            shares += (weights / weights.sum(axis=1, keepdims=True)).sum(axis=0)
        shares /= len(READS)
        order = np.argsort(-shares, kind="stable")[:k]
        return [(int(n - i), float(shares[i])) for i in order]

    def _distance(self, delta: float, state: Lived) -> Array:
        """D_t(i) for the steps in the window [n]."""
        difference = self._mismatch(state.past["delta"], delta)
        difference += FADING * state.moved_distance()
        return difference

    @staticmethod
    def _mismatch(deltas: Array, delta: float) -> Array:
        """How far one last step of the target is from others, a new array [n]."""
        difference = deltas - delta
        difference *= difference
        return difference

    @staticmethod
    def _value(label: float) -> float:
        """What is stored of a label."""
        return min(max(label, -RESIDUAL_LIMIT), RESIDUAL_LIMIT)

    @staticmethod
    def _weights(x: Array, distance: Array, past: Ring) -> list[Array]:
        """Softmax weights of each metric, not normalised: [temperatures, n]."""
        n = past.n
        distance, apart = settled(distance, past), apart_from(x, past)
        all_weights = []
        for scale in METRICS:
            score = apart * scale
            score += distance
            # the ufuncs themselves: methods of an array cost microseconds more
            mean = np.add.reduce(score) / n
            if not mean > ALIKE:
                weights = np.ones((len(TEMPERATURES), n))
            else:
                weights = np.empty((len(TEMPERATURES), n))
                score -= np.minimum.reduce(score)
                score *= -1.0 / (TEMPERATURES[0] * mean)
                np.maximum(score, FARTHEST, out=score)
                np.exp(score, out=weights[0])
                for k in range(1, len(TEMPERATURES)):
                    # temperatures are a factor 4 apart
                    np.multiply(weights[k - 1], weights[k - 1], out=weights[k])
                    weights[k] *= weights[k]
            all_weights.append(weights)
        return all_weights


def forget_column(past: Ring, column: int) -> None:
    """Let a column of the stored inputs be 0; works in place."""
    if column < past["x"].shape[1]:
        stored, norm = past["x"][:, column], past["norm"]
        norm -= stored * stored
        np.maximum(norm, 0.0, out=norm)
        stored[:] = 0.0


def settled(distance: Array, past: Ring) -> Array:
    """D [..., n] over the number of terms in it: what a step lacks that began late."""
    n = past.n
    first = past.n_appended - n  # i - t₀ of the oldest step in the window
    if first < _SETTLED:
        terms = np.arange(first + 1, first + n + 1)
        distance = distance / (1.0 - FADING**terms)
    return distance


def apart_from(x: Array, past: Ring) -> Array:
    """Squared distance of an input from those of the stored steps [n]."""
    stored = past["x"]
    apart = np.zeros(past.n)
    if len(x):
        known = x[: stored.shape[1]]
        apart = stored.dot(known)
        apart *= -2.0
        apart += past["norm"]
        apart += x.dot(x)
    return apart


# from this many steps on the missing past of the oldest step is below rounding
_SETTLED = 400
