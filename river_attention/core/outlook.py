r"""What a memory shows to other models: features whose squared norm stays of order one.

Gradient descent with a constant rate η bears features up to :math:`|\varphi|^2 < 1/\eta`, loses
:math:`\eta|\varphi|^2 / 2` of its error to them, and finds a level y with the share
:math:`c^2 / (c^2 + 1 + \dots)` of a feature c that stands for it. So one feature is long, the
forecast of the readout, and all others together are short:

.. math::

    \text{next} = \mathrm{clip}(2\,\hat y / U,\ \pm 4), \qquad
    \text{group} = \tfrac12\, v \,/\, \sqrt n \,/\, \max(1,\ |v| / \sqrt n)

with n standardised values v in each group (past targets, reads of one memory). Inputs are a group
whose length is not limited. The unit U follows :math:`|m| + 2 s` (running mean and deviation of the
target) with play: it rests while that is within a factor 1.5 of it, and is dragged along beyond. A
model behind learns its weight in that unit, and least squares never forget a unit that has changed.

Of classes the readout knows probabilities p_k, and the long features are log-odds:

.. math:: \text{odds}_k = \mathrm{clip}(\log \tfrac{p_k}{1 - p_k},\ \pm 3) \,/\, \sqrt K
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..state import Stateful, Writer

Array = NDArray[np.float64]

LENGTH = 2.0
"""Length of the forecast where it is as large as the unit."""
SHORT = 0.5
"""Length of a group of other features."""
LIMIT = 4.0
ODDS_LIMIT = 3.0
PLAY = 1.5
_SETTLING = 20
_SMALLEST = 1e-30


class SteadyUnit(Stateful):
    """A unit that rests while sizes change little: U in the module's equations.

    Attributes
    ----------
    n
        Number of sizes seen; during the first twenty the unit is the size.
    value
        The unit; 0 before the first.

    Examples
    --------
    >>> unit = SteadyUnit()
    >>> for size in [1.0] * 21 + [1.4, 3.0, 2.5]:
    ...     unit.update(size)
    >>> unit.value
    2.0
    """

    def __init__(self) -> None:
        self.n = 0
        self.value = 0.0

    def transfer(self, io: Writer, *_: object) -> None:
        self.n = io.integer("n", self.n)
        self.value = io.number("value", self.value, low=0.0)

    def update(self, size: float) -> None:
        """See one more size."""
        self.n += 1
        settled = self.n > _SETTLING
        self.value = min(max(self.value, size / PLAY), size * PLAY) if settled else size


def shown_forecast(forecast: float, unit: float) -> float:
    """A forecast as a feature; 0 while there is no unit.

    >>> shown_forecast(30.0, 40.0)
    1.5
    """
    return min(max(LENGTH * (forecast / unit), -LIMIT), LIMIT) if unit > 0.0 else 0.0


def shown_odds(probabilities: Array) -> Array:
    """Probabilities of classes [K] as features: log-odds [K], of two classes [1] of the second.

    >>> shown_odds(np.array([0.5, 0.5])), shown_odds(np.array([1.0, 0.0, 0.0])).round(2)
    (array([0.]), array([ 1.73, -1.73, -1.73]))
    """
    p = probabilities[1:] if len(probabilities) == 2 else probabilities
    odds = np.log(np.maximum(p, _SMALLEST) / np.maximum(1.0 - p, _SMALLEST))
    shown: Array = np.clip(odds, -ODDS_LIMIT, ODDS_LIMIT) / math.sqrt(len(p))
    return shown


def shown_group(values: Array, *, limited: bool = True) -> Array:
    """Standardised values [n] as a group of features, by default not longer than a half.

    >>> shown_group(np.array([1.0, 0.0, 0.0, 0.0])), shown_group(np.array([3.0]))
    (array([0.25, 0.  , 0.  , 0.  ]), array([0.5]))
    """
    if not len(values):
        return values
    shown: Array = values * (SHORT / math.sqrt(len(values)))
    length = math.sqrt(float(shown.dot(shown)))
    if limited and length > SHORT:
        shown *= SHORT / length
    return shown
