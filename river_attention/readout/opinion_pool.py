r"""A log-linear pool: a logistic regression on what others said of the classes.

.. math::

    p = \mathrm{softmax}\Bigl(\sum_r \bigl(\tfrac1R + w_r\bigr) \log p_r\Bigr), \qquad
    \varphi = \log p_\cdot(y) - \sum_{c \ne y} \frac{p(c)}{1 - p(y)} \log p_\cdot(c)

With w = 0 it is the geometric mean of the R rows; with weights it makes them sharper or milder, and
takes off what several of them say alike, which no mixture of probabilities can. The gradient of
:math:`\log p(y)` is :math:`(1 - p(y))\,\varphi`, as if it were a logistic regression of two
classes: y, and the others as they are believed now. So it learns with the step of
:mod:`river_attention.readout.logistic`, one weight for a row however many classes there are; for
two classes that is Newton's, for more the curvature among the others is left out. A step costs
O(R K + R²).

Genest, Zidek 1986, *Combining probability distributions*; Mattern 2013, *Linear and geometric
mixtures – analysis* (arXiv:1302.2820).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..state import Stateful, Writer
from .logistic import curvature, softmax
from .rls import LEAK, RecursiveLeastSquares

Array = NDArray[np.float64]

_NOBODY_ELSE = 1e-30


class LogLinearPool(Stateful):
    """The pool; see the module for the equations.

    Parameters
    ----------
    n_rows
        Number of rows R.
    forgetting_factor, delta
        λ, and prior variance of every weight.

    Examples
    --------
    Two rows that are right but too timid, and say the same:

    >>> import numpy as np
    >>> pool, rng = LogLinearPool(2, 1.0, 1.0), np.random.default_rng(0)
    >>> said = np.log([[0.6, 0.4], [0.6, 0.4]])
    >>> for _ in range(2000):
    ...     pool.update(said, int(rng.random() > 0.9), 1.0)
    >>> softmax(pool.answer(said)).round(1)
    array([0.9, 0.1])
    """

    def __init__(self, n_rows: int, forgetting_factor: float, delta: float) -> None:
        self.rls = RecursiveLeastSquares(forgetting_factor, np.full(n_rows, delta), leak=LEAK)

    def transfer(self, io: Writer, *arguments: Any) -> None:
        n_rows = self.rls.n_features
        self.rls = io.child("", self.rls)
        fits = self.rls.n_features == n_rows and self.rls.n_targets is None
        io.check(fits, f"weights are not for {n_rows} rows")

    def answer(self, said: Array) -> Array:
        """The logits [K] after the logarithms of probabilities [R, K]."""
        logits: Array = (self.rls.weights + 1.0 / len(said)).dot(said)
        return logits

    def update(self, said: Array, y: int, w: float) -> None:
        """Learn that the class was ``y``, with a sample weight."""
        others = softmax(self.answer(said))
        p = float(others[y])
        others[y] = 0.0
        rest = float(others.sum())
        phi = np.zeros(len(said))
        if rest > _NOBODY_ELSE:
            others /= rest
            phi = said[:, y] - said.dot(others)
        omega = curvature(p * rest, p)
        self.rls.correct(phi, rest / omega, w * omega)
