"""Experts in a table: who predicts, from which part of a step, and how far each is trusted.

Whatever experts predict — numbers or probabilities of classes — names, shares and losses are kept
here; the mixtures of ``regression.py`` and ``classes.py`` say what a loss is and how answers mix.
To add an expert, add a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._validation import check_number
from ..moments import running_rate
from ..state import Stateful, Writer
from .rls import RecursiveLeastSquares
from .shares import reweighted

Array = NDArray[np.float64]


class Expert(NamedTuple):
    """A row of the table.

    Attributes
    ----------
    name
        Its name, unique in the pool.
    part
        The part of the evidence that it sees, see :class:`river_attention.core.step.Evidence`.
    learner
        Who learns from that part; None if the part is itself the prediction.
    """

    name: str
    part: str
    learner: Any = None


def padded(phi: Array, n_features: int) -> Array:
    """Features [n_features]; those that did not exist yet when ``phi`` was made are 0."""
    if len(phi) == n_features:
        return phi
    return np.concatenate([phi, np.zeros(n_features - len(phi))])


def check_factors(value: float | tuple[float, ...]) -> tuple[float, ...]:
    """Forgetting factors as a tuple: different numbers in (0, 1], or ``ValueError``."""
    factors = value if isinstance(value, tuple) else (value,)
    try:
        for factor in factors:
            check_number("forgetting_factor", factor, above=0.0, at_most=1.0)
    except ValueError as error:
        if not isinstance(value, tuple):
            raise
        raise ValueError(f"forgetting_factor={value!r}: one of them is wrong: {error}") from None
    if len(set(factors)) != len(factors) or not factors:
        raise ValueError(f"forgetting_factor={value!r}: must be different numbers")
    return factors


def faster_factor(factor: float, times: float) -> float:
    """The λ that forgets ``times`` as fast, at least 0.5.

    Rounded, or two ways to the same factor would make two experts of it.
    """
    return round(max(1.0 - times * (1.0 - factor), 0.5), 12)


class ExpertPool(Stateful):
    """The table, and how much each of its K experts is trusted.

    Parameters
    ----------
    experts
        The rows; of several with one name the first counts.

    Attributes
    ----------
    experts
        The rows of the table.
    shares
        Share of each expert in the prediction [K]; uniform at first, unless a mixture knows better.
    mean_losses
        Running mean of the loss of each expert [K].
    """

    def __init__(self, experts: Iterable[Expert]) -> None:
        rows: dict[str, Expert] = {}
        for expert in experts:
            rows.setdefault(expert.name, expert)
        self.experts = list(rows.values())
        self.shares: Array = np.zeros(0)
        self.trust_alike()
        self.mean_losses: Array = np.zeros(len(self.experts))
        self._n_losses = 0

    def transfer(self, io: Writer, *arguments: Any) -> None:
        n = len(self.experts)
        self.shares = io.array("shares", self.shares, n, low=0.0)
        io.check(abs(self.shares.sum() - 1.0) < 1e-3, "shares do not sum to 1")
        self.mean_losses = io.array("mean_losses", self.mean_losses, n)
        self._n_losses = io.integer("n_losses", self._n_losses)
        self.experts = [
            row
            if row.learner is None
            else row._replace(learner=io.child(row.name, row.learner, *arguments))
            for row in self.experts
        ]

    @property
    def names(self) -> list[str]:
        """Names of the experts [K]."""
        return [expert.name for expert in self.experts]

    @property
    def n_rows(self) -> int:
        """Number of rows that the answers in an evidence have."""
        return len(self.experts)

    @property
    def learning(self) -> list[Expert]:
        """The experts that learn."""
        return [expert for expert in self.experts if expert.learner is not None]

    @property
    def least_squares(self) -> dict[str, RecursiveLeastSquares]:
        """Weights and P of the linear experts by name."""
        return {expert.name: expert.learner.rls for expert in self.learning}

    @property
    def n_awake(self) -> int:
        """Number of experts with a share, the first; a pool may have some that sleep."""
        return len(self.experts)

    def trust_alike(self) -> None:
        """Give all experts the same share."""
        n = self.n_awake
        self.shares = np.repeat([1.0 / n, 0.0], [n, len(self.experts) - n])

    def reopen(self) -> None:
        """Trust all experts alike again and let them learn quickly, after a drift."""
        self.trust_alike()
        for rls in self.least_squares.values():
            rls.reopen()

    def weights(self) -> dict[str, float]:
        """The share of each expert."""
        return dict(zip(self.names, self.shares.tolist(), strict=True))

    def losses(self) -> dict[str, float]:
        """Running mean of the loss of each expert."""
        return dict(zip(self.names, self.mean_losses.tolist(), strict=True))

    def learn_shares(self, losses: Array, weighted: Array, eta: float) -> None:
        """Move the shares after losses [K], and what is left of them by the sample weight.

        They may be those of the first experts, if the others sleep.
        """
        n = len(losses)
        self._n_losses += 1
        means = self.mean_losses[:n]
        means += running_rate(self._n_losses) * (losses - means)
        shares = reweighted(self.shares[:n], weighted, eta)
        self.shares = np.append(shares, self.shares[n:])

    def first_on(self, part: str) -> tuple[RecursiveLeastSquares, float] | None:
        """The first linear expert on a part and its share of the prediction, if there is one."""
        for expert, share in zip(self.experts, self.shares.tolist(), strict=True):
            if expert.part == part and expert.learner is not None:
                return expert.learner.rls, share
        return None

    def extend(self, kinds: Sequence[str]) -> None:
        """Append features: "lag" (not for experts on long ones), "input" or "hidden"."""
        for expert in self.learning:
            expert.learner.extend([k for k in kinds if k != "lag" or expert.part != "long"])

    def renew(self, columns: Sequence[int], places: Callable[[str, int], Sequence[int]]) -> None:
        """Columns of the input, with their ``places`` in the parts, are other features from now."""
        for expert in self.learning:
            for column in columns:
                for k in places(expert.part, column):
                    expert.learner.renew(k)
