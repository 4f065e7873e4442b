"""From features to a prediction: recursive least squares, and pools of experts."""

from .boosted_classes import BoostedClassMixture
from .boosting import Boosted, BoostedMixture
from .classes import ClassMixture, class_experts
from .intervals import ErrorQuantiles
from .logistic import OnlineLogistic
from .pool import Expert, ExpertPool, check_factors
from .regression import Mixture, SingleReadout, experts
from .rls import RecursiveLeastSquares

__all__ = [
    "Boosted",
    "BoostedClassMixture",
    "BoostedMixture",
    "ClassMixture",
    "ErrorQuantiles",
    "Expert",
    "ExpertPool",
    "Mixture",
    "OnlineLogistic",
    "RecursiveLeastSquares",
    "SingleReadout",
    "check_factors",
    "class_experts",
    "experts",
]
