r"""Retrieval for classes: past steps that look like the present vote for the class they had.

.. math::

    \rho_{mk}(c) = \frac{n_{mk} \sum_i a_{mki} [c_i = c] + 2\, \pi(c)}{n_{mk} + 2}, \qquad
    n_{mk} = \frac{1}{\sum_i a_{mki}^2}

a are the attention weights of :mod:`river_attention.layers.retrieval`, with the mismatch
:math:`[l_t \ne l_i]` of the last classes l in the place of the squared difference of the target's
last steps; c_i the class that was learned at step i and π the class frequencies. n is how many
steps really vote: where few do, frequencies count for more. A step costs O(window + K).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..state import Writer
from .retrieval import FEWEST, READS, Lived, Proposal, Retrieval

Array = NDArray[np.float64]

FREQUENCY_VOTES = 2.0
"""How many votes the class frequencies are worth."""

_NOTHING = np.zeros(0)


class ClassRetrieval(Retrieval):
    """The memory; see the module for the equations.

    Its input is the situation [l, x̂]: number of the last class, -1 for none, and what was measured;
    its labels are numbers of classes. It adds nothing to the reads: how many probabilities it gives
    depends on how many classes there are, see ``votes``.

    Parameters
    ----------
    window
        Number of labelled steps that are kept.

    Examples
    --------
    Classes 0, 1, 2 in turn, and no input: after class 2 comes class 0.

    >>> import numpy as np
    >>> memory = ClassRetrieval(window=100)
    >>> last, labels = np.array([2.0, 0.0, 1.0] * 20), np.array([0.0, 1.0, 2.0] * 20)
    >>> _, state = memory.forward(last[:, None], memory.init_state(), labels)
    >>> now = np.array([2.0])
    >>> _, proposal = memory.propose(now, state)
    >>> memory.votes(now, proposal, state, np.ones(3) / 3).round(1)[0].tolist()
    [0.9, 0.0, 0.0]
    """

    n_outputs = 0

    def propose(self, x: Array, state: Lived) -> tuple[Array, Proposal]:
        """No reads [0], and what ``commit`` and ``votes`` want; ``state`` stays as it is."""
        return _NOTHING, Proposal(self._distance(float(x[0]), state), state.past.n_appended)

    def votes(self, x: Array, proposal: Proposal, state: Lived, frequencies: Array) -> Array:
        """The probabilities of the classes by every read.

        Parameters
        ----------
        x
            The situation [1 + d].
        proposal
            That of the step.
        state
            The stored steps.
        frequencies
            The class frequencies [K]; every stored class is among the K.

        Returns
        -------
        Probabilities [6, K], metric by metric; the frequencies with fewer than five steps.
        """
        if state.past.n < FEWEST:
            return np.tile(frequencies, (len(READS), 1))
        weights = self.weights(x, proposal, state).reshape(len(READS), -1)
        classes = state.past["residual"].astype(np.intp)
        sums: Array = np.zeros((len(weights), len(frequencies)))
        for of_read, row in zip(sums, weights, strict=True):
            of_read += np.bincount(classes, row, len(frequencies))
        total = weights.sum(axis=1)
        per_sum = total / np.einsum("ri,ri->r", weights, weights)  # n over the sum
        sums *= per_sum[:, None]
        sums += FREQUENCY_VOTES * frequencies
        sums /= (total * per_sum + FREQUENCY_VOTES)[:, None]
        return sums

    def transfer_state(self, io: Writer, state: Lived, n_inputs: int) -> Lived:
        """The stored steps and the distances from the last one."""
        state = super().transfer_state(io, state, n_inputs)
        for field, low in (("delta", -1.0), ("residual", 0.0)):
            found = state.past[field]
            whole = bool((found == np.floor(found)).all() and (found >= low).all())
            io.check(whole, f"past.{field} is no number of a class")
        return state

    def n_classes(self, state: Lived) -> int:
        """One more than the largest number among the stored classes; 0 for none."""
        past = state.past
        return 1 + int(max(past["residual"].max(initial=-1.0), past["delta"].max(initial=-1.0)))

    @staticmethod
    def _mismatch(deltas: Array, delta: float) -> Array:
        """1 where the last class was another one [n]."""
        return (deltas != delta).astype(np.float64)

    @staticmethod
    def _value(label: float) -> float:
        """The number of the class."""
        return label
