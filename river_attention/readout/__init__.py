"""From features to a prediction: recursive least squares, mixture, scale of the target."""

from .inputs import Inputs
from .logistic import ClassMixture, OnlineLogistic
from .mixture import Mixture
from .rls import RecursiveLeastSquares
from .single import SingleReadout
from .target import Target

__all__ = [
    "ClassMixture",
    "Inputs",
    "Mixture",
    "OnlineLogistic",
    "RecursiveLeastSquares",
    "SingleReadout",
    "Target",
]
