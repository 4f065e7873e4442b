"""From features to a prediction: recursive least squares and the scale of the target."""

from .rls import RecursiveLeastSquares
from .target import Target

__all__ = ["RecursiveLeastSquares", "Target"]
