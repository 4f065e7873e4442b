r"""Retrieval for several targets: one store of steps, and a look back for every target.

The equations are those of ``retrieval.py`` with :math:`\Delta` and r of every target: a step looks
back to where *its* target moved alike. The input and its distances are shared. A target that was
missing in a step, or not known yet, has no weight there, and its Δ is the last one that is known.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import check_int
from ..state import Stateful, Writer
from .retrieval import (
    ALIKE,
    FADING,
    FARTHEST,
    FEWEST,
    METRICS,
    READS,
    RESIDUAL_LIMIT,
    TEMPERATURES,
    Lived,
    Proposal,
    apart_from,
    forget_column,
    settled,
)
from .window import Ring

Array = NDArray[np.float64]

_METRICS = np.array(METRICS)[:, None, None]
_RATE = np.array(-TEMPERATURES[0])


class RetrievalOfSeveral(Stateful):
    """The memory, with the state of one stream; see the module.

    Parameters
    ----------
    window
        Number of labelled steps that are kept.

    Attributes
    ----------
    n_targets
        Number of targets m.

    Examples
    --------
    One target repeats after three steps, another after four; each finds its own past.

    >>> import numpy as np
    >>> retrieval = RetrievalOfSeveral(window=100)
    >>> retrieval.add_targets(2)
    >>> for t in range(60):
    ...     delta = np.array([[0.0, 1.0, -1.0][t % 3], [1.0, -1.0, 1.0, -1.0][t % 4]])
    ...     label = np.array([[1.0, -1.0, 0.0][t % 3], [-1.0, 1.0, -1.0, 1.0][t % 4]])
    ...     reads, proposal = retrieval.propose(delta, np.zeros(0))
    ...     retrieval.learn(delta, np.zeros(0), label, np.ones(2))
    ...     retrieval.commit(proposal)
    >>> reads.round(2)[:, -1]
    array([0., 1.])
    """

    def __init__(self, window: int = 1000) -> None:
        self.window = check_int("window", window, 1)
        self.n_targets = 0
        self.reset()

    def reset(self) -> None:
        """Forget all steps."""
        m = (self.n_targets,)
        past = Ring(self.window, x=(0,), norm=(), delta=m, residual=m, known=m)
        self._lived = Lived(past, np.zeros((self.n_targets, self.window)))

    def add_targets(self, n: int) -> None:
        """Targets that were never seen; the past knows nothing of them."""
        self.n_targets += n
        lived = self._lived
        for field in ("delta", "residual", "known"):
            lived.past.widen(field, self.n_targets)
        distance = np.concatenate([lived.distance, np.zeros((n, self.window))])
        self._lived = replace(lived, distance=distance)

    def renew_input(self, column: int) -> None:
        """Forget what was stored of a column of the input; works in place."""
        forget_column(self._lived.past, column)

    def transfer(self, io: Writer, *arguments: int) -> None:
        """``arguments``: number of targets, number of inputs."""
        lived = self._lived
        if io.reading:
            self.n_targets, n_inputs = arguments
            m = (self.n_targets,)
            empty = Ring(self.window, x=(0,), norm=(), delta=m, residual=m, known=m)
            past = io.child("past", empty)
            io.check(past["x"].shape[1] <= n_inputs, "past.x is wider than there are inputs")
            widths = {past[field].shape[1] for field in ("delta", "residual", "known")}
            io.check(widths == {self.n_targets}, f"past is not one of {self.n_targets} targets")
            io.check(bool(np.isin(past["known"], (0.0, 1.0)).all()), "past.known is not 0 or 1")
        else:
            past = io.child("past", lived.past)
        n = int(np.trim_zeros(lived.distance.any(axis=0).astype(float), "f").size)
        near = lived.distance[:, self.window - n :]
        near = io.array("distance", near, self.n_targets, None, low=0.0)
        seen_at = io.integer("seen_at", lived.seen_at, low=-1)
        n = near.shape[1]
        io.check(n <= self.window and seen_at <= past.n_appended, "distance: too long")
        if io.reading:
            distance = np.zeros((self.n_targets, self.window))
            distance[:, self.window - n :] = near
            self._lived = Lived(past, distance, seen_at)

    def propose(self, delta: Array, x: Array) -> tuple[Array, Proposal]:
        """What the stored past says of a step; nothing changes.

        Parameters
        ----------
        delta
            Standardised last step of every target [m].
        x
            Standardised input [d].

        Returns
        -------
        The reads ρ [m, 6], metric by metric, and what ``commit`` wants when time advances.
        """
        past = self._lived.past
        # rows of targets: each is summed over the stored steps
        distance = np.ascontiguousarray((past["delta"] - delta).T)
        distance *= distance
        distance += FADING * self._lived.moved_distance()
        if past.n >= FEWEST and self.n_targets:
            reads = self._look_back(x, distance)
        else:
            reads = np.zeros((self.n_targets, len(READS)))
        return reads, Proposal(distance, past.n_appended)

    def _look_back(self, x: Array, distance: Array) -> Array:
        """The reads, all metrics at once: scores and weights are [metric, m, n]."""
        past = self._lived.past
        n, m = past.n, self.n_targets
        residual = np.ascontiguousarray(past["residual"].T)[:, :, None]
        score = settled(distance, past) + _METRICS * apart_from(x, past)
        complete = np.minimum.reduce(past["known"], axis=None) > 0.0
        known: Any = 1.0 if complete else np.ascontiguousarray(past["known"].T)
        n_known: Any = n if complete else np.add.reduce(known, axis=1)
        if complete:
            mean = np.add.reduce(score, axis=2) / n
            score -= np.minimum.reduce(score, axis=2)[:, :, None]
        else:
            mean = np.add.reduce(score * known, axis=2) / np.maximum(n_known, 1.0)
            nearest = np.min(score, axis=2, where=known > 0.0, initial=np.inf)
            score -= nearest[:, :, None]
            np.maximum(score, 0.0, out=score)
        score *= ((mean > ALIKE) / (_RATE * np.maximum(mean, ALIKE)))[:, :, None]
        np.maximum(score, FARTHEST, out=score)
        weights = np.exp(score, out=score)
        if not complete:
            weights *= known
        sums = np.empty((m, len(METRICS), len(TEMPERATURES)))
        reads = np.empty(sums.shape)
        for k in range(len(TEMPERATURES)):
            if k:  # temperatures are a factor 4 apart
                weights *= weights
                weights *= weights
            sums[:, :, k] = np.add.reduce(weights, axis=2).T
            reads[:, :, k] = np.matmul(weights.transpose(1, 0, 2), residual)[:, :, 0]
        if not complete:
            sums[n_known < FEWEST] = np.inf
        reads /= sums
        return reads.reshape(m, -1)

    def commit(self, proposal: Proposal) -> None:
        """Time advances by the step of a proposal."""
        lived, distance = self._lived, proposal.distance
        start = self.window - distance.shape[1]
        lived.distance[:, :start] = 0.0
        lived.distance[:, start:] = distance
        lived.seen_at = proposal.seen_at

    def learn(self, delta: Array, x: Array, residual: Array, known: Array) -> None:
        """Store a situation with its labels [m], in units of the readout, and which are known."""
        past = self._lived.past
        if len(x) > past["x"].shape[1]:
            past.widen("x", len(x))
        residual = np.minimum(np.maximum(residual, -RESIDUAL_LIMIT), RESIDUAL_LIMIT) * known
        past.append(x=x, norm=x.dot(x), delta=delta, residual=residual, known=known)
