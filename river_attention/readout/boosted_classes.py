r"""Boosted trees among the experts on classes.

.. math::

    p(c) \propto e^{g_c(z_t)}, \qquad z_t = [y_{t-1} \dots y_{t-6},\ \log p_t(c),\ x_t,\ x_{t-1}]

with the numbers of the last six classes and what the log-linear pool of all other experts says of
the second to the sixteenth class. g is fitted under log loss, with 60 trees for two classes and 60
for each of more; everything else is as in :mod:`river_attention.readout.boosting`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..state import Writer
from .boosting import Boosted, LastIsBoosted, names_of_inputs, single
from .classes import LARGEST_WEIGHT, ClassMixture, raise_to_floor
from .fits import Rows
from .pool import Expert

Array = NDArray[np.float64]

N_LABELS = 6
"""Number of past labels that trees see."""
N_OPINIONS = 15
"""Number of classes of which they know what the others think."""


class BoostedClassMixture(LastIsBoosted, ClassMixture):
    """The mixture on classes with boosted trees as its last expert; see the module.

    Parameters
    ----------
    rows, n_votes, forgetting_factor, delta
        See :class:`river_attention.readout.ClassMixture`.
    boosted
        The trees.
    """

    n_opinions = N_OPINIONS

    def __init__(
        self,
        rows: Iterator[Expert],
        n_votes: int,
        forgetting_factor: float,
        delta: float | None,
        boosted: Boosted,
    ) -> None:
        self.boosted = boosted
        # what the trees say stands in no part of the evidence
        super().__init__(iter([*rows, Expert("trees", "")]), n_votes, forgetting_factor, delta)

    def transfer(self, io: Writer, *arguments: Any) -> None:
        super().transfer(io, *arguments)
        trees = self.boosted.trees
        io.check(trees is None or trees.classes[-1] < self.n_classes, "trees: an unknown class")

    def predict(self, evidence: Any, votes: Array | None = None) -> None:
        """Let the votes [V, K] and the probabilities of all experts [J, K] join the evidence."""
        super().predict(evidence, votes)
        answers, known = self.answers(evidence), self.shares[:-1]
        if self.boosted.trees is None:
            answers[-1] = known.dot(answers[:-1]) / known.sum()
        else:
            answers[-1] = self.boosted.trees.predict(self.row(evidence), self.n_classes)
            raise_to_floor(answers[-1])

    def row(self, evidence: Any) -> Rows:
        """z: what the trees see of a step, missing numbers as NaN."""
        seen, pooled = evidence["boosted"], self.answers(evidence)[self.n_told]
        opinions = np.full(N_OPINIONS, np.nan)
        told = np.log(pooled[1 : 1 + N_OPINIONS])
        opinions[: len(told)] = told
        return single(np.concatenate([seen[:N_LABELS], opinions, seen[N_LABELS:]]))

    def keep(self, evidence: Any, y: int, w: float) -> None:
        """Keep a step and its class for the next fit, and take over what is ready."""
        self.boosted.learn(self.row(evidence), float(y), min(w, LARGEST_WEIGHT))
        self.turn()

    def names_of_row(self, inputs: Sequence[str]) -> list[str]:
        """What each number of z is, given the names of the inputs."""
        return [
            *(f"class {lag} back" for lag in range(1, 1 + N_LABELS)),
            *(f"log-probability of class {i}" for i in range(1, 1 + N_OPINIONS)),
            *names_of_inputs(inputs),
        ]
