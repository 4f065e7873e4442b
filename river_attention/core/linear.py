"""An encoder with a recursive least squares behind it: what a linear regression is made of."""

from __future__ import annotations

from dataclasses import dataclass

from ..encoding import Encoder
from ..readout import RecursiveLeastSquares


@dataclass(slots=True)
class LinearTask:
    """The parts of a linear regression on dicts.

    Attributes
    ----------
    encoder
        Names to columns.
    rls
        The weights, that of the bias first.
    """

    encoder: Encoder
    rls: RecursiveLeastSquares
