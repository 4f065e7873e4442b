r"""Exponential weighting with fixed share: trust whoever predicted best lately.

.. math::

    p_k \leftarrow (1 - \alpha)\, \frac{p_k e^{-\eta\, \ell_k}}{\sum_j p_j e^{-\eta\, \ell_j}}
                  + \frac{\alpha}{K}, \qquad \alpha = 0.005

Herbster, Warmuth 1998, *Tracking the best expert*.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SHARE = 0.005


def reweighted(weights: Array, losses: Array, eta: float) -> Array:
    """The shares of K experts after their losses; see the module for the equation.

    Parameters
    ----------
    weights
        Shares [..., K], each row sums to 1.
    losses
        Losses [..., K], not negative; their size against 1 / ``eta`` decides how fast trust moves.
    eta
        η, the rate of learning.

    Examples
    --------
    >>> import numpy as np
    >>> reweighted(np.array([0.5, 0.5]), np.array([0.0, 10.0]), eta=0.1).round(3)
    array([0.73, 0.27])
    """
    weights = weights * np.exp(-eta * losses)
    weights *= (1.0 - SHARE) / weights.sum(axis=-1, keepdims=True)
    weights += SHARE / weights.shape[-1]
    return weights
